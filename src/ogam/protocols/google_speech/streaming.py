"""Speech recognised while it is said: chunks in, utterances and news of them out.

Knows the gateway and no version: what it yields, the versions' own types are made from.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import AsyncExitStack, aclosing
from typing import NamedTuple

from ogam.capabilities.speech_recognition import (
    PartialTranscript,
    RecognitionOptions,
    TranscribeResult,
)
from ogam.errors import UnknownLanguageError, UnsupportedOptionError
from ogam.gateway.dispatch import Target
from ogam.gateway.feed import Feed
from ogam.media.live import Channels
from ogam.protocols.google.errors import OutOfRangeError
from ogam.protocols.google_speech import convert, wire
from ogam.protocols.google_speech.convert import Asked
from ogam.protocols.google_speech.recognizing import Asker, first_language, options
from ogam.protocols.google_speech.sound import RATE, Sound

# https://cloud.google.com/speech-to-text/quotas, and how long Google waits for more sound.
MAX_SECONDS, PATIENCE = 305.0, 10.0


class News(NamedTuple):
    """One reply: results, an event by its name, or, at the end, the seconds billed."""

    results: Sequence[wire.StreamingRecognitionResult] = ()
    event: str = ""
    at: float = 0.0
    billed: int | None = None


class Wishes(NamedTuple):
    """What of a stream the client wants to hear."""

    interim: bool = False
    single: bool = False
    events: bool = False


async def listen(
    asker: Asker, asked: Asked, wishes: Wishes, chunks: AsyncIterator[bytes]
) -> AsyncGenerator[News]:
    """Recognise a stream until it ends, or its first utterance where that is wished."""
    if asked.separate and not asked.channels:
        raise UnsupportedOptionError(
            "The channels of a stream are not found out by themselves here.",
            hint="Give the channel count and an explicit encoding.",
            param="config.audioChannelCount",
        )
    model = asker.model(asked.model)
    count = asked.channels if asked.separate else 1
    async with AsyncExitStack() as stack:
        fed = await stack.enter_async_context(Feed(_timely(chunks)))
        sound = Sound(asked, fed)
        channels = Channels(sound.blocks(), count, RATE, _check)
        streams = [_one(asker, asked, model, channels.reader(channel)) for channel in range(count)]
        pieces = await stack.enter_async_context(aclosing(_merged(streams)))
        quiet = True
        async for channel, code, piece in pieces:
            fed.check()
            if isinstance(piece, TranscribeResult):
                continue
            tag = channel + 1 if asked.separate else 0
            if piece.segment is None:
                if wishes.events and quiet:
                    yield News(event="SPEECH_ACTIVITY_BEGIN", at=channels.seconds)
                    quiet = False
                if wishes.interim:
                    one = convert.interim(asked, piece.text, channels.seconds, tag)
                    one.language_code = code
                    yield News([one])
                continue
            if wishes.events:
                if quiet:
                    yield News(event="SPEECH_ACTIVITY_BEGIN", at=piece.segment.start)
                yield News(event="SPEECH_ACTIVITY_END", at=piece.segment.end)
                quiet = True
            if wishes.single:
                yield News(event="END_OF_SINGLE_UTTERANCE", at=piece.segment.end)
            yield News([convert.final(convert.result(asked, code, piece.segment, tag))])
            if wishes.single:
                break
        seconds = channels.seconds
    yield News(billed=convert.billed(seconds, count))


def _check(seconds: float) -> None:
    if seconds > MAX_SECONDS:
        raise too_long()


def too_long() -> OutOfRangeError:
    """Google's words for a stream of more sound than it takes."""
    return OutOfRangeError(
        f"Exceeded maximum allowed stream duration of {MAX_SECONDS:.0f} seconds."
    )


async def _timely(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The same chunks, as long as they come close to real time."""
    loop = asyncio.get_running_loop()
    end = loop.time() + MAX_SECONDS
    while True:
        left = end - loop.time()
        try:
            async with asyncio.timeout(min(PATIENCE, left)):
                chunk = await anext(chunks, None)
        except TimeoutError:
            if left <= PATIENCE:
                raise too_long() from None
            raise OutOfRangeError(
                "Audio Timeout Error: Long duration elapsed without audio. "
                "Audio should be sent close to real time."
            ) from None
        if chunk is None:
            return
        yield chunk


# channel, language, what its engine says
_Piece = tuple[int, str, PartialTranscript | TranscribeResult]


async def _one(
    asker: Asker, asked: Asked, model: Target, blocks: object
) -> AsyncGenerator[tuple[str, PartialTranscript | TranscribeResult]]:
    """One channel, in the first of the languages that the engine knows."""
    codes = asked.languages or ("",)
    for code in codes:
        wanted: RecognitionOptions = options(asked, code)
        # The engine asks for no sound before it knows the language.
        stream = asker.gateway.stream("transcribe", (blocks, wanted), model, live=True)
        try:
            async with aclosing(stream) as pieces:
                async for piece in pieces:
                    yield code, piece
            return
        except UnknownLanguageError as error:
            if code == codes[-1]:
                raise first_language(error, codes) from None


async def _merged(
    streams: Sequence[AsyncGenerator[tuple[str, PartialTranscript | TranscribeResult]]],
) -> AsyncGenerator[_Piece]:
    """What all channels say, as they say it."""
    waiting = {asyncio.ensure_future(anext(one)): at for at, one in enumerate(streams)}
    try:
        while waiting:
            done, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                at = waiting.pop(task)
                try:
                    code, piece = task.result()
                except StopAsyncIteration:
                    continue
                yield at, code, piece
                waiting[asyncio.ensure_future(anext(streams[at]))] = at
    finally:
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        for one in streams:
            await one.aclose()

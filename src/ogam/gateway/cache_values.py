"""How a result is kept, and how one that was kept is given again, whole or piece by piece.

An entry is a mark with the form's version, the SHA-256 of what follows, and that: when it was
made, its capability and the result, as MessagePack. Media are their bytes and their form; where
a result holds the request's own picture it only says so, for whoever asks again brings it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from typing import Any, cast

import msgspec

from ogam.capabilities.base import Capability, Result
from ogam.capabilities.classification import ClassifyResult
from ogam.capabilities.embedding import EmbedResult
from ogam.capabilities.speech_recognition import TranscribeResult
from ogam.capabilities.speech_synthesis import SpeakResult, SpeechChunk
from ogam.capabilities.text_generation import GenerateResult, TextDelta
from ogam.capabilities.translation import TranslateResult
from ogam.capabilities.vision import SeeResult
from ogam.errors import InvalidMediaError
from ogam.gateway.cache_keys import media
from ogam.gateway.passed import PassedRequest, PassedResult
from ogam.media import Audio, Image

_MARK = b"ogam cache 1\n"
_KINDS: dict[Capability, type[Result]] = {
    "generate": GenerateResult,
    "speak": SpeakResult,
    "see": SeeResult,
    "transcribe": TranscribeResult,
    "translate": TranslateResult,
    "classify": ClassifyResult,
    "embed": EmbedResult,
}
_FORMS: dict[type[Any], tuple[str, ...]] = {
    Audio: ("data", "media_type", "encoding", "sample_rate", "channels", "name"),
    Image: ("data", "media_type", "name"),
}
# A text that is given again comes in this many pieces, sound in pieces of so many seconds.
_DELTAS = 4
_CHUNK_SECONDS = 0.5


class DamagedError(Exception):
    """The bytes are not what was kept, or were kept in a form that is not known here."""


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """An answer and when it was given: milliseconds since 1970."""

    at: int
    result: Result


class _Entry(msgspec.Struct, frozen=True, kw_only=True):
    at: int
    capability: Capability
    result: msgspec.Raw


def pack(capability: Capability, request: Any, kept: Kept) -> bytes:
    """An entry's bytes."""
    own = media(request)

    def hook(value: Any) -> Any:
        for at, one in enumerate(own):
            if _same(one, value):
                return {"of_request": at}
        return {name: getattr(value, name) for name in _FORMS[type(value)]}

    result = msgspec.Raw(msgspec.msgpack.encode(kept.result, enc_hook=hook))
    body = msgspec.msgpack.encode(_Entry(at=kept.at, capability=capability, result=result))
    return _MARK + hashlib.sha256(body).digest() + body


def unpack(data: bytes, capability: Capability, request: Any) -> Kept:
    """What was kept for a request of this capability; DamagedError where that cannot be told."""
    own = cast(Sequence[Any], media(request))

    def hook(kind: type[Any], value: dict[str, Any]) -> Any:
        return own[value["of_request"]] if "of_request" in value else _restored(kind, value)

    start = len(_MARK) + hashlib.sha256().digest_size
    body = data[start:]
    if data[:start] != _MARK + hashlib.sha256(body).digest():
        raise DamagedError
    try:
        entry = msgspec.msgpack.decode(body, type=_Entry)
        if entry.capability != capability:
            raise DamagedError
        form = PassedResult if isinstance(request, PassedRequest) else _KINDS[capability]
        result = msgspec.msgpack.decode(entry.result, type=form, dec_hook=hook)
    except (msgspec.DecodeError, KeyError, IndexError, TypeError) as error:
        raise DamagedError from error
    return Kept(at=entry.at, result=result)


def pieces(result: Result) -> list[Any]:
    """What a stream would have yielded before this result: text in a few deltas, sound in chunks,
    of a body that went through the head and the body.

    Decodes sound that is compressed.
    """
    if isinstance(result, GenerateResult):
        return list(_deltas(result))
    if isinstance(result, PassedResult):
        return [result.head, result.body]
    return list(_chunks(result)) if isinstance(result, SpeakResult) else []


def _deltas(result: GenerateResult) -> Iterator[TextDelta]:
    for index, choice in enumerate(result.choices):
        size = -(-len(choice.text) // _DELTAS) or 1
        for at in range(0, len(choice.text), size):
            yield TextDelta(text=choice.text[at : at + size], index=index)


def _chunks(result: SpeakResult) -> Iterator[SpeechChunk]:
    try:
        samples = result.audio.pcm(channels=1)
    except InvalidMediaError:
        return  # an answer may have no samples at all
    step = 2 * int(samples.sample_rate * _CHUNK_SECONDS)
    words = list(result.words)
    for at in range(0, len(samples.data), step):
        end = at + step
        last, seconds = end >= len(samples.data), end / (2 * samples.sample_rate)
        spoken = [one for one in words if last or one.start < seconds]
        words = words[len(spoken) :]
        yield SpeechChunk(
            pcm=samples.data[at:end], sample_rate=samples.sample_rate, words=tuple(spoken)
        )


def _same(one: Any, other: Any) -> bool:
    # Two recordings without a header are equal whatever their channels.
    return one is other or (
        one == other and getattr(one, "channels", 1) == getattr(other, "channels", 1)
    )


def _restored(kind: type[Any], form: dict[str, Any]) -> Any:
    """A recording or picture as it was. Not by its constructor, which looks into the bytes anew
    and refuses sound without samples.
    """
    made: Any = object.__new__(kind)
    for name in made.__slots__:
        setattr(made, name, form[name] if name in _FORMS[kind] else None)
    return made

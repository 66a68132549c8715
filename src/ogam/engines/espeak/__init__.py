"""speak, by eSpeak NG: over a hundred languages, Korean too, at some 500 times real time.

Knows voices, options and word timings. The library itself is loaded only by
``worker.py``, in a process of its own: it is GPL-3.0-or-later, keeps its state in
global variables, and is C that reads any text it is given. At most two such processes serve
this one, whatever the number of engines and threads.
"""

from __future__ import annotations

import bisect
import re
import struct
import unicodedata
from collections.abc import Iterator, Sequence
from typing import ClassVar
from xml.parsers import expat

from ogam.capabilities.base import Capability, ModelRef, Units
from ogam.capabilities.speech_synthesis import (
    SpeakRequest,
    SpeakResult,
    SpeechChunk,
    Voice,
    WordTiming,
)
from ogam.engines.espeak import process, voices
from ogam.errors import (
    InvalidRequestError,
    TooLargeError,
    UnknownLanguageError,
    UnknownModelError,
    UnknownVoiceError,
    UnsupportedOptionError,
)
from ogam.media import Audio, limits

SAMPLE_RATE = 22050  # of all voices in the library's data; the worker checks it
WORDS_PER_MINUTE = 175  # espeakRATE_NORMAL in speak_lib.h; what a rate of 1.0 means
_SLOWEST = 80  # espeakRATE_MINIMUM; above 450 the library goes on with Sonic, tried to 900
# espeak's 0..100 against the factor on the fundamental that it brings: medians by
# autocorrelation over the voices en-us, en-us+f3, ko, de and fr, which agree within 5 %.
_PITCH_VALUES = (0, 12, 25, 37, 50, 62, 75, 87, 100)
_PITCH_FACTORS = (0.7, 0.745, 0.81, 0.89, 1.0, 1.115, 1.28, 1.455, 1.66)

_WAV_BYTES = 0xFFFFFFFF - 36  # a RIFF size is 32 bits: 27 hours at 22,050 Hz
_SPEAK, _EVENT = struct.Struct("<HHHH"), struct.Struct("<IIII")
_WORD, _SENTENCE, _END = 1, 2, 5

# The library keeps open elements in tables of 20 places.
_DEEPEST = 16

# The library reads control characters as commands to itself, and keeps uses of its own for
# the private area. One space for one character, so that offsets hold.
_NOT_TEXT = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ue000-\uf8ff]")
# What belongs to a word beyond where the library says it ends: "can't" is told as "can".
_REST = re.compile(r"(?:['’]?\w)+")
_UNSPOKEN = re.compile(r"<!--.*?-->|<\?.*?\?>|<!\[CDATA\[(?P<inside>.*?)\]\]>", re.DOTALL)
# And what it counts in, though it is no part of one.
_AFTER = ".,;:!?)]}\"'’”…。、，！？；：）」』 "


class EspeakEngine:
    """Speaks with eSpeak NG. ``ref.model`` is empty, a voice or a language: ``espeak/ko``.

    A voice may carry one of :meth:`variants` after a plus: ``en-us+f3``. Sound is 22,050 Hz,
    one channel, the same bytes for the same request. ``rate`` goes from 0.46, ``pitch`` from
    0.7 to 1.66.
    """

    capabilities: ClassVar[frozenset[Capability]] = frozenset({"speak"})
    requires: ClassVar[tuple[str, ...]] = ("espeakng_loader",)
    extra: ClassVar[str] = "local"

    def __init__(self, ref: ModelRef, /) -> None:
        self._ref = ref

    def close(self) -> None:
        """End the worker processes if this was the last engine to use them."""
        process.pool.leave(self)

    def voices(self) -> tuple[Voice, ...]:
        """The default voice, then every other without its variants, in espeak's order."""
        return self._catalogue().voices

    def variants(self) -> tuple[str, ...]:
        """What can follow a voice and a plus to change its timbre, sorted: ``f3``, ``m1``."""
        return tuple(sorted(self._catalogue().variants.values()))

    def speak(self, request: SpeakRequest, /) -> SpeakResult:
        """Say the whole text."""
        for piece in self.speak_stream(request):
            if isinstance(piece, SpeakResult):
                return piece
        raise AssertionError("a stream ends in its result or an error")

    def speak_stream(self, request: SpeakRequest, /) -> Iterator[SpeechChunk | SpeakResult]:
        """Yield 200 ms of speech at a time as it is made, and the whole result last.

        A chunk holds the words that ended by its end. Raises UnknownVoiceError,
        UnknownLanguageError, UnsupportedOptionError, InvalidRequestError for SSML that is
        not well-formed, TooLargeError where SSML asks for more than the limit on seconds.
        """
        catalogue = self._catalogue()
        voice, name = self._choose(catalogue, request)
        if request.ssml:
            _check_ssml(request.text)
        text, places = _composed(_plain_ssml(request.text) if request.ssml else request.text)
        job = _job(request, name, text)
        most = int(limits.current().max_seconds) * 2 * SAMPLE_RATE if request.ssml else _WAV_BYTES
        parts: list[bytes] = []
        words: list[WordTiming] = []
        clock = _Clock(request.text, places)
        size = 0
        speech = process.Speech(job)
        try:
            for kind, body in speech.frames():
                if kind == b"D":
                    continue
                count = int.from_bytes(body[:2], "little")
                pcm = body[2 + count * _EVENT.size :]
                size += len(pcm)
                ended = clock.feed(body[2 : len(body) - len(pcm)], size // 2)
                words += ended
                if size > most:
                    raise TooLargeError(
                        f"The speech is longer than {most / 2 / SAMPLE_RATE / 3600:.1f} hours.",
                        hint="Cut the text into parts, or its <break> elements.",
                        param="text",
                    )
                if pcm:
                    parts.append(pcm)
                    yield SpeechChunk(pcm=pcm, sample_rate=SAMPLE_RATE, words=ended)
        finally:
            speech.stop()
        if not size:
            raise InvalidRequestError(
                "Nothing in the text can be spoken.", hint="Give words.", param="text"
            )
        words += clock.finish(size // 2)
        whole = b"".join(parts)
        parts.clear()
        yield SpeakResult(
            engine=self._ref.engine,
            model=self._ref.name,
            units=Units(characters=len(request.text)),
            audio=Audio.from_pcm(whole, SAMPLE_RATE),
            voice=voice,
            words=tuple(words),
        )

    def _catalogue(self) -> voices.Catalogue:
        process.pool.join(self)
        return voices.catalogue()

    def _choose(self, catalogue: voices.Catalogue, request: SpeakRequest) -> tuple[str, str]:
        """The voice's id, and the name by which the library loads it."""
        if request.voice is not None:
            return catalogue.voice(request.voice)
        model = self._ref.model
        if not model:
            language = request.language
            # SSML says xml:lang itself, and its tags are no text to guess by.
            if language is None and not request.ssml:
                language = voices.language_of(request.text)
            return catalogue.language(language) if language else catalogue.voice(voices.CLEAR)
        try:
            own = catalogue.voice(model)
        except UnknownVoiceError as error:
            try:
                own = catalogue.language(model)
            except UnknownLanguageError:
                raise UnknownModelError(
                    f"espeak has no voice and no language {model!r}.", hint=error.hint
                ) from None
        if request.language is None:
            return own
        # "en" asked of espeak/en-us+f3 is answered by that voice.
        spoken = own[0].partition("+")[0] + "-"
        if spoken.startswith(voices.normal(request.language) + "-"):
            return own
        return catalogue.language(request.language)


class _Clock:
    """Turns the library's events into words with a start and an end."""

    def __init__(self, text: str, places: Sequence[int]) -> None:
        self._text, self._places = text, places
        self._open: tuple[int, int, int] | None = None  # offset, end in the text, first sample
        self._now = 0
        self._reached = 0  # where in the text the last word ends as the library tells it

    def feed(self, events: bytes, samples: int) -> tuple[WordTiming, ...]:
        """The words that these events end; ``samples`` came by now.

        Sonic, above 450 words a minute, moves sounds by some 10 ms after the library noted
        their times: none may lie beyond the sound, or before the last.
        """
        ended: list[WordTiming] = []
        for kind, position, length, noted in _EVENT.iter_unpack(events):
            sample = self._now = max(self._now, min(noted, samples))
            if kind in (_SENTENCE, _END):
                ended += self._close(sample, len(self._text))
            elif kind == _WORD:
                start, stop = self._place(position - 1), self._place(position - 1 + length)
                # A number is said in several words, told with places that overlap ("12.50",
                # "2.50"): they are one word of the text. An empty place is none.
                if stop <= start or start < self._reached:
                    continue
                ended += self._close(sample, start)
                self._reached = stop
                self._open = (start, stop, sample)
        return tuple(ended)

    def _place(self, index: int) -> int:
        return self._places[min(max(index, 0), len(self._places) - 1)]

    def finish(self, samples: int) -> tuple[WordTiming, ...]:
        """The last word, where no event ended it."""
        return self._close(samples, len(self._text))

    def _close(self, sample: int, limit: int) -> tuple[WordTiming, ...]:
        if self._open is None:
            return ()
        start, stop, first = self._open
        self._open = None
        rest = _REST.match(self._text, stop, limit)
        self._reached = rest.end() if rest else stop
        piece = self._text[start : self._reached]
        bare = piece.strip()
        start += len(piece) - len(piece.lstrip())
        if any(map(str.isalnum, bare)):
            bare = bare.rstrip(_AFTER)
        if not bare:
            return ()
        timing = WordTiming(
            text=bare,
            start=first / SAMPLE_RATE,
            end=sample / SAMPLE_RATE,
            offset=start,
            length=len(bare),
        )
        return (timing,)


def _job(request: SpeakRequest, voice: str, text: str) -> bytes:
    """The body of the worker's ``S`` frame."""
    wpm = round(WORDS_PER_MINUTE * request.rate)
    if wpm < _SLOWEST:
        raise UnsupportedOptionError(
            f"espeak cannot speak at {request.rate:g} of its rate.",
            hint=f"From {_SLOWEST / WORDS_PER_MINUTE:.2f} to 4.",
            param="rate",
        )
    if not _PITCH_FACTORS[0] <= request.pitch <= _PITCH_FACTORS[-1]:
        raise UnsupportedOptionError(
            f"espeak cannot speak at {request.pitch:g} of its pitch.",
            hint=f"From {_PITCH_FACTORS[0]} to {_PITCH_FACTORS[-1]}; a voice such as en-us+f3 is "
            "higher of itself.",
            param="pitch",
        )
    name = voice.encode()
    head = _SPEAK.pack(wpm, _pitch(request.pitch), request.ssml, len(name))
    return head + name + _NOT_TEXT.sub(" ", text).encode()


def _composed(text: str) -> tuple[str, Sequence[int]]:
    """The text in NFC, and where each of its characters (and its end) stands in ``text``.

    The library knows no decomposed Hangul, which is what macOS has in names of files.
    """
    if unicodedata.is_normalized("NFC", text):
        return text, range(len(text) + 1)
    composed: list[str] = []
    places: list[int] = []
    for place, character in enumerate(text):
        if composed:
            joined = unicodedata.normalize("NFC", composed[-1] + character)
            if len(joined) == 1:
                composed[-1] = joined
                continue
        composed.append(character)
        places.append(place)
    return "".join(composed), [*places, len(text)]


def _plain_ssml(text: str) -> str:
    """Well-formed SSML with comments, instructions and CDATA marks blanked, place for place.

    The library would read aloud a comment longer than 500 characters, and leave CDATA out.
    """

    def blank(found: re.Match[str]) -> str:
        inside = found["inside"]
        if inside is None:
            return " " * len(found[0])
        return " " * 9 + inside.replace("<", " ").replace("&", " ") + " " * 3

    return _UNSPOKEN.sub(blank, text)


def _pitch(factor: float) -> int:
    """The library's 0..100 for a factor, between the measured points by a straight line."""
    high = max(1, bisect.bisect_left(_PITCH_FACTORS, factor))
    below, above = _PITCH_FACTORS[high - 1], _PITCH_FACTORS[high]
    start, end = _PITCH_VALUES[high - 1], _PITCH_VALUES[high]
    return round(start + (end - start) * (factor - below) / (above - below))


def _check_ssml(text: str) -> None:
    """Refuse SSML that is not well-formed, has a DTD, or is no <speak>. Expands no entity."""
    parser = expat.ParserCreate("utf-8")
    depth = 0

    def refuse(what: str) -> InvalidRequestError:
        return InvalidRequestError(
            f"The SSML {what} at line {parser.CurrentLineNumber}, "
            f"column {parser.CurrentColumnNumber + 1}.",
            hint='Write <speak>Hello <break time="300ms"/> you</speak>.',
            param="text",
        )

    def no_doctype(*_: object) -> None:
        raise refuse("declares a document type, which is not allowed,")

    def start(name: str, _: dict[str, str]) -> None:
        nonlocal depth
        depth += 1
        if depth == 1 and name != "speak":
            raise refuse(f"begins with <{name[:40]}> instead of <speak>")
        if depth > _DEEPEST:
            raise refuse(f"nests more than {_DEEPEST} elements")

    def end(_: str) -> None:
        nonlocal depth
        depth -= 1

    parser.StartDoctypeDeclHandler = no_doctype
    parser.StartElementHandler, parser.EndElementHandler = start, end
    try:
        parser.Parse(text.encode(), True)
    except expat.ExpatError as error:
        raise InvalidRequestError(
            f"The SSML is malformed at line {error.lineno}, column {error.offset + 1}: "
            f"{expat.ErrorString(error.code)}.",
            hint="Inside SSML & is written &amp; and < is written &lt;.",
            param="text",
        ) from None

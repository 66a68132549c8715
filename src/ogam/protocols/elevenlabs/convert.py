"""Text to speech between ElevenLabs's JSON and Ogam's values. Pure functions; no I/O."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from html import escape
from typing import NamedTuple

from ogam.capabilities.base import check_text
from ogam.capabilities.speech_synthesis import SpeakRequest, WordTiming
from ogam.errors import InvalidRequestError, TooLargeError, UnsupportedOptionError
from ogam.media.codec import FORMATS
from ogam.protocols.elevenlabs import languages, wire

# The most of any of the vendor's models (Flash v2.5); asked of each request, not of a stream.
MAX_CHARACTERS = 40_000
DEFAULT_FORMAT = "mp3_44100_128"


class Output(NamedTuple):
    """What a client wants sound to be: a kind of :data:`ogam.media.codec.FORMATS`, Hz, bit/s."""

    kind: str
    rate: int
    bitrate: int | None = None

    @property
    def media_type(self) -> str:
        """The media type of a reply."""
        return FORMATS[self.kind][2]


def _outputs() -> dict[str, Output]:
    mp3 = ((22050, 32), (24000, 48), *((44100, rate) for rate in (32, 64, 96, 128, 192)))
    made = {f"mp3_{rate}_{kilo}": Output("mp3", rate, kilo * 1000) for rate, kilo in mp3}
    for kilo in (32, 64, 96, 128, 192):
        made[f"opus_48000_{kilo}"] = Output("opus", 48000, kilo * 1000)
    for rate in (8000, 16000, 22050, 24000, 32000, 44100, 48000):
        made[f"pcm_{rate}"] = Output("pcm", rate)
        made[f"wav_{rate}"] = Output("wav", rate)
    return made | {"ulaw_8000": Output("mulaw", 8000), "alaw_8000": Output("alaw", 8000)}


# https://elevenlabs.io/docs/api-reference/text-to-speech/convert, output_format
OUTPUTS = _outputs()


def output(name: str | None) -> Output:
    """The format of that name; the vendor's default without one."""
    found = OUTPUTS.get(name or DEFAULT_FORMAT)
    if found is None:
        raise InvalidRequestError(
            f"There is no output format {(name or '')[:40]!r}.",
            hint=f"Formats: {', '.join(sorted(OUTPUTS))}.",
            param="output_format",
        )
    return found


def speak_request(body: wire.SpeechBody, voice: str | None) -> SpeakRequest:
    """What the engine is asked for. ``voice`` is one of its own, None for its default."""
    check_text(body.text, "text")
    if len(body.text) > MAX_CHARACTERS:
        raise TooLargeError(
            f"The text has {len(body.text):,} characters; the limit is {MAX_CHARACTERS:,}.",
            hint="Send it in parts.",
            param="text",
        )
    asked = {
        "pronunciation_dictionary_locators": body.pronunciation_dictionary_locators,
        "audio_effects": body.audio_effects,
        "apply_language_text_normalization": body.apply_language_text_normalization,
        "apply_text_normalization": body.apply_text_normalization == "off",
    }
    refuse(asked)
    speed = body.voice_settings.speed if body.voice_settings else None
    marked = with_breaks(body.text)
    return SpeakRequest(
        text=marked.document if marked else body.text,
        ssml=marked is not None,
        voice=voice,
        language=languages.tag(body.language_code) if body.language_code else None,
        rate=1.0 if speed is None else speed,
    )


def speech_body(request: SpeakRequest) -> wire.SpeechBody:
    """The other way round; the voice goes into the path."""
    settings = None if request.rate == 1.0 else wire.VoiceSettings(speed=request.rate)
    return wire.SpeechBody(
        text=request.text, language_code=request.language, voice_settings=settings
    )


class Marked(NamedTuple):
    """A text as SSML, and where each character of the document stands in the text."""

    document: str
    places: list[int]


# https://elevenlabs.io/docs/overview/capabilities/text-to-speech/best-practices, pauses
_LONGEST_BREAK = 3000  # milliseconds; the vendor's
_BREAK = re.compile(r'<break\s+time="(\d{1,5}(?:\.\d{1,3})?)(m?)s"\s*/>')


def with_breaks(text: str) -> Marked | None:
    """A text with the vendor's pauses, ``<break time="1.5s" />``, as SSML; None without any.

    All else that looks like markup is text, as it is to the vendor.
    """
    if not _BREAK.search(text):
        return None
    document, places, at = ["<speak>"], [0] * len("<speak>"), 0
    while at < len(text):
        tag = _BREAK.match(text, at)
        # In whole milliseconds: engines read "1.5s" as they like.
        piece = f'<break time="{_milliseconds(tag)}ms"/>' if tag else escape(text[at])
        document.append(piece)
        places += [at] * len(piece)
        at += len(tag[0]) if tag else 1
    document.append("</speak>")
    places += [len(text)] * len("</speak>")
    return Marked("".join(document), places)


def _milliseconds(tag: re.Match[str]) -> int:
    return min(_LONGEST_BREAK, round(float(tag[1]) * (1 if tag[2] else 1000)))


def refuse(asked: Mapping[str, object]) -> None:
    """Refuse the first option that asks for something."""
    for name, value in asked.items():
        if value:
            raise UnsupportedOptionError(
                f"{name} cannot be honoured here.", hint="Leave it out.", param=name
            )


class Timed(NamedTuple):
    """A character of the text and when it is said, in seconds."""

    character: str
    start: float
    end: float


class Aligner:
    """Spreads the times of words over the characters of ``text``, each exactly once, in order.

    A word's time is shared evenly by its characters, a pause by those between two words. Times
    never go back, whatever the engine tells.
    """

    def __init__(self, text: str) -> None:
        self._text, self._at = text, 0
        marked = with_breaks(text)
        # The engine tells places in what it was given.
        self._places = marked.places if marked else range(len(text))
        self.clock: float = 0.0

    def take(self, words: Sequence[WordTiming]) -> list[Timed]:
        """The characters up to the end of the last of these words."""
        found: list[Timed] = []
        for word in words:
            found += self._spread(self._place(word.offset), word.start)
            found += self._spread(self._place(word.offset + word.length), word.end)
        return found

    def finish(self, seconds: float) -> list[Timed]:
        """The rest of the text, up to the end of the sound."""
        return self._spread(len(self._text), seconds)

    def _place(self, offset: int) -> int:
        return self._places[offset] if offset < len(self._places) else len(self._text)

    def _spread(self, stop: int, until: float) -> list[Timed]:
        part = self._text[self._at : stop]
        if not part:
            return []
        begin, until = self.clock, max(self.clock, until)
        step = (until - begin) / len(part)
        self._at, self.clock = self._at + len(part), until
        edges = [begin + step * place for place in range(len(part))] + [until]
        return [Timed(*one) for one in zip(part, edges[:-1], edges[1:], strict=True)]


def alignment(characters: Sequence[Timed]) -> wire.Alignment | None:
    """As HTTP tells it: in seconds from the start. None where there is no character."""
    if not characters:
        return None
    return wire.Alignment(
        characters=[one.character for one in characters],
        character_start_times_seconds=[round(one.start, 3) for one in characters],
        character_end_times_seconds=[round(one.end, 3) for one in characters],
    )


def socket_alignment(characters: Sequence[Timed]) -> wire.SocketAlignment | None:
    """As stream-input tells it: in milliseconds from the first of these characters."""
    if not characters:
        return None
    zero = round(characters[0].start * 1000)
    starts = [round(one.start * 1000) - zero for one in characters]
    ends = [round(one.end * 1000) - zero for one in characters]
    durations = [end - start for start, end in zip(starts, ends, strict=True)]
    return wire.SocketAlignment(
        chars=[one.character for one in characters],
        char_start_times_ms=starts,
        char_durations_ms=durations,
        chars_durations_ms=durations,
    )

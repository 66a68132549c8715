"""OpenAI's speech, transcriptions and translations, as types.

https://developers.openai.com/api/reference/resources/audio
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec
from msgspec import UNSET, UnsetType

from ogam.protocols.openai.wire import Body

SpeechFormat = Literal["mp3", "opus", "aac", "flac", "wav", "pcm"]
TextFormat = Literal["json", "text", "srt", "verbose_json", "vtt", "diarized_json"]


class VoiceId(msgspec.Struct, kw_only=True):
    """A voice by its id."""

    id: str


class SpeechBody(Body, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """https://developers.openai.com/api/reference/resources/audio/subresources/speech/methods/create.

    ``voice``: one of the vendor's, one of the engine's (``en-gb``), or one of ``[names]``.
    ``instructions`` are refused, as no engine here takes directions. ``wav`` comes while it is
    made, so its header leaves its length open, as the vendor's does.
    """

    input: str
    model: str
    voice: str | VoiceId
    response_format: SpeechFormat | None = None
    speed: float | None = None
    stream_format: Literal["sse", "audio"] | None = None
    # Refused where it asks for something.
    instructions: str | None = None


class SpeechDelta(msgspec.Struct, kw_only=True):
    """A piece of the file, in base64."""

    audio: str
    type: Literal["speech.audio.delta"] = "speech.audio.delta"


class SpeechUsage(msgspec.Struct, kw_only=True):
    """Read and made. No engine here reads speech in tokens, so these are characters."""

    input_tokens: int
    output_tokens: int
    total_tokens: int


class SpeechDone(msgspec.Struct, kw_only=True):
    """The last event."""

    usage: SpeechUsage
    type: Literal["speech.audio.done"] = "speech.audio.done"


class TranslationForm(Body, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """https://developers.openai.com/api/reference/resources/audio/subresources/translations/methods/create.

    Beside these fields the form has a ``file``. Without effect: ``prompt``, which hints at style,
    and ``temperature``: no engine here draws its words by lot.
    """

    model: str
    response_format: TextFormat = "json"
    prompt: str | None = None
    temperature: float | None = None


class TranscriptionForm(TranslationForm, kw_only=True, forbid_unknown_fields=True):
    """https://developers.openai.com/api/reference/resources/audio/subresources/transcriptions/methods/create.

    As for translations, and ``chunking_strategy`` "auto" is without effect: the engine cuts a
    recording as suits it. ``stream`` is ignored for ``srt``, ``vtt`` and ``verbose_json``, as the
    vendor does. ``keywords`` are words to expect.
    """

    keywords: list[str] = []
    language: str | None = None
    languages: list[str] = []
    stream: bool | None = None
    timestamp_granularities: list[Literal["word", "segment"]] = []
    # Refused where they ask for something.
    chunking_strategy: Any = None
    include: list[str] = []
    known_speaker_names: list[str] = []
    known_speaker_references: list[str] = []


class Duration(msgspec.Struct, kw_only=True):
    """How long the recording is."""

    seconds: float
    type: Literal["duration"] = "duration"


class Transcription(msgspec.Struct, kw_only=True):
    """The reply in ``json``."""

    text: str
    usage: Duration


class Word(msgspec.Struct, kw_only=True):
    """A word, in seconds from the start."""

    word: str
    start: float
    end: float


class Segment(msgspec.Struct, kw_only=True):
    """An utterance. ``avg_logprob`` is the logarithm of the engine's confidence, 0 if unknown.

    ``tokens``, ``seek``, ``temperature`` and ``no_speech_prob`` belong to the vendor's model.
    """

    id: int
    start: float
    end: float
    text: str
    avg_logprob: float
    compression_ratio: float
    no_speech_prob: float = 0.0
    seek: int = 0
    temperature: float = 0.0
    tokens: list[int] = []


class Verbose(msgspec.Struct, kw_only=True):
    """The reply in ``verbose_json``."""

    task: Literal["transcribe", "translate"]
    language: str
    duration: float
    text: str
    usage: Duration
    segments: list[Segment] | UnsetType = UNSET
    words: list[Word] | UnsetType = UNSET


class TextDelta(msgspec.Struct, kw_only=True):
    """More of the transcript: one more utterance, which will not change."""

    delta: str
    type: Literal["transcript.text.delta"] = "transcript.text.delta"


class TextDone(msgspec.Struct, kw_only=True):
    """The last event: all of the transcript."""

    text: str
    usage: Duration
    type: Literal["transcript.text.done"] = "transcript.text.done"

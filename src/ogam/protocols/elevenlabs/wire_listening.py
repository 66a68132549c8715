"""ElevenLabs's form and JSON of text made from speech.

https://elevenlabs.io/docs/api-reference/speech-to-text/convert
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec


class ExportOptions(msgspec.Struct, kw_only=True):
    """A further format of the transcript; ``txt`` and ``srt`` are written here.

    Refused: the other formats, and limits on segments, which follow the utterances here.
    ``include_speakers`` is without effect, as ``diarize`` is.
    """

    format: Literal["docx", "html", "pdf", "segmented_json", "srt", "txt"]
    include_speakers: bool | None = None
    include_timestamps: bool | None = None
    max_characters_per_line: int | None = None
    segment_on_silence_longer_than_s: float | None = None
    max_segment_duration_s: float | None = None
    max_segment_chars: int | None = None


class TranscribeForm(msgspec.Struct, kw_only=True):
    """https://elevenlabs.io/docs/api-reference/speech-to-text/convert; ``file`` is a file.

    ``keyterms`` are phrases to expect. Without effect: ``diarize`` (no engine here tells
    speakers apart, so no word has a speaker), ``tag_audio_events`` (none is heard),
    ``secondary_language_codes``, ``temperature`` and ``seed``. Refused where they ask for
    something: all else that is named below them.
    """

    model_id: str
    language_code: str | None = None
    timestamps_granularity: Literal["none", "word", "character"] = "word"
    file_format: Literal["pcm_s16le_16", "other"] = "other"
    keyterms: list[Annotated[str, msgspec.Meta(max_length=50)]] = []
    additional_formats: list[ExportOptions] = []
    diarize: bool = False
    tag_audio_events: bool = True
    secondary_language_codes: list[str] = []
    temperature: Annotated[float, msgspec.Meta(ge=0, le=2)] | None = None
    seed: Annotated[int, msgspec.Meta(ge=0, le=2147483647)] | None = None
    num_speakers: Annotated[int, msgspec.Meta(ge=1, le=32)] | None = None
    diarization_threshold: float | None = None
    use_speaker_library: bool = False
    detect_speaker_roles: bool = False
    use_multi_channel: bool = False
    multichannel_output_style: str | None = None
    numbers_format: str | None = None
    transcript_edit: str | None = None
    no_verbatim: bool = False
    entity_detection: str | None = None
    entity_redaction: str | None = None
    entity_redaction_mode: str | None = None
    webhook: bool = False
    webhook_id: str | None = None
    webhook_metadata: str | None = None
    cloud_storage_url: str | None = None
    source_url: str | None = None


class Character(msgspec.Struct, kw_only=True):
    """A character of a word."""

    text: str
    start: float
    end: float


class Word(msgspec.Struct, kw_only=True):
    """A word or the space between two; times in seconds, None where they were not wanted."""

    text: str
    type: Literal["word", "spacing"]
    logprob: float
    start: float | None = None
    end: float | None = None
    speaker_id: str | None = None
    characters: list[Character] | None = None


class AdditionalFormat(msgspec.Struct, kw_only=True):
    """The transcript once more."""

    requested_format: str
    file_extension: str
    content_type: str
    content: str
    is_base64_encoded: bool = False


class Transcript(msgspec.Struct, kw_only=True):
    """The texts of ``words``, joined, are ``text``."""

    language_code: str
    language_probability: float
    text: str
    words: list[Word]
    audio_duration_secs: float
    additional_formats: list[AdditionalFormat] | None = None

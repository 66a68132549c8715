"""Speech-to-Text's JSON, version 2. What is without effect is the same as in version 1, and
besides: ``configMask`` (the one recogniser, ``_``, has no settings that a request could keep),
``processingStrategy``, ``endpointingSensitivity``.

https://cloud.google.com/speech-to-text/v2/docs/reference/rest/v2/RecognitionConfig
"""

from __future__ import annotations

from typing import Any

import msgspec

from ogam.protocols.google.protojson import Enum, Message
from ogam.protocols.google_speech.wire import (
    CustomClass,
    PhraseSet,
    TranscriptNormalization,
    VoiceActivityTimeout,
)

ENCODINGS = {
    "AUDIO_ENCODING_UNSPECIFIED": 0,
    "LINEAR16": 1,
    "MULAW": 2,
    "ALAW": 3,
    "AMR": 4,
    "AMR_WB": 5,
    "FLAC": 6,
    "MP3": 7,
    "OGG_OPUS": 8,
    "WEBM_OPUS": 9,
    "MP4_AAC": 10,
    "M4A_AAC": 11,
    "MOV_AAC": 12,
}
MULTI_CHANNEL_MODES = {
    "MULTI_CHANNEL_MODE_UNSPECIFIED": 0,
    "SEPARATE_RECOGNITION_PER_CHANNEL": 1,
}


class AutoDetectDecodingConfig(Message):
    """The bytes tell what they are."""


class ExplicitDecodingConfig(Message):
    """https://cloud.google.com/speech-to-text/v2/docs/reference/rest/v2/RecognitionConfig#ExplicitDecodingConfig."""

    encoding: Enum = 0
    sample_rate_hertz: int = 0
    audio_channel_count: int = 0


class DiarizationConfig(Message):
    """Refused: no engine here tells speakers apart."""

    min_speaker_count: int = 0
    max_speaker_count: int = 0


class CustomPromptConfig(Message):
    """Refused where it says something."""

    custom_prompt: str = ""


class RecognitionFeatures(Message):
    """https://cloud.google.com/speech-to-text/v2/docs/reference/rest/v2/RecognitionConfig#RecognitionFeatures."""

    profanity_filter: bool = False
    enable_word_time_offsets: bool = False
    enable_word_confidence: bool = False
    enable_automatic_punctuation: bool = False
    enable_spoken_punctuation: bool = False
    enable_spoken_emojis: bool = False
    multi_channel_mode: Enum = 0
    diarization_config: DiarizationConfig | None = None
    max_alternatives: int = 0
    custom_prompt_config: CustomPromptConfig | None = None


class AdaptationPhraseSet(Message):
    """A stored phrase set, of which there are none here, or one that is given."""

    phrase_set: str = ""
    inline_phrase_set: PhraseSet | None = None


class SpeechAdaptation(Message):
    """Phrases to expect."""

    phrase_sets: list[AdaptationPhraseSet] = []
    custom_classes: list[CustomClass] = []


class TranslationConfig(Message):
    """Refused."""

    target_language: str = ""


class DenoiserConfig(Message):
    """Refused where it asks for something."""

    denoise_audio: bool = False
    snr_threshold: float = 0.0


class RecognitionConfig(Message):
    """https://cloud.google.com/speech-to-text/v2/docs/reference/rest/v2/RecognitionConfig."""

    auto_decoding_config: AutoDetectDecodingConfig | None = None
    explicit_decoding_config: ExplicitDecodingConfig | None = None
    model: str = ""
    language_codes: list[str] = []
    features: RecognitionFeatures | None = None
    adaptation: SpeechAdaptation | None = None
    transcript_normalization: TranscriptNormalization | None = None
    translation_config: TranslationConfig | None = None
    denoiser_config: DenoiserConfig | None = None


class RecognizeRequest(Message):
    """https://cloud.google.com/speech-to-text/v2/docs/reference/rest/v2/projects.locations.recognizers/recognize."""

    recognizer: str = ""
    config: RecognitionConfig | None = None
    config_mask: str = ""
    content: bytes = b""
    uri: str = ""


class BatchFile(Message):
    """A recording in Storage, with settings of its own or those of the request."""

    uri: str = ""
    config: RecognitionConfig | None = None
    config_mask: str = ""


class GcsOutputConfig(Message):
    """A folder in Storage: ``gs://bucket/folder``."""

    uri: str = ""


class OutputFormatConfig(Message):
    """Which files are written; JSON where none is named."""

    native: dict[str, Any] | None = None
    vtt: dict[str, Any] | None = None
    srt: dict[str, Any] | None = None


class RecognitionOutputConfig(Message):
    """In the reply, or in Storage."""

    gcs_output_config: GcsOutputConfig | None = None
    inline_response_config: dict[str, Any] | None = None
    output_format_config: OutputFormatConfig | None = None


class BatchRecognizeRequest(Message):
    """https://cloud.google.com/speech-to-text/v2/docs/reference/rest/v2/projects.locations.recognizers/batchRecognize."""

    recognizer: str = ""
    config: RecognitionConfig | None = None
    config_mask: str = ""
    files: list[BatchFile] = []
    recognition_output_config: RecognitionOutputConfig | None = None
    processing_strategy: Enum = 0


class StreamingRecognitionFeatures(Message):
    """https://cloud.google.com/speech-to-text/v2/docs/reference/rpc/google.cloud.speech.v2."""

    enable_voice_activity_events: bool = False
    interim_results: bool = False
    voice_activity_timeout: VoiceActivityTimeout | None = None
    endpointing_sensitivity: Enum = 0


class StreamingRecognitionConfig(Message):
    """How to listen to a stream."""

    config: RecognitionConfig | None = None
    config_mask: str = ""
    streaming_features: StreamingRecognitionFeatures | None = None


class StreamingRecognizeRequest(Message):
    """The configuration first, then nothing but sound."""

    recognizer: str = ""
    streaming_config: StreamingRecognitionConfig | None = None
    audio: bytes = b""


class Word(Message):
    """One word; times in seconds from the beginning."""

    start_offset: str = ""
    end_offset: str = ""
    word: str = ""
    confidence: float = 0.0


class SpeechRecognitionAlternative(Message):
    """One reading. Only the first has ``words``."""

    transcript: str = ""
    confidence: float = 0.0
    words: list[Word] = []


class SpeechRecognitionResult(Message):
    """An utterance."""

    alternatives: list[SpeechRecognitionAlternative] = []
    channel_tag: int = 0
    result_end_offset: str = ""
    language_code: str = ""


class Metadata(Message):
    """``RecognitionResponseMetadata``."""

    request_id: str = ""
    total_billed_duration: str = ""


class RecognizeResponse(Message):
    """The utterances of a recording."""

    results: list[SpeechRecognitionResult] = []
    metadata: Metadata = msgspec.field(default_factory=Metadata)


class StreamingRecognitionResult(SpeechRecognitionResult):
    """An utterance, or what can be said of it so far. Engines tell no stability."""

    is_final: bool = False
    stability: float = 0.0


class StreamingRecognizeResponse(Message):
    """The last one has ``metadata.total_billed_duration``."""

    results: list[StreamingRecognitionResult] = []
    speech_event_type: Enum = 0
    speech_event_offset: str = ""
    metadata: Metadata = msgspec.field(default_factory=Metadata)


class InlineResult(Message):
    """A batch's answer for one file."""

    transcript: RecognizeResponse | None = None
    vtt_captions: str = ""
    srt_captions: str = ""


class CloudStorageResult(Message):
    """Where a file's answer was written."""

    uri: str = ""
    vtt_format_uri: str = ""
    srt_format_uri: str = ""


class BatchFileResult(Message):
    """``uri`` and ``transcript`` are what older clients read."""

    error: dict[str, Any] | None = None
    metadata: Metadata | None = None
    cloud_storage_result: CloudStorageResult | None = None
    inline_result: InlineResult | None = None
    uri: str = ""
    transcript: RecognizeResponse | None = None


class BatchRecognizeResponse(Message):
    """By the recording's URI."""

    results: dict[str, BatchFileResult] = {}
    total_billed_duration: str = ""


class Recognizer(Message):
    """https://cloud.google.com/speech-to-text/v2/docs/reference/rest/v2/projects.locations.recognizers."""

    name: str = ""
    uid: str = ""
    display_name: str = ""
    model: str = ""
    language_codes: list[str] = []
    state: Enum = 0


class ListRecognizersResponse(Message):
    """All on one page."""

    recognizers: list[Recognizer] = []
    next_page_token: str = ""

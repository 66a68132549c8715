"""Speech-to-Text's JSON, version 1, and what version 2 shares with it.

The name of each field is the proto's; see ``google.protojson``. Without effect, as no engine
here could honour them: ``profanityFilter``, ``enableAutomaticPunctuation`` (a model punctuates
or it does not), ``useEnhanced``, ``metadata``, ``boost`` (a phrase is expected or not). What
asks for an ability that nothing here has is refused: see ``convert``.

https://cloud.google.com/speech-to-text/docs/reference/rest/v1/RecognitionConfig
"""

from __future__ import annotations

from typing import Any

from ogam.protocols.google.protojson import Enum, Message

ENCODINGS = {
    "ENCODING_UNSPECIFIED": 0,
    "LINEAR16": 1,
    "FLAC": 2,
    "MULAW": 3,
    "AMR": 4,
    "AMR_WB": 5,
    "OGG_OPUS": 6,
    "SPEEX_WITH_HEADER_BYTE": 7,
    "MP3": 8,
    "WEBM_OPUS": 9,
    "ALAW": 10,
}


class Phrase(Message):
    """A word or phrase to expect."""

    value: str = ""
    boost: float = 0.0


class PhraseSet(Message):
    """https://cloud.google.com/speech-to-text/docs/reference/rest/v1/projects.locations.phraseSets."""

    name: str = ""
    phrases: list[Phrase] = []
    boost: float = 0.0
    uid: str = ""
    display_name: str = ""
    state: Enum = 0
    annotations: dict[str, str] = {}
    etag: str = ""


class ClassItem(Message):
    """One of a class's words."""

    value: str = ""


class CustomClass(Message):
    """Words that may stand for ``${id}`` in a phrase."""

    name: str = ""
    custom_class_id: str = ""
    items: list[ClassItem] = []
    uid: str = ""
    display_name: str = ""
    state: Enum = 0
    annotations: dict[str, str] = {}
    etag: str = ""


class AbnfGrammar(Message):
    """Grammars in ABNF (https://www.w3.org/TR/speech-grammar/)."""

    abnf_strings: list[str] = []


class SpeechAdaptation(Message):
    """https://cloud.google.com/speech-to-text/docs/reference/rest/v1/RecognitionConfig#SpeechAdaptation."""

    phrase_sets: list[PhraseSet] = []
    phrase_set_references: list[str] = []
    custom_classes: list[CustomClass] = []
    abnf_grammar: AbnfGrammar | None = None


class SpeechContext(Message):
    """https://cloud.google.com/speech-to-text/docs/reference/rest/v1/RecognitionConfig#SpeechContext."""

    phrases: list[str] = []
    boost: float = 0.0


class Replacement(Message):
    """What is written in place of what."""

    search: str = ""
    replace: str = ""
    case_sensitive: bool = False


class TranscriptNormalization(Message):
    """Replacements in the transcript; the words keep what was heard."""

    entries: list[Replacement] = []


class SpeakerDiarizationConfig(Message):
    """Refused where it is enabled: no engine here tells speakers apart."""

    enable_speaker_diarization: bool = False
    min_speaker_count: int = 0
    max_speaker_count: int = 0
    speaker_tag: int = 0


class RecognitionConfig(Message):
    """https://cloud.google.com/speech-to-text/docs/reference/rest/v1/RecognitionConfig."""

    encoding: Enum = "ENCODING_UNSPECIFIED"
    sample_rate_hertz: int = 0
    audio_channel_count: int = 0
    enable_separate_recognition_per_channel: bool = False
    language_code: str = ""
    alternative_language_codes: list[str] = []
    max_alternatives: int = 0
    profanity_filter: bool = False
    adaptation: SpeechAdaptation | None = None
    transcript_normalization: TranscriptNormalization | None = None
    speech_contexts: list[SpeechContext] = []
    enable_word_time_offsets: bool = False
    enable_word_confidence: bool = False
    enable_automatic_punctuation: bool = False
    enable_spoken_punctuation: bool | None = None
    enable_spoken_emojis: bool | None = None
    diarization_config: SpeakerDiarizationConfig | None = None
    metadata: dict[str, Any] | None = None
    model: str = ""
    use_enhanced: bool = False


class RecognitionAudio(Message):
    """https://cloud.google.com/speech-to-text/docs/reference/rest/v1/RecognitionAudio."""

    content: bytes = b""
    uri: str = ""


class RecognizeRequest(Message):
    """https://cloud.google.com/speech-to-text/docs/reference/rest/v1/speech/recognize."""

    config: RecognitionConfig | None = None
    audio: RecognitionAudio | None = None


class TranscriptOutputConfig(Message):
    """Where the transcript is written too."""

    gcs_uri: str = ""


class LongRunningRecognizeRequest(RecognizeRequest):
    """https://cloud.google.com/speech-to-text/docs/reference/rest/v1/speech/longrunningrecognize."""

    output_config: TranscriptOutputConfig | None = None


class VoiceActivityTimeout(Message):
    """Refused: no engine here tells when speech should have begun."""

    speech_start_timeout: str = ""
    speech_end_timeout: str = ""


class StreamingRecognitionConfig(Message):
    """https://cloud.google.com/speech-to-text/docs/reference/rpc/google.cloud.speech.v1."""

    config: RecognitionConfig | None = None
    single_utterance: bool = False
    interim_results: bool = False
    enable_voice_activity_events: bool = False
    voice_activity_timeout: VoiceActivityTimeout | None = None


class StreamingRecognizeRequest(Message):
    """The configuration first, then nothing but sound."""

    streaming_config: StreamingRecognitionConfig | None = None
    audio_content: bytes = b""


class Word(Message):
    """One word; times in seconds from the beginning."""

    start_time: str = ""
    end_time: str = ""
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
    result_end_time: str = ""
    language_code: str = ""


class RecognizeResponse(Message):
    """``request_id`` is a 64-bit number, which JSON carries as text."""

    results: list[SpeechRecognitionResult] = []
    total_billed_time: str = ""
    request_id: str = ""


class LongRunningRecognizeResponse(RecognizeResponse):
    """What an operation answers."""

    output_config: TranscriptOutputConfig | None = None
    output_error: dict[str, Any] | None = None


class StreamingRecognitionResult(SpeechRecognitionResult):
    """An utterance, or what can be said of it so far. Engines tell no stability."""

    is_final: bool = False
    stability: float = 0.0


class StreamingRecognizeResponse(Message):
    """The last one has ``total_billed_time``."""

    results: list[StreamingRecognitionResult] = []
    speech_event_type: Enum = 0
    speech_event_time: str = ""
    total_billed_time: str = ""
    request_id: str = ""

"""Version 2's wire types, by way of version 1's. Pure functions."""

from __future__ import annotations

from ogam.capabilities.speech_recognition import RecognitionOptions
from ogam.errors import InvalidRequestError
from ogam.protocols.google.protojson import duration, number
from ogam.protocols.google_speech import convert, wire, wire_v2
from ogam.protocols.google_speech.convert import Asked, bad, refuse

_NAMES = {value: name for name, value in wire_v2.ENCODINGS.items()}


def asked(config: wire_v2.RecognitionConfig | None) -> Asked:
    """What a configuration asks for; errors name the field."""
    config = config or wire_v2.RecognitionConfig()
    features = config.features or wire_v2.RecognitionFeatures()
    prompt, denoiser = features.custom_prompt_config, config.denoiser_config
    refuse("features.enableSpokenPunctuation", features.enable_spoken_punctuation)
    refuse("features.enableSpokenEmojis", features.enable_spoken_emojis)
    refuse("features.diarizationConfig", features.diarization_config is not None)
    refuse("features.customPromptConfig", prompt is not None and prompt.custom_prompt)
    refuse("translationConfig", config.translation_config is not None)
    refuse(
        "denoiserConfig",
        denoiser is not None and (denoiser.denoise_audio or denoiser.snr_threshold),
    )
    if not config.language_codes:
        raise bad("language code", "languageCodes", "Give one, such as en-US.")
    codes = [code for code in config.language_codes if code != "auto"]
    mode = number(
        features.multi_channel_mode, wire_v2.MULTI_CHANNEL_MODES, "features.multiChannelMode"
    )
    phrases, classes = _adaptation(config.adaptation or wire_v2.SpeechAdaptation())
    rest = Asked(
        languages=convert.languages(codes),
        options=RecognitionOptions(
            alternatives=convert.alternatives(features.max_alternatives),
            phrases=convert.expand(phrases, classes),
        ),
        separate=mode == 1,
        times=features.enable_word_time_offsets,
        confidences=features.enable_word_confidence,
        model=config.model,
        replacements=convert.replacements(config.transcript_normalization),
    )
    explicit = config.explicit_decoding_config
    if explicit is None:
        if config.auto_decoding_config is None:
            raise InvalidRequestError(
                "Invalid recognition 'config': no decoding config is set.",
                hint="Set autoDecodingConfig or explicitDecodingConfig.",
                param="config",
            )
        return rest
    encoding = _NAMES[number(explicit.encoding, wire_v2.ENCODINGS, "explicitDecodingConfig")]
    if encoding.endswith("UNSPECIFIED"):
        raise bad("encoding", "explicitDecodingConfig.encoding", "Name one.")
    return convert.sound(encoding, explicit.sample_rate_hertz, explicit.audio_channel_count, rest)


def config(asked: Asked) -> wire_v2.RecognitionConfig:
    """The same the other way. Without an encoding, the bytes tell it all."""
    one = convert.config(asked)
    explicit = wire_v2.ExplicitDecodingConfig(
        encoding=asked.encoding,
        sample_rate_hertz=asked.sample_rate,
        audio_channel_count=asked.channels,
    )
    phrases = [wire.Phrase(value=phrase) for phrase in asked.options.phrases]
    given = wire_v2.AdaptationPhraseSet(inline_phrase_set=wire.PhraseSet(phrases=phrases))
    return wire_v2.RecognitionConfig(
        auto_decoding_config=None if asked.encoding else wire_v2.AutoDetectDecodingConfig(),
        explicit_decoding_config=explicit if asked.encoding else None,
        model=asked.model,
        language_codes=list(asked.languages) or ["auto"],
        features=wire_v2.RecognitionFeatures(
            max_alternatives=asked.options.alternatives,
            multi_channel_mode="SEPARATE_RECOGNITION_PER_CHANNEL" if asked.separate else 0,
            enable_word_time_offsets=asked.times,
            enable_word_confidence=asked.confidences,
        ),
        adaptation=wire_v2.SpeechAdaptation(phrase_sets=[given]) if phrases else None,
        transcript_normalization=one.transcript_normalization,
    )


def _adaptation(found: wire_v2.SpeechAdaptation) -> tuple[list[str], list[wire.CustomClass]]:
    phrases: list[str] = []
    for one in found.phrase_sets:
        refuse("adaptation.phraseSets.phraseSet", one.phrase_set)
        if one.inline_phrase_set is not None:
            mine = one.inline_phrase_set
            convert.check_boosts([mine.boost, *(phrase.boost for phrase in mine.phrases)])
            phrases += [phrase.value for phrase in mine.phrases]
    return phrases, found.custom_classes


def result(one: wire.SpeechRecognitionResult) -> wire_v2.SpeechRecognitionResult:
    """An utterance."""
    return wire_v2.SpeechRecognitionResult(
        alternatives=[_alternative(each) for each in one.alternatives],
        channel_tag=one.channel_tag,
        result_end_offset=one.result_end_time,
        language_code=one.language_code,
    )


def result_of(one: wire_v2.SpeechRecognitionResult) -> wire.SpeechRecognitionResult:
    """The same as version 1 has it."""
    return wire.SpeechRecognitionResult(
        alternatives=[_alternative_of(each) for each in one.alternatives],
        channel_tag=one.channel_tag,
        result_end_time=one.result_end_offset,
        language_code=one.language_code,
    )


def streamed(one: wire.StreamingRecognitionResult) -> wire_v2.StreamingRecognitionResult:
    """The same of a stream."""
    whole = result(one)
    return wire_v2.StreamingRecognitionResult(
        alternatives=whole.alternatives,
        channel_tag=whole.channel_tag,
        result_end_offset=whole.result_end_offset,
        language_code=whole.language_code,
        is_final=one.is_final,
    )


def metadata(request_id: str, billed: int | None = None) -> wire_v2.Metadata:
    """``billed`` seconds, where they are known."""
    return wire_v2.Metadata(
        request_id=request_id,
        total_billed_duration="" if billed is None else duration(billed),
    )


def _alternative(one: wire.SpeechRecognitionAlternative) -> wire_v2.SpeechRecognitionAlternative:
    return wire_v2.SpeechRecognitionAlternative(
        transcript=one.transcript,
        confidence=one.confidence,
        words=[
            wire_v2.Word(
                word=word.word,
                start_offset=word.start_time,
                end_offset=word.end_time,
                confidence=word.confidence,
            )
            for word in one.words
        ],
    )


def _alternative_of(one: wire_v2.SpeechRecognitionAlternative) -> wire.SpeechRecognitionAlternative:
    return wire.SpeechRecognitionAlternative(
        transcript=one.transcript,
        confidence=one.confidence,
        words=[
            wire.Word(
                word=word.word,
                start_time=word.start_offset,
                end_time=word.end_offset,
                confidence=word.confidence,
            )
            for word in one.words
        ],
    )

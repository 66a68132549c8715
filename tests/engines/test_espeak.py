"""speak by eSpeak NG, with the real library in its real process."""

from __future__ import annotations

import time
import unicodedata

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ogam.capabilities.base import ModelRef
from ogam.capabilities.speech_synthesis import SpeakRequest, SpeakResult, SpeechChunk
from ogam.engines.espeak import EspeakEngine, process, voices
from ogam.errors import (
    EngineError,
    InvalidRequestError,
    TooLargeError,
    UnknownLanguageError,
    UnknownModelError,
    UnknownVoiceError,
    UnsupportedOptionError,
)
from ogam.media import limits

pytest.importorskip("espeakng_loader")
np = pytest.importorskip("numpy")

FOX = "The quick brown fox jumps over the lazy dog. "
KOREAN = "안녕하세요, 오늘은 날씨가 좋습니다. 감사합니다!"


def engine_of(model: str = "") -> EspeakEngine:
    name = f"espeak/{model}" if model else "espeak"
    return EspeakEngine(ModelRef(name=name, engine="espeak", model=model))


@pytest.fixture(scope="module")
def engine():
    made = engine_of()
    yield made
    made.close()


def say(engine: EspeakEngine, text: str, **options) -> SpeakResult:
    return engine.speak(SpeakRequest(text=text, **options))


def pid_of_the_worker() -> int:
    (worker,) = [w for w in process.pool._all if w.process.poll() is None][:1]
    return worker.process.pid


def fundamental(result: SpeakResult) -> float:
    """The median fundamental in Hz over the voiced frames, by autocorrelation."""
    pcm = result.audio.pcm()
    samples = pcm.numpy()[:, 0].astype(float)
    found = []
    for at in range(0, len(samples) - 1024, 512):
        frame = samples[at : at + 1024] - samples[at : at + 1024].mean()
        spread = np.correlate(frame, frame, "full")[1023:]
        low, high = pcm.sample_rate // 400, pcm.sample_rate // 50
        best = low + int(spread[low:high].argmax())
        if spread[0] > 0.1 and spread[best] > spread[0] / 2:
            found.append(pcm.sample_rate / best)
    return float(np.median(found))


# What a speech is


def test_speech_is_sound_at_22050_hz_with_one_channel(engine):
    result = say(engine, "hello world")
    pcm = result.audio.pcm()
    assert (pcm.sample_rate, pcm.channels) == (22050, 1)
    assert 0.5 < pcm.seconds < 1.5
    assert np.abs(pcm.numpy()).max() > 0.05
    assert (result.engine, result.model, result.units.characters) == ("espeak", "espeak", 11)


def test_the_stream_gives_the_same_sound_and_words_as_the_whole(engine):
    request = SpeakRequest(text=FOX * 3)
    *chunks, last = engine.speak_stream(request)
    assert isinstance(last, SpeakResult)
    assert all(isinstance(chunk, SpeechChunk) and chunk.pcm for chunk in chunks)
    assert b"".join(chunk.pcm for chunk in chunks) == last.audio.pcm().data
    assert last == engine.speak(request)
    early = [word for chunk in chunks for word in chunk.words]
    assert early == list(last.words[: len(early)])
    assert len(early) >= len(last.words) - 1


def test_the_first_sound_comes_long_before_the_last(engine):
    stream = engine.speak_stream(SpeakRequest(text=FOX * 112))
    first = next(stream)
    assert isinstance(first, SpeechChunk)
    assert len(first.pcm) / 44100 < 1
    assert sum(1 for _ in stream) > 1000


def test_the_same_request_gives_the_same_bytes_whatever_was_said_between(engine):
    once = say(engine, FOX, voice="en-us")
    assert [say(engine, FOX, voice="en-us") for _ in range(3)] == [once] * 3
    say(engine, KOREAN, voice="ko+f3", rate=2.0, pitch=1.5)
    say(engine, '<speak><prosody rate="fast" volume="soft">a</prosody></speak>', ssml=True)
    next(engine.speak_stream(SpeakRequest(text=FOX * 20, voice="de")))
    assert say(engine, FOX, voice="en-us") == once


def test_another_process_gives_the_same_bytes(engine):
    once = say(engine, KOREAN)
    engine.close()
    assert say(engine, KOREAN) == once


def test_the_clock_on_the_wall_does_not_change_the_sound(engine):
    once = say(engine, FOX, voice="ja+f3", rate=0.8)
    time.sleep(1.1)  # the library seeds one of its generators with the time in seconds
    assert say(engine, FOX, voice="ja+f3", rate=0.8) == once


def test_a_recogniser_hears_what_was_said(engine):
    pocketsphinx = pytest.importorskip("pocketsphinx")
    decoder = pocketsphinx.Decoder(samprate=16000, loglevel="FATAL")
    spoken = say(engine, "one two three four five", voice="en-us+f3")
    decoder.start_utt()
    decoder.process_raw(spoken.audio.pcm(16000, 1).data, full_utt=True)
    decoder.end_utt()
    assert {"two", "three", "four", "five"} <= set(decoder.hyp().hypstr.split())


# Voices and languages


def test_voices_are_many_stable_and_named_by_bcp_47(engine):
    voices = engine.voices()
    by_id = {voice.id: voice for voice in voices}
    assert len(by_id) == len(voices) > 100
    assert voices == engine.voices() == engine_of("ko").voices()
    assert (by_id["ko"].language, by_id["ko"].name) == ("ko", "Korean")
    assert by_id["en-us"].language == "en-US"
    assert by_id["cmn"].languages == ("cmn", "zh-cmn", "zh")
    assert {voice.gender for voice in voices} <= {"male", "female", "neutral", "unknown"}


def test_every_voice_speaks(engine):
    silent = [v.id for v in engine.voices() if say(engine, "1 a", voice=v.id).audio.duration < 0.1]
    assert silent == []


def test_a_variant_changes_the_voice_and_its_name_comes_back(engine):
    variants = engine.variants()
    assert {"f3", "m1", "Annie"} <= set(variants)
    assert list(variants) == sorted(variants)
    plain, varied = say(engine, "hello", voice="en-us"), say(engine, "hello", voice="EN-us+annie")
    assert varied.voice == "en-us+Annie"
    assert varied.audio != plain.audio


@pytest.mark.parametrize(
    ("voice", "near"),
    [
        ("en-uk", "en-us"),
        ("kor", "ko"),
        ("en-us+f33", "en-us+f3"),
        ("qqqq+f3", "voices()"),
        ("../../../etc/passwd", "voices()"),
        ("", "voices()"),
        ("+f3", "voices()"),
        ("ko+", "ko+"),
        ("ko+../x", "ko+"),
        ("x" * 10000, "voices()"),
    ],
)
def test_an_unknown_voice_is_refused_and_the_nearest_are_told(engine, voice, near):
    with pytest.raises(UnknownVoiceError) as caught:
        say(engine, "hello", voice=voice)
    assert near in caught.value.hint
    assert caught.value.param == "voice"


@pytest.mark.parametrize(
    ("language", "voice"),
    [
        ("ko-KR", "ko"),
        ("KO_kr", "ko"),
        ("en", "en-gb"),
        ("en-US", "en-us"),
        ("zh", "cmn"),
        ("zh-Hant-TW", "cmn"),
        ("zh-HK", "yue"),
        ("pt-BR", "pt-br"),
        ("pt", "pt"),
        ("es-AR", "es-419"),
        ("es-ES", "es"),
        ("sr-Latn-RS", "sr"),
        ("no", "nb"),
    ],
)
def test_a_language_picks_its_best_voice(engine, language, voice):
    assert say(engine, "a", language=language).voice == voice


@pytest.mark.parametrize("language", ["xx", "kp-KO", "", "-", "english please", "x" * 5000])
def test_an_unknown_language_is_refused(engine, language):
    if not language:  # nothing asked is no error
        assert say(engine, "a", language=language).voice == "en-us+f5"
        return
    with pytest.raises(UnknownLanguageError) as caught:
        say(engine, "a", language=language)
    assert caught.value.hint


@pytest.mark.parametrize(
    ("text", "voice"),
    [
        ("hello", "en-us+f5"),
        (KOREAN, "ko"),
        ("가격은 $5, OK?", "ko"),
        ("これは漢字", "ja"),
        ("你好世界", "cmn"),
        ("Привет", "ru"),
        ("123 😀", "en-us+f5"),
    ],
)
def test_with_nothing_named_the_script_of_the_text_picks_the_voice(engine, text, voice):
    assert say(engine, text).voice == voice


@pytest.mark.parametrize(
    ("model", "options", "voice"),
    [
        ("ko", {}, "ko"),
        ("zh", {}, "cmn"),
        ("en-us+f3", {}, "en-us+f3"),
        ("en-us+f3", {"language": "en"}, "en-us+f3"),
        ("en-us+f3", {"language": "ko"}, "ko"),
        ("ko", {"voice": "de"}, "de"),
    ],
)
def test_the_model_is_the_voice_unless_the_request_names_another(model, options, voice):
    result = say(engine_of(model), "a", **options)
    assert (result.voice, result.model) == (voice, f"espeak/{model}")


def test_a_model_that_is_neither_voice_nor_language_is_an_unknown_model():
    with pytest.raises(UnknownModelError):
        say(engine_of("nosuch"), "a")


# Rate and pitch


def test_a_higher_rate_makes_it_shorter(engine):
    seconds = {rate: say(engine, FOX * 2, rate=rate).audio.duration for rate in (0.5, 1, 2, 4)}
    assert seconds[0.5] > 1.6 * seconds[1] > 1.6 * 1.6 * seconds[2]
    assert seconds[4] < seconds[2] / 1.5


@pytest.mark.parametrize("voice", ["en-us", "ko"])
@pytest.mark.parametrize("factor", [0.75, 1.3, 1.6])
def test_pitch_is_a_factor_on_the_fundamental(engine, voice, factor):
    text = "나는 오늘 너무 마음이 놀라워요" if voice == "ko" else "mama, more room in a new moon"
    plain = fundamental(say(engine, text, voice=voice))
    moved = fundamental(say(engine, text, voice=voice, pitch=factor))
    assert 80 < plain < 130
    assert moved / plain == pytest.approx(factor, rel=0.1)


@pytest.mark.parametrize("option", [{"rate": 0.3}, {"pitch": 0.5}, {"pitch": 2.0}])
def test_a_rate_or_pitch_out_of_reach_is_said_not_ignored(engine, option):
    with pytest.raises(UnsupportedOptionError) as caught:
        say(engine, "hello", **option)
    assert caught.value.param in option
    assert "From" in caught.value.hint


# Words


@pytest.mark.parametrize(
    ("text", "voice", "expected"),
    [
        ("Hello, brave new world!", None, ["Hello", "brave", "new", "world"]),
        (KOREAN, "ko", ["안녕하세요", "오늘은", "좋습니다", "감사합니다"]),
        ("Hi 😀👍🏽 there 한국어 text", "en-us", ["Hi", "😀👍🏽", "there", "한국어", "text"]),
        ("can't   cost $12.50,\r\n\tOK", None, ["can't", "cost", "$", "12.50", "OK"]),
    ],
)
def test_words_are_told_with_their_places_in_the_text(engine, text, voice, expected):
    words = say(engine, text, voice=voice).words
    assert [word.text for word in words] == expected
    assert [text[w.offset : w.offset + w.length] for w in words] == expected


def test_decomposed_hangul_sounds_the_same_and_keeps_its_places(engine):
    text = unicodedata.normalize("NFD", "안녕하세요 세계")
    result = say(engine, text, voice="ko")
    assert result.audio == say(engine, "안녕하세요 세계", voice="ko").audio
    assert [w.text for w in result.words] == text.split()
    assert all(text[w.offset : w.offset + w.length] == w.text for w in result.words)


def check_words(result: SpeakResult, text: str) -> None:
    end, reached, seconds = 0.0, 0, result.audio.duration
    for word in result.words:
        assert end <= word.start <= word.end <= seconds
        assert reached <= word.offset
        assert word.text == text[word.offset : word.offset + word.length]
        assert word.text.strip() == word.text != ""
        end, reached = word.end, word.offset + word.length


@pytest.mark.parametrize("rate", [0.5, 1.0, 4.0])
def test_word_times_rise_and_stay_inside_the_sound(engine, rate):
    text = FOX * 5 + KOREAN
    result = say(engine, text, voice="en-us", rate=rate)
    check_words(result, text)
    assert len(result.words) > 45
    assert result.words[-1].end > 0.9 * result.audio.duration


# Text as it comes


def test_plain_text_is_never_taken_for_markup_phonemes_or_commands(engine):
    spoken = say(engine, "<b>bold</b>")
    assert spoken.audio.duration > 1.5 * say(engine, "bold").audio.duration
    assert say(engine, "[[h@loU]]").audio != say(engine, "<speak>h@loU</speak>", ssml=True).audio
    # The library's own command for a higher speed, a 1 and letters, and its mark of phonemes.
    assert say(engine, "a\x01+400Sb c").audio == say(engine, "a +400Sb c").audio
    assert say(engine, "[\x02h@loU]] x").audio == say(engine, "[ h@loU]] x").audio


@pytest.mark.parametrize("text", ["...", "?!", "\u200b", "😀", "\x07", "\ue001", "(", "'"])
def test_a_text_with_next_to_nothing_to_say_is_a_valid_recording(engine, text):
    result = say(engine, text)
    assert len(result.audio.pcm().data) > 0
    check_words(result, text)


def test_mixed_scripts_are_spoken_each_in_its_language(engine):
    text = "안녕 😀 hello 세계 🌍 world"
    result = say(engine, text, voice="ko")
    check_words(result, text)
    assert result.words[0].text == "안녕"
    assert result.words[-1].text == "world"


@settings(max_examples=60, deadline=None)
@given(
    text=st.text(min_size=1, max_size=300).filter(lambda t: t.strip() and "\x00" not in t),
    voice=st.sampled_from(["en-us", "ko", "ja", "cmn", "hi", "ar", "fr-fr+f2"]),
    rate=st.sampled_from([0.5, 1.0, 3.0]),
)
@example(text="0©¿0", voice="ar", rate=0.5)  # a clause that ends inside a word
def test_any_text_is_spoken_without_a_crash(engine, text, voice, rate):
    check_words(say(engine, text, voice=voice, rate=rate), text)


# SSML


def test_ssml_changes_how_it_sounds(engine):
    plain = say(engine, "<speak>hello world</speak>", ssml=True)
    paused = say(engine, '<speak>hello <break time="1s"/> world</speak>', ssml=True)
    assert 0.7 < paused.audio.duration - plain.audio.duration < 1.3
    fast = say(engine, '<speak><prosody rate="200%">hello world</prosody></speak>', ssml=True)
    assert fast.audio.duration < 0.75 * plain.audio.duration


def test_words_of_ssml_stand_where_they_are_in_the_document(engine):
    text = '<?xml version="1.0"?><speak>안녕 <emphasis>세계</emphasis> 끝</speak>'
    result = say(engine, text, ssml=True, voice="ko")
    check_words(result, text)
    assert [word.text for word in result.words] == ["안녕", "세계", "끝"]


def test_comments_are_silent_and_cdata_is_text(engine):
    plain = say(engine, "<speak>ok</speak>", ssml=True)
    said = say(engine, f"<speak><!-- {'long ' * 300} -->ok</speak>", ssml=True)
    assert said.audio.duration == pytest.approx(plain.audio.duration, abs=0.3)
    words = say(engine, "<speak><![CDATA[one <b two]]></speak>", ssml=True).words
    assert [word.text for word in words] == ["one", "b", "two"]


def test_an_audio_element_opens_no_file_and_its_text_is_spoken(engine, tmp_path):
    sound = tmp_path / "x.wav"
    sound.write_bytes(say(engine, FOX).audio.data)
    text = f'<speak><audio src="{sound}">instead</audio></speak>'
    result = say(engine, text, ssml=True)
    assert [word.text for word in result.words] == ["instead"]
    assert result.audio.duration < 1.5


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("<speak>a & b</speak>", "line 1, column 11"),
        ("<speak>one\n<p>two</speak>", "line 2, column"),
        ("hello", "line 1, column 1"),
        ("<p>hello</p>", "line 1, column 1"),
        ("<speak>&nbsp;</speak>", "line 1, column 8"),
        ("<speak>&#1;</speak>", "line 1"),
        ('<!DOCTYPE s [<!ENTITY a "b">]><speak>&a;</speak>', "line 1"),
        ('<!DOCTYPE s SYSTEM "file:///etc/passwd"><speak>a</speak>', "line 1"),
        ("<speak>" + "<p>" * 5000 + "</p>" * 5000 + "</speak>", "nests"),
    ],
)
def test_ssml_that_is_not_well_formed_is_refused_with_the_place(engine, text, place):
    with pytest.raises(InvalidRequestError) as caught:
        say(engine, text, ssml=True)
    assert place in caught.value.message
    assert caught.value.hint


def test_pauses_without_end_run_into_the_limit_on_seconds(engine):
    before = limits.current()
    limits.use(limits.Limits(max_seconds=60))
    try:
        with pytest.raises(TooLargeError):
            say(engine, '<speak>a<break time="1000s"/>b</speak>', ssml=True)
    finally:
        limits.use(before)
    assert say(engine, "hello").words


@pytest.mark.parametrize(
    "inside",
    [
        '<voice name="../../../../etc/passwd">a</voice>',
        f'<voice name="{"x" * 3000}">a</voice>',
        f'<mark name="{"m" * 3000}"/>a',
        f'<sub alias="{"a" * 5000}">a</sub>',
        '<emphasis level="none at all">a</emphasis>',
        '<prosody rate="-1000%" pitch="9999999999%" volume="1e308">a</prosody>',
        '<p xml:lang="xx-YY">a</p>' * 100,
        '<say-as interpret-as="tts:key">space </say-as>a',
    ],
)
def test_odd_ssml_is_spoken_or_fails_cleanly_and_the_next_speech_works(engine, inside):
    try:
        say(engine, f"<speak>{inside}</speak>", ssml=True)
    except EngineError as error:
        assert "\n" not in str(error)
    assert say(engine, "hello").words


# Scripts


def test_the_script_of_most_letters_decides():
    assert voices.language_of("abc 가") == ""
    assert voices.language_of("ab 가나다") == "ko"
    assert voices.language_of("漢字とかな") == "ja"
    assert voices.language_of("漢字") == "cmn"
    assert voices.language_of("123 !") == ""

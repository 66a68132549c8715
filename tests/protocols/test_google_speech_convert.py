"""Speech-to-Text's wire types and Ogam's values, both ways, without a server."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ogam.capabilities.speech_recognition import (
    Alternative,
    RecognitionOptions,
    Segment,
    Word,
)
from ogam.errors import InvalidRequestError, NotFoundError, OgamError, UnsupportedOptionError
from ogam.protocols.google import protojson
from ogam.protocols.google_speech import convert, convert_v2, wire, wire_v2
from ogam.protocols.google_speech.grammar import jsgf

WORDS = st.text("abcdefgh", min_size=1, max_size=8)
TIMES = st.integers(0, 300_000).map(lambda ms: ms / 1000)
ASKED = st.builds(
    convert.Asked,
    languages=st.sampled_from([("en-US",), ("cmn-Hans-CN", "yue-Hant-HK"), ("de",)]),
    options=st.builds(
        RecognitionOptions,
        alternatives=st.integers(1, 30),
        phrases=st.lists(WORDS, max_size=3, unique=True).map(tuple),
    ),
    encoding=st.sampled_from(["", "LINEAR16", "FLAC", "OGG_OPUS"]),
    sample_rate=st.sampled_from([0, 8000, 16000, 48000]),
    channels=st.integers(0, 8),
    separate=st.booleans(),
    times=st.booleans(),
    confidences=st.booleans(),
    model=st.sampled_from(["", "long"]),
    replacements=st.lists(
        st.builds(convert.Replacement, search=WORDS, replace=WORDS, case_sensitive=st.booleans()),
        max_size=2,
    ).map(tuple),
)


@st.composite
def segments(draw: st.DrawFn) -> Segment:
    spoken = draw(st.lists(WORDS, min_size=1, max_size=5))
    marks = sorted(draw(st.lists(TIMES, min_size=len(spoken) + 1, max_size=len(spoken) + 1)))
    words = tuple(
        Word(text=one, start=marks[at], end=marks[at + 1], confidence=0.5)
        for at, one in enumerate(spoken)
    )
    text = " ".join(spoken)
    return Segment(
        text=text,
        start=words[0].start,
        end=words[-1].end,
        words=words,
        confidence=0.25,
        alternatives=(Alternative(text=text, confidence=0.25), Alternative(text="x")),
    )


@given(ASKED)
def test_a_configuration_survives_the_way_out_and_back(asked: convert.Asked) -> None:
    sent = msgspec.json.encode(convert.config(asked))
    assert convert.asked(protojson.parse(sent, wire.RecognitionConfig)) == asked


@given(segments())
def test_an_utterance_survives_the_way_out_and_back(segment: Segment) -> None:
    asked = convert.Asked(
        languages=("en-US",),
        options=RecognitionOptions(alternatives=2),
        times=True,
        confidences=True,
    )
    sent = msgspec.json.encode(convert.result(asked, "en-US", segment, 0))
    assert convert.segment(protojson.parse(sent, wire.SpeechRecognitionResult)) == segment


def test_a_class_stands_for_each_of_its_words() -> None:
    ship = wire.CustomClass(
        custom_class_id="ship", items=[wire.ClassItem(value="ada"), wire.ClassItem(value="max")]
    )
    assert convert.expand(["board the ${ship}", "go"], [ship]) == (
        "board the ada",
        "board the max",
        "go",
    )
    with pytest.raises(NotFoundError):
        convert.expand(["${port}"], [ship])


def test_replacements_take_whole_words_only() -> None:
    asked = convert.Asked(
        languages=("en",), replacements=(convert.Replacement(search="one", replace=r"\1"),)
    )
    assert convert.written(asked, "One someone one") == r"\1 someone \1"


@pytest.mark.parametrize(
    ("length", "channels", "billed"), [(0.1, 1, 1), (1.0, 1, 1), (1.01, 2, 4), (0.0, 1, 0)]
)
def test_seconds_are_billed_whole_for_each_channel(
    length: float, channels: int, billed: int
) -> None:
    assert convert.billed(length, channels) == billed


def test_abnf_becomes_jsgf() -> None:
    abnf = """#ABNF 1.0 UTF-8; language en-US; root $go; // a comment
    $go = turn $way {tag} <0->;
    $way = (left | right) [now];"""
    assert jsgf([abnf]).splitlines()[2:] == [
        "public <go> = turn <way>*;",
        "<way> = (left | right) [now];",
    ]


@pytest.mark.parametrize("text", ["", "hello", "root $x; $y = a", "$a = b; $a = c"])
def test_what_is_no_grammar_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequestError, match="Invalid ABNF"):
        jsgf([text])
    with pytest.raises(UnsupportedOptionError):
        jsgf(["$a = b <2-3>;"])


@given(st.text(max_size=60))
def test_any_grammar_gives_a_document_or_one_clear_error(text: str) -> None:
    try:
        assert jsgf([text]).startswith("#JSGF")
    except OgamError as error:
        assert error.param == "config.adaptation.abnfGrammar"


@pytest.mark.parametrize(
    "config",
    [
        wire_v2.RecognitionConfig(language_codes=["en"]),
        wire_v2.RecognitionConfig(auto_decoding_config=wire_v2.AutoDetectDecodingConfig()),
        wire_v2.RecognitionConfig(
            auto_decoding_config=wire_v2.AutoDetectDecodingConfig(),
            language_codes=["en"],
            translation_config=wire_v2.TranslationConfig(target_language="de"),
        ),
        wire_v2.RecognitionConfig(
            explicit_decoding_config=wire_v2.ExplicitDecodingConfig(), language_codes=["en"]
        ),
    ],
)
def test_version_two_refuses_what_is_missing_or_not_to_be_had(
    config: wire_v2.RecognitionConfig,
) -> None:
    with pytest.raises(InvalidRequestError):
        convert_v2.asked(config)


def test_auto_leaves_the_language_to_the_engine() -> None:
    config = wire_v2.RecognitionConfig(
        auto_decoding_config=wire_v2.AutoDetectDecodingConfig(), language_codes=["auto"]
    )
    assert convert_v2.asked(config).languages == ()

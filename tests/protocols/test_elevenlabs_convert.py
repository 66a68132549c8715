"""ElevenLabs's wire and Ogam's values, both ways; no server."""

from __future__ import annotations

import itertools
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ogam.capabilities.base import Units
from ogam.capabilities.speech_recognition import Segment, TranscribeResult, Word
from ogam.capabilities.speech_synthesis import SpeakRequest, Voice, WordTiming
from ogam.errors import OgamError
from ogam.protocols.elevenlabs import convert, convert_listening, convert_voices, languages, wire
from ogam.protocols.elevenlabs.pacing import SCHEDULE, Pacer

texts = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\x00"), max_size=60)
spoken = texts.filter(str.strip)


@given(spoken, st.none() | st.sampled_from(("en-US", "ko", "fil")), st.floats(0.25, 4))
def test_a_request_goes_out_and_comes_back(text, language, rate):
    request = SpeakRequest(text=text, voice="v", language=language, rate=rate)
    assert convert.speak_request(convert.speech_body(request), "v") == request


@given(texts, st.data())
def test_each_character_is_told_once_in_order_whatever_the_engine_tells(text, data):
    words = []
    for _ in range(data.draw(st.integers(0, 5))):
        offset = data.draw(st.integers(0, 70))
        length = data.draw(st.integers(0, 20))
        start, end = data.draw(st.floats(0, 9)), data.draw(st.floats(0, 9))
        words.append(WordTiming(text="w", start=start, end=end, offset=offset, length=length))
    aligner = convert.Aligner(text)
    told = [one for word in words for one in aligner.take([word])]
    told += aligner.finish(10)
    assert "".join(one.character for one in told) == text
    assert all(one.start <= one.end + 1e-9 for one in told)
    assert all(a.end <= b.start + 1e-9 for a, b in itertools.pairwise(told))


parts = st.sampled_from(("a", "<", "&", '"', "한", '<break time="1s"/>', "<b>"))


@given(st.lists(parts, max_size=9))
def test_a_text_with_pauses_is_a_document_whose_places_lead_back(parts):
    text = "".join(parts)
    marked = convert.with_breaks(text)
    if marked is None:
        assert "<break" not in text
        return
    root = ElementTree.fromstring(marked.document)
    assert len(root) == parts.count('<break time="1s"/>')
    assert "".join(root.itertext()) == text.replace('<break time="1s"/>', "")
    assert len(marked.places) == len(marked.document)
    for at, letter in enumerate(marked.document):
        if letter == "한":
            assert text[marked.places[at]] == letter


def test_a_words_time_is_shared_by_its_letters_and_a_pause_by_what_stands_in_it():
    words = [
        WordTiming(text="ab", start=0.0, end=1.0, offset=0, length=2),
        WordTiming(text="c", start=2.0, end=3.0, offset=4, length=1),
    ]
    aligner = convert.Aligner("ab, c")
    told = aligner.take(words) + aligner.finish(3.0)
    assert [one.start for one in told] == [0.0, 0.5, 1.0, 1.5, 2.0]
    assert told[-1].end == 3.0


@given(st.lists(texts, max_size=8), st.sampled_from(((50,), SCHEDULE)), st.booleans())
def test_what_is_paced_loses_nothing_that_can_be_said(parts, schedule, trigger):
    pacer = Pacer(schedule)
    pieces = [one for part in parts for one in pacer.add(part, trigger=trigger)] + pacer.rest()

    def said(text):
        return [letter for letter in text if letter.isalnum()]

    assert said("".join(pieces)) == said("".join(parts))
    assert all(said(one) for one in pieces)


@pytest.mark.parametrize(
    ("parts", "options", "pieces"),
    [
        (["Hello my friend. How"], {}, ["Hello my friend. "]),
        (["Hello my friend."], {}, []),
        (["Hello my friend.", " "], {}, ["Hello my friend. "]),
        (["Dr. Who", " is"], {}, []),
        (["안녕하세요。 반갑"], {}, ["안녕하세요。 "]),
        (["no end"], {"flush": True}, ["no end"]),
        (["word " * 9], {"trigger": True}, []),
        (["word " * 11 + "wo"], {"trigger": True}, ["word " * 11]),
        (["one two three four five six, seven eight nine ten eleven"], {"trigger": True},
         ["one two three four five six, "]),
        (["word " * 30], {}, ["word " * 30]),
        (["word " * 20], {}, []),
    ],
)  # fmt: skip
def test_text_is_spoken_when_enough_of_it_is_there(parts, options, pieces):
    pacer = Pacer()
    assert [one for part in parts for one in pacer.add(part, **options)] == pieces


def heard(text, words):
    segments = (Segment(text=text, start=0, end=9, words=tuple(words)),)
    return TranscribeResult(
        engine="e", model="e", units=Units(), text=text, segments=segments, duration=9.0
    )


@pytest.mark.parametrize(
    ("text", "words", "told"),
    [
        ("Hello, you.", ["Hello", "you"], ["Hello,", " ", "you."]),
        (" hi  there ", ["hi", "there"], ["hi", "  ", "there"]),
        ("안녕하세요", ["안녕", "하세요"], ["안녕", "하세요"]),
        ("nothing like it", ["other", "words"], ["other", " ", "words"]),
        ("", [], []),
    ],
)
def test_the_words_of_a_transcript_make_up_its_text(text, words, told):
    timed = [Word(text=one, start=at, end=at + 0.5) for at, one in enumerate(words)]
    form = convert_listening.form([("model_id", "scribe_v1")])
    found = convert_listening.transcript(heard(text, timed), form)
    assert [one.text for one in found.words] == told
    assert "".join(told) == found.text
    assert found.language_code == "und"


@given(st.lists(st.tuples(st.sampled_from(("model_id", "file_format", "seed", "keyterms", "x")),
                          texts), max_size=6))  # fmt: skip
def test_a_form_is_read_or_refused(fields):
    try:
        form = convert_listening.form(fields)
    except OgamError:
        return
    assert form.model_id


def test_the_word_null_stands_for_nothing_and_keyterms_become_phrases():
    form = convert_listening.form(
        [
            ("model_id", "scribe_v1"),
            ("webhook_metadata", "null"),
            ("entity_detection", "null"),
            ("keyterms", "Ogam"),
            ("keyterms", "two words"),
            ("diarize", "true"),
        ]
    )
    assert form.diarize
    assert convert_listening.options(form).phrases == ("Ogam", "two words")


@pytest.mark.parametrize(
    ("code", "tag", "long"),
    [("eng", "en", "eng"), ("en-US", "en-US", "eng"), ("kor", "ko", "kor"), ("yue", "yue", "yue"),
     ("cmn", "zh", "zho"), ("pt_BR", "pt-BR", "por")],
)  # fmt: skip
def test_languages_are_known_by_either_code(code, tag, long):
    assert languages.tag(code) == tag
    assert languages.long(tag) == long


@given(st.integers(1, 100), st.integers(0, 60))
def test_pages_join_to_all_voices(size, count):
    every = [
        convert_voices.voice(Voice(id=str(at), name="v", language="en"), "m") for at in range(count)
    ]
    found, token = [], None
    while True:
        page = convert_voices.page(every, wire.VoicesQuery(page_size=size, next_page_token=token))
        found += page.voices
        token = page.next_page_token
        if not page.has_more:
            break
    assert found == every

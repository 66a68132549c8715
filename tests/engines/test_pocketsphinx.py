"""transcribe by PocketSphinx, with the real library in its real process."""

from __future__ import annotations

import csv
import gc
import re
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ogam.capabilities.base import CancelledWork, ModelRef, cancellable
from ogam.capabilities.speech_recognition import (
    Keyword,
    PartialTranscript,
    RecognitionOptions,
    TranscribeRequest,
    TranscribeResult,
)
from ogam.engines.pocketsphinx import PocketSphinxEngine
from ogam.engines.pocketsphinx.cut import cut
from ogam.engines.pocketsphinx.pool import Pool
from ogam.engines.pocketsphinx.worker import Decode, Listen, Setup
from ogam.errors import (
    EngineError,
    InvalidMediaError,
    InvalidRequestError,
    UnknownLanguageError,
    UnsupportedOptionError,
)
from ogam.media import Audio

pytest.importorskip("pocketsphinx")
np = pytest.importorskip("numpy")

SPEECH = Path(__file__).parents[2] / "samples" / "speech"
CARDS = "#JSGF V1.0; grammar cards; public <card> = <rank> of <suit>; "
CARDS += "<rank> = Ace | king | queen | ten; <suit> = clubs | hearts | spades;"


@pytest.fixture(scope="module")
def engine() -> Iterator[PocketSphinxEngine]:
    one = PocketSphinxEngine(ModelRef(name="pocketsphinx", engine="pocketsphinx"))
    yield one
    one.close()


def hear(engine: PocketSphinxEngine, source: object, **options: object) -> TranscribeResult:
    audio = source if isinstance(source, Audio) else Audio(SPEECH / str(source))
    return engine.transcribe(
        TranscribeRequest(audio=audio, options=RecognitionOptions(**options))  # type: ignore[arg-type]
    )


def stream(engine: PocketSphinxEngine, blocks: Iterator[bytes]) -> list[object]:
    return list(engine.transcribe_stream(blocks, RecognitionOptions()))


def pcm(name: str) -> bytes:
    return Audio(SPEECH / name).pcm(16_000, 1).data


def words(text: str) -> list[str]:
    return re.sub("[^a-z ]", "", text.lower().replace("-", " ")).split()


def wrong(reference: list[str], heard: list[str]) -> int:
    row = list(range(len(heard) + 1))
    for at, one in enumerate(reference, 1):
        before, row[0] = row[0], at
        for to, other in enumerate(heard, 1):
            before, row[to] = row[to], min(row[to] + 1, row[to - 1] + 1, before + (one != other))
    return row[-1]


def test_the_samples_are_heard_near_their_texts(engine: PocketSphinxEngine) -> None:
    errors = total = 0
    with open(SPEECH / "texts.tsv", encoding="utf-8") as file:
        for row in csv.DictReader(file, delimiter="\t"):
            errors += wrong(words(row["text"]), words(hear(engine, row["file"]).text))
            total += len(words(row["text"]))
    # 17 of 92 when this was written.
    assert errors / total < 0.25


def test_words_stand_in_order_inside_the_recording_with_confidences(
    engine: PocketSphinxEngine,
) -> None:
    result = hear(engine, "jfk.flac")
    assert result.duration == 11.0
    assert result.units.audio_ms == 11_000
    assert result.language == "en-US"
    edges = [edge for word in result.words for edge in (word.start, word.end)]
    assert edges == sorted(edges)
    assert edges[0] >= 0
    assert edges[-1] <= result.duration
    assert all(0 <= word.confidence <= 1 for word in result.words if word.confidence is not None)
    assert len({word.confidence for word in result.words}) > 5
    assert not set("<>[]()+~_") & set(result.text)
    country = next(word for word in result.words if word.text == "country")
    assert 5.5 < country.start < country.end < 6.6  # where he says it


def test_a_stream_tells_partials_before_the_end_and_ends_in_the_same_words(
    engine: PocketSphinxEngine,
) -> None:
    data = pcm("LJ001-0009.flac")
    given_bytes = 0

    def blocks() -> Iterator[bytes]:
        nonlocal given_bytes
        for at in range(0, len(data), 4001):  # odd, so samples are split
            given_bytes += len(data[at : at + 4001])
            yield data[at : at + 4001]

    partials: list[int] = []
    finals: list[PartialTranscript] = []
    last: object = None
    for last in engine.transcribe_stream(blocks(), RecognitionOptions()):
        if isinstance(last, PartialTranscript):
            if last.is_final:
                finals.append(last)
            else:
                partials.append(given_bytes)
    assert len(partials) > 3
    assert partials[0] < len(data) / 2
    assert [one.text for one in finals] == [hear(engine, "LJ001-0009.flac").text]
    assert isinstance(last, TranscribeResult)
    assert last.segments == hear(engine, "LJ001-0009.flac").segments


def test_a_grammar_bounds_what_is_heard(engine: PocketSphinxEngine) -> None:
    assert hear(engine, "cards-001.flac", grammar=CARDS).text == "ten of clubs"


def test_keywords_are_spotted_where_they_are_said(engine: PocketSphinxEngine) -> None:
    keywords = (
        Keyword(phrase="For our purpose", threshold=1e-20),
        Keyword(phrase="elephant", threshold=1e-5),
    )
    result = hear(engine, "LJ001-0009.flac", keywords=keywords)
    assert result.text == "for our purpose"
    assert 0.5 < result.words[0].start < result.words[-1].end < 2.5


def test_expected_phrases_are_heard(engine: PocketSphinxEngine) -> None:
    assert "movable" not in hear(engine, "LJ001-0009.flac").text
    result = hear(engine, "LJ001-0009.flac", phrases=("movable types",))
    assert result.text.endswith("movable types")
    assert [word.text for word in result.words][-2:] == ["movable", "types"]


def test_alternatives_start_with_the_text_and_differ(engine: PocketSphinxEngine) -> None:
    (segment,) = hear(engine, "cards-001.flac", alternatives=4).segments
    readings = [one.text for one in segment.alternatives]
    assert readings[0] == segment.text
    assert len(set(readings)) == 4


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"grammar": CARDS.replace("ten", "zzgrb")}, InvalidRequestError),
        ({"keywords": (Keyword(phrase="the zzgrb"),)}, InvalidRequestError),
        ({"phrases": ("the zzgrb",)}, UnsupportedOptionError),
    ],
)
def test_a_word_without_a_pronunciation_is_named(
    engine: PocketSphinxEngine, options: dict[str, object], error: type[Exception]
) -> None:
    with pytest.raises(error, match="no pronunciation of 'zzgrb'"):
        hear(engine, "cards-001.flac", **options)


@pytest.mark.parametrize(
    ("grammar", "why"),
    [
        ("nonsense", "needs a header"),
        ("#JSGF V1.0; grammar a; public <x> = (hello;", "not valid JSGF: syntax error"),
        ("#JSGF V1.0; grammar a; <x> = hello;", "a public rule"),
        ("#JSGF V1.0; grammar a; public <x> = <y>;", "uses the rule <y>"),
        ("#JSGF V1.0; grammar a; import <b.*>; public <x> = hello;", "imports"),
    ],
)
def test_a_bad_grammar_is_explained(
    engine: PocketSphinxEngine, grammar: str, why: str, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(InvalidRequestError, match=why) as caught:
        hear(engine, "cards-001.flac", grammar=grammar)
    assert caught.value.param == "grammar"
    assert capfd.readouterr() == ("", "")


def test_phrases_beside_a_grammar_are_refused(engine: PocketSphinxEngine) -> None:
    with pytest.raises(UnsupportedOptionError, match="beside"):
        hear(engine, "cards-001.flac", grammar=CARDS, phrases=("ten",))


def test_another_language_or_model_is_refused(engine: PocketSphinxEngine) -> None:
    with pytest.raises(UnknownLanguageError, match="ko-KR"):
        hear(engine, "cards-001.flac", language="ko-KR")
    other = PocketSphinxEngine(ModelRef(name="x/de", engine="x", model="de"))
    with pytest.raises(UnknownLanguageError, match="'de'"):
        hear(other, "cards-001.flac")


@pytest.mark.parametrize("level", [0, 300])
def test_nothing_said_is_an_empty_text(engine: PocketSphinxEngine, level: int) -> None:
    noise = np.random.default_rng(1).normal(0, 1, 16_000 * 3) * level
    audio = Audio(noise.astype(np.int16), sample_rate=16_000)
    result = hear(engine, audio)
    assert (result.text, result.segments, result.duration) == ("", (), 3.0)


def test_one_sample_is_enough_and_rounds_up(engine: PocketSphinxEngine) -> None:
    result = hear(engine, Audio.from_pcm(b"\x01\x00", 16_000))
    assert (result.text, result.units.audio_ms) == ("", 1)


def test_what_came_before_changes_nothing(engine: PocketSphinxEngine) -> None:
    first = hear(engine, "librivox-0870.flac")
    hear(engine, "LJ001-0004.flac")
    assert hear(engine, "librivox-0870.flac") == first


def test_threads_hear_what_one_alone_hears(engine: PocketSphinxEngine) -> None:
    names = ["cards-001.flac", "cards-002.flac", "LJ001-0002.flac", "LJ001-0008.flac"]
    alone = [hear(engine, name) for name in names]
    with ThreadPoolExecutor(len(names)) as pool:
        assert list(pool.map(lambda name: hear(engine, name), names)) == alone


def test_streams_go_to_the_process_that_has_served_one() -> None:
    pool, setup = Pool(), Setup()
    silence = bytes(3200)
    try:
        with pool.worker(setup) as one, pool.worker(setup, live=True) as other:
            other.ask(Listen(silence, first=True))
            both = one, other
        for live in (True, False, False, True):
            with pool.worker(setup, live=live) as worker:
                assert worker is both[live]
                worker.ask(Listen(silence, first=True) if live else Decode(silence, 1))
        assert [worker.live for worker in both] == [False, True]
    finally:
        pool.close()


def test_a_long_recording_is_cut_at_its_pauses(engine: PocketSphinxEngine) -> None:
    names = ["LJ001-0008.flac", "cards-001.flac", "LJ001-0002.flac"]
    silence = bytes(2 * 16_000 * 2)
    joined, starts = silence, []
    for name in names:
        starts.append(len(joined) / 32_000)
        joined += pcm(name) + silence
    result = hear(engine, Audio.from_pcm(joined, 16_000))
    assert len(result.segments) == 3
    for segment, start, name in zip(result.segments, starts, names, strict=True):
        assert start - 0.1 <= segment.start < segment.end
        assert segment.end <= start + len(pcm(name)) / 32_000 + 0.3
        assert wrong(words(hear(engine, name).text), words(segment.text)) <= 1


def test_stereo_at_44_1_khz_is_heard_as_well(engine: PocketSphinxEngine) -> None:
    wide = Audio(SPEECH / "cards-001.flac").pcm(44_100, 2)
    assert hear(engine, Audio.from_pcm(wide.data, 44_100, 2)).text == "ten of clubs"


def test_bytes_that_are_no_sound_are_refused(engine: PocketSphinxEngine) -> None:
    with pytest.raises(InvalidMediaError):
        hear(engine, Audio(b"fLaC" + b"\x00" * 100))


def test_a_cancelled_caller_stops_and_the_next_is_served(engine: PocketSphinxEngine) -> None:
    caught: list[BaseException] = []

    def run() -> None:
        event = threading.Event()
        cancellable(event)
        threading.Timer(0.3, event.set).start()
        try:
            while True:
                hear(engine, "jfk.flac")
        except CancelledWork as error:
            caught.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join(60)
    assert caught
    assert hear(engine, "cards-001.flac").text == "ten of clubs"


def test_streams_closed_early_give_their_decoders_back(engine: PocketSphinxEngine) -> None:
    data = pcm("jfk.flac")
    for _ in range(6):  # more than the pool holds on a small machine
        listening = engine.transcribe_stream(iter([data]), RecognitionOptions())
        assert isinstance(next(listening), PartialTranscript)
        listening.close()  # type: ignore[attr-defined]
    assert hear(engine, "cards-001.flac").text == "ten of clubs"


def test_a_closed_engine_says_so_and_leaves_nothing_behind() -> None:
    one = PocketSphinxEngine(ModelRef(name="pocketsphinx", engine="pocketsphinx"))
    hear(one, "cards-001.flac")
    one.close()
    with pytest.raises(EngineError, match="closed"):
        hear(one, "cards-001.flac")
    other = PocketSphinxEngine(ModelRef(name="pocketsphinx", engine="pocketsphinx"))
    hear(other, "cards-001.flac")
    del one, other
    gc.collect()  # a process or pipe left open would be a warning, which fails the test


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(1, 60_000), min_size=1, max_size=20))
def test_blocks_of_any_size_are_cut_alike(sizes: list[int]) -> None:
    data = pcm("cards-002.flac") + bytes(64_000) + pcm("cards-001.flac")

    def blocks() -> Iterator[bytes]:
        at, turn = 0, 0
        while at < len(data):
            size = sizes[turn % len(sizes)]
            yield data[at : at + size]
            at, turn = at + size, turn + 1

    assert list(cut(blocks())) == list(cut(iter([data])))

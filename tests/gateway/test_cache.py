"""Equal calls are carried out once; kept answers are given again, near ones too, or replayed."""

from __future__ import annotations

import asyncio
import functools
import threading
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

from ogam.capabilities.base import ModelRef, Result
from ogam.capabilities.classification import ClassifyRequest
from ogam.capabilities.embedding import EmbedRequest, Vectors
from ogam.capabilities.speech_synthesis import SpeakRequest, SpeechChunk
from ogam.capabilities.text_generation import GenerateRequest, GenerateResult, TextDelta
from ogam.capabilities.translation import TranslateRequest
from ogam.config import Cache as Settings
from ogam.config import Config, Server
from ogam.engines.fake import FakeEngine
from ogam.errors import BudgetError, EngineError, NotConfiguredError, ReplayMissError
from ogam.gateway.cache import Ask, Cache
from ogam.gateway.caller import Caller
from ogam.gateway.keys import Key
from ogam.gateway.trail import Trail
from ogam.routes import Route

ASKED = GenerateRequest(prompt="Where is the river?")
EXACT = Route(models=("fake",), cache="exact")
REPLAY = Route(models=("fake",), cache="replay")
# Texts as an encoder might place them: the first three are near each other.
PLACES = {
    "Where is the river?": (1.0, 0.0),
    "Where's the river?": (0.995, 0.1),
    "The river, where is it?": (0.98, 0.2),
    "Who are you?": (0.0, 1.0),
}


class Desk:
    """A cache, an engine that counts its calls and waits at ``gate``, and the ended trails."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        self.calls: list[Any] = []
        self.embedded: list[str] = []
        self.ended: list[tuple[Trail, Result | None, BaseException | None]] = []
        self.stopped = 0
        self.gate = asyncio.Event()
        self.gate.set()
        self.engine = FakeEngine(ModelRef(name="fake", engine="fake"))
        config = Config(
            cache=Settings(folder=str(folder), **settings), server=Server(data=str(folder))
        )
        self.cache = Cache(config, embed=self._embed, end=lambda *one: self.ended.append(one))

    def ask(
        self, request: Any, route: Route = EXACT, capability: Any = "generate", by: str = ""
    ) -> Ask:
        who = Caller(key=Key(id=by, name=by)) if by else Caller()
        return Ask(Trail(who, capability, ""), route, route.steps, request)

    async def answer(self, ask: Ask) -> Any:
        return await self.cache.answer(ask, self.work(ask))

    def work(self, ask: Ask) -> Callable[[], Any]:
        async def run() -> Any:
            self.calls.append(ask.request)
            try:
                await self.gate.wait()
            except asyncio.CancelledError:
                self.stopped += 1
                raise
            return getattr(self.engine, ask.trail.capability)(ask.request)

        return run

    def stream(self, ask: Ask, *, size: int = 100) -> AsyncGenerator[Any]:
        async def run() -> AsyncGenerator[Any]:
            self.calls.append(ask.request)
            source = getattr(self.engine, f"{ask.trail.capability}_stream")(ask.request)
            for at, piece in enumerate(source):
                if at == size:
                    await self.gate.wait()
                yield piece

        return self.cache.stream(ask, run)

    async def _embed(self, texts: Sequence[str]) -> Vectors:
        self.embedded += texts
        return Vectors.from_rows([PLACES[text] for text in texts])


def looped(test: Callable[[Path], Any]) -> Callable[[Path], None]:
    @functools.wraps(test)
    def run(tmp_path: Path) -> None:
        asyncio.run(test(tmp_path))

    return run


async def all_of(pieces: AsyncGenerator[Any]) -> list[Any]:
    async with aclosing(pieces) as found:
        return [piece async for piece in found]


async def turns(count: int = 20) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not true():  # noqa: ASYNC110 - what is awaited is told by no event
            await asyncio.sleep(0.002)


def files_in(folder: Path, pattern: str = "**/*") -> list[Path]:
    return [path for path in folder.glob(pattern) if path.is_file()]


@looped
async def test_an_equal_request_gets_the_answer_of_the_first(tmp_path: Path):
    desk = Desk(tmp_path)
    first = await desk.answer(desk.ask(ASKED))
    again = desk.ask(ASKED)
    # Without a seed the engine's next answer would be another.
    assert await desk.answer(again) == first
    assert len(desk.calls) == 1
    assert (again.trail.cache, again.trail.caller.answered) == ("hit", "fake")
    assert again.trail.cost == 0


@looped
async def test_an_answer_is_there_for_the_next_process(tmp_path: Path):
    desk = Desk(tmp_path)
    first = await desk.answer(desk.ask(ASKED))
    await desk.cache.aclose()
    next_desk = Desk(tmp_path)
    assert await next_desk.answer(next_desk.ask(ASKED)) == first
    assert next_desk.calls == []


@looped
async def test_without_a_cache_every_call_is_carried_out(tmp_path: Path):
    desk = Desk(tmp_path)
    for _ in range(2):
        ask = desk.ask(ASKED, Route(models=("fake",)))
        await desk.answer(ask)
        await all_of(desk.stream(ask))
        assert ask.trail.cache == ""
    assert len(desk.calls) == 4
    assert files_in(tmp_path) == []


@looped
async def test_a_hundred_equal_requests_at_once_are_one_call(tmp_path: Path):
    desk = Desk(tmp_path)
    desk.gate.clear()
    asks = [desk.ask(ASKED) for _ in range(100)]
    tasks = [asyncio.create_task(desk.answer(ask)) for ask in asks]
    await until(lambda: bool(desk.calls))
    desk.gate.set()
    results = await asyncio.gather(*tasks)
    assert len(desk.calls) == 1
    assert all(one == results[0] for one in results)
    assert [ask.trail.cache for ask in asks] == ["", *["shared"] * 99]


@looped
async def test_another_request_at_once_is_another_call(tmp_path: Path):
    desk = Desk(tmp_path)
    requests = [GenerateRequest(prompt="a", n=n) for n in (1, 2, 3)]
    results = await asyncio.gather(*(desk.answer(desk.ask(one)) for one in requests))
    assert [len(one.texts) for one in results] == [1, 2, 3]


@looped
async def test_what_is_older_than_the_route_allows_is_asked_for_again(tmp_path: Path):
    desk = Desk(tmp_path)
    young = Route(models=("fake",), cache="exact", cache_seconds=1e-9)
    for _ in range(2):
        await desk.answer(desk.ask(ASKED, young))
        await desk.cache.aclose()
    assert len(desk.calls) == 2
    hit = desk.ask(ASKED)
    await desk.answer(hit)
    assert hit.trail.cache == "hit"


@looped
async def test_no_key_gets_what_another_asked_for_where_the_route_says_so(tmp_path: Path):
    desk = Desk(tmp_path)
    own = Route(models=("fake",), cache="exact", cache_per_key=True)
    for by in ("a", "b", "a"):
        await desk.answer(desk.ask(ASKED, own, by=by))
    assert len(desk.calls) == 2


@looped
async def test_the_work_goes_on_for_others_when_the_first_leaves(tmp_path: Path):
    desk = Desk(tmp_path)
    desk.gate.clear()
    first, second = desk.ask(ASKED), desk.ask(ASKED)
    gone = asyncio.create_task(desk.answer(first))
    await until(lambda: bool(desk.calls))
    stays = asyncio.create_task(desk.answer(second))
    await turns()
    gone.cancel()
    await asyncio.wait([gone])
    assert first.trail.left
    assert desk.ended == []  # the row of the call that may cost is not written yet
    desk.gate.set()
    result = await stays
    await desk.cache.aclose()
    assert len(desk.calls) == 1
    [(trail, told, error)] = desk.ended
    assert (trail, told) == (first.trail, result)
    assert isinstance(error, asyncio.CancelledError)


@looped
async def test_the_work_stops_when_nobody_waits_any_more(tmp_path: Path):
    desk = Desk(tmp_path)
    desk.gate.clear()
    asks = [desk.ask(ASKED) for _ in range(3)]
    tasks = [asyncio.create_task(desk.answer(ask)) for ask in asks]
    await until(lambda: bool(desk.calls))
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    await until(lambda: desk.stopped == 1)
    await until(lambda: [one[0] for one in desk.ended] == [asks[0].trail])
    desk.gate.set()
    late = desk.ask(ASKED)
    await desk.answer(late)
    assert (late.trail.cache, len(desk.calls)) == ("", 2)


@looped
async def test_a_caller_who_leaves_at_once_leaves_nothing_behind(tmp_path: Path):
    desk = Desk(tmp_path)
    ask = desk.ask(ASKED)
    task = asyncio.create_task(desk.answer(ask))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    await turns()
    assert (desk.calls, [one[0] for one in desk.ended]) == ([], [ask.trail])
    assert isinstance(await desk.answer(desk.ask(ASKED)), GenerateResult)


@looped
async def test_who_asks_again_after_a_failure_is_not_told_the_old_one(tmp_path: Path):
    desk = Desk(tmp_path)

    async def fail() -> Any:
        raise EngineError("It broke.")

    with pytest.raises(EngineError):
        await desk.cache.answer(desk.ask(ASKED), fail)
    assert isinstance(await desk.answer(desk.ask(ASKED)), GenerateResult)


@looped
async def test_a_failure_is_everyones_and_is_not_kept(tmp_path: Path):
    desk = Desk(tmp_path)
    failures = 0

    async def fail() -> Any:
        nonlocal failures
        failures += 1
        await turns()
        raise EngineError("It broke.")

    asks = [desk.ask(ASKED) for _ in range(5)]
    found = await asyncio.gather(
        *(desk.cache.answer(ask, fail) for ask in asks), return_exceptions=True
    )
    assert failures == 1
    assert all(isinstance(one, EngineError) for one in found)
    await desk.answer(desk.ask(ASKED))
    assert len(desk.calls) == 1


@looped
async def test_others_try_themselves_where_the_failure_is_about_the_one_who_asked(tmp_path: Path):
    desk = Desk(tmp_path)

    async def refuse() -> Any:
        await turns()
        raise BudgetError("Nothing is left for this key.")

    poor, rich = desk.ask(ASKED, by="poor"), desk.ask(ASKED, by="rich")
    refused, answered = await asyncio.gather(
        desk.cache.answer(poor, refuse), desk.answer(rich), return_exceptions=True
    )
    assert isinstance(refused, BudgetError)
    assert isinstance(answered, GenerateResult)
    assert len(desk.calls) == 1


@looped
async def test_what_another_model_gave_in_a_passing_trouble_is_not_kept(tmp_path: Path):
    desk = Desk(tmp_path)
    troubled = desk.ask(ASKED)
    troubled.trail.attempt("vendor/a", "failed", 0.1, EngineError("down"))
    troubled.trail.attempt("fake", "answered", 0.1, None)
    await desk.answer(troubled)
    await desk.cache.aclose()
    await desk.answer(desk.ask(ASKED))
    assert len(desk.calls) == 2
    # A model that is not configured here at all will not answer the next call either.
    lasting = desk.ask(SpeakRequest(text="a"), capability="speak")
    lasting.trail.attempt("vendor/a", "refused", 0.1, NotConfiguredError("no key"))
    lasting.trail.attempt("fake", "answered", 0.1, None)
    await desk.answer(lasting)
    await desk.cache.aclose()
    await desk.answer(desk.ask(SpeakRequest(text="a"), capability="speak"))
    assert len(desk.calls) == 3


@looped
async def test_an_answer_that_the_disk_refuses_is_an_answer(tmp_path: Path):
    (tmp_path / "cache").write_text("a file, and no folder")
    desk = Desk(tmp_path / "cache")
    assert isinstance(await desk.answer(desk.ask(ASKED)), GenerateResult)
    await desk.cache.aclose()
    assert "cache" in desk.cache.trouble


@looped
async def test_a_damaged_answer_is_asked_for_again_and_mended(tmp_path: Path):
    desk = Desk(tmp_path)
    await desk.answer(desk.ask(ASKED))
    await desk.cache.aclose()
    [entry] = files_in(tmp_path)
    entry.write_bytes(entry.read_bytes()[:-1])
    await desk.answer(desk.ask(ASKED))
    await desk.cache.aclose()
    hit = desk.ask(ASKED)
    await desk.answer(hit)
    assert (len(desk.calls), hit.trail.cache) == (2, "hit")


@looped
async def test_a_stream_that_was_read_is_given_again_as_a_stream(tmp_path: Path):
    desk = Desk(tmp_path)
    *deltas, result = await all_of(desk.stream(desk.ask(ASKED)))
    await desk.cache.aclose()
    ask = desk.ask(ASKED)
    *again, same = await all_of(desk.stream(ask))
    assert same == result
    assert 1 < len(again) <= 4
    assert "".join(one.text for one in again) == "".join(one.text for one in deltas)
    assert ask.trail.cache == "hit"
    assert ask.trail.first_seconds is not None
    assert await desk.answer(desk.ask(ASKED)) == result
    assert len(desk.calls) == 1


@looped
async def test_kept_speech_streams_as_sound(tmp_path: Path):
    desk = Desk(tmp_path)
    request = SpeakRequest(text="one two three")
    result = await desk.answer(desk.ask(request, capability="speak"))
    *chunks, same = await all_of(desk.stream(desk.ask(request, capability="speak")))
    assert same == result
    assert all(isinstance(one, SpeechChunk) for one in chunks)
    assert len(desk.calls) == 1


@looped
async def test_equal_streams_at_once_each_get_all_pieces_as_they_come(tmp_path: Path):
    desk = Desk(tmp_path)
    desk.gate.clear()
    early = desk.stream(desk.ask(ASKED), size=3)
    first = [await anext(early) for _ in range(3)]
    late_ask = desk.ask(ASKED)
    late = desk.stream(late_ask)
    assert [await anext(late) for _ in range(3)] == first
    assert late_ask.trail.cache == "shared"
    whole = asyncio.create_task(desk.answer(desk.ask(ASKED)))
    await turns()
    desk.gate.set()
    rest, others = await asyncio.gather(all_of(early), all_of(late))
    assert rest == others
    assert isinstance(rest[-1], GenerateResult)
    assert "".join(one.text for one in [*first, *rest[:-1]]) == rest[-1].text
    assert await whole == rest[-1]
    assert len(desk.calls) == 1


@looped
async def test_a_slow_reader_holds_nobody_up(tmp_path: Path):
    desk = Desk(tmp_path)
    slow = desk.stream(desk.ask(ASKED))
    await anext(slow)
    *_, result = await all_of(desk.stream(desk.ask(ASKED)))
    assert isinstance(result, GenerateResult)
    await slow.aclose()


@looped
async def test_a_stream_joins_a_whole_answer_under_way(tmp_path: Path):
    desk = Desk(tmp_path)
    desk.gate.clear()
    whole = asyncio.create_task(desk.answer(desk.ask(ASKED)))
    await until(lambda: bool(desk.calls))
    stream = asyncio.create_task(all_of(desk.stream(desk.ask(ASKED))))
    await turns()
    desk.gate.set()
    *deltas, result = await stream
    assert result == await whole
    assert all(isinstance(one, TextDelta) for one in deltas)
    assert len(desk.calls) == 1


@looped
async def test_live_sound_is_never_kept(tmp_path: Path):
    desk = Desk(tmp_path)
    blocks = iter([b"\0\0"])
    ask = desk.ask(blocks, capability="transcribe")
    source = desk.cache.stream(ask, lambda: desk.engine)  # type: ignore[arg-type,return-value]
    assert source is desk.engine


@looped
async def test_replay_gives_what_was_recorded_however_old(tmp_path: Path):
    desk = Desk(tmp_path)
    young = Route(models=("fake",), cache="exact", cache_seconds=1e-9)
    recorded = await desk.answer(desk.ask(ASKED, young))
    await desk.cache.aclose()
    ask = desk.ask(ASKED, REPLAY)
    assert await desk.answer(ask) == recorded
    *_, streamed = await all_of(desk.stream(desk.ask(ASKED, REPLAY)))
    assert streamed == recorded
    assert (ask.trail.cache, len(desk.calls)) == ("replay", 1)


@looped
async def test_replay_waits_for_an_answer_that_is_being_kept(tmp_path: Path):
    desk = Desk(tmp_path)
    held, write = threading.Event(), desk.cache.store.write

    def slow(*entry: Any) -> None:
        assert held.wait(20)
        write(*entry)

    desk.cache.store.write = slow
    recorded = await desk.answer(desk.ask(ASKED))
    again = asyncio.create_task(desk.answer(desk.ask(ASKED, REPLAY)))
    await asyncio.sleep(0.05)  # enough to look at a disk that has nothing yet
    held.set()
    assert await again == recorded
    assert len(desk.calls) == 1


@looped
async def test_replay_without_a_recording_says_of_what_and_how_to_make_it(tmp_path: Path):
    desk = Desk(tmp_path)
    with pytest.raises(ReplayMissError) as missed:
        await desk.answer(desk.ask(ASKED, REPLAY))
    said = str(missed.value)
    assert all(one in said for one in ("generate", "fake", "Where is the river?", '"exact"'))
    with pytest.raises(ReplayMissError):
        await all_of(desk.stream(desk.ask(ASKED, REPLAY)))
    assert desk.calls == []
    assert files_in(tmp_path) == []


@looped
async def test_a_near_text_gets_the_answer_of_the_nearest(tmp_path: Path):
    desk = Desk(tmp_path)
    near = Route(models=("fake",), cache="semantic", similarity=0.99)
    first = await desk.answer(desk.ask(GenerateRequest(prompt="Where is the river?"), near))
    await desk.cache.aclose()
    asks = {text: desk.ask(GenerateRequest(prompt=text), near) for text in PLACES}
    found = {text: await desk.answer(ask) for text, ask in asks.items()}
    assert [ask.trail.cache for ask in asks.values()] == ["hit", "semantic", "", ""]
    assert found["Where's the river?"] == first
    assert len(desk.calls) == 3


@looped
async def test_a_near_text_with_other_options_or_numbers_is_asked(tmp_path: Path):
    desk = Desk(tmp_path)
    near = Route(models=("fake",), cache="semantic", similarity=0.5)
    await desk.answer(desk.ask(GenerateRequest(prompt="Where is the river?"), near))
    await desk.cache.aclose()
    await desk.answer(desk.ask(GenerateRequest(prompt="Where's the river?", seed=1), near))
    await desk.answer(
        desk.ask(ClassifyRequest(texts=("Where's the river?",)), near, capability="classify")
    )
    assert len(desk.calls) == 3


@looped
async def test_only_what_has_a_stand_in_is_ever_embedded(tmp_path: Path):
    desk = Desk(tmp_path)
    near = Route(models=("fake",), cache="semantic")
    translation = TranslateRequest(texts=("Where is the river?",), target="ko")
    for _ in range(2):
        await desk.answer(desk.ask(translation, near, capability="translate"))
        await desk.answer(desk.ask(EmbedRequest(texts=("a",)), near, capability="embed"))
    await desk.answer(desk.ask(ASKED))
    assert (desk.embedded, len(desk.calls)) == ([], 3)


@looped
async def test_a_near_text_whose_answer_is_gone_is_asked_and_the_next_found(tmp_path: Path):
    desk = Desk(tmp_path)
    near = Route(models=("fake",), cache="semantic", similarity=0.9)
    await desk.answer(desk.ask(GenerateRequest(prompt="Where is the river?"), near))
    await desk.cache.aclose()
    for path in files_in(tmp_path, "??/*"):
        path.unlink()
    ask = desk.ask(GenerateRequest(prompt="Where's the river?"), near)
    await desk.answer(ask)
    await desk.cache.aclose()
    again = desk.ask(GenerateRequest(prompt="The river, where is it?"), near)
    await desk.answer(again)
    assert (ask.trail.cache, again.trail.cache, len(desk.calls)) == ("", "semantic", 2)


@looped
async def test_an_encoder_that_breaks_costs_only_the_near_answers(tmp_path: Path):
    desk = Desk(tmp_path)

    async def broken(texts: Sequence[str]) -> Vectors:
        raise EngineError("The encoder broke.")

    desk.cache._embed = broken
    near = Route(models=("fake",), cache="semantic")
    for _ in range(2):
        await desk.answer(desk.ask(ASKED, near))
    assert len(desk.calls) == 1
    assert "encoder" in desk.cache.trouble


def test_a_cache_is_cheap_to_make(tmp_path: Path):
    async def make() -> None:
        Desk(tmp_path / "none")

    asyncio.run(make())
    assert not (tmp_path / "none").exists()

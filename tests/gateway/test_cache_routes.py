"""Routes with a cache, through the whole gateway: no engine, no money, and a row that says so."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from ogam.client import AsyncOgam
from ogam.config import Cache, Config, Route, Routes, Server
from ogam.errors import ConfigurationError, ReplayMissError
from ogam.gateway.caller import Caller, bind


def config(folder: Path, mode: Any, **cache: Any) -> Config:
    return Config(
        routes=Routes(
            generate=Route(models=("fake",), cache=mode), speak=Route(models=("fake",), cache=mode)
        ),
        cache=Cache(folder=str(folder / "answers"), **cache),
        server=Server(data=str(folder)),
    )


def used(settings: Config, work: Callable[[AsyncOgam], Awaitable[Any]]) -> Any:
    async def run() -> Any:
        ogam = AsyncOgam(settings)
        try:
            return await work(ogam)
        finally:
            await ogam.aclose()

    return asyncio.run(run())


def test_an_equal_call_costs_nothing_and_its_row_says_hit(tmp_path: Path):
    async def work(ogam: AsyncOgam) -> Any:
        ledger = await ogam._gateway.spending.open()
        texts: list[str] = []
        for _ in range(2):
            bind(Caller())
            texts.append((await ogam.generate("What is new?")).text)
        async with ogam.generate_stream("What is new?") as stream:
            texts.append("".join([piece.text async for piece in stream]))
            assert stream.result.text == texts[0]
        await ledger.flush()
        return texts, await ledger.calls()

    texts, rows = used(config(tmp_path, "exact"), work)
    assert texts == [texts[0]] * 3
    found = sorted(rows, key=lambda row: row.at)
    assert sorted(row.cache for row in found) == ["", "hit", "hit"]
    assert all((row.status, row.model, row.cost) == ("ok", "fake", 0) for row in found)
    assert {row.units for row in found} == {found[0].units}
    assert {len(row.attempts) for row in found if row.cache} == {0}


def test_a_hundred_equal_calls_at_once_are_one(tmp_path: Path):
    async def work(ogam: AsyncOgam) -> Any:
        return await asyncio.gather(*(ogam.generate("What is new?") for _ in range(100)))

    found = used(config(tmp_path, "exact"), work)
    # Without a seed two calls of the engine would differ.
    assert len({one.text for one in found}) == 1


def test_a_program_that_was_recorded_runs_again_without_its_models(tmp_path: Path):
    async def program(ogam: AsyncOgam) -> Any:
        said = await ogam.speak("one two")
        return (await ogam.generate("What is new?")).text, said.audio

    recorded = used(config(tmp_path, "exact"), program)
    assert used(config(tmp_path, "replay"), program) == recorded
    with pytest.raises(ReplayMissError, match="What else"):
        used(config(tmp_path, "replay"), lambda ogam: ogam.generate("What else is new?"))


def test_a_model_that_a_caller_names_is_asked_itself(tmp_path: Path):
    async def work(ogam: AsyncOgam) -> Any:
        return [(await ogam.generate("What is new?", model="fake")).text for _ in range(2)]

    assert len(set(used(config(tmp_path, "exact"), work))) == 2
    assert not (tmp_path / "answers").exists()


def test_a_near_text_gets_the_answer_through_the_encoder_named(tmp_path: Path):
    async def work(ogam: AsyncOgam) -> Any:
        # The fake encoder's vectors follow from the text: only an equal one is near.
        return [(await ogam.generate(text)).text for text in ("new?", "new?", "old?")]

    same, again, other = used(config(tmp_path, "semantic", encoder="fake"), work)
    assert same == again != other
    assert list((tmp_path / "answers" / "near").rglob("*"))


def test_an_encoder_that_costs_is_refused(tmp_path: Path):
    settings = config(tmp_path, "semantic", encoder="openai/text-embedding-3-small")
    with pytest.raises(ConfigurationError, match="encoder"):
        used(settings, lambda ogam: ogam.generate("What is new?"))

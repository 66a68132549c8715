"""Sound from an event loop, taken in a thread."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from ogam.errors import EngineError, InvalidMediaError
from ogam.gateway.feed import Feed


async def source(count: int, failure: Exception | None = None) -> AsyncIterator[bytes]:
    for at in range(count):
        yield bytes([at % 256])
    if failure is not None:
        raise failure


def test_more_blocks_than_may_wait_all_arrive_in_order() -> None:
    async def run() -> list[bytes]:
        async with Feed(source(500)) as blocks:
            return await asyncio.to_thread(list, blocks)

    assert asyncio.run(run()) == [bytes([at % 256]) for at in range(500)]


def test_a_fast_source_waits_for_the_engine() -> None:
    taken = 0

    async def fast() -> AsyncIterator[bytes]:
        nonlocal taken
        while True:
            taken += 1
            yield b"x"
            await asyncio.sleep(0)

    async def run() -> None:
        async with Feed(fast()):
            for _ in range(1000):
                await asyncio.sleep(0)

    asyncio.run(run())
    assert taken < 100


def test_leaving_ends_the_iterator_for_who_still_waits() -> None:
    async def never() -> AsyncIterator[bytes]:
        await asyncio.sleep(60)
        yield b""

    async def run() -> list[bytes]:
        async with Feed(never()) as blocks:
            waiting = asyncio.ensure_future(asyncio.to_thread(list, blocks))
            await asyncio.sleep(0)
        return await asyncio.wait_for(waiting, 10)

    assert asyncio.run(run()) == []


def test_the_sources_failure_stands_before_the_engines_complaint_of_it() -> None:
    async def run(complains: bool) -> None:
        async with Feed(source(1, EngineError("the line is cut"))) as blocks:
            await asyncio.to_thread(list, blocks)
            if complains:
                raise InvalidMediaError("It ends too early.")

    for complains in (False, True):
        with pytest.raises(EngineError, match="the line is cut"):
            asyncio.run(run(complains))

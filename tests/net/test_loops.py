"""Which event loop runs here."""

from __future__ import annotations

import asyncio
import threading

import pytest

from ogam.net import loops


async def here():
    return loops.running() is asyncio.get_running_loop()


def test_it_is_asyncios_own_also_in_the_next_loop_of_the_thread():
    assert asyncio.run(here())
    assert asyncio.run(here())


def test_without_a_loop_it_is_an_error_before_and_after_one_ran():
    with pytest.raises(RuntimeError):
        loops.running()
    asyncio.run(here())
    with pytest.raises(RuntimeError):
        loops.running()


def test_each_thread_has_its_own():
    found = []

    async def main():
        other = threading.Thread(target=lambda: found.append(asyncio.run(here())))
        other.start()
        await asyncio.to_thread(other.join)
        found.append(await here())

    asyncio.run(main())
    assert found == [True, True]

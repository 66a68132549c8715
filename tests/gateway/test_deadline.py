"""A deadline behaves as asyncio.timeout does."""

from __future__ import annotations

import asyncio

import pytest

from ogam.gateway.deadline import Deadline


async def kept() -> str:
    with Deadline(10):
        await asyncio.sleep(0)
        return "done"


async def passed() -> None:
    with Deadline(0.01):
        await asyncio.sleep(10)


async def reused() -> str:
    with pytest.raises(TimeoutError):
        await passed()
    await asyncio.sleep(0)  # a cancellation that is left over would end this
    return "done"


async def nested(outer: float, inner: float) -> str:
    try:
        with Deadline(outer):
            try:
                with Deadline(inner):
                    await asyncio.sleep(10)
            except TimeoutError:
                return "inner"
    except TimeoutError:
        return "outer"
    return "none"


def test_work_that_is_in_time_is_not_touched() -> None:
    assert asyncio.run(kept()) == "done"


def test_work_that_is_late_is_cancelled() -> None:
    with pytest.raises(TimeoutError):
        asyncio.run(passed())


def test_nothing_of_the_cancellation_is_left() -> None:
    assert asyncio.run(reused()) == "done"


@pytest.mark.parametrize(("outer", "inner", "told"), [(10, 0.01, "inner"), (0.01, 10, "outer")])
def test_of_two_deadlines_the_one_that_passed_is_told(outer, inner, told) -> None:
    assert asyncio.run(nested(outer, inner)) == told


def test_a_cancellation_from_elsewhere_stays_one() -> None:
    async def main() -> None:
        async def work() -> None:
            with Deadline(10):
                await asyncio.sleep(10)

        task = asyncio.ensure_future(work())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert task.cancelled()

    asyncio.run(main())


def test_an_error_of_the_work_is_its_own() -> None:
    async def main() -> None:
        with Deadline(10):
            raise ValueError("its own")

    with pytest.raises(ValueError, match="its own"):
        asyncio.run(main())

"""Which threads an engine's calls are made in."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

from ogam.gateway.work import Workers


class Meeting:
    """An engine whose calls all wait for four others, in threads that are not its own."""

    waits = True

    def __init__(self) -> None:
        self.met = threading.Barrier(4)

    def generate(self, text: str) -> str:
        self.met.wait(timeout=20)
        return text

    def generate_stream(self, text: str) -> Iterator[str]:
        self.met.wait(timeout=20)
        yield text


async def _pieces(workers: Workers, engine: Meeting, text: str) -> list[str]:
    stream = workers.stream("meeting", engine.generate_stream(text), live=False, waits=True)
    return [piece async for piece in stream]


def test_calls_that_only_wait_do_not_wait_for_each_others_thread() -> None:
    async def main() -> None:
        workers, engine = Workers(1), Meeting()
        calls = (workers.run("meeting", engine.generate, str(one)) for one in range(4))
        assert await asyncio.gather(*calls) == ["0", "1", "2", "3"]
        streams = (_pieces(workers, engine, str(one)) for one in range(4))
        assert await asyncio.gather(*streams) == [["0"], ["1"], ["2"], ["3"]]
        workers.close()

    asyncio.run(main())


def test_calls_that_work_share_the_threads_there_are() -> None:
    async def main() -> None:
        workers, names = Workers(1), set[str]()
        calls = (
            workers.run("worker", lambda: names.add(threading.current_thread().name))
            for _ in range(4)
        )
        await asyncio.gather(*calls)
        assert len(names) == 1
        workers.close()

    asyncio.run(main())

"""A transport that sends what one turn of the loop writes in one go."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

from ogam.server.gathering import Gathered


class Line(asyncio.Transport):
    """Takes down what it is told to do."""

    def __init__(self) -> None:
        super().__init__({"peername": "somebody"})
        self.told: list[Any] = []

    def writelines(self, list_of_data: Iterable[Any]) -> None:
        self.told.append(b"".join(list_of_data))

    def close(self) -> None:
        self.told.append("closed")

    def is_closing(self) -> bool:
        return "closed" in self.told


async def gathered() -> tuple[Line, Gathered]:
    line = Line()
    return line, Gathered(line, asyncio.get_running_loop())


def test_the_head_of_a_reply_leaves_with_its_body():
    async def main() -> list[Any]:
        line, transport = await gathered()
        transport.write(b"head ")
        transport.write(b"body")
        assert not line.told
        await asyncio.sleep(0)
        transport.write(b"more")
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        return line.told

    assert asyncio.run(main()) == [b"head body", b"more"]


def test_what_was_written_leaves_before_the_line_is_closed():
    async def main() -> list[Any]:
        line, transport = await gathered()
        transport.write(b"last words")
        transport.close()
        assert transport.is_closing()
        await asyncio.sleep(0)
        return line.told

    assert asyncio.run(main()) == [b"last words", "closed"]


def test_all_else_is_that_of_the_transport_behind_it():
    async def main() -> Any:
        return (await gathered())[1].get_extra_info("peername")

    assert asyncio.run(main()) == "somebody"

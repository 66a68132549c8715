"""What the tests of bodies that go through share: the ledger's rows, a budget, a vendor."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from ogam.gateway.ledger import Budget

from .conftest import Address
from .scripted import Scripted, scripted


def _asked(address: Address, work: Callable[[Any], Coroutine[Any, Any, Any]]) -> Any:
    async def whole() -> Any:
        books = await address.server.gateway.spending.open()
        await books.flush()
        return await work(books)

    return asyncio.run_coroutine_threadsafe(whole(), address.loop).result(20)


def last(address: Address) -> Any:
    """The newest row of the ledger."""
    return _asked(address, lambda books: books.calls(limit=1))[0]


def recorded(address: Address, call: str) -> Any:
    """What was asked and answered, as it was kept."""
    return _asked(address, lambda books: books.recorded(call))


def open_holds(address: Address) -> list[Any]:
    """What is still set aside."""
    return _asked(address, lambda books: books.holds())


def spent(address: Address) -> int:
    """All that was settled, in nano-dollars."""
    return sum(one.cost for one in _asked(address, lambda books: books.usage()))


def settled(address: Address) -> None:
    """Let go of what is still set aside."""
    for one in open_holds(address):
        _asked(address, lambda books, hold=one.hold.id: books.reconcile(hold, 0))


@contextmanager
def budget(address: Address, cap: int) -> Iterator[None]:
    """Inside, all calls together may cost so much."""
    made = Budget(id="b", scope="total", period="ever", cap=cap)
    _asked(address, lambda books: books.set_budget(made))
    try:
        yield
    finally:
        _asked(address, lambda books: books.remove_budget("b"))


@contextmanager
def scripted_vendor(*answers: bytes | Sequence[bytes | float]) -> Iterator[Scripted]:
    """:func:`scripted` in a loop of its own, for a test that has none."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    vendor = scripted(*answers)

    def run(work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, loop).result(20)

    said = run(vendor.__aenter__())
    try:
        yield said
    finally:
        run(vendor.__aexit__(None, None, None))
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()

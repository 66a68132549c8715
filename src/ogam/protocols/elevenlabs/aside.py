"""The money of text that comes in messages: how much will be said is not known before, so it is set
aside block by block, while it is said.

The protocol tells no cost: what was sent is what is billed. Knows no socket.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import NamedTuple

from ogam.capabilities.base import Units
from ogam.errors import EngineError
from ogam.gateway import bounds
from ogam.gateway.billing import Billing, Price
from ogam.gateway.bounds import Unprovable
from ogam.gateway.dispatch import Gateway
from ogam.gateway.passed import PassedResult
from ogam.gateway.spending import Stake
from ogam.gateway.trail import Trail
from ogam.gateway.walk import Attempt, may_be_billed
from ogam.protocols import forwarding, strict_json

Data = str | bytes
# Characters that are set aside at once.
_BLOCK = 1000
# Keys of this server, which may stand in a message.
_KEYS = frozenset(("xi_api_key", "authorization"))
# What asks for nothing that is billed beyond the text.
_FREE = _KEYS | {
    *("text", "try_trigger_generation", "flush", "voice_settings", "generation_config"),
}


class Message(NamedTuple):
    """One of the client's. ``units`` are characters in UTF-16: no other way to count finds more."""

    data: Data
    characters: int
    units: int
    odd: frozenset[str]
    last: bool

    @classmethod
    def read(cls, data: Data) -> Message:
        """As it goes on: without the keys of this server."""
        given = data.encode("utf-8", "surrogatepass") if isinstance(data, str) else data
        fields = strict_json.decode(given)
        if not _KEYS.isdisjoint(fields):
            for name in _KEYS:
                given = strict_json.with_field(given, name, None)
            data = given.decode() if isinstance(data, str) else given
        odd = {name for name, value in fields.items() if value is not None} - _FREE
        text = fields.get("text")
        said = text if isinstance(text, str) else ""
        if text is not None and not isinstance(text, str):
            odd.add("text")
        units = len(said.encode("utf-16-le")) // 2
        return cls(data, len(said), units, frozenset(odd), text == "")


class Block:
    """So many characters to say, the first of them a message's."""

    features: tuple[str, ...] = ()

    def __init__(self, message: Message, odd: frozenset[str] = frozenset()) -> None:
        self.size, self.odd = max(_BLOCK, message.units), message.odd | odd

    async def prove(self, price: Price) -> Billing | Unprovable:
        """By its characters."""
        if self.odd:
            return forwarding.unknown(min(self.odd))
        return bounds.characters_bound(self.size, price)


class Aside:
    """What is set aside for one socket: the attempt's own stake, and one for each further block."""

    def __init__(self, gateway: Gateway, trail: Trail, attempt: Attempt, first: Block) -> None:
        self._gateway, self._trail, self._attempt = gateway, trail, attempt
        self._sizes, self._stakes = [first.size], list[Stake]()
        self._room, self._granted = first.size, first.odd
        self._taking: asyncio.Future[None] | None = None
        # Characters that were sent.
        self.characters = 0

    async def take(self, message: Message) -> None:
        """Set aside what it needs. BudgetError where that may not be."""
        odd = message.odd - self._granted
        if message.units > self._room or odd:
            # Not ended with the talk: what the ledger has set aside by then would be nobody's.
            self._taking = asyncio.ensure_future(self._take(Block(message._replace(odd=odd))))
            await asyncio.shield(self._taking)
        self._room -= message.units

    async def _take(self, block: Block) -> None:
        vendor = self._attempt.vendor
        if self._attempt.paid and vendor is not None:
            name, spending = self._attempt.step.model, self._gateway.spending
            self._stakes.append(await spending.stake(self._trail, name, vendor, block))
        self._sizes.append(block.size)
        self._room += block.size
        self._granted |= block.odd

    async def spent(self, talk: Awaitable[bool]) -> PassedResult | None:
        """What the whole talk used; None where it tells that the vendor refused to speak."""
        try:
            try:
                refused = await talk
            finally:
                if self._taking is not None:
                    await asyncio.wait((self._taking,))
        except BaseException as error:
            billed = may_be_billed(error)
            if not billed and not isinstance(error, EngineError) and self.characters:
                # It ends for another reason, and what went before may be spoken.
                self._attempt.untold()
                self._attempt.answered(self._result(0))
                billed = True
            for stake in self._stakes:
                (stake.leave if billed else stake.release)()
            raise
        if refused:
            self._attempt.declined()
            for stake in self._stakes:
                stake.release()
            return None
        own, *others = self._parts()
        self._attempt.answered(self._result(own))
        for stake, part in zip(self._stakes, others, strict=False):
            stake.settle(self._result(part))
        return self._result(self.characters)

    def _parts(self) -> list[int]:
        """The characters, block by block."""
        parts, left = list[int](), self.characters
        for size in self._sizes:
            parts.append(min(left, size))
            left -= parts[-1]
        return parts

    def _result(self, characters: int) -> PassedResult:
        name = self._attempt.step.model
        return PassedResult(
            engine=name.partition("/")[0],
            model=name,
            units=Units(characters=characters),
            status=101,
            headers=(),
            body=b"",
        )

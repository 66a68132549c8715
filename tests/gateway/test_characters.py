"""Characters of this month, by key and protocol, and what the budgets leave of them."""

from __future__ import annotations

import asyncio
import time

import pytest

from ogam import config as configuration
from ogam.capabilities.base import Units
from ogam.config import Config, Routes
from ogam.gateway import characters
from ogam.gateway.dispatch import Gateway
from ogam.gateway.keys import Key
from ogam.gateway.ledger import Budget, Hold, Row, Settlement

NANO = 1_000_000_000
ME, OTHER = Key(id="me"), Key(id="other")
PRICE = {
    "vendor": "deepl",
    "models": ["*"],
    "capabilities": ["translate"],
    "characters": "10.00",
}


def row(number, *, key="me", protocol="deepl", count=100, at=None):
    return Row(
        id=f"c{number}",
        at=at if at is not None else time.time_ns() // 1_000_000,
        key=key,
        capability="translate",
        protocol=protocol,
        engine="deepl",
        model="deepl",
        units=Units(characters=count),
    )


@pytest.fixture
def asked(tmp_path):
    """What ``used`` says with these rows and budgets."""

    def ask(rows=(), budgets=(), *, key=ME, translate=("deepl",), vendors=None):
        config = Config(
            routes=Routes(translate=translate),
            prices=(PRICE,),
            server=configuration.Server(data=str(tmp_path)),
        )

        async def work():
            gateway = Gateway(config)
            try:
                ledger = await gateway.spending.open()
                for one in rows:
                    ledger.settle(one)
                for one in budgets:
                    await ledger.set_budget(one)
                return await characters.used(gateway, key, "translate", "deepl")
            finally:
                await gateway.aclose()

        return asyncio.run(work())

    return ask


def test_it_is_this_months_of_this_key_over_this_protocol(asked):
    rows = [
        row(1),
        row(2, count=11),
        row(3, key="other", count=1000),
        row(4, protocol="openai", count=10_000),
        row(5, at=1_000_000_000_000, count=100_000),
    ]
    assert asked(rows) == (111, characters.NO_LIMIT)
    assert asked(key=OTHER).number == 1000
    assert asked(key=None).number == 1111


def budget(cap, scope="total", subject=""):
    return Budget(id=f"{scope}{subject}", scope=scope, subject=subject, period="month", cap=cap)


@pytest.mark.parametrize(
    ("over", "left"),
    [
        ([budget(NANO)], 100_000),
        ([budget(NANO), budget(NANO // 2, "key", "me")], 50_000),
        ([budget(NANO, "vendor", "deepl"), budget(0, "vendor", "openai")], 100_000),
        ([budget(0, "capability", "translate")], 0),
    ],
)
def test_a_budget_leaves_as_many_as_its_money_pays_for(asked, over, left):
    assert asked([row(1)], over) == (100, 100 + left)


def test_where_no_money_limits_there_is_no_limit(asked):
    assert asked([], [budget(0, "key", "other")]).limit == characters.NO_LIMIT
    assert asked([], [budget(0)], translate=("deepl", "fake")).limit == characters.NO_LIMIT


def test_money_is_found_by_the_protocol_of_its_call(tmp_path):
    config = Config(server=configuration.Server(data=str(tmp_path)))

    async def work():
        gateway = Gateway(config)
        try:
            ledger = await gateway.spending.open()
            for number, protocol in enumerate(("deepl", "openai")):
                one = row(number, protocol=protocol)
                hold = Hold(
                    id=f"h{number}",
                    call=one.id,
                    at=one.at,
                    capability="translate",
                    vendor="deepl",
                    model="deepl",
                    bound=5 + number,
                    sent=True,
                )
                await ledger.hold(hold)
                ledger.settle(one, [Settlement(hold=hold.id, cost=5 + number)])
            await ledger.flush()
            return await ledger.usage(protocol="openai")
        finally:
            await gateway.aclose()

    (found,) = asyncio.run(work())
    assert (found.calls, found.cost, found.units.characters) == (1, 6, 100)

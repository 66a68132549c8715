"""The ledger beside a vendor's own count: a server of ours is the vendor."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest

from ogam.capabilities.base import CAPABILITIES
from ogam.capabilities.translation import TranslateRequest, TranslateResult
from ogam.config import Config, Route, Routes
from ogam.config import Server as ServerConfig
from ogam.errors import InvalidRequestError, NotFoundError
from ogam.gateway import reconciling
from ogam.gateway.dispatch import Gateway
from ogam.gateway.reconciling import Comparison
from ogam.vendors import VendorSettings

from .conftest import running


def test_what_deepl_counts_is_compared_with_the_ledger(tmp_path: Path) -> None:
    routes = Routes(**dict.fromkeys(CAPABILITIES, ("fake",)))
    theirs = Config(routes=routes, server=ServerConfig(data=str(tmp_path / "vendor")))

    async def main(url: str) -> tuple[Comparison, Comparison]:
        config = Config(
            routes=Routes(translate=Route(models=("deepl",))),
            server=ServerConfig(data=str(tmp_path / "ours")),
            vendors={"deepl": VendorSettings(url=url, key="k")},
        )
        gateway = Gateway(config)

        async def ask(words: str) -> None:
            request = TranslateRequest(texts=(words,), target="de")
            await gateway.answer("translate", request, TranslateResult)

        async def compare() -> Comparison:
            ledger = await gateway.spending.open()
            await ledger.flush()
            return await reconciling.compare(ledger, config, "deepl", now)

        now = int(time.time() * 1000)
        await ask("Good morning")
        same = await compare()
        # Somebody else uses the account.
        other = gateway.engine("translate", "deepl")
        await other.translate(TranslateRequest(texts=("x" * 1000,), target="de"))
        more = await compare()
        ledger = await gateway.spending.open()
        with pytest.raises(InvalidRequestError, match="does not tell"):
            await reconciling.compare(ledger, config, "openai", now)
        with pytest.raises(NotFoundError):
            await reconciling.compare(ledger, config, "nobody", now)
        await gateway.aclose()
        return same, more

    with running(theirs, grpc=False) as vendor:
        same, more = asyncio.run(main(vendor.http))
    assert (same.ours, same.theirs, same.cost_nano) == (12, 12, 12 * 25_000)
    assert reconciling.words(same)[-1] == "They agree."
    assert (more.ours, more.theirs, more.difference_nano) == (12, 1012, 25_000_000)
    assert "1,000 more" in reconciling.words(more)[1]
    assert "$0.025" in reconciling.words(more)[1]


@pytest.mark.parametrize(
    ("own", "said"),
    [
        ({"ours": 300}, "200 fewer"),
        ({"difference_nano": None}, "nobody here knows"),
        ({"unknown_nano": 10**9}, "hold $1.00"),
    ],
)
def test_a_difference_is_put_in_words(own: dict[str, Any], said: str) -> None:
    made: dict[str, Any] = {
        "vendor": "deepl",
        "month": "2026-11",
        "theirs": 100,
        "ours": 50,
        "cost_nano": 5,
        "unknown_nano": 0,
        "difference_nano": 1,
        "price": "dear",
    }
    assert said in " ".join(reconciling.words(Comparison(**{**made, **own})))

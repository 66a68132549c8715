"""The ledger's database goes away under a server: what is local goes on, what costs waits."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import deepl
import httpx
import msgspec
import pytest
from deepl import http_client

from ogam.config import Config, Ledger, Routes, Server
from ogam.vendors import VendorSettings

from ..protocols.conftest import KEY, Address, running
from .test_faults import WORDS, Vendor, holds, rows, translation


async def translates(writer: Any) -> None:
    said = [{"text": "Ja.", "detected_source_language": "EN", "billed_characters": len(WORDS)}]
    body = msgspec.json.encode({"translations": said})
    head = f"HTTP/1.1 200 X\r\ncontent-length: {len(body)}\r\nconnection: close\r\n\r\n"
    writer.write(head.encode() + body)


@contextmanager
def locked(file: Path) -> Iterator[None]:
    with closing(sqlite3.connect(file, isolation_level=None)) as own:
        own.execute("BEGIN IMMEDIATE")
        yield
        own.execute("ROLLBACK")


@contextmanager
def taken_away(file: Path) -> Iterator[None]:
    """Its folder is, and comes back."""
    kept = file.parent.with_name("kept")
    file.parent.rename(kept)
    yield
    kept.rename(file.parent)


def ledger_of(address: Address) -> dict[str, float]:
    """What /metrics tells of the ledger."""
    text = httpx.get(f"{address.http}/metrics").text
    return {name: float(value) for name, value in re.findall(r"\nogam_ledger_(\w+) (\S+)", text)}


def embedded(address: Address) -> int:
    """A local call."""
    return httpx.post(
        f"{address.http}/v1/embeddings",
        json={"model": "text-embedding-3-small", "input": "Hi"},
        headers={"authorization": f"Bearer {KEY}"},
        timeout=30,
    ).status_code


@pytest.mark.parametrize("gone", [locked, taken_away])
@pytest.mark.parametrize("when_down", ["closed", "open"])
def test_local_work_goes_on_and_paid_work_as_the_settings_say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gone: Any, when_down: Any
) -> None:
    monkeypatch.setattr(http_client, "max_network_retries", 0)
    vendor = Vendor()
    vendor.does = translates
    books = tmp_path / "books"
    books.mkdir()
    file = books / "ledger.sqlite"
    config = Config(
        routes=Routes(translate=("deepl",), embed=("fake",)),
        vendors={"deepl": VendorSettings(url=f"http://127.0.0.1:{vendor.port}", key="k")},
        server=Server(keys=(KEY,), data=str(tmp_path / "data")),
        ledger=Ledger(url=f"sqlite:///{file}", when_down=when_down),
    )
    with running(config, grpc=False) as address:
        assert translation(address) == "Ja."
        assert len(rows(address)) == 1
        assert ledger_of(address)["up"] == 1
        with gone(file):
            for _ in range(2):
                if when_down == "closed":
                    with pytest.raises(deepl.DeepLException):
                        translation(address)
                else:
                    assert translation(address) == "Ja."
                assert embedded(address) == 200
            told = ledger_of(address)
            assert told["up"] == 0
            assert told["waiting"] >= 4
            assert told["uncounted"] == (0 if when_down == "closed" else 2)
            # Nothing was sent that nothing was set aside for.
            assert vendor.asked == (1 if when_down == "closed" else 3)
        made = rows(address)
        told = ledger_of(address)
        assert (told["up"], told["waiting"], told["lost"]) == (1, 0, 0)
        ends = [one.status for one in made if one.capability == "translate"]
        assert len(made) == 5
        assert sorted(ends) == (
            ["Ledger", "Ledger", "ok"] if when_down == "closed" else ["ok", "ok", "ok"]
        )
        assert sum(one.cost for one in made) == vendor.asked * len(WORDS) * 25_000
        assert holds(address) == []
    vendor.close()

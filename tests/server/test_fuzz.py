"""A few hundred wrong, odd and hostile requests; `benchmarks/fuzz.py` sends many thousands."""

from __future__ import annotations

import asyncio
import importlib
import sys
from pathlib import Path

import pytest

HOST = "127.0.0.1"


@pytest.fixture(scope="module")
def fuzz():
    folder = str(Path(__file__).parents[2] / "benchmarks")
    before = set(sys.modules)
    sys.path.insert(0, folder)
    try:
        yield importlib.import_module("fuzz")
    finally:
        sys.path.remove(folder)
        for name in ("fuzz", "_hostile", "_server"):
            if name not in before:
                sys.modules.pop(name, None)


def fuzzer(fuzz, fake, seed=1):
    return fuzz.Fuzzer(fuzz.document(fake.ports.http), seed, f"{HOST}:{fake.ports.http}")


# python-multipart takes a form that is cut short, and its last file goes with its last reference.
@pytest.mark.filterwarnings(
    "ignore:Exception ignored in. <function Spooled:pytest.PytestUnraisableExceptionWarning"
)
def test_nothing_that_is_sent_breaks_the_server(fuzz, fake, caplog):
    report = asyncio.run(fuzz.run(HOST, fake.ports.http, fuzzer(fuzz, fake), range(500), clients=4))
    assert [(number, asked.parts, got) for number, asked, got in report.failures] == []
    assert not [one for one in caplog.records if one.exc_info]
    # "ogam" are the server's own pages: usage, budgets, keys.
    assert set(report.statuses) == {"ogam", *(one.name for one in fake.server.app.protocols)}
    assert len(report.kinds) >= 8
    assert fake.http.get("/healthz").json() == {"status": "ok"}
    assert fake.server.app.in_flight == 0


def test_a_request_of_a_seed_is_always_the_same(fuzz, fake):
    one, other = fuzzer(fuzz, fake), fuzzer(fuzz, fake)
    assert [one.request(n) for n in range(50)] == [other.request(n) for n in range(50)]
    assert one.request(1) != fuzzer(fuzz, fake, seed=2).request(1)


@pytest.mark.parametrize(
    ("status", "body", "hung", "bad"),
    [
        (500, b"", False, True),
        (0, b"", False, True),
        (400, b"Traceback (most recent call last)", False, True),
        (0, b"", True, True),
        (400, b"{}", False, False),
    ],
)
def test_what_must_not_be_is_reported(fuzz, status, body, hung, bad):
    report = fuzz.Report()
    report.take(1, fuzz.Asked("openai", "path", (b"",)), fuzz.Got(status, body, hung))
    assert bool(report.failures) is bad

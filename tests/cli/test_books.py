"""Keys, budgets, usage, the ledger, routes and prices, as they are asked for in a shell."""

from __future__ import annotations

import asyncio
import csv
import json
import re
import time
from pathlib import Path

import pytest

from ogam.capabilities.base import Units
from ogam.cli import books
from ogam.cli.plotting_usage import _sums
from ogam.errors import InvalidRequestError
from ogam.gateway import periods
from ogam.gateway.keys import hash_key
from ogam.gateway.ledger import Budget, Hold, Ledger, Row, Settlement


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("OGAM_SERVER_DATA", str(tmp_path / "data"))
    return tmp_path / "data" / "ledger.sqlite"


def with_ledger(place: Path, work):
    async def main():
        ledger = Ledger(place)
        await ledger.open()
        try:
            return await work(ledger)
        finally:
            await ledger.close()

    return asyncio.run(main())


def spend(place: Path, key: str = "", *, outcome: str = "settled") -> None:
    """A dollar and a half for 60,000 characters of DeepL's, settled or not."""

    async def work(ledger: Ledger) -> None:
        now = int(time.time() * 1000)
        held = Hold(
            id=f"h{now}",
            call=f"c{now}",
            at=now,
            key=key,
            capability="translate",
            vendor="deepl",
            model="deepl",
            bound=1_500_000_000,
            sent=True,
        )
        await ledger.hold(held)
        row = Row(
            id=held.call,
            at=now,
            key=key,
            capability="translate",
            engine="deepl",
            model="deepl",
            units=Units(characters=60_000),
        )
        cost = 1_500_000_000 if outcome == "settled" else None
        ledger.settle(row, [Settlement(hold=held.id, cost=cost, outcome=outcome)])
        await ledger.flush()

    with_ledger(place, work)


def test_a_key_is_shown_once_and_only_its_hash_is_kept(ogam, place):
    made = ogam(
        "keys", "create", "shop", "--budget", "5/day", "--budget", "9/ever", "--concurrent", "3",
        "--capability", "see", "--protocol", "google_vision", "--model", "a*", "--expires", "30d",
    )  # fmt: skip
    secret = made.out.strip()
    assert re.fullmatch("ogam_[0-9A-Za-z]{43}", secret)
    assert "shop" in made.err
    (stored,) = with_ledger(place, lambda ledger: ledger.keys())
    assert stored.hash == hash_key(secret)
    assert stored.limits == {"concurrent": 3}
    assert stored.allowed == {
        "capabilities": ["see"], "models": ["a*"], "protocols": ["google_vision"],
    }  # fmt: skip
    assert 29 * 86_400_000 < stored.expires - stored.created <= 30 * 86_400_000
    budgets = with_ledger(place, lambda ledger: ledger.budgets())
    assert [(one.budget.subject, one.budget.period, one.budget.cap) for one in budgets] == [
        (stored.id, "day", 5 * 10**9),
        (stored.id, "ever", 9 * 10**9),
    ]
    listed = ogam("keys", "list", "--json")
    row = json.loads(listed.out)
    assert (row["name"], row["state"], row["revoked"]) == ("shop", "active", None)
    assert secret not in listed.out
    assert stored.hash not in listed.out


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (("--budget", "5"), "5/day"),
        (("--budget", "-5/day"), "no amount"),
        (("--budget", "5/week"), "5/day"),
        (("--expires", "soon"), "30d"),
        (("--capability", "sing"), "generate"),
        (("--protocol", "telnet"), "openai"),
    ],
)
def test_a_key_with_something_wrong_is_not_made(ogam, place, wrong, said):
    done = ogam("keys", "create", "shop", *wrong)
    assert done.code == 1
    assert done.err.count("\n") == 1
    assert said in done.err
    assert not place.exists()


def test_a_name_is_taken_until_its_key_is_revoked(ogam):
    assert ogam("keys", "create", "shop").code == 0
    assert "already" in ogam("keys", "create", "shop").err
    assert ogam("keys", "revoke", "shop").out.endswith("\tshop\trevoked\n")
    assert ogam("keys", "create", "shop").code == 0
    states = [json.loads(one)["state"] for one in ogam("keys", "list", "--json").out.splitlines()]
    assert states == ["revoked", "active"]
    assert "no key" in ogam("keys", "revoke", "nobody").err


def test_rotating_keeps_the_id_and_gives_the_old_one_time(ogam, place):
    old = json.loads(ogam("keys", "create", "shop", "--concurrent", "3", "--json").out)
    new = json.loads(ogam("keys", "rotate", "shop", "--grace", "1h", "--json").out)
    assert new["id"] == old["id"]
    assert new["key"] != old["key"]
    row = json.loads(ogam("keys", "list", "--json").out)
    assert row["limits"] == {"concurrent": 3}
    assert row["replaced_until"] > row["created"]
    stored = with_ledger(place, lambda ledger: ledger.keys())
    assert {one.hash for one in stored} == {hash_key(old["key"]), hash_key(new["key"])}
    ogam("keys", "rotate", old["id"], "--grace", "0")
    ogam("keys", "revoke", "shop")
    stored = with_ledger(place, lambda ledger: ledger.keys())
    assert len(stored) == 3
    assert all(one.revoked for one in stored)
    assert "is revoked" in ogam("keys", "rotate", "shop").err


def test_budgets_are_set_changed_shown_and_removed(ogam, place):
    spend(place)
    spend(place, outcome="unknown")
    ogam("keys", "create", "shop")
    for arguments in (
        ("10/month",),
        ("12/month",),
        ("1/day", "--key", "shop"),
        ("2/ever", "--vendor", "deepl"),
        ("3/day", "--capability", "see"),
    ):
        assert ogam("budget", "set", *arguments).code == 0
    found = {
        one["id"]: one for one in map(json.loads, ogam("budget", "show", "--json").out.splitlines())
    }
    assert len(found) == 4
    total = found["total/month"]
    assert (total["cap"], total["spent"], total["held"], total["left"]) == (
        "$12.00",
        "$1.50",
        "$1.50",
        "$9.00",
    )
    # More than its cap was set aside before it stood: nothing is left of it.
    assert found["vendor:deepl/ever"]["left"] == "-$1.00"
    assert any("(shop)" in one["for"] for one in found.values())
    assert ogam("budget", "rm", "total/month").code == 0
    assert ogam("budget", "rm", "total/month").code == 1
    assert ogam("budget", "set", "1/day", "--key", "nobody").code == 1
    assert ogam("budget", "set", "1/day", "--key", "shop", "--vendor", "deepl").code == 2


def test_a_key_of_the_configuration_is_named_by_its_id(ogam, monkeypatch):
    monkeypatch.setenv("OGAM_SERVER_KEYS", "secret")
    identity = hash_key("secret")[:12]
    assert ogam("budget", "set", "1/day", "--key", identity).out.startswith(f"key:{identity}/day")


def test_usage_is_summed_written_and_drawn(ogam, place, tmp_path):
    shop = json.loads(ogam("keys", "create", "shop", "--json").out)
    spend(place, shop["id"])
    spend(place)
    spend(place, outcome="unknown")
    row = json.loads(ogam("usage", "--json").out)
    assert (row["capability"], row["calls"], row["characters"]) == ("translate", 3, 180_000)
    assert (row["cost"], row["unknown_nano"]) == ("$3.00", 1_500_000_000)
    by_key = [json.loads(one) for one in ogam("usage", "--by", "key", "--json").out.splitlines()]
    assert {one["key_name"]: one["cost"] for one in by_key} == {"shop": "$1.50", "": "$1.50"}
    only = json.loads(ogam("usage", "--by", "vendor", "--key", "shop", "--json").out)
    assert (only["vendor"], only["calls"]) == ("deepl", 1)
    assert ogam("usage", "--until", "1d").out == ""
    table = ogam("usage", "--by", "day", "--by", "model")
    assert table.out.split("\t")[1:] == ["deepl", "3", "180000", "$3.00", "$1.50\n"]
    assert "3 calls, $3.00, and up to $1.50" in table.err

    ogam("usage", "--by", "day", "--by", "key", "--plot", "u.png", "--export", "u.csv")
    assert (tmp_path / "u.png").read_bytes().startswith(b"\x89PNG")
    with (tmp_path / "u.csv").open(newline="") as file:
        assert sum(int(one["cost_nano"]) for one in csv.DictReader(file)) == 3 * 10**9
    pytest.importorskip("pyarrow")
    from pyarrow import parquet

    assert ogam("usage", "--by", "key", "--export", "u.parquet").code == 0
    assert parquet.read_table(tmp_path / "u.parquet").num_rows == 2


@pytest.mark.parametrize(
    "wrong",
    [
        ("--by", "mood"),
        ("--since", "yesterday"),
        ("--since", "2026-02-30"),
        ("--export", "u.xls"),
        ("--plot", "u.bmp"),
        ("--export", "no/folder/u.csv"),
    ],
)
def test_usage_asked_wrongly_is_one_line(ogam, wrong):
    done = ogam("usage", *wrong)
    assert (done.code, done.err.count("\n")) == (1, 1)


def test_small_parts_are_joined_in_the_picture():
    rows = [
        {"day": f"2026-11-{day:02}", "model": f"m{n}", "cost_nano": 10**9 * (n + 1), "calls": 1}
        for day in range(1, 4)
        for n in range(12)
    ]
    bars, parts = _sums(rows, ("day", "model"), True)
    assert bars == ["2026-11-01", "2026-11-02", "2026-11-03"]
    assert [*parts][:: len(parts) - 1] == ["m11", "others"]
    assert sum(map(sum, parts.values())) == pytest.approx(3 * sum(range(1, 13)))


def test_the_books_are_checked_and_unknown_holds_settled_by_hand(ogam, place):
    assert "right: 0 calls" in ogam("ledger", "check").err
    spend(place, outcome="unknown")
    assert "$1.50 is set aside" in ogam("ledger", "check").err
    held = json.loads(ogam("ledger", "holds", "--state", "unknown", "--json").out)
    assert (held["model"], held["held"]) == ("deepl", "$1.50")
    assert ogam("ledger", "reconcile", held["id"], "lots").code == 1
    assert ogam("ledger", "reconcile", held["id"]).code == 2
    done = ogam("ledger", "reconcile", held["id"], "1.25")
    assert done.out == f"{held['id']}\tsettled\t$1.25\n"
    assert "Nothing waits" in done.err
    assert ogam("ledger", "reconcile", held["id"], "1.25").code == 1
    assert json.loads(ogam("ledger", "check", "--json").out)["right"] is True
    assert json.loads(ogam("usage", "--json").out)["cost"] == "$1.25"


def test_books_that_are_wrong_are_told_and_exit_1(ogam, place):
    async def work(ledger: Ledger) -> None:
        await ledger.set_budget(Budget(id="b", scope="total", period="ever", cap=10**10))

    with_ledger(place, work)
    spend(place)
    import sqlite3

    with sqlite3.connect(place) as database:
        database.execute("UPDATE counters SET settled = settled - 1000000000")
    database.close()
    done = ogam("ledger", "check")
    assert (done.code, "wrong" in done.err) == (1, True)
    assert "$1.50\t$0.50" in done.out


def test_a_route_is_explained_without_being_followed(ogam, tmp_path, monkeypatch):
    (tmp_path / "own.toml").write_text(
        "[routes.generate]\n"
        'over_budget = "next"\n'
        "models = [\n"
        ' { model = "openai/gpt-4o-mini", when = { keys = ["shop"] } },\n'
        ' "elsewhere/unknown-model", "fake" ]\n'
        '[vendors.elsewhere]\nprotocol = "openai"\nurl = "http://127.0.0.1:9"\nkey = "k"\n'
    )
    for one in ("GENERATE", "SEE"):
        monkeypatch.delenv(f"OGAM_ROUTE_{one}")
    monkeypatch.setenv("OGAM_CONFIG", str(tmp_path / "own.toml"))
    ogam("keys", "create", "shop", "--budget", "0.001/day")
    ogam("budget", "set", "5/month")
    ask = ("route", "explain", "generate", "--text", "Hello", "--json")
    found = json.loads(ogam(*ask, "--key", "shop").out)
    paid, unpriced, free = found["tried"]
    # 5 bytes, 16 for the message and 128 for the request; 4,096 tokens to write.
    assert paid["most_nano"] == 149 * 150 + 4096 * 600
    assert {one["budget"][:3]: one["fits"] for one in paid["budgets"]} == {
        "key": False,
        "tot": True,
    }
    assert "OPENAI" in paid["note"].upper()
    assert (unpriced["most"], unpriced["why"]) == (None, "Its price is not known.")
    assert not any(one["fits"] for one in unpriced["budgets"])
    assert free["price"].startswith("free")
    skipped = json.loads(ogam(*ask).out)["skipped"]
    assert [one["why"] for one in skipped] == ["it is for other keys"]

    ogam("keys", "create", "local", "--model", "fake")
    table = ogam("route", "explain", "generate", "--key", "local")
    assert table.out.count("skipped") == 2
    assert "next model that costs nothing" not in table.err
    seen = json.loads(
        ogam("route", "explain", "see", "--model", "builtin", "--feature", "faces",
             "--feature", "objects", "--json").out
    )  # fmt: skip
    assert seen["tried"][0]["model"] == "rapidocr"
    assert ogam("route", "explain", "sing").code == 1


@pytest.mark.parametrize(
    ("asked", "nano"),
    [
        (("translate", "--model", "deepl", "--characters", "1000"), 25_000_000),
        (("speak", "--model", "openai/tts-1", "--text", "Hi"), 30_000),
        (("see", "--model", "google_vision", "--feature", "text"), 1_500_000),
        (("transcribe", "--model", "openai/whisper-1", "--seconds", "90.2"), 9_100_000),
        (("embed", "--model", "openai/text-embedding-3-small"), 20 * (1 + 8 + 128)),
    ],
)
def test_the_most_that_a_call_costs(ogam, asked, nano):
    (one,) = json.loads(ogam("route", "explain", *asked, "--json").out)["tried"]
    assert one["most_nano"] == nano


def test_prices_are_listed(ogam):
    rows = [json.loads(one) for one in ogam("prices", "deepl", "--json").out.splitlines()]
    assert rows[0]["price"] == "$25.00 per 1M characters"
    assert ogam("prices").out.count("\n") > 10
    assert ogam("prices", "nobody").code == 1


def test_times_and_amounts():
    assert periods.milliseconds("2w") == 14 * 86_400_000
    assert books.per_period("0.5/day") == (500_000_000, "day")
    assert periods.moment("1970-01-02") == 86_400_000
    for wrong in ("", "d", "1.5d", "-1d", "1y"):
        with pytest.raises(InvalidRequestError):
            periods.milliseconds(wrong)


def test_the_settings_in_the_page_about_all_this_are_right(tmp_path, monkeypatch):
    from ogam import config

    page = Path(__file__).parents[2] / "docs" / "gateway.md"
    for number, body in enumerate(re.findall(r"```toml\n(.*?)```", page.read_text(), re.DOTALL)):
        file = tmp_path / f"{number}.toml"
        file.write_text(body)
        monkeypatch.setenv("OGAM_CONFIG", str(file))
        assert config.load()

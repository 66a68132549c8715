"""The books over HTTP: sums, budgets and keys, to those whom they concern."""

from __future__ import annotations

import time

import pytest

from ogam.capabilities.base import Units
from ogam.gateway.keys import hash_key
from ogam.gateway.ledger import Budget, Hold, Row, Settlement, StoredKey

OWN, BLOG = "the-operators", "the-blogs"
NANO = 1_000_000_000
PAGES = ("/v1/usage", "/v1/budgets", "/v1/keys")


def bearer(key):
    return {"authorization": f"Bearer {key}"}


def spend(running, key, cost, *, day=0, model="acme/writer", number=0):
    """One call that was made so many days ago."""
    at = time.time_ns() // 1_000_000 - day * 86_400_000
    call = f"{key}-{day}-{number}"
    where = {"capability": "generate", "model": model, "key": key, "at": at}

    async def work():
        ledger = await running.server.gateway.spending.open()
        hold = Hold(id=f"h-{call}", call=call, vendor="acme", bound=cost, sent=True, **where)
        await ledger.hold(hold)
        row = Row(id=call, engine="acme", protocol="openai", units=Units(input_tokens=7), **where)
        ledger.settle(row, [Settlement(hold=hold.id, cost=cost)])

    running.call(work())


def ledger_key(running, name, secret, **more):
    """A key of the ledger that is in force."""

    async def work():
        ledger = await running.server.gateway.spending.open()
        await ledger.add_key(
            StoredKey(id=name, name=f"the {name}", hash=hash_key(secret), created=1, **more)
        )
        running.server._keys.take(await ledger.keys())

    running.call(work())


def test_calls_are_summed_as_they_are_asked_for(serving):
    server = serving()
    server.http.post("/v1/embeddings", json={"model": "fake", "input": "three small words"})
    spend(server, "", NANO // 4)
    spend(server, "", NANO, day=3, model="acme/other")
    got = server.http.get("/v1/usage").json()
    assert got["by"] == ["capability"] and got["until"] is None
    rows = {one["capability"]: one for one in got["usage"]}
    assert rows["generate"]["cost"] == "$1.25" and rows["generate"]["input_tokens"] == 14
    assert rows["embed"]["calls"] == 1 and rows["embed"]["cost_nano"] == 0
    both = server.http.get("/v1/usage?by=day,model&by=model&capability=generate").json()
    assert both["by"] == ["day", "model"]
    assert [one["model"] for one in both["usage"]] == ["acme/other", "acme/writer"]
    late = server.http.get("/v1/usage?by=model&since=1d&vendor=acme").json()["usage"]
    assert [one["model"] for one in late] == ["acme/writer"]


@pytest.mark.parametrize(
    "query", ["by=colour", "since=yesterday", "until=2026-13-40", "by=day&since=-1d"]
)
def test_what_cannot_be_summed_is_said(fake, query):
    answer = fake.http.get(f"/v1/usage?{query}")
    assert answer.status_code == 400
    assert answer.json()["error"]["message"]


def test_a_budget_is_set_changed_seen_and_removed(serving):
    http = serving().http
    asked = {"cap": "10", "period": "month"}
    (made,) = http.put("/v1/budgets", json=asked).json()["budgets"]
    assert (made["id"], made["cap"], made["left"]) == ("total/month", "$10.00", "$10.00")
    (changed,) = http.put("/v1/budgets", json={**asked, "cap": "2.50"}).json()["budgets"]
    assert (changed["id"], changed["cap_nano"]) == ("total/month", 5 * NANO // 2)
    narrow = {"cap": "1", "period": "day", "scope": "capability", "subject": "speak"}
    assert len(http.put("/v1/budgets", json=narrow).json()["budgets"]) == 2
    left = http.delete("/v1/budgets", params={"id": "capability:speak/day"}).json()
    assert [one["id"] for one in left["budgets"]] == ["total/month"]
    assert http.delete("/v1/budgets", params={"id": "none"}).status_code == 404
    assert http.delete("/v1/budgets").status_code == 400
    assert http.get("/v1/budgets").json() == left


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[",
        b'"10/month"',
        b'{"cap": "10"}',
        b'{"cap": 10, "period": "month"}',
        b'{"cap": "-1", "period": "month"}',
        b'{"cap": "1", "period": "year"}',
        b'{"cap": "1", "period": "day", "scope": "total", "subject": "x"}',
        b'{"cap": "1", "period": "day", "scope": "capability", "subject": "sing"}',
        b'{"cap": "1", "period": "day", "scope": "key", "subject": "nobody"}',
        b'{"cap": "1", "period": "day", "scope": "vendor", "subject": ""}',
        b'{"cap": "1", "period": "day", "more": 1}',
    ],
)
def test_a_wrong_budget_is_refused_and_not_made(fake, body):
    answer = fake.http.put("/v1/budgets", content=body)
    assert answer.status_code == 400
    assert answer.json()["error"]["message"]
    assert fake.http.get("/v1/budgets").json() == {"budgets": []}


def test_a_budget_of_any_length_is_not_read(fake):
    assert fake.http.put("/v1/budgets", content=b" " * 100_000).status_code == 413


def test_keys_are_shown_without_secrets(serving):
    server = serving(keys=(OWN,))
    ledger_key(server, "blog", BLOG, limits={"concurrent": 2})
    answer = server.http.get("/v1/keys", headers=bearer(OWN))
    (key,) = answer.json()["keys"]
    assert (key["id"], key["name"], key["state"]) == ("blog", "the blog", "active")
    assert key["limits"] == {"concurrent": 2}
    assert BLOG not in answer.text and hash_key(BLOG) not in answer.text


@pytest.mark.parametrize("path", PAGES)
def test_nothing_is_told_without_the_key(serving, path):
    http = serving(keys=(OWN,)).http
    for headers in ({}, bearer("wrong"), {"authorization": f"Basic {OWN}"}):
        answer = http.get(path, headers=headers)
        assert answer.status_code == 401 and set(answer.json()) == {"error"}
    assert http.get(path, headers=bearer(OWN)).status_code == 200


def test_a_key_of_the_ledger_sees_its_own_and_changes_nothing(serving):
    server = serving(keys=(OWN,))
    ledger_key(server, "blog", BLOG)
    ledger_key(server, "shop", "the-shops")
    spend(server, "blog", NANO)
    spend(server, "shop", 2 * NANO)

    async def budgets():
        ledger = await server.server.gateway.spending.open()
        for subject in ("blog", "shop"):
            one = Budget(id=subject, scope="key", subject=subject, period="month", cap=9 * NANO)
            await ledger.set_budget(one)

    server.call(budgets())

    def seen(path, key):
        return server.http.get(path, headers=bearer(key)).json()

    # Also where it asks for another's.
    for path in ("/v1/usage?by=key", "/v1/usage?by=key&key=shop"):
        (own,) = seen(path, BLOG)["usage"]
        assert (own["key"], own["key_name"], own["cost"]) == ("blog", "the blog", "$1.00")
    assert [one["subject"] for one in seen("/v1/budgets", BLOG)["budgets"]] == ["blog"]
    assert [one["id"] for one in seen("/v1/keys", BLOG)["keys"]] == ["blog"]
    assert {one["key"] for one in seen("/v1/usage?by=key", OWN)["usage"]} == {"blog", "shop"}
    wanted = {"cap": "99", "period": "month", "scope": "key", "subject": "blog"}
    assert server.http.put("/v1/budgets", json=wanted, headers=bearer(BLOG)).status_code == 403
    params = {"id": "blog"}
    refused = server.http.delete("/v1/budgets", params=params, headers=bearer(BLOG))
    assert refused.status_code == 403
    assert len(seen("/v1/budgets", OWN)["budgets"]) == 2
    made = server.http.put("/v1/budgets", json=wanted, headers=bearer(OWN)).json()["budgets"]
    assert "key:blog/month" in [one["id"] for one in made]


def test_pages_elsewhere_may_not_change_budgets(fake):
    headers = {"origin": "http://elsewhere.example"}
    body = {"cap": "1", "period": "ever"}
    assert fake.http.put("/v1/budgets", json=body, headers=headers).status_code == 403
    assert fake.http.get("/v1/budgets").json() == {"budgets": []}


def test_no_vendor_has_these_paths(fake):
    from ogam.server.run import protocols

    vendors = {route.path for one in protocols() for route in one.routes}
    assert not vendors & set(PAGES)
    assert set(PAGES) <= set(fake.http.get("/openapi.json").json()["paths"])
    assert fake.http.post("/v1/usage").status_code == 405

"""SDK, Ogam, Ogam as the vendor, engine: bodies that go through, over real sockets."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

from ogam.config import Config, Route, Routes, Server
from ogam.gateway.ledger import Budget
from ogam.vendors import VendorSettings

from .conftest import KEY, Address, running

VENDOR_KEY = "the-vendors-key"


@pytest.fixture(scope="module")
def vendor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Address]:
    every = Routes(**dict.fromkeys(Routes.__struct_fields__, ("fake",)))
    own = Server(keys=(VENDOR_KEY,), data=str(tmp_path_factory.mktemp("vendor")))
    with running(Config(routes=every, server=own), grpc=False) as address:
        yield address


@pytest.fixture(scope="module")
def gateway(vendor: Address, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Address]:
    config = Config(
        routes=Routes(
            generate=("openai/*", "openai/gpt-4o-mini"),
            embed=("openai/text-embedding-3-small",),
        ),
        names={
            "cheap": Route(models=("openai/gpt-4o-mini", "fake"), over_budget="next"),
            "gone": Route(models=("dead/x", "fake"), retries=0),
            "kept": Route(models=("openai/gpt-4o-mini",), record=True, redact=("some",)),
        },
        vendors={
            "openai": VendorSettings(url=f"{vendor.http}/v1", key=VENDOR_KEY),
            "dead": VendorSettings(protocol="openai", url="http://127.0.0.1:9/v1", key="k"),
        },
        server=Server(keys=(KEY,), data=str(tmp_path_factory.mktemp("data"))),
    )
    with running(config, grpc=False) as address:
        yield address


@pytest.fixture
def sdk(gateway: Address) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{gateway.http}/v1", api_key=KEY, max_retries=0) as client:
        yield client


def _last(gateway: Address) -> Any:
    """The newest row of the ledger."""
    ledger = gateway.server.gateway.spending

    async def read() -> Any:
        books = await ledger.open()
        await books.flush()
        return (await books.calls(limit=1))[0]

    return asyncio.run_coroutine_threadsafe(read(), gateway.loop).result(10)


def _budget(gateway: Address, cap: int | None) -> None:
    async def change() -> None:
        books = await gateway.server.gateway.spending.open()
        if cap is None:
            await books.remove_budget("b")
        else:
            await books.set_budget(Budget(id="b", scope="total", period="ever", cap=cap))

    asyncio.run_coroutine_threadsafe(change(), gateway.loop).result(10)


MESSAGES: Any = [{"role": "user", "content": "Say something."}]


def test_a_completion_goes_through_and_is_written_down(
    sdk: openai.OpenAI, gateway: Address
) -> None:
    got = sdk.chat.completions.with_raw_response.create(model="gpt-4o-mini", messages=MESSAGES)
    chat = got.parse()
    assert chat.choices[0].message.content
    assert chat.usage
    assert got.headers["x-ogam-engine"] == "openai"
    assert got.headers["x-ogam-model"] == "openai/gpt-4o-mini"
    row = _last(gateway)
    assert (row.protocol, row.status, row.model) == ("openai", "ok", "openai/gpt-4o-mini")
    assert row.units.input_tokens == chat.usage.prompt_tokens
    assert row.units.output_tokens == chat.usage.completion_tokens
    assert row.cost == chat.usage.prompt_tokens * 150 + chat.usage.completion_tokens * 600


def test_a_stream_goes_through_and_its_usage_is_seen_by_the_ledger_alone(
    sdk: openai.OpenAI, gateway: Address
) -> None:
    with sdk.chat.completions.create(model="gpt-4o-mini", messages=MESSAGES, stream=True) as stream:
        chunks = list(stream)
    assert all(one.choices for one in chunks)
    assert "".join(one.choices[0].delta.content or "" for one in chunks)
    assert _last(gateway).units.output_tokens > 0
    with sdk.chat.completions.create(
        model="gpt-4o-mini",
        messages=MESSAGES,
        stream=True,
        stream_options={"include_usage": True},
    ) as stream:
        chunks = list(stream)
    assert chunks[-1].usage
    assert _last(gateway).units.output_tokens == chunks[-1].usage.completion_tokens


def test_responses_completions_and_embeddings_go_through(
    sdk: openai.OpenAI, gateway: Address
) -> None:
    assert sdk.responses.create(model="gpt-4o-mini", input="Hello").output_text
    assert _last(gateway).capability == "generate"
    assert sdk.completions.create(model="gpt-4o-mini", prompt="Hello").choices[0].text
    got = sdk.embeddings.create(model="text-embedding-3-small", input=["a", "b"])
    assert len(got.data) == 2
    row = _last(gateway)
    assert (row.capability, row.model) == ("embed", "openai/text-embedding-3-small")


def test_the_clients_model_goes_through_where_the_route_lets_it(
    sdk: openai.OpenAI, gateway: Address
) -> None:
    sdk.chat.completions.create(model="gpt-4o", messages=MESSAGES)
    assert _last(gateway).model == "openai/gpt-4o"


def test_a_route_keeps_what_goes_through_where_it_says_so(
    sdk: openai.OpenAI, gateway: Address
) -> None:
    def kept() -> Any:
        row = _last(gateway)

        async def read() -> Any:
            books = await gateway.server.gateway.spending.open()
            await books.flush()
            return await books.recorded(row.id)

        return asyncio.run_coroutine_threadsafe(read(), gateway.loop).result(10)

    sdk.chat.completions.create(model="kept", messages=MESSAGES)
    asked, answered = kept()
    assert asked["messages"][0]["content"] == "Say [redacted]thing."
    assert answered["choices"]
    with sdk.chat.completions.create(model="kept", messages=MESSAGES, stream=True) as stream:
        list(stream)
    asked, answered = kept()
    assert asked["stream"] is True
    assert "data: " in answered
    sdk.chat.completions.create(model="gpt-4o-mini", messages=MESSAGES)
    assert kept() is None


def test_what_the_vendor_finds_wrong_is_read_in_its_own_words(
    sdk: openai.OpenAI, gateway: Address
) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        sdk.chat.completions.create(
            model="gpt-4o-mini", messages=MESSAGES, extra_body={"never_heard_of": 1}
        )
    # The vendor (Ogam too) refuses the field, so it arrived there.
    assert "never_heard_of" in str(caught.value)
    row = _last(gateway)
    assert row.cost == 0


def test_a_dead_vendor_is_passed_over_for_the_next_of_the_route(
    sdk: openai.OpenAI, gateway: Address
) -> None:
    got = sdk.chat.completions.with_raw_response.create(model="gone", messages=MESSAGES)
    assert got.headers["x-ogam-engine"] == "fake"
    row = _last(gateway)
    assert [(one.model, one.outcome) for one in row.attempts] == [
        ("dead/x", "failed"),
        ("fake", "answered"),
    ]
    with sdk.chat.completions.create(model="gone", messages=MESSAGES, stream=True) as stream:
        assert "".join(one.choices[0].delta.content or "" for one in stream)


def test_a_spent_budget_is_the_vendors_own_quota_error_and_is_not_sent_again(
    sdk: openai.OpenAI, gateway: Address
) -> None:
    _budget(gateway, 10)
    try:
        with pytest.raises(openai.RateLimitError) as caught:
            sdk.with_options(max_retries=2).chat.completions.create(
                model="gpt-4o-mini", messages=MESSAGES
            )
        assert caught.value.type == "insufficient_quota"
        assert caught.value.response.headers["x-should-retry"] == "false"
        got = sdk.chat.completions.with_raw_response.create(model="cheap", messages=MESSAGES)
        assert got.headers["x-ogam-engine"] == "fake"
    finally:
        _budget(gateway, None)


def test_what_has_no_provable_cost_is_refused_under_a_budget(
    sdk: openai.OpenAI, gateway: Address
) -> None:
    picture: Any = [
        {
            "role": "user",
            "content": [{"type": "image_url", "image_url": {"url": "https://example.org/a.png"}}],
        }
    ]
    _budget(gateway, 10**15)
    try:
        with pytest.raises(openai.RateLimitError) as caught:
            sdk.chat.completions.create(model="gpt-4o-mini", messages=picture)
        assert "not known" in str(caught.value)
    finally:
        _budget(gateway, None)


def test_duplicate_names_in_a_body_are_refused(gateway: Address) -> None:
    body = json.dumps({"model": "gpt-4o-mini", "messages": MESSAGES, "n": 1})[:-1] + ', "n": 99}'
    got = httpx.post(
        f"{gateway.http}/v1/chat/completions",
        content=body,
        headers={"authorization": f"Bearer {KEY}", "content-type": "application/json"},
    )
    assert got.status_code == 400


def test_the_vendor_gets_its_own_key_and_the_client_never_sees_it(
    sdk: openai.OpenAI, gateway: Address
) -> None:
    got = sdk.chat.completions.with_raw_response.create(model="gpt-4o-mini", messages=MESSAGES)
    assert VENDOR_KEY not in str(dict(got.headers)) + got.text


def test_a_client_may_not_name_a_vendor_that_no_route_names(
    gateway: Address, tmp_path: Path
) -> None:
    every = Routes(generate=("fake",))
    config = Config(routes=every, server=Server(keys=(KEY,), data=str(tmp_path)))
    with (
        running(config, grpc=False) as closed,
        openai.OpenAI(base_url=f"{closed.http}/v1", api_key=KEY, max_retries=0) as client,
        pytest.raises(openai.NotFoundError),
    ):
        client.chat.completions.create(model="openai/gpt-4o", messages=MESSAGES)

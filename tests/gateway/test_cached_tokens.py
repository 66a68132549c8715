"""Tokens that a vendor read from its cache: set aside in full, and paid at the cheaper price."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any, NamedTuple

import httpx
import msgspec
import pytest

from ogam.capabilities.base import Units
from ogam.config import Config, Routes, Server
from ogam.vendors import VendorSettings

from ..protocols.conftest import KEY, Address, running
from .test_faults import Vendor, holds, rows

# gpt-4o-mini's, in nano-dollars a token.
IN, CACHED, OUT = 150, 75, 600
READ, WROTE, MOST = 2000, 30, 50
MESSAGES = [{"role": "user", "content": "long " * 2000}]
CHAT = {
    "id": "c",
    "object": "chat.completion",
    "created": 1,
    "model": "gpt-4o-mini",
    "choices": [
        {"index": 0, "message": {"role": "assistant", "content": "Yes."}, "finish_reason": "stop"}
    ],
}
CHUNK = {
    **CHAT,
    "object": "chat.completion.chunk",
    "choices": [{"index": 0, "delta": {"content": "Yes."}, "finish_reason": "stop"}],
}
RESPONSE = {
    "id": "r",
    "object": "response",
    "created_at": 1,
    "model": "gpt-4o-mini",
    "status": "completed",
    "output": [
        {
            "type": "message",
            "id": "m",
            "role": "assistant",
            "status": "completed",
            "content": [{"type": "output_text", "text": "Yes.", "annotations": []}],
        }
    ],
}


class Setup(NamedTuple):
    vendor: Vendor
    address: Address


@pytest.fixture(scope="module")
def setup(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Setup]:
    vendor = Vendor()
    config = Config(
        routes=Routes(generate=("openai/gpt-4o-mini",)),
        vendors={"openai": VendorSettings(url=f"http://127.0.0.1:{vendor.port}/v1", key="k")},
        server=Server(keys=(KEY,), data=str(tmp_path_factory.mktemp("data"))),
    )
    with running(config, grpc=False) as address:
        yield Setup(vendor, address)
    vendor.close()


def usage(read: str, wrote: str, details: Any) -> dict[str, Any]:
    counts = {f"{read}_tokens": READ, f"{wrote}_tokens": WROTE, "total_tokens": READ + WROTE}
    return {**counts, f"{read}_tokens_details": details}


def answered(setup: Setup, kind: str, details: Any) -> tuple[dict[str, Any], int]:
    """Have the vendor answer with such a usage; the usage as told to the client, and the hold."""
    set_aside: list[int] = []
    if kind == "responses":
        body = {"input": MESSAGES, "max_output_tokens": MOST}
        told = msgspec.json.encode({**RESPONSE, "usage": usage("input", "output", details)})
        path, plain = "/v1/responses", True
    else:
        body = {"messages": MESSAGES, "max_tokens": MOST}
        said = usage("prompt", "completion", details)
        path, plain = "/v1/chat/completions", kind == "chat"
        told = msgspec.json.encode({**CHAT, "usage": said})
        if not plain:
            body |= {"stream": True, "stream_options": {"include_usage": True}}
            last = {**CHUNK, "choices": [], "usage": said}
            events = (msgspec.json.encode(one) for one in ({**CHUNK, "usage": None}, last))
            told = b"".join(b"data: %s\n\n" % one for one in (*events, b"[DONE]"))

    async def answers(writer: Any) -> None:
        kind = "application/json" if plain else "text/event-stream"
        head = f"HTTP/1.1 200 X\r\ncontent-type: {kind}\r\ncontent-length: {len(told)}\r\n\r\n"
        open_holds = await asyncio.to_thread(holds, setup.address)
        set_aside.extend(one.hold.bound or 0 for one in open_holds)
        writer.write(head.encode() + told)

    setup.vendor.does = answers
    got = httpx.post(
        f"{setup.address.http}{path}",
        json={"model": "gpt-4o-mini", **body},
        headers={"authorization": f"Bearer {KEY}"},
        timeout=30,
    )
    assert got.status_code == 200, got.text
    data = got.content
    if not plain:
        data = next(one[6:] for one in reversed(got.content.split(b"\n\n")) if b'"usage":{' in one)
    (bound,) = set_aside
    return msgspec.json.decode(data)["usage"], bound


@pytest.mark.parametrize("kind", ["chat", "stream", "responses"])
@pytest.mark.parametrize(
    ("details", "cached"),
    [
        ({"cached_tokens": 1536}, 1536),
        ({"cached_tokens": READ + 1}, READ),
        ({"cached_tokens": None}, 0),
        (None, 0),
        ({"cached_tokens": "some"}, 0),
    ],
)
def test_they_are_set_aside_in_full_and_paid_as_cached(
    setup: Setup, kind: str, details: Any, cached: int
) -> None:
    told, bound = answered(setup, kind, details)
    row = rows(setup.address)[0]
    assert row.units == Units(input_tokens=READ, output_tokens=WROTE, cached_input_tokens=cached)
    assert row.cost == (READ - cached) * IN + cached * CACHED + WROTE * OUT
    assert holds(setup.address) == []
    # A token has a byte at least.
    assert bound >= len(MESSAGES[0]["content"]) * IN + MOST * OUT
    # The client is told just what the vendor said.
    assert (told.get("prompt_tokens_details") or told.get("input_tokens_details")) == details

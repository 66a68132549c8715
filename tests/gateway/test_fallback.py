"""From vendor to local model and back: what is tried, what it costs, what the caller sees."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from ogam.capabilities.text_generation import GenerateRequest, GenerateResult, TextDelta
from ogam.capabilities.vision import SeeRequest, SeeResult
from ogam.config import Config, Route, Routes, Server, Step
from ogam.errors import (
    BudgetError,
    DeadlineError,
    EngineError,
    InvalidRequestError,
    UnpricedError,
    VendorError,
)
from ogam.gateway.dispatch import Gateway
from ogam.gateway.ledger import Budget
from ogam.media import Image
from ogam.vendors import VendorSettings

from ..protocols.scripted import answer

MODEL = "openai/gpt-4o-mini"
ANSWER = {
    "id": "c",
    "object": "chat.completion",
    "created": 1,
    "model": "gpt-4o-mini",
    "choices": [
        {"index": 0, "message": {"role": "assistant", "content": "Yes."}, "finish_reason": "stop"}
    ],
    "usage": {"prompt_tokens": 4, "completion_tokens": 2, "total_tokens": 6},
}
PIXEL = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c489"
    "0000000d49444154789c6360606060000000050001a5f645400000000049454e44ae426082"
)
# gpt-4o-mini: $0.15 and $0.60 a million tokens.
COST = 4 * 150 + 2 * 600


def _error(status: int, **headers: str) -> bytes:
    said = {"error": {"message": f"no ({status})", "type": "x"}}
    return answer(status, said, **headers)


class Vendor:
    """Speaks what it is told to, once for each request; the last for all that follow."""

    def __init__(self, *replies: bytes | Callable[[asyncio.StreamWriter], Any]) -> None:
        self.replies = list(replies)
        self.bodies: list[dict[str, Any]] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
                length = int(head.partition("content-length: ")[2].split("\r\n")[0])
                self.bodies.append(json.loads(await reader.readexactly(length)))
                reply = self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]
                if isinstance(reply, bytes):
                    writer.write(reply)
                    await writer.drain()
                else:
                    await reply(writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def gateway(folder: Path, vendor: Vendor, route: Route) -> AsyncIterator[Gateway]:
    server = await asyncio.start_server(vendor.serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    url = f"http://127.0.0.1:{port}/v1"
    own = Gateway(
        Config(
            routes=Routes(generate=route),
            server=Server(data=str(folder)),
            vendors={"openai": VendorSettings(url=url, key="k", timeout=5.0)},
        )
    )
    try:
        yield own
    finally:
        await own.aclose()
        server.close()


async def _ask(own: Gateway, **options: Any) -> GenerateResult:
    request = GenerateRequest(prompt="Is it?", **options)
    return await own.answer("generate", request, GenerateResult)


async def _rows(own: Gateway) -> list[Any]:
    ledger = await own.spending.open()
    await ledger.flush()
    return list(await ledger.calls())


async def _held(own: Gateway) -> int:
    ledger = await own.spending.open()
    await ledger.flush()
    return sum(one.hold.bound or 0 for one in await ledger.holds())


def _run(work: Any) -> Any:
    return asyncio.run(work)


def test_an_answer_is_written_down_with_what_it_cost(tmp_path: Path) -> None:
    async def main() -> None:
        vendor = Vendor(answer(200, ANSWER))
        async with gateway(tmp_path, vendor, Route(models=(MODEL,))) as own:
            result = await _ask(own)
            assert (result.choices[0].text, result.model) == ("Yes.", MODEL)
            row = (await _rows(own))[0]
            assert (row.cost, row.status, row.model, row.protocol) == (COST, "ok", MODEL, "library")
            assert [one.outcome for one in row.attempts] == ["answered"]
            assert await _held(own) == 0
        # Without a maximum its cost would have no bound, so one is put in.
        assert 4096 in vendor.bodies[0].values()

    _run(main())


@pytest.mark.parametrize(
    ("reply", "held"),
    [
        (_error(401), False),
        (_error(429), False),
        (_error(500), True),
        (answer(200, b"{wrong"), True),
        (answer(200, {"choices": []}), True),
    ],
)
def test_what_fails_goes_to_the_next_and_keeps_its_hold_where_it_may_be_billed(
    tmp_path: Path, reply: bytes, held: bool
) -> None:
    async def main() -> None:
        route = Route(models=(MODEL, "fake"), retries=0)
        async with gateway(tmp_path, Vendor(reply), route) as own:
            result = await _ask(own)
            assert result.engine == "fake"
            row = (await _rows(own))[0]
            assert [one.outcome for one in row.attempts] == ["failed", "answered"]
            assert (await _held(own) > 0) is held

    _run(main())


def test_a_vendor_that_cannot_be_reached_costs_nothing(tmp_path: Path) -> None:
    async def main() -> None:
        config = Config(
            routes=Routes(generate=Route(models=(MODEL, "fake"), retries=0)),
            server=Server(data=str(tmp_path)),
            vendors={"openai": VendorSettings(url="http://127.0.0.1:9/v1", key="k")},
        )
        own = Gateway(config)
        assert (await _ask(own)).engine == "fake"
        assert await _held(own) == 0
        await own.aclose()

    _run(main())


def test_a_request_at_fault_goes_back_to_the_caller(tmp_path: Path) -> None:
    async def main() -> None:
        route = Route(models=(MODEL, "fake"))
        async with gateway(tmp_path, Vendor(_error(400)), route) as own:
            with pytest.raises(InvalidRequestError):
                await _ask(own)
            assert await _held(own) == 0

    _run(main())


def test_it_is_asked_again_where_that_is_safe(tmp_path: Path) -> None:
    async def main() -> None:
        vendor = Vendor(_error(429, retry_after="0"), answer(200, ANSWER))
        async with gateway(tmp_path, vendor, Route(models=(MODEL,))) as own:
            assert (await _ask(own)).choices[0].text == "Yes."
            row = (await _rows(own))[0]
            assert [one.outcome for one in row.attempts] == ["failed", "answered"]
            assert row.cost == COST

    _run(main())


def test_what_may_have_been_billed_is_not_asked_again(tmp_path: Path) -> None:
    async def main() -> None:
        vendor = Vendor(_error(500))
        async with gateway(tmp_path, vendor, Route(models=(MODEL,), retries=3)) as own:
            with pytest.raises(VendorError):
                await _ask(own)
        assert len(vendor.bodies) == 1

    _run(main())


def test_a_vendor_that_hangs_is_left_at_the_deadline(tmp_path: Path) -> None:
    async def hang(_: asyncio.StreamWriter) -> None:
        await asyncio.sleep(30)

    async def main() -> None:
        route = Route(models=(Step(model=MODEL, timeout=0.2), "fake"))
        async with gateway(tmp_path, Vendor(hang), route) as own:
            assert (await _ask(own)).engine == "fake"
            assert await _held(own) > 0
        route = Route(models=(MODEL, "fake"), timeout=0.2)
        async with gateway(tmp_path, Vendor(hang), route) as own:
            with pytest.raises(DeadlineError):
                await _ask(own)

    _run(main())


def test_after_failures_in_a_row_a_vendor_is_left_alone(tmp_path: Path) -> None:
    async def main() -> None:
        vendor = Vendor(_error(500))
        async with gateway(tmp_path, vendor, Route(models=(MODEL, "fake"), retries=0)) as own:
            for _ in range(8):
                assert (await _ask(own)).engine == "fake"
        assert len(vendor.bodies) == 5

    _run(main())


def test_a_budget_refuses_before_anything_is_sent(tmp_path: Path) -> None:
    async def main() -> None:
        vendor = Vendor(answer(200, ANSWER))
        async with gateway(tmp_path, vendor, Route(models=(MODEL, "fake"))) as own:
            ledger = await own.spending.open()
            await ledger.set_budget(Budget(id="b", scope="total", period="day", cap=1000))
            with pytest.raises(BudgetError):
                await _ask(own)
        assert vendor.bodies == []

    _run(main())


def test_what_a_budget_refuses_goes_on_to_what_costs_nothing_where_the_route_says_so(
    tmp_path: Path,
) -> None:
    async def main() -> None:
        vendor = Vendor(answer(200, ANSWER))
        route = Route(models=(MODEL, "openai/gpt-4o", "fake"), over_budget="next")
        async with gateway(tmp_path, vendor, route) as own:
            ledger = await own.spending.open()
            await ledger.set_budget(
                Budget(id="b", scope="vendor", subject="openai", period="ever", cap=0)
            )
            assert (await _ask(own)).engine == "fake"
        assert vendor.bodies == []

    _run(main())


def test_a_model_without_a_price_is_refused_under_a_budget_and_never_free(tmp_path: Path) -> None:
    async def main() -> None:
        vendor = Vendor(answer(200, ANSWER))
        async with gateway(tmp_path, vendor, Route(models=("openai/no-such-model",))) as own:
            assert (await _ask(own)).choices
            ledger = await own.spending.open()
            await ledger.set_budget(Budget(id="b", scope="total", period="ever", cap=10**12))
            with pytest.raises(UnpricedError):
                await _ask(own)

    _run(main())


def _stream(*texts: str, end: bool = True) -> bytes:
    chunk = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    events = [{**chunk, "choices": [{"index": 0, "delta": {"content": one}}]} for one in texts]
    if end:
        events.append({**chunk, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
        events.append({**chunk, "choices": [], "usage": ANSWER["usage"]})
    body = "".join(f"data: {json.dumps(one)}\n\n" for one in events) + "data: [DONE]\n\n" * end
    return body.encode()


async def _streamed(own: Gateway) -> tuple[str, Any]:
    said, last = "", None
    request = GenerateRequest(prompt="Is it?")
    async for piece in own.stream("generate", (request,), None, live=False):
        if isinstance(piece, TextDelta):
            said += piece.text
        else:
            last = piece
    return said, last


def test_a_stream_is_settled_by_its_end(tmp_path: Path) -> None:
    async def main() -> None:
        reply = answer(200, _stream("Y", "es."), content_type="text/event-stream")
        async with gateway(tmp_path, Vendor(reply), Route(models=(MODEL, "fake"))) as own:
            said, last = await _streamed(own)
            assert (said, last.model) == ("Yes.", MODEL)
            row = (await _rows(own))[0]
            assert row.cost == COST
            assert row.first_ms is not None

    _run(main())


def test_a_stream_that_breaks_after_its_first_piece_is_not_begun_anew(tmp_path: Path) -> None:
    async def cut(writer: asyncio.StreamWriter) -> None:
        body = _stream("Y", "es", end=False)
        head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: 99999\r\n\r\n"
        writer.write(head.encode() + body)
        await writer.drain()
        writer.close()

    async def main() -> None:
        async with gateway(tmp_path, Vendor(cut), Route(models=(MODEL, "fake"))) as own:
            with pytest.raises(VendorError):
                await _streamed(own)
            assert await _held(own) > 0
            row = (await _rows(own))[0]
            assert row.status == "Vendor"
            assert [one.model for one in row.attempts] == [MODEL]

    _run(main())


def test_a_stream_that_fails_before_its_first_piece_goes_to_the_next(tmp_path: Path) -> None:
    async def main() -> None:
        route = Route(models=(MODEL, "fake"), retries=0)
        async with gateway(tmp_path, Vendor(_error(500)), route) as own:
            said, last = await _streamed(own)
            assert said
            assert last.engine == "fake"

    _run(main())


def test_a_caller_who_leaves_a_stream_leaves_its_hold(tmp_path: Path) -> None:
    async def main() -> None:
        reply = answer(200, _stream("Y", "es."), content_type="text/event-stream")
        async with gateway(tmp_path, Vendor(reply), Route(models=(MODEL,))) as own:
            stream = own.stream("generate", (GenerateRequest(prompt="?"),), None, live=False)
            assert isinstance(await anext(stream), TextDelta)
            await stream.aclose()
            assert await _held(own) > 0
            assert (await _rows(own))[0].status == "Abandoned"

    _run(main())


def test_shares_of_one_call_are_all_settled_when_one_of_them_fails(tmp_path: Path) -> None:
    """The broken share ends at once, the vendor's long after it."""

    async def late(writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.3)
        writer.write(answer(200, {"responses": [{"imagePropertiesAnnotation": {}}]}))
        await writer.drain()

    async def main() -> None:
        vendor = Vendor(late)
        server = await asyncio.start_server(vendor.serve, "127.0.0.1", 0)
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        config = Config(
            routes=Routes(see=Route(models=("broken", "google_vision"), retries=0)),
            server=Server(data=str(tmp_path)),
            vendors={"google_vision": VendorSettings(url=url, key="k")},
        )
        own = Gateway(config)
        own.registry._engines["broken"] = _Broken()
        picture = SeeRequest(image=Image(PIXEL), features=("barcodes", "image_properties"))
        with pytest.raises(EngineError):
            await own.answer("see", picture, SeeResult)
        row = (await _rows(own))[0]
        assert sorted(one.model for one in row.attempts) == ["broken", "google_vision"]
        assert row.cost == 1_500_000
        assert await _held(own) == 0
        await own.aclose()
        server.close()

    _run(main())


class _Broken:
    capabilities = frozenset(("see",))
    features = frozenset(("barcodes",))

    def see(self, _: SeeRequest) -> SeeResult:
        raise ValueError("broken")

    def close(self) -> None:
        pass


def test_a_vendors_calls_do_not_wait_in_the_queues_of_engines(tmp_path: Path) -> None:
    """Those are for what this machine works on; a vendor has its connections."""

    async def late(writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.2)
        writer.write(answer(200, ANSWER))
        await writer.drain()

    async def main() -> None:
        vendor = Vendor(late)
        server = await asyncio.start_server(vendor.serve, "127.0.0.1", 0)
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
        config = Config(
            routes=Routes(generate=(MODEL,)),
            server=Server(data=str(tmp_path)),
            vendors={"openai": VendorSettings(url=url, key="k")},
        )
        own = Gateway(config, queue=1)
        answers = await asyncio.gather(*(_ask(own) for _ in range(5)))
        assert [one.choices[0].text for one in answers] == ["Yes."] * 5
        await own.aclose()
        server.close()

    _run(main())

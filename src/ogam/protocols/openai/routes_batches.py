"""Batches: the same handlers that answer a request at once, answering a file of them in time."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any
from weakref import WeakKeyDictionary

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Message

from ogam.errors import EngineError, OgamError, OverloadedError, UnsupportedOptionError
from ogam.gateway import caller
from ogam.gateway.caller import Caller
from ogam.gateway.dispatch import Gateway
from ogam.gateway.keys import Key
from ogam.protocols.openai import (
    errors,
    forms,
    routes_chat,
    routes_completions,
    routes_embeddings,
    routes_responses,
    storage,
)
from ogam.protocols.openai import wire_batches as wire
from ogam.protocols.openai.batches import Answer, Batches
from ogam.protocols.openai.routes_files import owner
from ogam.protocols.openai.wire_files import Page
from ogam.protocols.serving import Call, Protocol, Route, decode, reply

_log = logging.getLogger("ogam.server")
_PAGES = "https://developers.openai.com/api/reference/resources/batches/methods"
_ANSWERING = {
    route.path: route
    for route in (
        *routes_chat.ROUTES,
        *routes_completions.ROUTES,
        *routes_embeddings.ROUTES,
        *routes_responses.ROUTES,
    )
}


async def create(call: Call) -> Response:
    """Begin a batch."""
    body = await call.json(wire.BatchBody)
    return reply(await _batches(call.gateway, call.protocol).create(body, owner(call)))


async def listing(call: Call) -> Response:
    """This key's batches."""
    query = forms.fields(call.request.query_params.multi_items(), wire.BatchesQuery)
    batches = _batches(call.gateway, call.protocol)
    found = await asyncio.to_thread(batches.list, owner(call))
    return reply(storage.page(found, query.after, query.limit))


async def retrieve(call: Call) -> Response:
    """A batch as it stands."""
    batches = _batches(call.gateway, call.protocol)
    return reply(await asyncio.to_thread(batches.get, call.params["id"], owner(call)))


async def cancel(call: Call) -> Response:
    """Stop a batch."""
    batches = _batches(call.gateway, call.protocol)
    return reply(await batches.cancel(call.params["id"], owner(call)))


@asynccontextmanager
async def working(gateway: Gateway, protocol: Protocol) -> AsyncGenerator[None]:
    """While the server runs its batches do: those of its last life too."""
    batches = _batches(gateway, protocol)
    await batches.resume()
    try:
        yield
    finally:
        await batches.close()


_all: WeakKeyDictionary[Gateway, Batches] = WeakKeyDictionary()


def _batches(gateway: Gateway, protocol: Protocol) -> Batches:
    found = _all.get(gateway)
    if found is None:
        place = storage.folder(gateway.config)
        # Half of the threads: whoever asks and waits must not wait behind a batch.
        turns = max(1, gateway.config.threads // 2)
        found = Batches(
            place / "batches", storage.Files(place / "files"), _answering(gateway, protocol), turns
        )
        _all[gateway] = found
    return found


def _answering(gateway: Gateway, protocol: Protocol) -> Answer:
    async def answer(key: str, endpoint: str, body: bytes, identity: str) -> tuple[int, bytes]:
        request = identity
        while True:
            call = Call(
                _request(endpoint, body),
                gateway=gateway,
                protocol=protocol,
                route=_ANSWERING[endpoint],
                params={},
                request_id=identity,
            )
            call.key = Key(id=key)
            caller.bind(Caller(key=call.key, protocol=protocol.name, request=request))
            try:
                if decode(body, _Streamed).stream:
                    raise UnsupportedOptionError("A batch streams nothing.", param="stream")
                response = await call.route.handler(call)
            except OverloadedError as error:
                await asyncio.sleep(error.retry_after)
                request = ""  # what was tried before may be in the ledger under that id
                continue
            except OgamError as error:
                response = errors.failure(error, call)
            except Exception as error:
                _log.exception("a line of a batch failed (request %s)", identity)
                said = EngineError(f"Something failed here: {type(error).__name__}.")
                response = errors.failure(said, call)
            return response.status_code, bytes(response.body)

    return answer


class _Streamed(msgspec.Struct):
    stream: Any = None


def _request(path: str, body: bytes) -> Request:
    """A request with this body, whose client never leaves."""
    messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> Message:
        if messages:
            return messages.pop()
        await asyncio.Event().wait()
        raise AssertionError("nothing sets the event")

    scope = {
        "type": "http",
        "method": "POST",
        "path": path,
        "query_string": b"",
        "headers": [(b"content-type", b"application/json")],
    }
    return Request(scope, receive)


ROUTES = (
    Route(
        method="POST",
        path="/v1/batches",
        handler=create,
        summary="Answer a file of requests in the background.",
        page=f"{_PAGES}/create",
        body=wire.BatchBody,
        reply=wire.Batch,
    ),
    Route(
        method="GET",
        path="/v1/batches",
        handler=listing,
        summary="List the batches.",
        page=f"{_PAGES}/list",
        query=wire.BatchesQuery,
        reply=Page[wire.Batch],
    ),
    Route(
        method="GET",
        path="/v1/batches/{id}",
        handler=retrieve,
        summary="Tell how far a batch is.",
        page=f"{_PAGES}/retrieve",
        reply=wire.Batch,
    ),
    Route(
        method="POST",
        path="/v1/batches/{id}/cancel",
        handler=cancel,
        summary="Stop a batch.",
        page=f"{_PAGES}/cancel",
        reply=wire.Batch,
    ),
)

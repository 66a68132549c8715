"""Responses: an answer as one item, whole or as a stream of typed events, and kept for later."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from itertools import count
from typing import Any
from weakref import WeakKeyDictionary

import msgspec
from starlette.responses import Response

from ogam.capabilities.text_generation import GenerateResult, TextDelta
from ogam.errors import NotFoundError, OgamError, OutputError, UnsupportedOptionError
from ogam.gateway.dispatch import Gateway
from ogam.protocols.openai import convert_responses as convert
from ogam.protocols.openai import errors, forms, passing, storage, structured
from ogam.protocols.openai import wire_responses as wire
from ogam.protocols.openai.responses import Kept, Responses
from ogam.protocols.openai.routes_chat import STREAM_HEADERS
from ogam.protocols.openai.routes_files import owner
from ogam.protocols.openai.wire_files import Page
from ogam.protocols.serving import Call, Route, Stream, begun, event, now, reply

_log = logging.getLogger("ogam.server")
_PAGES = "https://developers.openai.com/api/reference/resources/responses"


async def create(call: Call) -> Response:
    """Answer, whole or as a stream."""
    passed = await passing.through(call, "generate", "responses")
    if passed is not None:
        return passed
    body = await call.json(wire.ResponseBody)
    if not call.gateway.config.server.store:
        if body.store:
            raise UnsupportedOptionError(
                "This server keeps no responses.",
                hint="Leave store out; store = true under [server] in ogam.toml changes it.",
                param="store",
            )
        body = msgspec.structs.replace(body, store=False)
    earlier = await asyncio.to_thread(_earlier, call, body)
    request = convert.generate_request(body, earlier)
    shape = (body.text or {}).get("format")
    writing = structured.wanted(call, body.model, request, shape, "text.format")
    identity, created = secrets.token_hex(12), now()

    async def ended(response: wire.Response, result: GenerateResult) -> wire.Response:
        whole = convert.ended(response, result, identity=identity, completed=now())
        return await _kept(call, body, [*earlier, *convert.given(body, identity)], whole)

    if not body.stream:
        if writing is None:
            result = await call.answer("generate", request, GenerateResult, body.model)
        else:
            result = await call.while_there(structured.whole(writing))
        response = convert.begun(body, identity=identity, created=created, model=result.model)
        return reply(await ended(response, result), result)
    if writing is None:
        pieces = await call.pieces("generate", request, name=body.model)
    else:
        pieces = await call.while_there(begun(writing))
    headers = call.streamed_by("generate", body.model)
    response = convert.begun(
        body, identity=identity, created=created, model=headers["x-ogam-model"]
    )
    numbers = count()
    return Stream(
        _events(pieces, response, convert.item(identity, "in_progress", None), numbers, ended),
        media_type="text/event-stream",
        broken=lambda error: _broken(error, next(numbers)),
        headers={**headers, **STREAM_HEADERS},
    )


async def retrieve(call: Call) -> Response:
    """A response that was kept."""
    query = forms.fields(call.request.query_params.multi_items(), wire.ResponseQuery)
    if query.stream or query.starting_after is not None:
        raise UnsupportedOptionError(
            "A response that is over is not streamed again.",
            hint="Leave stream out.",
            param="stream" if query.stream else "starting_after",
        )
    kept = await asyncio.to_thread(_store(call.gateway).get, call.params["id"], owner(call))
    return reply(kept.response)


async def delete(call: Call) -> Response:
    """Forget a response."""
    identity = call.params["id"]
    await asyncio.to_thread(_store(call.gateway).delete, identity, owner(call))
    return reply(wire.ResponseDeleted(id=identity))


async def cancel(call: Call) -> Response:
    """Only what works in the background can be cancelled, and nothing here does."""
    await asyncio.to_thread(_store(call.gateway).get, call.params["id"], owner(call))
    raise UnsupportedOptionError(
        "Only a response in the background can be cancelled.",
        hint="Close the connection to stop one that is being made.",
    )


async def input_items(call: Call) -> Response:
    """What stood before a response's answer, of earlier responses too."""
    query = forms.fields(call.request.query_params.multi_items(), wire.ItemsQuery)
    kept = await asyncio.to_thread(_store(call.gateway).get, call.params["id"], owner(call))
    found = kept.items if query.order == "asc" else kept.items[::-1]
    return reply(storage.page(found, query.after, query.limit))


_all: WeakKeyDictionary[Gateway, Responses] = WeakKeyDictionary()


def _store(gateway: Gateway) -> Responses:
    found = _all.get(gateway)
    if found is None:
        found = _all[gateway] = Responses(storage.folder(gateway.config) / "responses")
    return found


def _earlier(call: Call, body: wire.ResponseBody) -> list[wire.Item]:
    """What was said up to the previous response's end; its instructions are not carried over."""
    previous = body.previous_response_id
    if previous is None:
        return []
    try:
        kept = _store(call.gateway).get(previous, owner(call))
    except NotFoundError:
        raise errors.PreviousResponseError(
            f"Previous response with id {previous[:80]!r} not found.",
            hint="Send the whole conversation as input.",
            param="previous_response_id",
        ) from None
    return [*kept.items, *convert.answered(kept.response)]


async def _kept(
    call: Call, body: wire.ResponseBody, items: list[wire.Item], response: wire.Response
) -> wire.Response:
    """The same response once it is kept, where it is to be."""
    if response.store:
        kept = Kept(response=response, items=items)
        try:
            await asyncio.to_thread(_store(call.gateway).keep, kept, owner(call))
        except OutputError as error:
            if body.store:
                raise
            # Who did not ask for it wants the answer all the same.
            _log.error("response %s is not kept: %s", response.id, error)
            return msgspec.structs.replace(response, store=False)
    return response


async def _events(
    pieces: AsyncGenerator[Any],
    response: wire.Response,
    begun: wire.OutputMessage,
    numbers: count[int],
    ended: Callable[[wire.Response, GenerateResult], Awaitable[wire.Response]],
) -> AsyncGenerator[bytes]:
    name = begun.id

    async with aclosing(pieces):
        yield _told(wire.Created(sequence_number=next(numbers), response=response))
        yield _told(wire.InProgress(sequence_number=next(numbers), response=response))
        yield _told(wire.ItemAdded(sequence_number=next(numbers), item=begun))
        empty = wire.OutputText(text="")
        yield _told(wire.PartAdded(sequence_number=next(numbers), item_id=name, part=empty))
        async for piece in pieces:
            if isinstance(piece, TextDelta):
                more = wire.TextAdded(sequence_number=next(numbers), item_id=name, delta=piece.text)
                yield _told(more)
            elif isinstance(piece, GenerateResult):
                for last in _ending(await ended(response, piece), numbers):
                    yield _told(last)


def _ending(response: wire.Response, numbers: count[int]) -> list[wire.ResponseEvent]:
    (item,) = response.output
    (part,) = item.content
    last = wire.Completed if response.status == "completed" else wire.Incompleted
    return [
        wire.TextDone(sequence_number=next(numbers), item_id=item.id, text=part.text),
        wire.PartDone(sequence_number=next(numbers), item_id=item.id, part=part),
        wire.ItemDone(sequence_number=next(numbers), item=item),
        last(sequence_number=next(numbers), response=response),
    ]


def _told(one: wire.ResponseEvent) -> bytes:
    return event(one, str(one.__struct_config__.tag))


def _broken(error: OgamError, number: int) -> bytes:
    said = errors.body(error)[1]["error"]
    return _told(
        wire.Failed(
            sequence_number=number,
            message=said["message"],
            code=said["code"] or said["type"],
            param=said["param"],
        )
    )


ROUTES = (
    Route(
        method="POST",
        path="/v1/responses",
        handler=create,
        summary="Answer an input.",
        page=f"{_PAGES}/methods/create",
        body=wire.ResponseBody,
        reply=wire.Response,
        media=("text/event-stream",),
    ),
    Route(
        method="GET",
        path="/v1/responses/{id}",
        handler=retrieve,
        summary="Get a response that was kept.",
        page=f"{_PAGES}/methods/retrieve",
        query=wire.ResponseQuery,
        reply=wire.Response,
    ),
    Route(
        method="DELETE",
        path="/v1/responses/{id}",
        handler=delete,
        summary="Delete a response.",
        page=f"{_PAGES}/methods/delete",
        reply=wire.ResponseDeleted,
    ),
    Route(
        method="POST",
        path="/v1/responses/{id}/cancel",
        handler=cancel,
        summary="Refused: no response is made in the background.",
        page=f"{_PAGES}/methods/cancel",
        reply=wire.Response,
    ),
    Route(
        method="GET",
        path="/v1/responses/{id}/input_items",
        handler=input_items,
        summary="List what a response answers.",
        page=f"{_PAGES}/subresources/input_items/methods/list",
        query=wire.ItemsQuery,
        reply=Page[wire.Item],
    ),
)

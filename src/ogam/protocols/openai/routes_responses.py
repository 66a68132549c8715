"""Responses: an answer as one item, whole or as a stream of typed events. Nothing is kept."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from itertools import count
from typing import Any

from starlette.responses import Response

from ogam.capabilities.text_generation import GenerateResult, TextDelta
from ogam.errors import OgamError
from ogam.protocols.openai import convert_responses as convert
from ogam.protocols.openai import errors, passing, structured
from ogam.protocols.openai import wire_responses as wire
from ogam.protocols.openai.routes_chat import STREAM_HEADERS
from ogam.protocols.serving import Call, Route, Stream, begun, event, now, reply


async def create(call: Call) -> Response:
    """Answer, whole or as a stream."""
    passed = await passing.through(call, "generate", "responses")
    if passed is not None:
        return passed
    body = await call.json(wire.ResponseBody)
    request = convert.generate_request(body)
    shape = (body.text or {}).get("format")
    writing = structured.wanted(call, body.model, request, shape, "text.format")
    created = now()
    if not body.stream:
        if writing is None:
            result = await call.answer("generate", request, GenerateResult, body.model)
        else:
            result = await call.while_there(structured.whole(writing))
        response = convert.begun(body, identity=call.id, created=created, model=result.model)
        whole = convert.ended(response, result, identity=call.id, completed=now())
        return reply(whole, result)
    if writing is None:
        pieces = await call.pieces("generate", request, name=body.model)
    else:
        pieces = await call.while_there(begun(writing))
    headers = call.streamed_by("generate", body.model)
    response = convert.begun(body, identity=call.id, created=created, model=headers["x-ogam-model"])
    numbers = count()
    return Stream(
        _events(pieces, response, call.id, numbers),
        media_type="text/event-stream",
        broken=lambda error: _broken(error, next(numbers)),
        headers={**headers, **STREAM_HEADERS},
    )


async def _events(
    pieces: AsyncGenerator[Any], response: wire.Response, identity: str, numbers: count[int]
) -> AsyncGenerator[bytes]:
    begun = convert.item(identity, "in_progress", None)
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
                whole = convert.ended(response, piece, identity=identity, completed=now())
                for last in _ending(whole, numbers):
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
        page="https://developers.openai.com/api/reference/resources/responses/methods/create",
        body=wire.ResponseBody,
        reply=wire.Response,
    ),
)

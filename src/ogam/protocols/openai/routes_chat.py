"""Chat completions. The hot path: what stands around the engine is measured by
``benchmarks/openai_chat.py``.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from msgspec import UNSET, UnsetType
from starlette.responses import Response

from ogam.capabilities.text_generation import GenerateResult, TextDelta
from ogam.protocols.openai import convert, errors, passing, structured
from ogam.protocols.openai.wire import Usage
from ogam.protocols.openai.wire_chat import Chat, ChatBody, Chunk, ChunkChoice, Delta
from ogam.protocols.serving import Call, Route, Stream, begun, event, now, reply

DONE = b"data: [DONE]\n\n"
# A proxy in between must not hold events back.
STREAM_HEADERS = {"cache-control": "no-cache", "x-accel-buffering": "no"}


async def create(call: Call) -> Response:
    """Answer a conversation, whole or as a stream."""
    passed = await passing.through(call, "generate", "chat/completions")
    if passed is not None:
        return passed
    body = await call.json(ChatBody)
    request = convert.chat_request(body)
    writing = structured.wanted(call, body.model, request, body.response_format, "response_format")
    identity = f"chatcmpl-{call.id}"
    if not body.stream:
        if writing is None:
            result = await call.answer("generate", request, GenerateResult, body.model)
        else:
            result = await call.while_there(structured.whole(writing))
        return reply(convert.chat_reply(result, identity=identity, created=now()), result)
    if writing is None:
        pieces = await call.pieces("generate", request, name=body.model)
    else:
        pieces = await call.while_there(begun(writing))
    headers = call.streamed_by("generate", body.model)
    told = body.stream_options is not None and bool(body.stream_options.include_usage)
    return Stream(
        _chunks(pieces, identity, headers["x-ogam-model"], n=request.n, told=told),
        media_type="text/event-stream",
        broken=errors.broken,
        headers={**headers, **STREAM_HEADERS},
    )


async def _chunks(
    pieces: AsyncGenerator[Any], identity: str, model: str, *, n: int, told: bool
) -> AsyncGenerator[bytes]:
    created = now()
    # With include_usage every chunk has the field, and the last its value.
    usage: UnsetType | None = None if told else UNSET

    def chunk(choices: list[ChunkChoice], spent: Usage | UnsetType | None = usage) -> bytes:
        return event(Chunk(id=identity, created=created, model=model, choices=choices, usage=spent))

    async with aclosing(pieces):
        for index in range(n):
            first = Delta(role="assistant", content="", refusal=None)
            yield chunk([ChunkChoice(index=index, delta=first)])
        async for piece in pieces:
            if isinstance(piece, TextDelta):
                yield chunk([ChunkChoice(index=piece.index, delta=Delta(content=piece.text))])
            elif isinstance(piece, GenerateResult):
                for index, one in enumerate(piece.choices):
                    end = ChunkChoice(index=index, delta=Delta(), finish_reason=one.finish_reason)
                    yield chunk([end])
                if told:
                    yield chunk([], convert.usage((piece,)))
    yield DONE


ROUTES = (
    Route(
        method="POST",
        path="/v1/chat/completions",
        handler=create,
        summary="Answer a conversation.",
        page="https://developers.openai.com/api/reference/resources/chat/subresources/completions/methods/create",
        body=ChatBody,
        reply=Chat,
        media=("text/event-stream",),
    ),
)

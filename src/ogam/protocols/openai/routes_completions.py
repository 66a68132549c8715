"""Completions: a text continued, or several."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from msgspec import UNSET, UnsetType
from starlette.responses import Response

from ogam.capabilities.text_generation import GenerateRequest, GenerateResult, TextDelta
from ogam.protocols.openai import convert, errors, passing
from ogam.protocols.openai.routes_chat import DONE, STREAM_HEADERS
from ogam.protocols.openai.wire import Usage
from ogam.protocols.openai.wire_completions import Completion, CompletionBody, CompletionChoice
from ogam.protocols.serving import Call, Route, Stream, event, now, reply


async def create(call: Call) -> Response:
    """Continue each prompt, whole or as a stream of one prompt after the other."""
    passed = await passing.through(call, "generate", "completions")
    if passed is not None:
        return passed
    body = await call.json(CompletionBody)
    requests = convert.completion_requests(body)
    identity = f"cmpl-{call.id}"
    if not body.stream:
        results = await _all(call, requests, body.model)
        choices = convert.completion_choices(requests, results, echo=bool(body.echo))
        whole = Completion(
            id=identity,
            created=now(),
            model=results[0].model,
            choices=choices,
            usage=convert.usage(results),
        )
        return reply(whole, results[0])
    first = await call.pieces("generate", requests[0], name=body.model)
    headers = call.streamed_by("generate", body.model)
    return Stream(
        _chunks(
            call, body, requests, first=first, identity=identity, model=headers["x-ogam-model"]
        ),
        media_type="text/event-stream",
        broken=errors.broken,
        headers={**headers, **STREAM_HEADERS},
    )


async def _all(call: Call, requests: list[GenerateRequest], model: str) -> list[GenerateResult]:
    """All answers; where one fails the others are stopped."""
    tasks = [
        asyncio.ensure_future(call.answer("generate", one, GenerateResult, model))
        for one in requests
    ]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()


async def _chunks(
    call: Call,
    body: CompletionBody,
    requests: list[GenerateRequest],
    *,
    first: AsyncGenerator[Any],
    identity: str,
    model: str,
) -> AsyncGenerator[bytes]:
    created = now()
    told = body.stream_options is not None and bool(body.stream_options.include_usage)
    usage: UnsetType | None = None if told else UNSET
    results: list[GenerateResult] = []

    def chunk(choices: list[CompletionChoice], spent: Usage | UnsetType | None = usage) -> bytes:
        return event(
            Completion(id=identity, created=created, model=model, choices=choices, usage=spent)
        )

    for at, request in enumerate(requests):
        base = at * request.n
        pieces = first if at == 0 else await call.pieces("generate", request, name=body.model)
        async with aclosing(pieces):
            for index in range(base, base + request.n) if body.echo else ():
                yield chunk([CompletionChoice(index=index, text=request.prompt)])
            async for piece in pieces:
                if isinstance(piece, TextDelta):
                    yield chunk([CompletionChoice(index=base + piece.index, text=piece.text)])
                elif isinstance(piece, GenerateResult):
                    results.append(piece)
                    for index, one in enumerate(piece.choices, base):
                        end = CompletionChoice(
                            index=index, text="", finish_reason=one.finish_reason
                        )
                        yield chunk([end])
    if told:
        yield chunk([], convert.usage(results))
    yield DONE


ROUTES = (
    Route(
        method="POST",
        path="/v1/completions",
        handler=create,
        summary="Continue a text.",
        page="https://developers.openai.com/api/reference/resources/completions/methods/create",
        body=CompletionBody,
        reply=Completion,
        media=("text/event-stream",),
    ),
)

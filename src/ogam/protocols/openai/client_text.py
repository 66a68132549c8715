"""Chats, embeddings and moderations, asked of a vendor."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import TypeVar

import msgspec

from ogam.capabilities.base import Units
from ogam.capabilities.classification import Classification, ClassifyRequest, ClassifyResult
from ogam.capabilities.embedding import EmbedRequest, EmbedResult, Vectors
from ogam.capabilities.text_generation import (
    Choice,
    GenerateRequest,
    GenerateResult,
    TextDelta,
)
from ogam.errors import OgamError, VendorError
from ogam.protocols.openai import convert, convert_embeddings, convert_replies
from ogam.protocols.openai import wire_replies as wire
from ogam.protocols.openai.client_api import Api

_CHAT = "/chat/completions"
# A longer body is read in a thread: 2,048 vectors of 1,536 numbers are 17 MB, and 60 ms.
_LONG = 500_000
T = TypeVar("T")


async def generate(api: Api, request: GenerateRequest) -> GenerateResult:
    """All answers, whole."""
    body = convert.vendor_chat(request, api.model, own=api.own)
    reply = await api.post(_CHAT, msgspec.json.encode(body))
    chat = api.read(reply.body, wire.Chat)
    try:
        choices = convert_replies.choices(chat, request.n)
    except ValueError as error:
        raise api.unreadable(error) from None
    return _generated(api, request, choices, chat.usage)


async def generate_stream(
    api: Api, request: GenerateRequest
) -> AsyncGenerator[TextDelta | GenerateResult]:
    """The pieces of all answers as they come, and the result last.

    It is whole where the vendor says so, by ``[DONE]`` or by the reason why each answer ended.
    """
    body = convert.vendor_chat(request, api.model, own=api.own, stream=True)
    texts: dict[int, list[str]] = {}
    reasons: dict[int, str] = {}
    usage: wire.Usage | None = None
    done = False
    async with aclosing(api.events(_CHAT, msgspec.json.encode(body), wire.Chat)) as events:
        async for event in events:
            if event is None:
                done = True
                break
            usage = event.usage or usage
            for piece in event.choices or ():
                texts.setdefault(piece.index, [])
                if piece.finish_reason:
                    reasons[piece.index] = piece.finish_reason
                text = convert_replies.answered(piece.delta) if piece.delta else ""
                if text:
                    texts[piece.index].append(text)
                    yield TextDelta(text=text, index=piece.index)
    if not done and len(reasons) < request.n:
        raise api.cut()
    if sorted(texts) != list(range(request.n)):
        raise api.unreadable(f"it holds {len(texts)} of {request.n} answers")
    choices = tuple(
        convert_replies.choice("".join(texts[index]), reasons.get(index))
        for index in range(request.n)
    )
    yield _generated(api, request, choices, usage)


def _generated(
    api: Api, request: GenerateRequest, choices: tuple[Choice, ...], usage: wire.Usage | None
) -> GenerateResult:
    return GenerateResult(
        engine=api.ref.engine,
        model=api.ref.name,
        units=convert_replies.chat_units(usage, request, choices),
        choices=choices,
    )


async def embed(api: Api, request: EmbedRequest) -> EmbedResult:
    """A vector for each text, in as many requests as the vendor's limits want."""
    units = Units()
    found: list[Vectors] = []
    for part in convert_embeddings.batches(request.texts):
        asked = msgspec.structs.replace(request, texts=part)
        body = convert_embeddings.embeddings_body(asked, api.model)
        reply = await _part(api, "/embeddings", body, wire.Embeddings, begun=bool(found))
        try:
            vectors = await asyncio.to_thread(
                convert_replies.vectors, reply, len(part), request.dimensions
            )
        except ValueError as error:
            raise api.unreadable(error) from None
        if found and vectors.dimensions != found[0].dimensions:
            raise api.unreadable("its vectors differ in length")
        found.append(vectors)
        told = convert_replies.told(reply.usage) if reply.usage else None
        units += told or Units(input_tokens=convert_replies.tokens_at_most(part))
    return EmbedResult(
        engine=api.ref.engine,
        model=api.ref.name,
        units=units,
        vectors=Vectors(data=b"".join(one.data for one in found), dimensions=found[0].dimensions),
        tokens=(units.input_tokens,) if len(request.texts) == 1 else (),
    )


async def classify(api: Api, request: ClassifyRequest) -> ClassifyResult:
    """The 13 categories of a moderation model, each with a score of its own; nothing is billed."""
    found: list[Classification] = []
    for part in convert_embeddings.batches(request.texts):
        asked = msgspec.structs.replace(request, texts=part)
        body = convert_embeddings.moderations_body(asked, api.model)
        reply = await _part(api, "/moderations", body, wire.Moderations, begun=False)
        try:
            found += convert_replies.classifications(reply, len(part))
        except ValueError as error:
            raise api.unreadable(error) from None
    return ClassifyResult(
        engine=api.ref.engine,
        model=api.ref.name,
        units=Units(),
        classifications=tuple(found),
    )


async def _part(api: Api, path: str, body: msgspec.Struct, kind: type[T], *, begun: bool) -> T:
    """One request of several. Once one has been billed, no failure may look as if none was."""
    try:
        reply = await api.post(path, msgspec.json.encode(body))
    except OgamError as error:
        if not begun:
            raise
        # Without the status, which would say that nothing was.
        raise VendorError(
            f"{api.vendor.name} failed after it answered for the first texts: {error.message}"
        ) from error
    if len(reply.body) > _LONG:
        return await asyncio.to_thread(api.read, reply.body, kind)
    return api.read(reply.body, kind)

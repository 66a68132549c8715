"""Embeddings, and moderations, which compare a text with what is harmful."""

from __future__ import annotations

from starlette.responses import Response

from ogam.capabilities.classification import ClassifyResult
from ogam.capabilities.embedding import EmbedResult
from ogam.protocols.openai import convert_embeddings as convert
from ogam.protocols.openai import passing
from ogam.protocols.openai import wire_embeddings as wire
from ogam.protocols.serving import Call, Route, reply

_PAGES = "https://developers.openai.com/api/reference/resources"


async def embed(call: Call) -> Response:
    """A vector for each text."""
    passed = await passing.through(call, "embed", "embeddings")
    if passed is not None:
        return passed
    body = await call.json(wire.EmbeddingsBody)
    request = convert.embed_request(body)
    result = await call.answer("embed", request, EmbedResult, body.model)
    return reply(convert.embeddings_reply(result, body), result)


async def moderate(call: Call) -> Response:
    """13 scores for each text."""
    passed = await passing.through(call, "classify", "moderations")
    if passed is not None:
        return passed
    body = await call.json(wire.ModerationsBody)
    request = convert.classify_request(body)
    result = await call.answer("classify", request, ClassifyResult, body.model)
    return reply(convert.moderations_reply(result, f"modr-{call.id}"), result)


ROUTES = (
    Route(
        method="POST",
        path="/v1/embeddings",
        handler=embed,
        summary="Turn texts into vectors.",
        page=f"{_PAGES}/embeddings/methods/create",
        body=wire.EmbeddingsBody,
        reply=wire.Embeddings,
    ),
    Route(
        method="POST",
        path="/v1/moderations",
        handler=moderate,
        summary="Tell what in a text may do harm, roughly: nothing here is a moderation model.",
        page=f"{_PAGES}/moderations/methods/create",
        body=wire.ModerationsBody,
        reply=wire.Moderations,
    ),
)

"""What OpenAI's SDK asks for, answered."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from ogam.errors import UnknownModelError
from ogam.protocols.openai import (
    errors,
    routes_audio,
    routes_batches,
    routes_chat,
    routes_completions,
    routes_embeddings,
    routes_files,
    routes_images,
    routes_responses,
    routes_uploads,
    wire,
)
from ogam.protocols.serving import Call, Protocol, Route, reply

_PAGES = "https://developers.openai.com/api/reference/resources"


async def models(call: Call) -> Response:
    """The models of the routes, and the names that the configuration adds."""
    return reply(wire.Models(data=_models(call)))


async def model(call: Call) -> Response:
    """One of them, or a name that leads to one."""
    name = call.params["id"]
    known = {one.id: one for one in _models(call)}
    if name not in known:
        if call.model(name) is None and not name:
            raise UnknownModelError("There is no model without a name.", param="model")
        known[name] = wire.Model(id=name, created=0, owned_by="ogam")
    return reply(known[name])


def _models(call: Call) -> list[wire.Model]:
    config = call.gateway.config
    routes = config.routes
    names = [name for field in routes.__struct_fields__ for name in routes.of(field).names]
    exact = [name for name in config.names if not set(name) & set("*?[")]
    names = [name for name in names if not name.endswith("/*")]
    return [
        wire.Model(id=name, created=0, owned_by="ogam") for name in dict.fromkeys(names + exact)
    ]


def _key(request: Request) -> str | None:
    kind, _, key = request.headers.get("authorization", "").partition(" ")
    return key.strip() if kind.lower() == "bearer" else None


def _speaks(request: Request) -> bool:
    return request.headers.get("user-agent", "").lower().startswith(("openai/", "asyncopenai/"))


PROTOCOL = Protocol(
    name="openai",
    routes=(
        Route(
            method="GET",
            path="/v1/models",
            handler=models,
            summary="List the models.",
            page=f"{_PAGES}/models/methods/list",
            reply=wire.Models,
        ),
        Route(
            method="GET",
            path="/v1/models/{id}",
            handler=model,
            summary="Describe a model.",
            page=f"{_PAGES}/models/methods/retrieve",
            reply=wire.Model,
        ),
        *routes_chat.ROUTES,
        *routes_responses.ROUTES,
        *routes_completions.ROUTES,
        *routes_embeddings.ROUTES,
        *routes_audio.ROUTES,
        *routes_files.ROUTES,
        *routes_uploads.ROUTES,
        *routes_batches.ROUTES,
        *routes_images.ROUTES,
    ),
    key=_key,
    failure=errors.failure,
    speaks=_speaks,
    start=routes_batches.working,
    vendor_names=(
        "gpt-*",
        "ft:*",
        "chatgpt-*",
        "o[0-9]*",
        "davinci-*",
        "babbage-*",
        "text-embedding-*",
        "tts-*",
        "whisper-*",
        "*moderation-*",
    ),
)

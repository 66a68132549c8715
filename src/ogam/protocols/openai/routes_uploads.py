"""Uploads: a file in parts, which stand until it is completed."""

from __future__ import annotations

import asyncio

from starlette.responses import Response

from ogam.protocols.openai import forms, storage
from ogam.protocols.openai import wire_uploads as wire
from ogam.protocols.openai.routes_files import files, owner
from ogam.protocols.openai.uploads import Uploads
from ogam.protocols.serving import Call, Route, reply

_PAGES = "https://developers.openai.com/api/reference/resources/uploads"


async def create(call: Call) -> Response:
    """Begin an upload."""
    body = await call.json(wire.UploadBody)
    return reply(await asyncio.to_thread(_uploads(call).create, body, owner(call)))


async def add(call: Call) -> Response:
    """Keep a part."""
    parts = await call.form()
    try:
        given, file = forms.split(parts, "data")
        forms.fields(given, wire.PartForm)
        made = await asyncio.to_thread(
            _uploads(call).add, call.params["id"], owner(call), file.file
        )
    finally:
        await parts.close()
    return reply(made)


async def complete(call: Call) -> Response:
    """Make a file of the parts."""
    body = await call.json(wire.CompleteBody)
    done = _uploads(call).complete
    return reply(await asyncio.to_thread(done, call.params["id"], owner(call), body))


async def cancel(call: Call) -> Response:
    """Give an upload up."""
    return reply(await asyncio.to_thread(_uploads(call).cancel, call.params["id"], owner(call)))


def _uploads(call: Call) -> Uploads:
    return Uploads(storage.folder(call.gateway.config) / "uploads", files(call))


ROUTES = (
    Route(
        method="POST",
        path="/v1/uploads",
        handler=create,
        summary="Begin a file in parts.",
        page=f"{_PAGES}/methods/create",
        body=wire.UploadBody,
        reply=wire.Upload,
    ),
    Route(
        method="POST",
        path="/v1/uploads/{id}/parts",
        handler=add,
        summary="Leave a part here.",
        page=f"{_PAGES}/subresources/parts/methods/create",
        form=wire.PartForm,
        file="data",
        reply=wire.UploadPart,
    ),
    Route(
        method="POST",
        path="/v1/uploads/{id}/complete",
        handler=complete,
        summary="Make a file of the parts.",
        page=f"{_PAGES}/methods/complete",
        body=wire.CompleteBody,
        reply=wire.Upload,
    ),
    Route(
        method="POST",
        path="/v1/uploads/{id}/cancel",
        handler=cancel,
        summary="Give an upload up.",
        page=f"{_PAGES}/methods/cancel",
        reply=wire.Upload,
    ),
)

"""Files: what a client leaves here, and the outputs of its batches."""

from __future__ import annotations

import asyncio

from starlette.responses import FileResponse, Response

from ogam.protocols.openai import forms, storage
from ogam.protocols.openai import wire_files as wire
from ogam.protocols.serving import Call, Route, reply

_PAGES = "https://developers.openai.com/api/reference/resources/files/methods"


async def create(call: Call) -> Response:
    """Keep a file."""
    parts = await call.form()
    try:
        given, file = forms.split(parts)
        form = forms.fields(given, wire.FileForm)
        expires = form.expires_after
        kept = await asyncio.to_thread(
            files(call).create,
            file.file,
            owner=owner(call),
            filename=file.filename or "upload",
            purpose=form.purpose,
            seconds=None if expires is None else expires.seconds,
        )
    finally:
        await parts.close()
    return reply(kept)


async def listing(call: Call) -> Response:
    """This key's files."""
    query = forms.fields(call.request.query_params.multi_items(), wire.FilesQuery)
    found = await asyncio.to_thread(files(call).list, owner(call))
    if query.purpose:
        found = [one for one in found if one.purpose == query.purpose]
    if query.order == "asc":
        found.reverse()
    return reply(storage.page(found, query.after, query.limit))


async def retrieve(call: Call) -> Response:
    """What is known of a file."""
    return reply(await asyncio.to_thread(files(call).get, call.params["id"], owner(call)))


async def content(call: Call) -> Response:
    """Its bytes."""
    place = await asyncio.to_thread(files(call).path, call.params["id"], owner(call))
    return FileResponse(place, media_type="application/octet-stream")


async def delete(call: Call) -> Response:
    """Forget a file."""
    identity = call.params["id"]
    await asyncio.to_thread(files(call).delete, identity, owner(call))
    return reply(wire.FileDeleted(id=identity))


def files(call: Call) -> storage.Files:
    """The files of this server."""
    return storage.Files(storage.folder(call.gateway.config) / "files")


def owner(call: Call) -> str:
    """Whose they are: the key's, or everyone's where none is needed."""
    return call.key.id if call.key else ""


ROUTES = (
    Route(
        method="POST",
        path="/v1/files",
        handler=create,
        summary="Leave a file here.",
        page=f"{_PAGES}/create",
        form=wire.FileForm,
        file="file",
        reply=wire.File,
    ),
    Route(
        method="GET",
        path="/v1/files",
        handler=listing,
        summary="List the files.",
        page=f"{_PAGES}/list",
        query=wire.FilesQuery,
        reply=wire.Page[wire.File],
    ),
    Route(
        method="GET",
        path="/v1/files/{id}",
        handler=retrieve,
        summary="Describe a file.",
        page=f"{_PAGES}/retrieve",
        reply=wire.File,
    ),
    Route(
        method="GET",
        path="/v1/files/{id}/content",
        handler=content,
        summary="Get a file's bytes.",
        page=f"{_PAGES}/content",
        media=("application/octet-stream",),
    ),
    Route(
        method="DELETE",
        path="/v1/files/{id}",
        handler=delete,
        summary="Delete a file.",
        page=f"{_PAGES}/delete",
        reply=wire.FileDeleted,
    ),
)

"""What Google Cloud Vision's SDK asks for over HTTP, answered."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import msgspec
from starlette.responses import Response

from ogam.errors import InvalidRequestError
from ogam.protocols.google import errors, protojson
from ogam.protocols.google.operations import Operation
from ogam.protocols.google.operations import routes as operation_routes
from ogam.protocols.google_vision import operations, passing, wire, wire_files
from ogam.protocols.google_vision.annotate import MAX_FILES, MAX_IMAGES, MAX_PAYLOAD, Annotator
from ogam.protocols.serving import Call, Protocol, Route, reply

T = TypeVar("T")
_PAGES = "https://cloud.google.com/vision/docs/reference/rest/v1"
# The parents that every method may stand under.
_PARENTS = ("", "/projects/{project}", "/projects/{project}/locations/{location}")


async def annotate_images(call: Call) -> Response:
    """See up to 16 images."""
    data = await _data(call)
    if (passed := await passing.annotated(call, data, passing.IMAGES)) is not None:
        return passed
    body = await _read(data, wire.BatchAnnotateImagesRequest)
    _parent(call, body.parent)
    check_images(body)
    annotator = Annotator(call)
    found = await call.while_there(annotator.images(body.requests))
    return await _reply(wire.BatchAnnotateImagesResponse(responses=found), annotator)


async def annotate_files(call: Call) -> Response:
    """See up to five pages of a file."""
    data = await _data(call)
    if (passed := await passing.annotated(call, data, passing.FILES)) is not None:
        return passed
    body = await _read(data, wire_files.BatchAnnotateFilesRequest)
    _parent(call, body.parent)
    annotator = Annotator(call)
    check_files(body, annotator)
    found = [await call.while_there(annotator.file(one)) for one in body.requests]
    return await _reply(wire_files.BatchAnnotateFilesResponse(responses=found), annotator)


async def annotate_images_later(call: Call) -> Response:
    """Begin to see images; the operation tells when it is done."""
    data = await _data(call)
    if (passed := await passing.annotated(call, data, passing.IMAGES_LATER)) is not None:
        return passed
    body = await _read(data, wire_files.AsyncBatchAnnotateImagesRequest)
    return reply(await operations.images(call, body, _parent(call, body.parent)))


async def annotate_files_later(call: Call) -> Response:
    """Begin to see files; the operation tells when it is done."""
    data = await _data(call)
    if (passed := await passing.annotated(call, data, passing.FILES_LATER)) is not None:
        return passed
    body = await _read(data, wire_files.AsyncBatchAnnotateFilesRequest)
    return reply(await operations.files(call, body, _parent(call, body.parent)))


def check_images(body: wire.BatchAnnotateImagesRequest) -> None:
    """Refuse more than Google takes."""
    if len(body.requests) > MAX_IMAGES:
        raise InvalidRequestError(
            f"Too many images per request: {len(body.requests)}, the limit is {MAX_IMAGES}.",
            param="requests",
        )


def check_files(body: wire_files.BatchAnnotateFilesRequest, annotator: Annotator) -> None:
    """Refuse more than Google takes, and what is wrong about a request itself."""
    if len(body.requests) > MAX_FILES:
        raise InvalidRequestError(
            f"Too many files per request: {len(body.requests)}, the limit is {MAX_FILES}.",
            param="requests",
        )
    for request in body.requests:
        annotator.check_file(request.input_config, request.features)


def check_payload(size: int) -> None:
    """Refuse a larger request than Google takes."""
    if size > MAX_PAYLOAD:
        raise InvalidRequestError(
            f"Request payload size exceeds the limit: {MAX_PAYLOAD} bytes.",
            hint="Send fewer or smaller images at a time.",
        )


async def _read(data: bytes, kind: type[T]) -> T:
    return await asyncio.to_thread(protojson.parse, data, kind)


async def _data(call: Call) -> bytes:
    pieces: list[bytes] = []
    size = 0
    async for piece in call.request.stream():
        size += len(piece)
        # What is too much is still received, and dropped: who is cut off while he sends does
        # not hear why.
        if size <= MAX_PAYLOAD:
            pieces.append(piece)
        else:
            pieces.clear()
    check_payload(size)
    return b"".join(pieces)


def _parent(call: Call, body: str) -> str:
    own = call.params
    path = f"projects/{own['project']}" if "project" in own else ""
    if "location" in own:
        path += f"/locations/{own['location']}"
    return operations.parent_of(path, body)


async def _reply(value: Any, annotator: Annotator) -> Response:
    # A page of 3,000 symbols is 1 MB.
    data = await asyncio.to_thread(msgspec.json.encode, value)
    return reply(data, headers=annotator.headers())


def _methods(
    name: str,
    handler: Callable[[Call], Awaitable[Response]],
    summary: str,
    body: Any,
    answer: Any,
) -> tuple[Route, ...]:
    """One method under each parent."""
    return tuple(
        Route(
            method="POST",
            path=f"/v1{parent}/{name}",
            handler=handler,
            summary=summary,
            page=f"{_PAGES}/{name.replace(':', '/')}",
            body=body,
            reply=answer,
        )
        for parent in _PARENTS
    )


PROTOCOL = Protocol(
    name="google_vision",
    routes=(
        *_methods(
            "images:annotate",
            annotate_images,
            "See what is in images.",
            wire.BatchAnnotateImagesRequest,
            wire.BatchAnnotateImagesResponse,
        ),
        *_methods(
            "images:asyncBatchAnnotate",
            annotate_images_later,
            "Begin to see what is in many images.",
            wire_files.AsyncBatchAnnotateImagesRequest,
            Operation,
        ),
        *_methods(
            "files:annotate",
            annotate_files,
            "See what is on the pages of a PDF, TIFF or GIF.",
            wire_files.BatchAnnotateFilesRequest,
            wire_files.BatchAnnotateFilesResponse,
        ),
        *_methods(
            "files:asyncBatchAnnotate",
            annotate_files_later,
            "Begin to see what is on all pages of files.",
            wire_files.AsyncBatchAnnotateFilesRequest,
            Operation,
        ),
        *operation_routes(*(f"/v1{parent}" for parent in _PARENTS)),
    ),
    key=protojson.key,
    failure=errors.failure,
    speaks=protojson.speaks,
    vendor_names=("builtin/*",),
)

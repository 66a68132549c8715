"""The same over gRPC: google.cloud.vision.v1.ImageAnnotator."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

from ogam.gateway.dispatch import Gateway
from ogam.gateway.keys import Keys
from ogam.protocols.google.grpc import (
    Rpc,
    Unary,
    fields,
    from_message,
    parsed,
)
from ogam.protocols.google.grpc import service as make
from ogam.protocols.google.grpc import types as load
from ogam.protocols.google.grpc_operations import as_message, longrunning
from ogam.protocols.google.protojson import convert
from ogam.protocols.google_vision import operations, passing, wire, wire_files
from ogam.protocols.google_vision.annotate import Annotator
from ogam.protocols.google_vision.routes import PROTOCOL, check_files, check_images, check_payload

T = TypeVar("T")
_SERVICE = "google.cloud.vision.v1.ImageAnnotator"


def services(gateway: Gateway, keys: Keys) -> Sequence[Any]:
    """The handlers (grpc.GenericRpcHandler) of this protocol's services."""
    unary: dict[str, Unary] = {
        "BatchAnnotateImages": _passing(
            passing.IMAGES, _answer(wire.BatchAnnotateImagesRequest, _images)
        ),
        "BatchAnnotateFiles": _passing(
            passing.FILES, _answer(wire_files.BatchAnnotateFilesRequest, _files)
        ),
        "AsyncBatchAnnotateImages": _passing(
            passing.IMAGES_LATER,
            _begin(wire_files.AsyncBatchAnnotateImagesRequest, operations.images),
        ),
        "AsyncBatchAnnotateFiles": _passing(
            passing.FILES_LATER,
            _begin(wire_files.AsyncBatchAnnotateFilesRequest, operations.files),
        ),
    }
    return (
        make(_SERVICE, gateway, keys, PROTOCOL, unary=unary),
        longrunning(gateway, keys, PROTOCOL),
    )


async def _images(rpc: Rpc, body: wire.BatchAnnotateImagesRequest) -> Any:
    operations.parent_of("", body.parent)
    check_images(body)
    found = await Annotator(rpc).images(body.requests)
    return wire.BatchAnnotateImagesResponse(responses=found)


async def _files(rpc: Rpc, body: wire_files.BatchAnnotateFilesRequest) -> Any:
    operations.parent_of("", body.parent)
    annotator = Annotator(rpc)
    check_files(body, annotator)
    found = [await annotator.file(one) for one in body.requests]
    return wire_files.BatchAnnotateFilesResponse(responses=found)


async def _read(data: bytes, kind: type[T]) -> tuple[Any, T]:
    """Google's types, and a message as the wire type of the same name."""
    google = await load("google.cloud.vision_v1.types")

    def read() -> T:
        message = parsed(getattr(google, kind.__name__).pb(), data)
        return convert(from_message(message), kind)

    return google, await asyncio.to_thread(read)


def _passing(method: passing.Method, otherwise: Unary) -> Unary:
    async def answer(rpc: Rpc, data: bytes) -> bytes:
        check_payload(len(data))
        passed = await passing.message(rpc, data, method)
        return await otherwise(rpc, data) if passed is None else passed

    return answer


def _answer(kind: type[T], work: Callable[[Rpc, T], Awaitable[Any]]) -> Unary:
    async def answer(rpc: Rpc, data: bytes) -> bytes:
        google, body = await _read(data, kind)
        found = await work(rpc, body)

        def write() -> bytes:
            message = getattr(google, type(found).__name__).pb()
            return message(**fields(found)).SerializeToString()

        return await asyncio.to_thread(write)

    return answer


def _begin(kind: type[Any], work: Callable[[Rpc, Any, str], Awaitable[Any]]) -> Unary:
    async def answer(rpc: Rpc, data: bytes) -> bytes:
        _, body = await _read(data, kind)
        operation = await work(rpc, body, operations.parent_of("", body.parent))
        return (await as_message(operation)).SerializeToString()

    return answer

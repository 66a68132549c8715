"""Work that goes on after the reply: its results are written to Storage, as Google does.

https://cloud.google.com/vision/docs/reference/rest/v1/images/asyncBatchAnnotate
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from ogam.errors import InvalidRequestError
from ogam.protocols.google import protojson
from ogam.protocols.google.operations import Operation, store
from ogam.protocols.google.storage import Storage
from ogam.protocols.google_vision import wire, wire_files
from ogam.protocols.google_vision.annotate import Annotator, Asker

_TYPES = "type.googleapis.com/google.cloud.vision.v1"
_PARENT = re.compile(r"projects/[^/\s]{1,200}(/locations/[\w-]{1,60})?")
# https://cloud.google.com/vision/quotas
MAX_IMAGES, MAX_FILES, MAX_PAGES = 2000, 100, 2000
_MAX_BATCH, _BATCH = 100, 20


def parent_of(path: str, body: str) -> str:
    """Where operations stand: the path's parent, else the body's, else a project of ours."""
    parent = path or body or "projects/local"
    if not _PARENT.fullmatch(parent):
        raise InvalidRequestError(f"Invalid parent: {parent[:200]!r}.", param="parent")
    return parent


async def images(
    asker: Asker, body: wire_files.AsyncBatchAnnotateImagesRequest, parent: str
) -> Operation:
    """Begin to see up to 2,000 images."""
    annotator = Annotator(asker)
    if len(body.requests) > MAX_IMAGES:
        raise InvalidRequestError("Too many images per request.", param="requests")
    for request in body.requests:
        annotator.check(request)
    output = _output(asker, body.output_config)

    async def work() -> dict[str, Any]:
        size = output.batch_size
        for start in range(0, len(body.requests), size):
            found = await annotator.images(body.requests[start : start + size])
            value = wire.BatchAnnotateImagesResponse(responses=found)
            await _write(asker, output, start + 1, start + len(found), value)
        return {
            "@type": f"{_TYPES}.AsyncBatchAnnotateImagesResponse",
            "outputConfig": msgspec.to_builtins(output),
        }

    return await _start(asker, parent, work)


async def files(
    asker: Asker, body: wire_files.AsyncBatchAnnotateFilesRequest, parent: str
) -> Operation:
    """Begin to see all pages of files, up to 2,000 of each."""
    annotator = Annotator(asker)
    if len(body.requests) > MAX_FILES:
        raise InvalidRequestError("Too many files per request.", param="requests")
    for request in body.requests:
        annotator.check_file(request.input_config, request.features)
    outputs = [_output(asker, request.output_config) for request in body.requests]

    async def work() -> dict[str, Any]:
        answers: list[wire_files.AsyncAnnotateFileResponse] = []
        for request, output in zip(body.requests, outputs, strict=True):
            await _file(asker, request, output)
            answers.append(wire_files.AsyncAnnotateFileResponse(output_config=output))
        return {
            "@type": f"{_TYPES}.AsyncBatchAnnotateFilesResponse",
            "responses": msgspec.to_builtins(answers),
        }

    return await _start(asker, parent, work)


async def _file(
    asker: Asker, request: wire_files.AsyncAnnotateFileRequest, output: wire_files.OutputConfig
) -> None:
    """One file, as many pages at a time as go into one file of results."""
    every = wire_files.AnnotateFileRequest(
        input_config=request.input_config,
        features=request.features,
        image_context=request.image_context,
    )
    first = 1
    async for found in Annotator(asker).batches(every, MAX_PAGES, output.batch_size):
        last = first + max(1, len(found.responses)) - 1
        await _write(asker, output, first, last, found)
        first = last + 1


def _output(asker: Asker, output: wire_files.OutputConfig | None) -> wire_files.OutputConfig:
    if output is None or output.gcs_destination is None or not output.gcs_destination.uri:
        raise InvalidRequestError(
            "Request must specify outputConfig.gcsDestination.uri.", param="outputConfig"
        )
    if not 0 <= output.batch_size <= _MAX_BATCH:
        raise InvalidRequestError(
            f"batchSize must be from 1 to {_MAX_BATCH}.", param="outputConfig.batchSize"
        )
    Storage(asker.gateway.config).check(output.gcs_destination.uri)
    return wire_files.OutputConfig(
        gcs_destination=output.gcs_destination, batch_size=output.batch_size or _BATCH
    )


async def _write(
    asker: Asker, output: wire_files.OutputConfig, first: int, last: int, value: Any
) -> None:
    assert output.gcs_destination is not None
    uri = f"{output.gcs_destination.uri}output-{first}-to-{last}.json"
    data = await asyncio.to_thread(msgspec.json.encode, value)
    await asyncio.to_thread(Storage(asker.gateway.config).write, uri, data)


async def _start(
    asker: Asker, parent: str, work: Callable[[], Awaitable[dict[str, Any]]]
) -> Operation:
    began = protojson.timestamp(time.time())
    metadata: dict[str, Any] = {
        "@type": f"{_TYPES}.OperationMetadata",
        "state": "CREATED",
        "createTime": began,
        "updateTime": began,
    }

    async def run(operation: Operation) -> dict[str, Any]:
        def tell(state: str) -> None:
            now = protojson.timestamp(time.time())
            operation.metadata |= {"state": state, "updateTime": now}

        tell("RUNNING")
        try:
            answer = await work()
        except asyncio.CancelledError:
            tell("CANCELLED")
            raise
        tell("DONE")
        return answer

    owner = asker.key.id if asker.key else ""
    prefix = f"{parent}/operations/"
    return await store(asker.gateway).start(prefix, owner, metadata, run)

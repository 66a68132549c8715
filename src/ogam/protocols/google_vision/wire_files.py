"""Google Cloud Vision's JSON for files, and for work that goes on after the reply.

https://cloud.google.com/vision/docs/reference/rest/v1/files/annotate
"""

from __future__ import annotations

import msgspec

from ogam.protocols.google.protojson import Message
from ogam.protocols.google_vision.wire import (
    AnnotateImageRequest,
    AnnotateImageResponse,
    Feature,
    ImageContext,
    Status,
)


class GcsSource(Message):
    """``gs://bucket/object``."""

    uri: str = ""


class InputConfig(Message):
    """https://cloud.google.com/vision/docs/reference/rest/v1/InputConfig."""

    gcs_source: GcsSource | None = None
    content: bytes = b""
    mime_type: str = ""


class GcsDestination(Message):
    """``gs://bucket/folder/`` or ``gs://bucket/folder/prefix-``."""

    uri: str = ""


class OutputConfig(Message):
    """Where results go, and how many of them into each file (20 where it does not say)."""

    gcs_destination: GcsDestination | None = None
    batch_size: int = 0


class AnnotateFileRequest(Message):
    """``pages`` count from 1, from the end where negative; none: the first five."""

    input_config: InputConfig | None = None
    features: list[Feature] = []
    image_context: ImageContext | None = None
    pages: list[int] = []


class BatchAnnotateFilesRequest(Message):
    """https://cloud.google.com/vision/docs/reference/rest/v1/files/annotate."""

    requests: list[AnnotateFileRequest] = []
    parent: str = ""
    labels: dict[str, str] = {}


class AnnotateFileResponse(Message):
    """The pages of one file."""

    input_config: InputConfig | None = None
    responses: list[AnnotateImageResponse] = []
    total_pages: int = 0
    error: Status | None = None


class BatchAnnotateFilesResponse(Message):
    """One response for each file."""

    responses: list[AnnotateFileResponse] = []


class AsyncAnnotateFileRequest(Message):
    """All pages of one file."""

    input_config: InputConfig | None = None
    features: list[Feature] = []
    image_context: ImageContext | None = None
    output_config: OutputConfig | None = None


class AsyncBatchAnnotateFilesRequest(Message):
    """https://cloud.google.com/vision/docs/reference/rest/v1/files/asyncBatchAnnotate."""

    requests: list[AsyncAnnotateFileRequest] = []
    parent: str = ""
    labels: dict[str, str] = {}


class AsyncBatchAnnotateImagesRequest(Message):
    """https://cloud.google.com/vision/docs/reference/rest/v1/images/asyncBatchAnnotate."""

    requests: list[AnnotateImageRequest] = []
    output_config: OutputConfig | None = None
    parent: str = ""
    labels: dict[str, str] = {}


class AsyncAnnotateFileResponse(Message):
    """Where one file's results are."""

    output_config: OutputConfig = msgspec.field(default_factory=OutputConfig)

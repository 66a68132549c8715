"""What is done for a request, however it came: pictures and pages seen, errors told per image.

Knows the gateway, and neither HTTP nor gRPC.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Protocol as Interface

from ogam import errors
from ogam.capabilities.base import Units
from ogam.capabilities.vision import Feature, SeeResult
from ogam.gateway.dispatch import Gateway, Target
from ogam.gateway.keys import Key
from ogam.media import Image
from ogam.protocols import fetching
from ogam.protocols.google.codes import CODES
from ogam.protocols.google.errors import status
from ogam.protocols.google.storage import Storage
from ogam.protocols.google_vision import convert, wire, wire_files
from ogam.protocols.google_vision.pages import Page, Pages, pages_of

# Google's own limits: https://cloud.google.com/vision/quotas
MAX_IMAGES, MAX_FILES, MAX_PAGES = 16, 1, 5
MAX_FILE_BYTES = 20 * 1024 * 1024
MAX_PAYLOAD = 41_943_040
# Pictures of one request that are decoded at one time: 50 megapixels are 150 MB.
_AT_ONCE = 4
# What is wrong with the server, or asked wrongly of it, is wrong for all images.
_FOR_ALL = (
    errors.AuthenticationError,
    errors.ForbiddenError,
    errors.UnsupportedOptionError,
    errors.OverloadedError,
    errors.NotConfiguredError,
    errors.UnknownModelError,
    errors.UnknownEngineError,
)
_STAND_INS: dict[Feature, Feature] = {"text": "document_text", "document_text": "text"}


class Asker(Interface):
    """A call being answered: ``serving.Call`` or ``google.grpc.Rpc``."""

    @property
    def gateway(self) -> Gateway:
        """What carries requests out."""
        ...

    @property
    def key(self) -> Key | None:
        """Who asks."""
        ...

    def model(self, name: str | None, /) -> Target:
        """The model that a client's name leads to; None: the route's."""
        ...


class Annotator:
    """Answers one call. ``answered`` collects which models did, in the order they were met."""

    def __init__(self, asker: Asker) -> None:
        self._gateway, self._asker = asker.gateway, asker
        self._slots = asyncio.Semaphore(_AT_ONCE)
        self.answered: dict[str, str] = {}
        self._broke: errors.BudgetError | None = None

    def headers(self) -> dict[str, str]:
        """Which engines and models answered, as the server's other replies tell it."""
        if not self.answered:
            return {}
        engines = dict.fromkeys(self.answered.values())
        return {"x-ogam-engine": ",".join(engines), "x-ogam-model": ",".join(self.answered)}

    async def images(
        self, requests: list[wire.AnnotateImageRequest]
    ) -> list[wire.AnnotateImageResponse]:
        """One response for each request, in order."""
        for request in requests:
            self.check(request)
        tasks = [asyncio.ensure_future(self._image(one)) for one in requests]
        try:
            found = list(await asyncio.gather(*tasks))
            # Of several pictures those that were paid for are kept.
            if self._broke is not None and all(one.error for one in found):
                raise self._broke
            return found
        finally:
            for task in tasks:
                task.cancel()

    def check(self, request: wire.AnnotateImageRequest) -> None:
        """Refuse what is wrong about the request itself."""
        self._models(convert.wanted(request.features))
        image = request.image
        source = image.source if image else None
        if image is None or not (
            image.content or (source and (source.image_uri or source.gcs_image_uri))
        ):
            raise errors.InvalidRequestError(
                "Request must specify image and features.", param="image"
            )

    async def _image(self, request: wire.AnnotateImageRequest) -> wire.AnnotateImageResponse:
        async with self._slots:
            try:
                data = await asyncio.to_thread(self._content, request.image or wire.Image())
                image = await asyncio.to_thread(_opened, data)
                return await self._see(image, request.features, request.image_context)
            except errors.OgamError as error:
                if isinstance(error, errors.BudgetError):
                    self._broke = error
                return wire.AnnotateImageResponse(error=failed(error))

    async def file(
        self, request: wire_files.AnnotateFileRequest
    ) -> wire_files.AnnotateFileResponse:
        """At most five pages of a file."""
        if len(request.pages) > MAX_PAGES:
            raise errors.InvalidRequestError(
                f"At most {MAX_PAGES} pages can be annotated in a request.",
                hint="files:asyncBatchAnnotate takes all.",
                param="pages",
            )
        return await anext(self.batches(request, MAX_PAGES, MAX_PAGES))

    def check_file(
        self, source: wire_files.InputConfig | None, features: list[wire.Feature]
    ) -> None:
        """Refuse what is wrong about the request itself."""
        self._models(convert.wanted(features))
        if source is None or not (source.content or (source.gcs_source and source.gcs_source.uri)):
            raise errors.InvalidRequestError(
                "Request must specify inputConfig and features.", param="inputConfig"
            )

    async def batches(
        self, request: wire_files.AnnotateFileRequest, most: int, size: int
    ) -> AsyncGenerator[wire_files.AnnotateFileResponse]:
        """The pages that are asked for, else the first ``most``, ``size`` to a response."""
        source = request.input_config or wire_files.InputConfig()
        uri = source.gcs_source.uri if source.gcs_source else ""
        told = wire_files.InputConfig(gcs_source=source.gcs_source, mime_type=source.mime_type)
        try:
            data = source.content or await asyncio.to_thread(self._stored, uri)
            _check_size(data)
            found = await asyncio.to_thread(pages_of, data, source.mime_type)
            numbers = found.numbers(request.pages, most)
        except errors.OgamError as error:
            yield wire_files.AnnotateFileResponse(input_config=told, error=failed(error))
            return
        for start in range(0, len(numbers), size):
            few = numbers[start : start + size]
            yield wire_files.AnnotateFileResponse(
                input_config=told,
                total_pages=found.total,
                responses=[await self._page(found, number, uri, request) for number in few],
            )

    async def _page(
        self, pages: Pages, number: int, uri: str, request: wire_files.AnnotateFileRequest
    ) -> wire.AnnotateImageResponse:
        try:
            page = await asyncio.to_thread(pages.page, number)
            found = await self._see(page.image, request.features, request.image_context, page)
        except errors.OgamError as error:
            found = wire.AnnotateImageResponse(error=failed(error))
        found.context = wire.ImageAnnotationContext(uri=uri, page_number=number)
        return found

    def _models(self, features: dict[str, wire.Feature]) -> dict[Target, list[str]]:
        """The features' names by the model that is to see them."""
        found: dict[Target, list[str]] = {}
        for name, feature in features.items():
            found.setdefault(self._asker.model(feature.model), []).append(name)
        return found

    async def _see(
        self,
        image: Image,
        features: list[wire.Feature],
        context: wire.ImageContext | None,
        page: Page | None = None,
    ) -> wire.AnnotateImageResponse:
        wanted = convert.wanted(features)
        size = image.size
        merged = wire.AnnotateImageResponse()
        for model, names in self._models(wanted).items():
            some = {name: wanted[name] for name in names}
            most = max(one.max_results or convert.MAX_RESULTS for one in some.values())
            asked = self._features(model, names)
            result = SeeResult(engine="", model="", units=Units(), image=image, features=())
            if asked:
                request = convert.see_request(image, asked, context, most)
                result = await self._gateway.answer("see", request, SeeResult, model)
                pairs = zip(result.model.split(","), result.engine.split(","), strict=True)
                self.answered.update(pairs)
            part = await asyncio.to_thread(
                convert.response, result, some, size, page and page.points
            )
            for field in part.__struct_fields__:
                if value := getattr(part, field):
                    setattr(merged, field, value)
        return merged

    def _features(self, model: Target, names: list[str]) -> tuple[Feature, ...]:
        """Ogam's features for Google's, as far as the models have them."""
        models = self._gateway.models("see", model)
        have: set[Feature] = set()
        for name in models:
            have |= self._gateway.engine("see", name).features
        asked: list[Feature] = [convert.FEATURES[one] for one in names if one in convert.FEATURES]
        if "labels" in asked and "labels" not in have:
            asked += convert.SIGNS
        if "document_text" in asked and "document_text" in have:
            asked = [one for one in asked if one != "text"]  # it is the same, and read once
        asked = [one if one in have else _STAND_INS.get(one, one) for one in asked]
        return tuple(dict.fromkeys(one for one in asked if one in have))

    def _content(self, image: wire.Image) -> bytes:
        """The picture's bytes, given or named."""
        source = image.source or wire.ImageSource()
        uri = source.image_uri or source.gcs_image_uri
        if image.content:
            data = image.content
        elif uri.startswith("gs://") or source.gcs_image_uri:
            data = self._stored(uri)
        else:
            allowed = self._gateway.config.server.fetch
            data = fetching.fetch(uri, allowed, MAX_FILE_BYTES)
        _check_size(data)
        return data

    def _stored(self, uri: str) -> bytes:
        return Storage(self._gateway.config).read(uri, MAX_FILE_BYTES)


def _check_size(data: bytes) -> None:
    if len(data) > MAX_FILE_BYTES:
        raise errors.TooLargeError(
            f"File size of {len(data):,} bytes exceeds the limit of {MAX_FILE_BYTES:,} bytes."
        )


def _opened(data: bytes) -> Image:
    image = Image(data)
    image.open()
    return image


def failed(error: errors.OgamError) -> wire.Status:
    """What an image's response says of ``error``; raises it where it is not the image's own."""
    refused = isinstance(error, errors.UnsupportedOptionError) and error.param == "url"
    if isinstance(error, _FOR_ALL) and not refused:
        raise error
    found = wire.Status(**status(error))
    if isinstance(error, errors.InvalidMediaError):
        found.message = f"Bad image data. {error}"
    elif refused:
        found.code = CODES["PERMISSION_DENIED"]
        found.message = f"{_REFUSED} {_ELSE} ({error})"
    elif isinstance(error, errors.FetchError):
        found.code = CODES["UNAVAILABLE"]
        found.message = f"{_UNREACHED} {_ELSE} ({error})"
    return found


# Google's own words, which programs look for.
_REFUSED = "We're not allowed to access the URL on your behalf."
_UNREACHED = "We can not access the URL currently."
_ELSE = "Please download the content and pass it in."

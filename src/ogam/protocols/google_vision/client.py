"""Google Vision called: what is in a picture, over REST.

https://cloud.google.com/vision/docs/reference/rest/v1/images/annotate
"""

from __future__ import annotations

import asyncio
from typing import ClassVar

import msgspec

from ogam.capabilities.base import Capability, ModelRef, Units
from ogam.capabilities.vision import Feature, SeeRequest, SeeResult
from ogam.errors import InvalidMediaError, TooLargeError, UnsupportedOptionError
from ogam.net import Client
from ogam.protocols.google import client_errors
from ogam.protocols.google.client_api import Api
from ogam.protocols.google.codes import CODES
from ogam.protocols.google_vision import convert, wire
from ogam.vendors import Vendor

# https://cloud.google.com/vision/quotas
MAX_IMAGE = 20 * 1024 * 1024


class GoogleVisionEngine:
    """Sees by Google Vision. The model is one of Google's names for a feature's, such as
    ``builtin/latest``; none leaves it to Google.

    Each feature of each picture is billed. ``text`` beside ``document_text`` is not sent:
    Google reads once, and would answer and bill both.
    """

    capabilities: ClassVar[frozenset[Capability]] = frozenset({"see"})
    requires: ClassVar[tuple[str, ...]] = ()
    extra: ClassVar[str] = ""
    vendor_engine: ClassVar[bool] = True
    features: ClassVar[frozenset[Feature]] = frozenset(convert.FEATURES.values())

    def __init__(self, ref: ModelRef, vendor: Vendor, http: Client) -> None:
        self._ref, self._api = ref, Api(vendor, http)
        self.raw = self._api

    def close(self) -> None:
        """End what it connected."""
        self._api.close()

    async def see(self, request: SeeRequest) -> SeeResult:
        """Find the features of one picture."""
        wanted = tuple(dict.fromkeys(request.features or convert.FEATURES.values()))
        lacking = [one for one in wanted if one not in self.features]
        name = self._api.vendor.name
        if lacking:
            raise UnsupportedOptionError(
                f"{name} does not find {lacking[0]}.",
                hint=f"It finds {', '.join(sorted(self.features))}.",
                param="features",
            )
        if (size := len(request.image.data)) > MAX_IMAGE:
            raise TooLargeError(
                f"The picture has {size:,} bytes; {name} takes {MAX_IMAGE:,}.",
                hint="Scale it down.",
                param="image",
            )
        read_once = "document_text" in wanted
        asked = tuple(one for one in wanted if not (one == "text" and read_once))
        one = msgspec.structs.replace(request, features=asked)
        sent = convert.request_of(one, model=self._ref.model)
        body = wire.BatchAnnotateImagesRequest(requests=[sent])
        answer = await self._api.post("/v1/images:annotate", body, wire.BatchAnnotateImagesResponse)
        if len(answer.responses) != 1:
            raise self._api.odd(f"{len(answer.responses)} responses to one picture")
        (found,) = answer.responses
        if found.error is not None and found.error.code:
            raise self._refused(found.error)
        return await asyncio.to_thread(self._result, request, wanted, found, len(sent.features))

    def _refused(self, error: wire.Status) -> Exception:
        name = self._api.vendor.name
        if error.code == CODES["INVALID_ARGUMENT"]:
            return InvalidMediaError(f"{name}: {error.message or 'Bad image data.'}", param="image")
        said = {"code": error.code, "message": error.message}
        return client_errors.of_inner(name, said)

    def _result(
        self,
        request: SeeRequest,
        wanted: tuple[Feature, ...],
        found: wire.AnnotateImageResponse,
        billed: int,
    ) -> SeeResult:
        # The picture is decoded only where places come in parts of its size.
        size = request.image.size if found.localized_object_annotations else (1, 1)
        return SeeResult(
            engine=self._ref.engine,
            model=self._ref.name,
            units=Units(image_features=billed),
            image=request.image,
            features=wanted,
            **convert.found_of(found, size),
        )

"""The opencv engine: sees faces, persons, cats, colours, crops and bar codes.

What runs is inside the wheels of OpenCV and zxing-cpp: no model is loaded from a network.
Knows no text and no label; those are other engines'.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from ogam.capabilities.base import Capability, ModelRef, Units, checkpoint
from ogam.capabilities.vision import Feature, SeeRequest, SeeResult
from ogam.engines.opencv import barcodes, colors, crops, faces
from ogam.engines.opencv.detectors import Detectors, Pool
from ogam.errors import UnknownModelError, UnsupportedOptionError
from ogam.extras import needs

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class OpenCvEngine:
    """Faces, objects (Person, Cat), dominant colours, crop hints and bar codes.

    All places are in pixels of the upright picture. One object serves many threads; the
    same picture gives the same result every time.
    """

    capabilities: ClassVar[frozenset[Capability]] = frozenset({"see"})
    features: ClassVar[frozenset[Feature]] = frozenset(
        {"faces", "objects", "image_properties", "crop_hints", "barcodes"}
    )
    requires: ClassVar[tuple[str, ...]] = ("cv2", "numpy", "PIL", "zxingcpp")
    extra: ClassVar[str] = "local"

    def __init__(self, ref: ModelRef) -> None:
        if ref.model:
            raise UnknownModelError(
                f"The engine {ref.engine} has no model {ref.model!r}.",
                hint=f"It is one set of detectors: ask for {ref.engine!r}.",
            )
        self._ref = ref
        self._pool = Pool()

    def close(self) -> None:
        """Let go of the loaded classifiers."""
        self._pool.clear()

    def see(self, request: SeeRequest, /) -> SeeResult:
        """Find the request's features; an empty request means all five.

        Raises UnsupportedOptionError for a feature that is not in :attr:`features`, and
        InvalidMediaError or TooLargeError where the picture cannot be decoded.
        """
        wanted = request.features or tuple(sorted(self.features))
        for feature in wanted:
            if feature not in self.features:
                raise UnsupportedOptionError(
                    f"The engine {self._ref.engine} has no feature {feature!r}.",
                    hint=f"It has {', '.join(sorted(self.features))}.",
                    param="features",
                )
        with needs("local"):
            import numpy as np
        grey = np.ascontiguousarray(request.image.pixels("L"))
        checkpoint()
        found: dict[str, Any] = {}
        if {"faces", "objects", "crop_hints"}.intersection(wanted):
            with self._pool.lent() as detectors:
                found = self._detect(detectors, grey, request, wanted)
        if "barcodes" in wanted:
            found["barcodes"] = barcodes.read(grey, max(request.max_results, 0))
        checkpoint()
        if "image_properties" in wanted:
            found["colors"] = colors.dominant(request.image, max(request.max_results, 0))
        return SeeResult(
            engine=self._ref.engine,
            model=self._ref.name,
            units=Units(image_features=len(dict.fromkeys(wanted))),
            image=request.image,
            features=tuple(dict.fromkeys(wanted)),
            **found,
        )

    @staticmethod
    def _detect(
        detectors: Detectors,
        grey: NDArray[np.uint8],
        request: SeeRequest,
        wanted: tuple[Feature, ...],
    ) -> dict[str, Any]:
        """What the classifiers find. The faces are looked for once, and serve the crops too."""
        most = max(request.max_results, 0)
        found: dict[str, Any] = {}
        if "faces" in wanted or "crop_hints" in wanted:
            seen = faces.find(detectors, grey)
            if "faces" in wanted:
                found["faces"] = faces.describe(detectors, grey, seen, most)
            if "crop_hints" in wanted:
                boxes = [face.box for face in seen]
                ratios = request.aspect_ratios
                found["crop_hints"] = crops.hints(grey, boxes, ratios, most)
        if "objects" in wanted:
            found["objects"] = faces.objects(detectors, grey, most)
        return found

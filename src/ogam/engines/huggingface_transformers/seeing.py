"""see: objects by models like DETR, labels by models like ViT."""

# transformers leaves most of its types open.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false
from __future__ import annotations

from typing import Any

from ogam.capabilities.base import Units, checkpoint
from ogam.capabilities.vision import DetectedObject, Label, Polygon, SeeRequest, SeeResult
from ogam.engines.huggingface_transformers.loading import Loaded
from ogam.errors import UnsupportedOptionError

# An object less likely than this is not told; where DETR's own examples cut.
THRESHOLD = 0.5


def see(loaded: Loaded, request: SeeRequest) -> SeeResult:
    """Objects with their boxes, in pixels of the upright picture, or labels of the whole.

    Best first, at most ``max_results``. Labels share 1.0; objects stand for themselves.
    Raises UnsupportedOptionError for a feature that the model has not.
    """
    have = loaded.kind.features
    for feature in request.features:
        if feature not in have:
            raise UnsupportedOptionError(
                f"{loaded.ref.name} has no feature {feature!r}.",
                hint=f"It has {', '.join(have)}.",
                param="features",
            )
    import torch

    checkpoint()
    pixels = request.image.pixels("RGB")
    given: Any = loaded.reader(images=pixels, return_tensors="pt")
    checkpoint()
    with torch.inference_mode():
        out = loaded.model(**given)
    names: dict[int, str] = loaded.config.id2label
    most = request.max_results
    found: dict[str, Any] = {}
    if "objects" in have:
        height, width = pixels.shape[:2]
        (told,) = loaded.reader.post_process_object_detection(
            out, threshold=THRESHOLD, target_sizes=[(height, width)]
        )
        things: list[tuple[float, int, list[float]]] = list(
            zip(*(told[name].tolist() for name in ("scores", "labels", "boxes")), strict=True)
        )
        found["objects"] = tuple(
            DetectedObject(name=names[label], score=score, polygon=_box(box, width, height))
            for score, label, box in sorted(things, key=lambda one: -one[0])[:most]
        )
    else:
        scores: list[float] = out.logits[0].double().softmax(-1).tolist()
        best = sorted(enumerate(scores), key=lambda one: -one[1])[:most]
        found["labels"] = tuple(Label(name=names[at], score=score) for at, score in best)
    return SeeResult(
        engine=loaded.ref.engine,
        model=loaded.ref.name,
        units=Units(image_features=1),
        image=request.image,
        features=tuple(dict.fromkeys(request.features or have)),
        **found,
    )


def _box(corners: list[float], width: int, height: int) -> Polygon:
    """The box within the picture."""
    left, right = (min(max(corners[at], 0.0), float(width)) for at in (0, 2))
    top, bottom = (min(max(corners[at], 0.0), float(height)) for at in (1, 3))
    return Polygon.box(left, top, max(right - left, 0.0), max(bottom - top, 0.0))

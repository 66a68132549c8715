"""Faces, people and cats, by the classifiers inside OpenCV's wheel.

Knows no engine. Every threshold here was set on fourteen photographs (four faces, a cat, and
pictures without either, coins with heads on them among those), each in eight versions:
halved, turned by 10 and 20 degrees, darkened, blurred, noisy, equalised. docs/cards/opencv.md
has the counts.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from ogam.capabilities.vision import DetectedObject, Face, Landmark, Likelihood
from ogam.engines.opencv.boxes import Box, Found, fit, inside, polygon, strongest

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ogam.engines.opencv.detectors import Detectors, Window

    Grey = NDArray[np.uint8]

# Long sides, in pixels, at which the cascades look. Their smallest window is 24 pixels, so a
# frontal face is found from 2.4 % of the picture's long side on, a profile from 5 %.
_FRONTAL_SIDE, _PROFILE_SIDE, _PEOPLE_SIDE = 1000, 480, 640
_TINY = 320
# Frontal: at least this many windows of one cascade, and this margin of the other, at one
# place. True faces had 5 to 38 and 3.4 to 7.4; false ones with 5 windows at most 2.9.
_FRONTAL_WINDOWS, _FRONTAL_MARGIN = 5, 3.0
# Profile: true ones had 10 to 84 windows and 0.6 to 3.1; false ones at most 7 windows.
_PROFILE_WINDOWS, _PROFILE_MARGIN = 10, 0.5
# A face is brought to this width before eyes and mouth are looked for.
_FACE_SIDE = 160
# Margin of the smile cascade -> likelihood.
_SMILES: tuple[tuple[float, Likelihood], ...] = (
    (3.0, "very_likely"),
    (2.0, "likely"),
    (1.0, "possible"),
    (0.0, "unlikely"),
)
# People: false alarms had at most 0.8, drawn walkers 3.5.
_PERSON_MARGIN = 1.0
# Cats: looks (cascade x size x mirror) that must agree on one place; false ones had 2.
_CAT_SIDES = (160, 200, 250)
_CAT_LOOKS = 3


class FoundFace(NamedTuple):
    """A face in pixels of the picture, and whether it looks at the camera."""

    box: Box
    score: float
    frontal: bool


def find(detectors: Detectors, grey: Grey) -> list[FoundFace]:
    """The faces in a picture of shape (height, width), surest first.

    ``score`` is the logistic of the margin above its threshold, so 0.5 at the threshold:
    1 / (1 + exp(threshold - margin)). It orders faces; it is no calibrated probability.
    """
    found = [Found(box, score, "frontal") for box, score in _frontal(detectors, grey)]
    found += [Found(box, score, "profile") for box, score in _profile(detectors, grey)]
    # A frontal face outranks a profile of the same head, whatever their margins: it has eyes.
    ranked = [item._replace(score=item.score + (item.kind == "frontal")) for item in found]
    kept = strongest(ranked)
    faces = [
        FoundFace(item.box, item.score - (item.kind == "frontal"), item.kind == "frontal")
        for item in kept
    ]
    return sorted(faces, key=lambda face: (-face.score, face.box))


def describe(
    detectors: Detectors, grey: Grey, faces: Sequence[FoundFace], most: int
) -> tuple[Face, ...]:
    """The faces as results; eyes and smile are looked for in frontal ones.

    LEFT_EYE is on the viewer's left, as in Google Vision
    (https://cloud.google.com/python/docs/reference/vision/latest/google.cloud.vision_v1.types.FaceAnnotation.Landmark).
    """
    height, width = grey.shape
    results: list[Face] = []
    for face in faces[:most]:
        landmarks: tuple[Landmark, ...] = ()
        smile: Likelihood = "unknown"
        if face.frontal:
            box = face.box.clipped(width, height)
            left, top = int(box.x), int(box.y)
            cut = grey[top : int(box.y + box.height), left : int(box.x + box.width)]
            patch, factor = fit(cut, _FACE_SIDE, _FACE_SIDE)
            landmarks = tuple(
                Landmark(
                    name=name, point=inside(left + x * factor, top + y * factor, width, height)
                )
                for name, (x, y) in _eyes(detectors, patch).items()
            )
            smile = _smile(detectors, patch)
        results.append(
            Face(
                polygon=polygon(face.box, width, height),
                confidence=round(face.score, 4),
                landmarks=landmarks,
                smile=smile,
            )
        )
    return tuple(results)


def objects(detectors: Detectors, grey: Grey, most: int) -> tuple[DetectedObject, ...]:
    """Persons who stand or walk upright, and faces of cats, surest first."""
    height, width = grey.shape
    found = strongest([*_people(detectors, grey)]) + strongest([*_cats(detectors, grey)])
    found.sort(key=lambda item: (-item.score, item.box))
    return tuple(
        DetectedObject(
            name=item.kind, score=round(item.score, 4), polygon=polygon(item.box, width, height)
        )
        for item in found[:most]
    )


def _logistic(value: float) -> float:
    return 1 / (1 + math.exp(-min(max(value, -30.0), 30.0)))


def _frontal(detectors: Detectors, grey: Grey) -> list[tuple[Box, float]]:
    small, factor = fit(grey, _FRONTAL_SIDE, _TINY)
    faces: list[tuple[Box, float]] = []
    for window in detectors.count("frontalface_alt2", small):
        if window.weight < _FRONTAL_WINDOWS:
            continue
        # The second opinion costs little, because it looks at the first one's places only.
        margin = detectors.margin("frontalface_default", small, window.box)
        if margin >= _FRONTAL_MARGIN:
            faces.append((window.box.scaled(factor), _logistic(margin - _FRONTAL_MARGIN)))
    return faces


def _profile(detectors: Detectors, grey: Grey) -> list[tuple[Box, float]]:
    import numpy as np

    small, factor = fit(grey, _PROFILE_SIDE, _TINY)
    faces: list[tuple[Box, float]] = []
    # The cascade knows one side of a head; the mirror shows it the other one.
    for mirrored in (False, True):
        view = np.ascontiguousarray(small[:, ::-1]) if mirrored else small
        for window in detectors.count("profileface", view):
            if window.weight < _PROFILE_WINDOWS:
                continue
            margin = detectors.margin("profileface", view, window.box)
            if margin >= _PROFILE_MARGIN:
                box = _unmirror(window.box, small.shape[1]) if mirrored else window.box
                faces.append((box.scaled(factor), _logistic(margin - _PROFILE_MARGIN)))
    return faces


def _unmirror(box: Box, width: int) -> Box:
    return box._replace(x=width - box.x - box.width)


def _eyes(detectors: Detectors, face: Grey) -> dict[str, tuple[float, float]]:
    """Both eyes and the point between them, or nothing: one eye alone is often a nostril."""
    side = face.shape[1]
    upper = face[: int(face.shape[0] * 0.6)]
    windows = detectors.weigh("eye", upper, agree=4, smallest=side // 8, largest=side // 3)
    best: dict[bool, Window] = {}
    for window in windows:
        on_left = window.box.x + window.box.width / 2 < side / 2
        if on_left not in best or window.weight > best[on_left].weight:
            best[on_left] = window
    if len(best) < 2:
        return {}
    (x0, y0), (x1, y1) = (
        (best[left].box.x + best[left].box.width / 2, best[left].box.y + best[left].box.height / 2)
        for left in (True, False)
    )
    # The cascades find heads turned by 20 degrees at most; tan 25 degrees is 0.47.
    if x1 - x0 < side * 0.2 or abs(y1 - y0) > 0.47 * (x1 - x0):
        return {}
    return {
        "LEFT_EYE": (x0, y0),
        "RIGHT_EYE": (x1, y1),
        "MIDPOINT_BETWEEN_EYES": ((x0 + x1) / 2, (y0 + y1) / 2),
    }


def _smile(detectors: Detectors, face: Grey) -> Likelihood:
    side = face.shape[1]
    top = int(face.shape[0] * 0.55)
    windows = detectors.weigh("smile", face[top:], agree=6, smallest=side // 6)
    margin = max((window.weight for window in windows), default=-1.0)
    for least, likelihood in _SMILES:
        if margin >= least:
            return likelihood
    return "very_unlikely"


def _people(detectors: Detectors, grey: Grey) -> list[Found]:
    import cv2

    small, factor = fit(grey, _PEOPLE_SIDE, _TINY)
    # The detector's window is 64 x 128 with 16 pixels of air around the person.
    edge = 16
    framed = cv2.copyMakeBorder(small, edge, edge, edge, edge, cv2.BORDER_REPLICATE)
    return [
        Found(
            box.moved(-edge, -edge).grown(-0.1).scaled(factor),
            _logistic(margin - _PERSON_MARGIN),
            "Person",
        )
        for box, margin in detectors.people(framed)  # pyright: ignore[reportArgumentType]
        if margin >= _PERSON_MARGIN
    ]


def _cats(detectors: Detectors, grey: Grey) -> list[Found]:
    import cv2

    seen: list[tuple[int, Box]] = []
    look = 0
    for side in _CAT_SIDES:
        small, factor = fit(grey, side, side)
        # Faces of cats are photographed from near, and stick out of the picture.
        edge = side // 4
        framed = cv2.copyMakeBorder(small, edge, edge, edge, edge, cv2.BORDER_REPLICATE)
        for mirrored in (False, True):
            view = cv2.flip(framed, 1) if mirrored else framed
            for name in ("frontalcatface", "frontalcatface_extended"):
                look += 1
                for window in detectors.count(name, view, step=1.05, agree=2, smallest=side // 4):  # pyright: ignore[reportArgumentType]
                    box = _unmirror(window.box, framed.shape[1]) if mirrored else window.box
                    seen.append((look, box.moved(-edge, -edge).scaled(factor)))
    found: list[Found] = []
    for _, box in seen:
        agreeing = {number for number, other in seen if box.overlap(other) > 0.5}
        if len(agreeing) >= _CAT_LOOKS:
            found.append(Found(box, len(agreeing) / look, "Cat"))
    return found

"""Between Google Cloud Vision's wire types and Ogam's values, both ways. Pure functions."""

from __future__ import annotations

from typing import Any, get_args

from ogam.capabilities.vision import (
    Color,
    CropHint,
    DetectedObject,
    DocumentText,
    Face,
    Feature,
    Label,
    Landmark,
    Likelihood,
    Point,
    SeeRequest,
    SeeResult,
)
from ogam.errors import InvalidRequestError
from ogam.media import Image
from ogam.protocols.google.protojson import number
from ogam.protocols.google_vision import wire
from ogam.protocols.google_vision.convert_text import (
    Size,
    around,
    document_of,
    normalized,
    part,
    poly,
    polygon_of,
    text,
)

# Google's types that Ogam has a feature for. The others are answered empty.
FEATURES: dict[str, Feature] = {
    "FACE_DETECTION": "faces",
    "LABEL_DETECTION": "labels",
    "TEXT_DETECTION": "text",
    "DOCUMENT_TEXT_DETECTION": "document_text",
    "IMAGE_PROPERTIES": "image_properties",
    "CROP_HINTS": "crop_hints",
    "OBJECT_LOCALIZATION": "objects",
}
_TYPES = {feature: name for name, feature in FEATURES.items()}
_NAMES = {value: name for name, value in wire.FEATURE_TYPES.items()}
_LIKELIHOODS: tuple[Likelihood, ...] = get_args(Likelihood)
# How many findings where a feature does not say.
MAX_RESULTS = 10
# A label says what a picture shows; where no model on the route does, these findings say it.
SIGNS: tuple[Feature, ...] = ("objects", "faces", "barcodes", "text")


def wanted(features: list[wire.Feature]) -> dict[str, wire.Feature]:
    """The features by their type's name; of two of one type the later one counts.

    InvalidRequestError where there is none, or one that is no type of Google's.
    """
    if not features:
        raise InvalidRequestError("Request must specify image and features.", param="features")
    found: dict[str, wire.Feature] = {}
    for feature in features:
        name = _NAMES[number(feature.type_, wire.FEATURE_TYPES, "features.type")]
        if name == "TYPE_UNSPECIFIED":
            raise InvalidRequestError("Feature type must be specified.", param="features.type")
        if feature.max_results < 0:
            raise InvalidRequestError(
                f"maxResults must not be negative, but is {feature.max_results}.",
                param="features.maxResults",
            )
        found[name] = feature
    return found


def see_request(
    image: Image,
    features: tuple[Feature, ...],
    context: wire.ImageContext | None,
    max_results: int,
) -> SeeRequest:
    """What Ogam is asked."""
    context = context or wire.ImageContext()
    crops = context.crop_hints_params
    return SeeRequest(
        image=image,
        features=features,
        languages=tuple(context.language_hints),
        max_results=max_results,
        aspect_ratios=tuple(crops.aspect_ratios) if crops else (),
    )


def request_of(request: SeeRequest, model: str = "") -> wire.AnnotateImageRequest:
    """The same as Google is asked it, by one ``model`` of its own where it is named.

    A feature that it lacks (bar codes) is left out.
    """
    ratios = list(request.aspect_ratios)
    context = wire.ImageContext(
        language_hints=list(request.languages),
        crop_hints_params=wire.CropHintsParams(aspect_ratios=ratios) if ratios else None,
    )
    return wire.AnnotateImageRequest(
        image=wire.Image(content=request.image.data),
        features=[
            wire.Feature(type_=_TYPES[one], max_results=request.max_results, model=model)
            for one in request.features or tuple(_TYPES)
            if one in _TYPES
        ],
        image_context=context if context != wire.ImageContext() else None,
    )


def response(
    result: SeeResult,
    features: dict[str, wire.Feature],
    size: Size,
    points: Size | None = None,
) -> wire.AnnotateImageResponse:
    """What ``result`` holds of ``features``; ``size`` is the picture's in pixels.

    A page of a PDF has its size in ``points``, and as at Google places in parts of it.
    """

    def most(name: str) -> int:
        return features[name].max_results or MAX_RESULTS

    found = wire.AnnotateImageResponse()
    if "TEXT_DETECTION" in features or "DOCUMENT_TEXT_DETECTION" in features:
        _add_text(found, result.document, size, points)
    if "FACE_DETECTION" in features:
        found.face_annotations = [face(one) for one in result.faces[: most("FACE_DETECTION")]]
    if "LABEL_DETECTION" in features:
        found.label_annotations = labels(result)[: most("LABEL_DETECTION")]
    if "OBJECT_LOCALIZATION" in features:
        few = result.objects[: most("OBJECT_LOCALIZATION")]
        found.localized_object_annotations = [thing(one, size) for one in few]
    if "IMAGE_PROPERTIES" in features:
        colors = [color(one) for one in result.colors[: most("IMAGE_PROPERTIES")]]
        shown = wire.DominantColorsAnnotation(colors=colors)
        found.image_properties_annotation = wire.ImageProperties(dominant_colors=shown)
    if "CROP_HINTS" in features:
        crops = [crop(one) for one in result.crop_hints]
        found.crop_hints_annotation = wire.CropHintsAnnotation(crop_hints=crops)
    if "SAFE_SEARCH_DETECTION" in features:
        # Nothing here judges it, so nothing is cleared: a program that stops what may be
        # unsafe stops it, and one that passes all but the likely goes on.
        kinds = dict.fromkeys(wire.SafeSearchAnnotation.__struct_fields__, "POSSIBLE")
        found.safe_search_annotation = wire.SafeSearchAnnotation(**kinds)
    if "WEB_DETECTION" in features:
        found.web_detection = wire.WebDetection()
    return found


def _add_text(
    found: wire.AnnotateImageResponse,
    document: DocumentText | None,
    size: Size,
    points: Size | None,
) -> None:
    if document is None or not document.text:
        return
    if points is not None:
        found.full_text_annotation = text(document, lambda one: normalized(one, size), [points])
        return
    found.full_text_annotation = text(document)
    words = document.words
    languages = document.pages[0].languages if document.pages else ()
    whole = wire.EntityAnnotation(
        locale=languages[0] if languages else "",
        description=document.text,
        bounding_poly=poly(around(word.polygon for word in words)),
    )
    found.text_annotations = [
        whole,
        *(
            wire.EntityAnnotation(description=one.text, bounding_poly=poly(one.polygon))
            for one in words
        ),
    ]


def labels(result: SeeResult) -> list[wire.EntityAnnotation]:
    """The labels, the surest first; from what else was found where no model gave any."""
    found = {one.name: one.score for one in result.labels}
    if "labels" not in result.features:
        words = result.document.words if result.document else ()
        signs = [
            *((one.name, one.score) for one in result.objects),
            *(("Face", one.confidence) for one in result.faces),
            *(("Barcode", 1.0) for _ in result.barcodes),
            *(("Text", one.confidence) for one in words),
        ]
        for name, score in signs:
            found[name] = max(score, found.get(name, 0.0))
    ranked = sorted(found.items(), key=lambda one: -one[1])
    return [
        wire.EntityAnnotation(description=name, score=part(score), topicality=part(score))
        for name, score in ranked
        if part(score) > 0
    ]


def face(value: Face) -> wire.FaceAnnotation:
    """A face. Its whole head is not told from its skin here: both boxes are the same."""
    return wire.FaceAnnotation(
        bounding_poly=poly(value.polygon),
        fd_bounding_poly=poly(value.polygon),
        detection_confidence=part(value.confidence),
        landmarking_confidence=part(value.confidence) if value.landmarks else 0.0,
        joy_likelihood=value.smile.upper(),
        landmarks=[
            wire.Landmark(type_=one.name, position=wire.Position(x=one.point.x, y=one.point.y))
            for one in value.landmarks
        ],
    )


def face_of(value: wire.FaceAnnotation) -> Face:
    """A face as Ogam's value. Landmarks that come by number keep it as their name."""
    joy = value.joy_likelihood
    smile: Likelihood = "unknown"
    for place, likelihood in enumerate(_LIKELIHOODS):
        if joy in (place, likelihood.upper()):
            smile = likelihood
    return Face(
        polygon=polygon_of(value.bounding_poly),
        confidence=value.detection_confidence,
        smile=smile,
        landmarks=tuple(
            Landmark(name=str(one.type_), point=Point(x=one.position.x, y=one.position.y))
            for one in value.landmarks
        ),
    )


def thing(value: DetectedObject, size: Size) -> wire.LocalizedObjectAnnotation:
    """An object and its place."""
    return wire.LocalizedObjectAnnotation(
        name=value.name, score=part(value.score), bounding_poly=normalized(value.polygon, size)
    )


def thing_of(value: wire.LocalizedObjectAnnotation, size: Size) -> DetectedObject:
    """The same as Ogam's value, in pixels."""
    place = polygon_of(value.bounding_poly, size)
    return DetectedObject(name=value.name, score=value.score, polygon=place)


def color(value: Color) -> wire.ColorInfo:
    """A dominant colour."""
    return wire.ColorInfo(
        color=wire.Color(red=value.red, green=value.green, blue=value.blue),
        score=part(value.score),
        pixel_fraction=part(value.pixel_fraction),
    )


def color_of(value: wire.ColorInfo) -> Color:
    """The same as Ogam's value."""
    return Color(
        red=round(value.color.red),
        green=round(value.color.green),
        blue=round(value.color.blue),
        score=value.score,
        pixel_fraction=value.pixel_fraction,
    )


def crop(value: CropHint) -> wire.CropHint:
    """A crop."""
    return wire.CropHint(
        bounding_poly=poly(value.polygon),
        confidence=part(value.confidence),
        importance_fraction=part(value.importance),
    )


def crop_of(value: wire.CropHint) -> CropHint:
    """The same as Ogam's value."""
    return CropHint(
        polygon=polygon_of(value.bounding_poly),
        confidence=value.confidence,
        importance=value.importance_fraction,
    )


def found_of(value: wire.AnnotateImageResponse, size: Size) -> dict[str, Any]:
    """The fields of a SeeResult that a response fills; ``size`` is the picture's in pixels."""
    colors = value.image_properties_annotation
    crops = value.crop_hints_annotation
    full = value.full_text_annotation
    return {
        "document": document_of(full) if full else None,
        "faces": tuple(map(face_of, value.face_annotations)),
        "objects": tuple(thing_of(one, size) for one in value.localized_object_annotations),
        "labels": tuple(
            Label(name=one.description, score=one.score) for one in value.label_annotations
        ),
        "colors": tuple(map(color_of, colors.dominant_colors.colors)) if colors else (),
        "crop_hints": tuple(map(crop_of, crops.crop_hints)) if crops else (),
    }

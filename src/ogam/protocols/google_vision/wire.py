"""Google Cloud Vision's JSON. The name of each field is the proto's; see ``google.protojson``.

Without effect, as nothing here could honour them: latLongRect, productSearchParams,
webDetectionParams (nothing searches products or the Web), textDetectionParams (confidences are
always given), labels (which mark a bill).

https://cloud.google.com/vision/docs/reference/rest/v1/images/annotate
"""

from __future__ import annotations

from typing import Any

import msgspec

from ogam.protocols.google.protojson import Enum, Message
from ogam.protocols.google_vision.wire_text import BoundingPoly, TextAnnotation

FEATURE_TYPES = {
    "TYPE_UNSPECIFIED": 0,
    "FACE_DETECTION": 1,
    "LANDMARK_DETECTION": 2,
    "LOGO_DETECTION": 3,
    "LABEL_DETECTION": 4,
    "TEXT_DETECTION": 5,
    "SAFE_SEARCH_DETECTION": 6,
    "IMAGE_PROPERTIES": 7,
    "CROP_HINTS": 9,
    "WEB_DETECTION": 10,
    "DOCUMENT_TEXT_DETECTION": 11,
    "PRODUCT_SEARCH": 12,
    "OBJECT_LOCALIZATION": 19,
}


class Feature(Message):
    """https://cloud.google.com/vision/docs/reference/rest/v1/Feature."""

    type_: Enum = "TYPE_UNSPECIFIED"
    max_results: int = 0
    model: str = ""


class ImageSource(Message):
    """``gs://`` is a folder here; other URLs are fetched where the configuration says so."""

    gcs_image_uri: str = ""
    image_uri: str = ""


class Image(Message):
    """https://cloud.google.com/vision/docs/reference/rest/v1/AnnotateImageRequest#Image."""

    content: bytes = b""
    source: ImageSource | None = None


class CropHintsParams(Message):
    """Ratios are width / height."""

    aspect_ratios: list[float] = []


class ImageContext(Message):
    """https://cloud.google.com/vision/docs/reference/rest/v1/ImageContext."""

    language_hints: list[str] = []
    crop_hints_params: CropHintsParams | None = None
    lat_long_rect: dict[str, Any] | None = None
    product_search_params: dict[str, Any] | None = None
    web_detection_params: dict[str, Any] | None = None
    text_detection_params: dict[str, Any] | None = None


class AnnotateImageRequest(Message):
    """https://cloud.google.com/vision/docs/reference/rest/v1/AnnotateImageRequest."""

    image: Image | None = None
    features: list[Feature] = []
    image_context: ImageContext | None = None


class BatchAnnotateImagesRequest(Message):
    """https://cloud.google.com/vision/docs/reference/rest/v1/images/annotate."""

    requests: list[AnnotateImageRequest] = []
    parent: str = ""
    labels: dict[str, str] = {}


class Status(Message):
    """``google.rpc.Status``: what went wrong with one image of several."""

    code: int = 0
    message: str = ""


class Position(Message):
    """Pixels; z is the depth, which nothing here measures."""

    x: float = 0.0
    y: float = 0.0
    z: float = 0.0


class Landmark(Message):
    """A point of a face."""

    type_: Enum = "UNKNOWN_LANDMARK"
    position: Position = msgspec.field(default_factory=Position)


class FaceAnnotation(Message):
    """https://cloud.google.com/vision/docs/reference/rest/v1/AnnotateImageResponse#FaceAnnotation.

    A likelihood that nothing here judges is UNKNOWN, an angle 0.
    """

    bounding_poly: BoundingPoly = msgspec.field(default_factory=BoundingPoly)
    fd_bounding_poly: BoundingPoly = msgspec.field(default_factory=BoundingPoly)
    landmarks: list[Landmark] = []
    roll_angle: float = 0.0
    pan_angle: float = 0.0
    tilt_angle: float = 0.0
    detection_confidence: float = 0.0
    landmarking_confidence: float = 0.0
    joy_likelihood: Enum = "UNKNOWN"
    sorrow_likelihood: Enum = "UNKNOWN"
    anger_likelihood: Enum = "UNKNOWN"
    surprise_likelihood: Enum = "UNKNOWN"
    under_exposed_likelihood: Enum = "UNKNOWN"
    blurred_likelihood: Enum = "UNKNOWN"
    headwear_likelihood: Enum = "UNKNOWN"


class EntityAnnotation(Message):
    """https://cloud.google.com/vision/docs/reference/rest/v1/AnnotateImageResponse#EntityAnnotation."""

    mid: str = ""
    locale: str = ""
    description: str = ""
    score: float = 0.0
    confidence: float = 0.0
    topicality: float = 0.0
    bounding_poly: BoundingPoly | None = None


class LocalizedObjectAnnotation(Message):
    """A thing and where it is, in parts of the width and the height."""

    mid: str = ""
    language_code: str = ""
    name: str = ""
    score: float = 0.0
    bounding_poly: BoundingPoly = msgspec.field(default_factory=BoundingPoly)


class SafeSearchAnnotation(Message):
    """https://cloud.google.com/vision/docs/reference/rest/v1/AnnotateImageResponse#SafeSearchAnnotation."""

    adult: Enum = "UNKNOWN"
    spoof: Enum = "UNKNOWN"
    medical: Enum = "UNKNOWN"
    violence: Enum = "UNKNOWN"
    racy: Enum = "UNKNOWN"


class Color(Message):
    """0 to 255 a channel."""

    red: float = 0.0
    green: float = 0.0
    blue: float = 0.0


class ColorInfo(Message):
    """A colour and how much of the picture has it."""

    color: Color = msgspec.field(default_factory=Color)
    score: float = 0.0
    pixel_fraction: float = 0.0


class DominantColorsAnnotation(Message):
    """The colours, the strongest first."""

    colors: list[ColorInfo] = []


class ImageProperties(Message):
    """https://cloud.google.com/vision/docs/reference/rest/v1/AnnotateImageResponse#ImageProperties."""

    dominant_colors: DominantColorsAnnotation = msgspec.field(
        default_factory=DominantColorsAnnotation
    )


class CropHint(Message):
    """The part to keep for one aspect ratio."""

    bounding_poly: BoundingPoly = msgspec.field(default_factory=BoundingPoly)
    confidence: float = 0.0
    importance_fraction: float = 0.0


class CropHintsAnnotation(Message):
    """https://cloud.google.com/vision/docs/reference/rest/v1/AnnotateImageResponse#CropHintsAnnotation."""

    crop_hints: list[CropHint] = []


class WebDetection(Message):
    """Always empty: nothing here searches the Web."""


class ImageAnnotationContext(Message):
    """Which file and page an annotation is of; pages count from 1."""

    uri: str = ""
    page_number: int = 0


class AnnotateImageResponse(Message):
    """https://cloud.google.com/vision/docs/reference/rest/v1/AnnotateImageResponse."""

    face_annotations: list[FaceAnnotation] = []
    landmark_annotations: list[EntityAnnotation] = []
    logo_annotations: list[EntityAnnotation] = []
    label_annotations: list[EntityAnnotation] = []
    localized_object_annotations: list[LocalizedObjectAnnotation] = []
    text_annotations: list[EntityAnnotation] = []
    full_text_annotation: TextAnnotation | None = None
    safe_search_annotation: SafeSearchAnnotation | None = None
    image_properties_annotation: ImageProperties | None = None
    crop_hints_annotation: CropHintsAnnotation | None = None
    web_detection: WebDetection | None = None
    error: Status | None = None
    context: ImageAnnotationContext | None = None


class BatchAnnotateImagesResponse(Message):
    """One response for each request, in their order."""

    responses: list[AnnotateImageResponse] = []

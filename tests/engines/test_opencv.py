"""The opencv engine finds what is there, and nothing in pictures without it."""

from __future__ import annotations

import io
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest
import zxingcpp
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image as PILImage

from ogam.capabilities.base import CancelledWork, ModelRef, cancellable
from ogam.capabilities.vision import Polygon, SeeRequest, SeeResult
from ogam.engines.opencv import OpenCvEngine, boxes
from ogam.engines.opencv.boxes import Box, Found
from ogam.errors import InvalidMediaError, UnknownModelError, UnsupportedOptionError
from ogam.media import Image

Grey = NDArray[np.uint8]
PHOTOS = Path(__file__).parents[2] / "samples" / "photos"
ENGINE = OpenCvEngine(ModelRef(name="opencv", engine="opencv"))


def see(image: Image | Grey | str, *features: str, **options: object) -> SeeResult:
    source = PHOTOS / image if isinstance(image, str) else image
    return ENGINE.see(SeeRequest(image=Image(source), features=features, **options))  # type: ignore[arg-type]


def polygons(result: SeeResult) -> list[Polygon]:
    return [polygon for _, _, polygon in result.boxes()]


def qr(text: str, scale: int = 4) -> Grey:
    modules = cv2.QRCodeEncoder.create().encode(text)
    framed = cv2.copyMakeBorder(modules, 4, 4, 4, 4, cv2.BORDER_CONSTANT, value=[255])
    return cv2.resize(framed, None, fx=scale, fy=scale, interpolation=cv2.INTER_NEAREST)


def made(kind: str, content: str | bytes, scale: int = 3) -> Grey:
    code = zxingcpp.create_barcode(content, zxingcpp.barcode_format_from_str(kind))
    return np.array(code.to_image(scale=scale))


def paste(*codes: Grey, width: int = 800, height: int = 600) -> Grey:
    """The codes side by side on white, centred in equal columns."""
    page = np.full((height, width), 255, np.uint8)
    column = width // len(codes)
    for number, code in enumerate(codes):
        y, x = (height - code.shape[0]) // 2, number * column + (column - code.shape[1]) // 2
        page[y : y + code.shape[0], x : x + code.shape[1]] = code
    return page


def turned(grey: Grey, angle: float) -> Grey:
    height, width = grey.shape
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), angle, 1)
    return cv2.warpAffine(grey, matrix, (width, height), borderValue=[255])


def near(polygon: Polygon, left: float, top: float, right: float, bottom: float) -> float:
    """Intersection over union of the polygon's bounds and a box."""
    x0, y0, x1, y1 = polygon.bounds
    a, b = Box(x0, y0, x1 - x0, y1 - y0), Box(left, top, right - left, bottom - top)
    return a.overlap(b)


# faces


def test_a_frontal_face_is_found_with_its_eyes_and_its_smile() -> None:
    (face,) = see("astronaut.jpg", "faces").faces
    assert near(face.polygon, 138, 51, 214, 127) > 0.7
    assert 0.8 < face.confidence <= 1
    assert face.smile in ("likely", "very_likely")
    eyes = {mark.name: mark.point for mark in face.landmarks}
    assert set(eyes) == {"LEFT_EYE", "RIGHT_EYE", "MIDPOINT_BETWEEN_EYES"}
    # Left is the viewer's left.
    assert eyes["LEFT_EYE"].x == pytest.approx(158, abs=6)
    assert eyes["RIGHT_EYE"].x == pytest.approx(193, abs=6)
    assert eyes["LEFT_EYE"].y == pytest.approx(eyes["RIGHT_EYE"].y, abs=6)


@pytest.mark.parametrize("mirrored", [False, True])
def test_a_face_in_profile_is_found_on_either_side(mirrored: bool) -> None:
    pixels = Image(PHOTOS / "camera.jpg").pixels("L")
    width = pixels.shape[1]
    (face,) = see(pixels[:, ::-1] if mirrored else pixels, "faces").faces
    left, right = (width - 222, width - 135) if mirrored else (135, 222)
    assert near(face.polygon, left, 70, right, 158) > 0.5
    assert face.landmarks == ()
    assert face.smile == "unknown"


@pytest.mark.parametrize("name", ["chelsea.jpg", "coffee.jpg", "rocket.jpg", "code128.png"])
def test_no_face_is_seen_where_there_is_none(name: str) -> None:
    assert see(name, "faces").faces == ()


@pytest.mark.parametrize("factor", [0.5, 4.0])
def test_a_face_keeps_its_place_in_small_and_in_large_pictures(factor: float) -> None:
    pixels = Image(PHOTOS / "astronaut.jpg").pixels("L")
    (face,) = see(cv2.resize(pixels, None, fx=factor, fy=factor), "faces").faces
    assert near(face.polygon, *(side * factor for side in (138, 51, 214, 127))) > 0.7


def test_two_faces_side_by_side_are_two() -> None:
    pixels = Image(PHOTOS / "astronaut.jpg").pixels("L")
    both = np.hstack([pixels, pixels])
    assert len(see(both, "faces").faces) == 2
    assert len(see(both, "faces", max_results=1).faces) == 1


# objects


def test_a_cat_is_named() -> None:
    (cat,) = see("chelsea.jpg", "objects").objects
    assert cat.name == "Cat"
    assert near(cat.polygon, 60, 0, 370, 300) > 0.5


def test_a_standing_figure_is_a_person_where_it_stands() -> None:
    scene = np.random.default_rng(0).normal(200, 8, (400, 600)).clip(0, 255).astype(np.uint8)
    cv2.ellipse(scene, (200, 90), (17, 22), 0, 0, 360, (30,), -1)
    cv2.ellipse(scene, (200, 165), (38, 58), 0, 0, 360, (30,), -1)
    for side in (-1, 1):
        cv2.line(scene, (200 + side * 16, 200), (200 + side * 22, 330), (30,), 24)
        cv2.line(scene, (200 + side * 34, 130), (200 + side * 46, 215), (30,), 15)
    (person,) = see(cv2.GaussianBlur(scene, (0, 0), 1), "objects").objects
    assert person.name == "Person"
    assert person.score > 0.8
    assert near(person.polygon, 130, 68, 270, 342) > 0.5


@pytest.mark.parametrize("name", ["coffee.jpg", "rocket.jpg"])
def test_no_object_is_seen_where_there_is_none(name: str) -> None:
    assert see(name, "objects").objects == ()


# bar codes


def test_bars_in_a_picture_are_read_where_they_are() -> None:
    codes = see("code128.png", "barcodes").barcodes
    assert [(code.format, code.text) for code in codes] == [
        ("CODE_128", "Rana temporaria"),
        ("CODE_128", "Foramenifera"),
    ]
    assert codes[0].polygon.bounds[3] < 100 < 500 < codes[1].polygon.bounds[1]


def test_turned_qr_codes_have_turned_polygons() -> None:
    codes = see("qrcode_rotated.png", "barcodes").barcodes
    assert [code.text for code in codes] == ["Thalassiodracon"] * 2
    first = codes[0].polygon.points
    assert (first[0].x, first[0].y) == (pytest.approx(276, abs=3), pytest.approx(11, abs=3))
    assert (first[1].x, first[1].y) == (pytest.approx(378, abs=3), pytest.approx(113, abs=3))


@pytest.mark.parametrize("angle", [0, 30, 45, 90, 180])
@pytest.mark.parametrize("kind", ["QRCode", "EAN13", "Code128"])
def test_codes_are_read_at_any_angle(kind: str, angle: int) -> None:
    text = "5901234123457"
    page = turned(paste(made(kind, text)), angle)
    assert [code.text for code in see(page, "barcodes").barcodes] == [text]


def test_a_polygon_starts_at_the_codes_own_corner_and_runs_clockwise() -> None:
    page = paste(qr("turn me"))
    (upright,) = see(page, "barcodes").barcodes
    (over,) = see(turned(page, 180), "barcodes").barcodes
    assert upright.polygon.points[0].x < upright.polygon.points[1].x
    assert over.polygon.points[0].x > over.polygon.points[1].x
    for code in (upright, over):
        corners = np.array([(p.x, p.y) for p in code.polygon.points], np.float32)
        # With y pointing down, OpenCV's oriented area is positive clockwise.
        assert cv2.contourArea(corners, oriented=True) > 0


def test_bars_have_a_polygon_with_their_height() -> None:
    code = made("EAN13", "5901234123457")
    (found,) = see(paste(code), "barcodes").barcodes
    left, top, right, bottom = found.polygon.bounds
    assert right - left > 0.6 * code.shape[1]
    assert bottom - top > 0.5 * code.shape[0]


def test_three_codes_in_one_picture_are_three() -> None:
    page = paste(qr("one"), made("EAN13", "5901234123457", 2), qr("three"), width=1000)
    found = {(code.format, code.text) for code in see(page, "barcodes").barcodes}
    assert found == {("QR_CODE", "one"), ("EAN_13", "5901234123457"), ("QR_CODE", "three")}
    assert len(see(page, "barcodes", max_results=2).barcodes) == 2


@pytest.mark.parametrize(
    ("kind", "content", "name", "text"),
    [
        ("UPCA", "012345678905", "UPC_A", "012345678905"),
        ("UPCE", "01234565", "UPC_E", "01234565"),
        ("EAN8", "12345670", "EAN_8", "12345670"),
        ("Code39", "OGAM", "CODE_39", "OGAM"),
        ("Code93", "Ogam", "CODE_93", "Ogam"),
        ("ITF", "12345678", "ITF", "12345678"),
        ("DataMatrix", "오감", "DATA_MATRIX", "오감"),
        ("PDF417", "Ogam", "PDF_417", "Ogam"),
        ("Aztec", "Ogam", "AZTEC", "Ogam"),
        ("DataBarExp", "(01)12345678901231", "RSS_EXPANDED", "0112345678901231"),
    ],
)
def test_formats_have_zxings_names(kind: str, content: str, name: str, text: str) -> None:
    (code,) = see(paste(made(kind, content)), "barcodes").barcodes
    assert (code.format, code.text) == (name, text)


@pytest.mark.parametrize("text", ["한국어 큐알 코드", "Grüße — ありがとう", "😀", "a\nb\tc"])
def test_payloads_in_unicode_come_back(text: str) -> None:
    # With a charset marked, with none, and marked as bytes.
    for code in (made("QRCode", text), qr(text), made("QRCode", text.encode())):
        (found,) = see(paste(code), "barcodes").barcodes
        assert found.text == text


def test_bytes_that_are_no_text_come_back_one_by_one() -> None:
    payload = bytes([0xFF, 0xFE, 0x80, 0x00, 0x61])
    (code,) = see(paste(made("QRCode", payload)), "barcodes").barcodes
    assert code.text.encode("latin-1") == payload


def test_small_codes_are_read_larger_and_large_ones_smaller() -> None:
    small = cv2.resize(paste(qr("small")), None, fx=0.35, fy=0.35, interpolation=cv2.INTER_AREA)
    large = cv2.resize(paste(qr("large")), None, fx=5, fy=5)
    assert [code.text for code in see(small, "barcodes").barcodes] == ["small"]
    (code,) = see(large, "barcodes").barcodes
    side = qr("large").shape[0] * 5
    left, _, right, _ = code.polygon.bounds
    assert 0.6 * side < right - left < side


def test_bars_in_shadow_and_light_bars_on_dark_are_read() -> None:
    page = paste(made("EAN13", "5901234123457"))
    shade = (page * np.linspace(0.15, 1, page.shape[1])).astype(np.uint8)
    assert [code.text for code in see(shade, "barcodes").barcodes] == ["5901234123457"]
    assert [code.text for code in see(255 - page, "barcodes").barcodes] == ["5901234123457"]


@pytest.mark.parametrize("name", ["astronaut.jpg", "chelsea.jpg", "coffee.jpg", "rocket.jpg"])
def test_no_code_is_read_where_there_is_none(name: str) -> None:
    assert see(name, "barcodes").barcodes == ()


# colours


def test_colours_have_their_shares_and_vivid_ones_rank_higher() -> None:
    flag = np.zeros((100, 200, 3), np.uint8)
    flag[:, :100], flag[:, 100:150], flag[:, 150:] = (128, 128, 128), (220, 20, 20), (20, 20, 220)
    colors = see(flag, "image_properties").colors
    assert {color.hex: round(color.pixel_fraction, 2) for color in colors} == {
        "#808080": 0.5,
        "#dc1414": 0.25,
        "#1414dc": 0.25,
    }
    assert colors[-1].hex == "#808080"
    assert sum(color.score for color in colors) == pytest.approx(1, abs=1e-4)


def test_transparent_pixels_have_no_colour() -> None:
    pixels = np.zeros((50, 50, 4), np.uint8)
    assert see(pixels, "image_properties").colors == ()
    pixels[:5] = (255, 0, 0, 255)
    (color,) = see(pixels, "image_properties").colors
    assert (color.hex, color.pixel_fraction) == ("#ff0000", 1.0)


def test_a_photograph_has_at_most_ten_colours_sorted_by_score() -> None:
    colors = see("coffee.jpg", "image_properties").colors
    assert 4 < len(colors) <= 10
    assert list(colors) == sorted(colors, key=lambda color: -color.score)
    # The saucer is red, the table brown.
    assert colors[0].red > 150 > 100 > colors[0].green
    assert see("coffee.jpg", "image_properties", max_results=3).colors == colors[:3]


# crops


def test_a_crop_keeps_the_face() -> None:
    wide = np.full((300, 900), 120, np.uint8)
    face = Image(PHOTOS / "astronaut.jpg").pixels("L")[20:160, 100:250]
    wide[80:220, 650:800] = face
    (hint,) = see(wide, "crop_hints", aspect_ratios=(1.0,)).crop_hints
    left, top, right, bottom = hint.polygon.bounds
    assert (top, bottom, right - left) == (0, 300, 300)
    assert left <= 650
    assert right >= 800
    assert hint.importance > 0.8
    assert hint.confidence > 0.8


def test_a_plain_picture_is_cropped_in_its_middle_without_confidence() -> None:
    (hint,) = see(np.full((100, 300), 90, np.uint8), "crop_hints", aspect_ratios=(1,)).crop_hints
    assert hint.polygon.bounds == (100, 0, 200, 100)
    assert hint.importance == pytest.approx(1 / 3, abs=0.01)
    assert hint.confidence == pytest.approx(0, abs=0.05)


def test_without_ratios_there_is_one_crop_of_the_pictures_own_shape() -> None:
    (hint,) = see("rocket.jpg", "crop_hints").crop_hints
    left, top, right, bottom = hint.polygon.bounds
    width, height = Image(PHOTOS / "rocket.jpg").size
    assert (right - left) / (bottom - top) == pytest.approx(width / height, rel=0.01)


@given(
    width=st.integers(4, 300),
    height=st.integers(4, 300),
    ratios=st.lists(st.floats(0.02, 50), min_size=1, max_size=4),
)
@settings(max_examples=40, deadline=None)
def test_crops_hold_the_ratio_within_a_pixel_inside_the_picture(
    width: int, height: int, ratios: list[float]
) -> None:
    ramp = np.linspace(0, 255, width * height).reshape(height, width).astype(np.uint8)
    found = see(ramp, "crop_hints", aspect_ratios=tuple(ratios)).crop_hints
    assert len(found) == len(ratios)
    for ratio, hint in zip(ratios, found, strict=True):
        left, top, right, bottom = hint.polygon.bounds
        assert 0 <= left < right <= width
        assert 0 <= top < bottom <= height
        wide, high = right - left, bottom - top
        assert min(abs(wide - high * ratio), abs(high - wide / ratio)) <= 1
        assert 0 <= hint.importance <= 1
        assert 0 <= hint.confidence <= 1


# the engine


def test_an_empty_request_means_all_features_and_units_count_them() -> None:
    result = see("qrcode.png")
    assert set(result.features) == OpenCvEngine.features
    assert result.units.image_features == 5
    assert (result.engine, result.model) == ("opencv", "opencv")
    assert [code.text for code in result.barcodes] == ["Thalassiodracon"]
    assert result.colors
    assert result.crop_hints


def test_only_what_is_asked_for_is_looked_for_and_counted_once() -> None:
    result = see("qrcode.png", "barcodes", "barcodes")
    assert result.features == ("barcodes",)
    assert result.units.image_features == 1
    assert (result.colors, result.crop_hints, result.faces) == ((), (), ())


def test_a_feature_of_another_engine_is_refused() -> None:
    with pytest.raises(UnsupportedOptionError, match="text"):
        see("qrcode.png", "text")


def test_a_model_it_does_not_have_is_refused() -> None:
    with pytest.raises(UnknownModelError, match="yolo"):
        OpenCvEngine(ModelRef(name="opencv/yolo", engine="opencv", model="yolo"))


def test_a_damaged_picture_is_refused() -> None:
    with pytest.raises(InvalidMediaError):
        see(Image((PHOTOS / "coffee.jpg").read_bytes()[:400]), "faces")


def test_places_are_those_of_the_upright_picture() -> None:
    upright = Image(PHOTOS / "astronaut.jpg").open()
    exif = upright.getexif()
    exif[0x0112] = 6  # stored lying on its side, to be turned clockwise
    buffer = io.BytesIO()
    upright.transpose(PILImage.Transpose.ROTATE_90).save(buffer, "JPEG", exif=exif)
    (face,) = see(Image(buffer.getvalue()), "faces").faces
    assert near(face.polygon, 138, 51, 214, 127) > 0.7


def test_many_threads_get_the_same_result_as_one() -> None:
    features = ("faces", "image_properties", "crop_hints", "barcodes")
    alone = see("astronaut.jpg", *features)
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(lambda _: see("astronaut.jpg", *features), range(4)))
    assert all(result == alone for result in results)


def test_work_whose_caller_has_gone_stops() -> None:
    gone = threading.Event()
    gone.set()
    outcome: list[BaseException] = []

    def work() -> None:
        cancellable(gone)
        try:
            see("coffee.jpg", "objects")
        except CancelledWork as stopped:
            outcome.append(stopped)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert len(outcome) == 1


@given(
    width=st.integers(4, 70),
    height=st.integers(4, 70),
    channels=st.sampled_from([1, 3, 4]),
    seed=st.integers(0, 2**32 - 1),
    levels=st.sampled_from([1, 2, 256]),
)
@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_small_picture_is_seen_without_a_crash_and_places_lie_in_it(
    width: int, height: int, channels: int, seed: int, levels: int
) -> None:
    shape = (height, width) if channels == 1 else (height, width, channels)
    values = np.random.default_rng(seed).integers(0, levels, shape) * (255 // max(levels - 1, 1))
    result = see(values.astype(np.uint8))
    for polygon in polygons(result):
        left, top, right, bottom = polygon.bounds
        assert 0 <= left <= right <= width
        assert 0 <= top <= bottom <= height
    assert sum(color.pixel_fraction for color in result.colors) <= 1
    assert sum(color.score for color in result.colors) <= 1


@pytest.mark.parametrize("shape", [(4, 3000), (3000, 4), (4, 4)])
def test_thin_pictures_are_seen_too(shape: tuple[int, int]) -> None:
    result = see(np.full(shape, 255, np.uint8))
    assert result.colors[0].hex == "#ffffff"
    assert result.faces == ()


def test_of_overlapping_boxes_the_surest_stays_in_an_order_without_chance() -> None:
    a, b = Found(Box(0, 0, 10, 10), 0.5), Found(Box(1, 1, 10, 10), 0.9)
    inner, far = Found(Box(3, 3, 4, 4), 0.4), Found(Box(50, 50, 10, 10), 0.9)
    expected = [b, far]
    assert boxes.strongest([a, b, inner, far]) == expected
    assert boxes.strongest([far, inner, b, a]) == expected

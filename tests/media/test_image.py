"""Image: any source, upright, within limits."""

from __future__ import annotations

import base64
import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as PILImage

from ogam.errors import InvalidMediaError, InvalidRequestError, OgamError, TooLargeError
from ogam.media import Image, limits


def picture(width: int = 40, height: int = 20, mode: str = "RGB") -> PILImage.Image:
    values = np.arange(width * height * 3, dtype=np.uint32).reshape(height, width, 3) % 251
    return PILImage.fromarray(values.astype(np.uint8)).convert(mode)


def encoded(kind: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    picture().save(buffer, kind, **options)
    return buffer.getvalue()


def test_every_source_gives_the_same_picture(tmp_path: Path) -> None:
    data = encoded()
    path = tmp_path / "no-ending"
    path.write_bytes(data)
    url = "data:image/png;base64," + base64.b64encode(data).decode()
    array = np.asarray(picture())
    images = [Image(one) for one in (str(path), path, data, io.BytesIO(data), url, array)]
    assert all(np.array_equal(one.pixels(), array) for one in images)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF"])
def test_every_format_is_known_by_its_bytes(kind: str) -> None:
    image = Image(encoded(kind))
    assert image.media_type == f"image/{kind.lower()}"
    assert image.size == (40, 20)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(orientation: int) -> None:
    exif = PILImage.Exif()
    exif[0x0112] = orientation
    image = Image(encoded("JPEG", exif=exif, quality=95))
    assert image.size == ((40, 20) if orientation <= 4 else (20, 40))
    assert (image._shown() is image) == (orientation == 1)


@pytest.mark.parametrize("shape", [(8, 9), (8, 9, 3), (8, 9, 4)])
def test_arrays_of_grey_rgb_and_rgba_keep_their_pixels(shape: tuple[int, ...]) -> None:
    array = np.random.default_rng(1).integers(0, 256, shape, dtype=np.uint8)
    mode = {2: "L", 3: "RGB", 4: "RGBA"}[shape[2] if len(shape) == 3 else 2]
    assert np.array_equal(Image(array).pixels(mode), array)


@pytest.mark.parametrize(
    "array",
    [np.zeros((4, 4, 2), np.uint8), np.zeros((4, 4), np.float32), np.zeros((0, 4), np.uint8)],
)
def test_arrays_that_are_no_picture_are_refused(array: np.ndarray) -> None:
    with pytest.raises(InvalidRequestError):
        Image(array)


def test_what_is_transparent_becomes_white() -> None:
    array = np.zeros((8, 8, 4), np.uint8)
    assert (Image(array).pixels("RGB") == 255).all()
    assert Image(array).has_alpha


def test_sixteen_bit_grey_keeps_its_contrast() -> None:
    buffer = io.BytesIO()
    PILImage.fromarray(np.linspace(0, 65535, 64).astype(np.uint16).reshape(8, 8)).save(
        buffer, "PNG"
    )
    grey = Image(buffer.getvalue()).pixels("L")
    assert grey.min() == 0 and grey.max() == 255 and len(np.unique(grey)) > 50


def test_a_picture_of_one_pixel_is_refused() -> None:
    with pytest.raises(InvalidMediaError, match="1 x 1"):
        Image(np.zeros((1, 1, 3), np.uint8)).pixels()


def bomb(side: int) -> bytes:
    """A PNG whose header claims side x side pixels and whose data unpack to nothing."""

    def chunk(name: bytes, body: bytes) -> bytes:
        crc = zlib.crc32(name + body)
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", crc)

    head = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + chunk(b"IDAT", zlib.compress(b"\x00" * 1000))
        + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("side", [7_100, 12_000, 60_000])
def test_a_decompression_bomb_is_refused_by_its_header(side: int) -> None:
    with pytest.raises(TooLargeError, match="pixels"):
        Image(bomb(side)).pixels()


def test_the_pixel_limit_can_be_set() -> None:
    before = limits.current()
    limits.use(limits.Limits(max_pixels=100))
    try:
        with pytest.raises(TooLargeError):
            Image(encoded()).pixels()
    finally:
        limits.use(before)


@given(data=st.binary(max_size=2000))
@settings(max_examples=200, deadline=None)
def test_random_bytes_are_refused_in_one_line(data: bytes) -> None:
    for start in (b"", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"BM", b"II*\x00"):
        try:
            Image(start + data).pixels()
        except OgamError as error:
            assert "\n" not in str(error)


def test_a_picture_cut_short_is_a_clear_error() -> None:
    with pytest.raises(InvalidMediaError, match="cannot be read"):
        Image(encoded("JPEG")[:300]).pixels()


def test_drawn_boxes_appear_where_they_should() -> None:
    blank = Image(np.full((100, 100, 3), 255, np.uint8))
    corners = [(10, 10), (50, 10), (50, 50), (10, 50)]
    drawn = blank.draw([("face", "face 0.9", corners), ("word", "글", corners)])
    pixels = drawn.pixels().astype(int)
    assert (pixels[30, 10] != 255).any() and (pixels[30, 30] == 255).all()
    assert drawn.size == (100, 100)


def test_notebooks_get_the_picture_with_boxes() -> None:
    html = Image(encoded()).html_with_boxes([("word", "<b>", [(0, 0), (5, 0), (5, 5)])])
    assert "<svg" in html and "&lt;b&gt;" in html and "polygon" in html


@pytest.mark.parametrize("ending", [".png", ".jpg", ".webp", ".bmp", ".tiff"])
def test_save_writes_the_format_of_the_ending(tmp_path: Path, ending: str) -> None:
    rgba = np.full((8, 8, 4), 200, np.uint8)
    Image(rgba).save(tmp_path / f"x{ending}")
    assert Image(tmp_path / f"x{ending}").size == (8, 8)

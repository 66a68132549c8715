"""A picture: its bytes, its media type, and its pixels when asked. Pillow decodes."""

from __future__ import annotations

import base64
import io
import os
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

from ogam.errors import InvalidMediaError, InvalidRequestError, TooLargeError
from ogam.extras import needs
from ogam.media import files, limits, sniff
from ogam.media import source as sources

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL import Image as PILImage

# Below this side there is nothing to see, and detectors divide by zero.
MIN_SIDE = 4
# kind -> colour of its box (Okabe and Ito's palette, told apart by colour-blind readers).
_COLORS = {
    "word": "#0072b2",
    "face": "#d55e00",
    "object": "#009e73",
    "barcode": "#cc79a7",
    "crop": "#e69f00",
}
_SAVE_FORMATS = {
    ".png": "PNG",
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".webp": "WEBP",
    ".gif": "GIF",
    ".bmp": "BMP",
    ".tif": "TIFF",
    ".tiff": "TIFF",
}

Boxes = Sequence[tuple[str, str, Sequence[tuple[float, float]]]]


class Image:
    """A picture, from a path, bytes, a binary file object, a data URL or a NumPy array.

    An array has shape (height, width) for grey, (height, width, 3) for RGB or
    (height, width, 4) for RGBA, and dtype uint8.

    Raises InvalidMediaError for bytes that are no picture, TooLargeError for one over the
    limits; the size is read from the header, before any pixel is decoded.
    """

    __slots__ = ("_decoded", "data", "media_type", "name")

    def __init__(self, source: sources.Source | Image | NDArray[np.uint8]) -> None:
        self._decoded: PILImage.Image | None = None
        if isinstance(source, Image):
            self.data, self.media_type, self.name = source.data, source.media_type, source.name
            self._decoded = source._decoded
            return
        if hasattr(source, "__array_interface__"):
            self.data, self.name = _png(source), "The array"
        else:
            self.data, self.name = sources.read(source, "picture")  # pyright: ignore[reportArgumentType]
        found = sniff.image_type(self.data)
        if found is None:
            kind = sniff.audio_type(self.data)
            raise InvalidMediaError(
                f"{self.name} is not a picture{f' but {kind}' if kind else ''}.",
                hint="Give a JPEG, PNG, WebP, GIF, BMP or TIFF file.",
            )
        self.media_type = found

    def __repr__(self) -> str:
        return f"Image({self.media_type}, {len(self.data):,} bytes)"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Image) and other.data == self.data

    def __hash__(self) -> int:
        return hash(self.data)

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) in pixels, after EXIF orientation."""
        return self.open().size

    def open(self) -> PILImage.Image:
        """The decoded picture, turned as EXIF says. Shared: copy it before drawing on it."""
        if self._decoded is None:
            self._decoded = self._decode()
        return self._decoded

    def pixels(self, mode: Literal["RGB", "RGBA", "L"] = "RGB") -> NDArray[np.uint8]:
        """A uint8 array: (height, width, 3), (height, width, 4), or (height, width) for "L".

        Without an alpha channel in ``mode``, transparent parts become white.
        """
        with needs("local"):
            import numpy as np
        return np.asarray(_flatten(self.open(), mode))

    @property
    def has_alpha(self) -> bool:
        """Whether some of the picture may be transparent."""
        picture = self.open()
        return "A" in picture.getbands() or "transparency" in picture.info

    def draw(self, boxes: Boxes) -> Image:
        """A PNG of this picture with ``boxes``, each (kind, caption, corners in pixels)."""
        with needs("local"):
            from PIL import ImageDraw, ImageFont
        picture = _flatten(self.open(), "RGB").copy()
        pen = ImageDraw.Draw(picture)
        width = max(2, min(picture.size) // 250)
        font = ImageFont.load_default(size=max(11, min(picture.size) // 40))
        for kind, caption, corners in boxes:
            color = _COLORS.get(kind, "#d55e00")
            pen.polygon([tuple(corner) for corner in corners], outline=color, width=width)
            # Pillow's own font has Latin letters only; a word's box needs no caption.
            if kind != "word" and caption.isascii():
                x, y = corners[0]
                _, top, right, _ = pen.textbbox((x, y), caption, font=font, anchor="lb")
                # The whole caption inside the picture, where there is room for it.
                x = max(0.0, x - max(0.0, right - picture.width))
                y = y - min(0.0, top)
                pen.rectangle(pen.textbbox((x, y), caption, font=font, anchor="lb"), fill=color)
                pen.text((x, y), caption, fill="white", font=font, anchor="lb")
        buffer = io.BytesIO()
        picture.save(buffer, "PNG")
        return Image(buffer.getvalue())

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the picture, in the format of the path's ending, whole or not at all."""
        ending = files.ending(path)
        kind = _SAVE_FORMATS.get(ending)
        if kind is None:
            raise InvalidRequestError(
                f"A picture cannot be saved as {files.told(ending)}.",
                hint=f"Endings: {' '.join(_SAVE_FORMATS)}.",
            )
        if self.media_type == f"image/{kind.lower()}":
            files.write(path, self.data)
            return
        buffer = io.BytesIO()
        (_flatten(self.open(), "RGB") if kind == "JPEG" else self.open()).save(buffer, kind)
        files.write(path, buffer.getvalue())

    def data_url(self) -> str:
        """``data:image/…;base64,…``."""
        return f"data:{self.media_type};base64,{base64.b64encode(self.data).decode()}"

    def html_with_boxes(self, boxes: Boxes) -> str:
        """The picture in HTML with boxes over it; the captions show on hover."""
        import html

        width, height = self.size
        shapes = "".join(
            f'<polygon points="{" ".join(f"{x:.1f},{y:.1f}" for x, y in corners)}" fill="none" '
            f'stroke="{_COLORS.get(kind, "#d55e00")}" stroke-width="{max(2, width // 300)}" '
            f'pointer-events="all"><title>{html.escape(caption)}</title></polygon>'
            for kind, caption, corners in boxes
        )
        return (
            f'<svg viewBox="0 0 {width} {height}" style="max-width:100%;width:{min(width, 800)}px">'
            f'<image href="{self._shown().data_url()}" width="{width}" height="{height}"/>'
            f"{shapes}</svg>"
        )

    def _repr_html_(self) -> str:
        return self.html_with_boxes([])

    def _shown(self) -> Image:
        """A form that every browser shows, upright: browsers disagree on EXIF inside SVG."""
        plain = self.media_type in ("image/png", "image/webp", "image/gif", "image/jpeg")
        if plain and not self.open().info.get("ogam_turned"):
            return self
        buffer = io.BytesIO()
        self.open().save(buffer, "PNG")
        return Image(buffer.getvalue())

    def _decode(self) -> PILImage.Image:
        with needs("local"):
            from PIL import Image as PILImage
            from PIL import ImageOps, UnidentifiedImageError
        bombs = (PILImage.DecompressionBombError, PILImage.DecompressionBombWarning)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error", PILImage.DecompressionBombWarning)
                warnings.simplefilter("ignore", UserWarning)
                picture = PILImage.open(io.BytesIO(self.data))
                limits.check_pixels(*picture.size, self.name)
                if min(picture.size) < MIN_SIDE:
                    raise InvalidMediaError(
                        f"{self.name} is {picture.width} x {picture.height} pixels; "
                        f"there is nothing to see below {MIN_SIDE} x {MIN_SIDE}."
                    )
                turned = picture.getexif().get(0x0112, 1) != 1
                picture.load()
                picture = ImageOps.exif_transpose(picture)
        except bombs:
            raise TooLargeError(
                f"{self.name} unpacks to more than {limits.current().max_pixels:,} pixels.",
                hint="Scale it down, or raise limits.max_pixels in ogam.toml.",
            ) from None
        except (UnidentifiedImageError, OSError, ValueError, SyntaxError, EOFError) as error:
            # Pillow's own words for this one name an object in memory.
            unknown = isinstance(error, UnidentifiedImageError)
            why = "its header is damaged" if unknown else str(error) or type(error).__name__
            raise InvalidMediaError(
                f"{self.name} cannot be read as a picture: {why}.",
                hint="Is the file damaged or cut short?",
            ) from None
        picture.info["ogam_turned"] = turned
        return picture


def _flatten(picture: PILImage.Image, mode: str) -> PILImage.Image:
    """``picture`` in ``mode``; what is transparent becomes white where the mode has no alpha."""
    from PIL import Image as PILImage

    if mode == "RGBA":
        return picture.convert("RGBA")
    if picture.mode.startswith("I") or picture.mode == "F":
        # 16-bit grey: Pillow's own conversion clips at 255, which whitens the picture.
        low, high = picture.getextrema()  # pyright: ignore[reportAssignmentType]
        span = max(float(high) - float(low), 1.0)  # pyright: ignore[reportArgumentType]
        wide = picture.convert("F").point(lambda value: (value - float(low)) * (255 / span))  # pyright: ignore
        picture = wide.convert("L")
    if "A" in picture.getbands() or "transparency" in picture.info:
        see_through = picture.convert("RGBA")
        paper = PILImage.new("RGBA", see_through.size, "white")
        picture = PILImage.alpha_composite(paper, see_through)
    return picture.convert(mode)


def _png(array: Any) -> bytes:
    with needs("local"):
        import numpy as np
        from PIL import Image as PILImage
    values = np.asarray(array)
    grey = values.ndim == 2
    if not (grey or (values.ndim == 3 and values.shape[2] in (3, 4))) or values.dtype != np.uint8:
        raise InvalidRequestError(
            f"A picture cannot be made from an array of shape {values.shape} and {values.dtype}.",
            hint="Shape (height, width), (height, width, 3) or (height, width, 4), dtype uint8.",
        )
    if values.size == 0:
        raise InvalidMediaError("The array is empty.")
    limits.check_pixels(values.shape[1], values.shape[0], "The array")
    buffer = io.BytesIO()
    PILImage.fromarray(np.ascontiguousarray(values)).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()

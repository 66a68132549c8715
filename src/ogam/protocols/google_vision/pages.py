"""The pages of a PDF, TIFF or GIF as pictures. PDFium renders, Pillow reads the others.

Knows no protocol. Coordinates of a rendered page are pixels of its picture.
"""

from __future__ import annotations

import io
import threading
import warnings
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from ogam.errors import InvalidMediaError, InvalidRequestError, TooLargeError
from ogam.extras import needs
from ogam.media import Image, limits

# A4 at 200 dots an inch has 1654 x 2339 pixels, where letters of 8 points are read well; a
# larger page (a poster) is not rendered larger.
_DOTS, _LONGEST = 200 / 72, 2400
# PDFium knows no threads: https://pypdfium2.readthedocs.io, "Thread incompatibility".
_pdfium = threading.Lock()
_KINDS = ("application/pdf", "image/tiff", "image/gif")


class Page(NamedTuple):
    """A page. ``points``: its size on paper in 1/72 inch, where it has one."""

    image: Image
    points: tuple[int, int] | None


class Pages:
    """An open file. ``total`` pages, each made when it is asked for."""

    def __init__(self, data: bytes, total: int) -> None:
        self._data, self.total = data, total

    def numbers(self, asked: Sequence[int], most: int) -> list[int]:
        """The pages to see, counted from 1; a negative number counts from the end."""
        if not asked:
            return list(range(1, min(self.total, most) + 1))
        found = [one if one > 0 else self.total + 1 + one for one in asked]
        for own, number in zip(asked, found, strict=True):
            if own == 0 or not 1 <= number <= self.total:
                raise InvalidRequestError(
                    f"Invalid page number {own}: the file has {self.total} pages.", param="pages"
                )
        return sorted(set(found))

    def page(self, number: int) -> Page:
        """A page, ``number`` counted from 1. Blocking."""
        raise NotImplementedError


def pages_of(data: bytes, mime_type: str) -> Pages:
    """Open a file of one of the three types; what it really is decides, not what it is called.

    InvalidRequestError for another type, InvalidMediaError where it is damaged.
    """
    if mime_type not in _KINDS:
        raise InvalidRequestError(
            f"Unsupported input file format: {mime_type!r}.",
            hint=f"mimeType is one of {', '.join(_KINDS)}.",
            param="inputConfig.mimeType",
        )
    return _Pdf(data) if b"%PDF-" in data[:1024] else _Frames(data)


class _Pdf(Pages):
    def __init__(self, data: bytes) -> None:
        super().__init__(data, 0)
        with _pdfium, _opened_pdf(data) as document:
            self.total = len(document)
        if not self.total:
            raise InvalidMediaError("The PDF has no pages.")

    def page(self, number: int) -> Page:
        import pypdfium2

        try:
            with _pdfium, _opened_pdf(self._data) as document:
                page = document[number - 1]
                width, height = page.get_size()
                if min(width, height) < 1:
                    raise InvalidMediaError(f"Page {number} of the PDF has no size.")
                scale = min(_DOTS, _LONGEST / max(width, height))
                picture = page.render(scale=scale).to_pil().convert("RGB")
                page.close()
        except pypdfium2.PdfiumError as error:
            raise InvalidMediaError(f"Page {number} of the PDF cannot be read: {error}.") from None
        return Page(_image(picture), (max(1, round(width)), max(1, round(height))))


def _opened_pdf(data: bytes) -> Any:
    with needs("local"):
        import pypdfium2
    try:
        return pypdfium2.PdfDocument(data)
    except pypdfium2.PdfiumError as error:
        raise InvalidMediaError(
            f"The PDF cannot be read: {error}.", hint="Is it damaged, or locked by a password?"
        ) from None


class _Frames(Pages):
    def __init__(self, data: bytes) -> None:
        # Says what it is if it is no picture, and checks the first page's size.
        first = Image(data)
        first.open()
        super().__init__(data, 1)
        self.total = self._with(_count)

    def page(self, number: int) -> Page:
        def frame(picture: Any) -> Any:
            picture.seek(number - 1)
            limits.check_pixels(picture.width, picture.height, f"Page {number}")
            return picture.convert("RGB")

        return Page(_image(self._with(frame)), None)

    def _with(self, work: Callable[[Any], Any]) -> Any:
        with needs("local"):
            from PIL import Image as PILImage
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error", PILImage.DecompressionBombWarning)
                warnings.simplefilter("ignore", UserWarning)
                with PILImage.open(io.BytesIO(self._data)) as picture:
                    return work(picture)
        except (PILImage.DecompressionBombError, PILImage.DecompressionBombWarning):
            raise TooLargeError("A page of the file unpacks to too many pixels.") from None
        except (OSError, ValueError, SyntaxError, EOFError) as error:
            raise InvalidMediaError(f"The file cannot be read: {error}.") from None


def _count(picture: Any) -> int:
    return getattr(picture, "n_frames", 1)


def _image(picture: Any) -> Image:
    """As BMP, which costs nothing to write and to read."""
    buffer = io.BytesIO()
    picture.save(buffer, "BMP")
    return Image(buffer.getvalue())

"""Characters read right and seconds a page: Ogam's engine against RapidOCR called directly.

Pages are rendered here in five fonts: a letter, an invoice, a table, two columns; then
turned and skewed. ``--data FOLDER`` adds pictures, compared where ``name.txt`` lies beside
``name.png``. The two readers take turns, so that a busy machine slows both alike::

    python benchmarks/ocr.py [--quick] [--data FOLDER]
"""

from __future__ import annotations

import argparse
import io
import logging
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import matplotlib
from PIL import Image as PILImage
from PIL import ImageDraw, ImageFont

from ogam.capabilities.base import ModelRef
from ogam.capabilities.vision import SeeRequest
from ogam.engines.rapidocr import RapidOcrEngine
from ogam.media import Image

FONTS = ("DejaVuSans", "DejaVuSerif", "DejaVuSansMono", "STIXGeneral", "cmr10")
TURNS = (0, 90, 180, 270, 3, -4)
LETTER = (
    "Dear Ms. Okafor,",
    "Thank you for your letter of 14 March 2024. We have looked into",
    "the delay and found that parcel No. 88-1207 left our warehouse",
    "on time, but was held at the border for three days.",
    "We will refund the postage (EUR 17.45) within the week; please",
    "write to service@example.com if it has not arrived by Friday.",
    "Yours sincerely, J. Whitfield, Customer Care",
)
INVOICE = (
    ("Invoice 2024-0317",),
    ("Date: 2024-03-15", "Due: 2024-04-14"),
    ("Item", "Qty", "Price", "Total"),
    ("Steel bolts, M8 x 40", "120", "0.35", "42.00"),
    ("Pine board, 2.4 m", "16", "8.90", "142.40"),
    ("Wood glue, 750 ml", "3", "6.25", "18.75"),
    ("Delivery", "1", "12.00", "12.00"),
    ("Subtotal", "215.15"),
    ("VAT 19%", "40.88"),
    ("Total due", "256.03"),
)
TABLE = (
    ("City", "Country", "Population", "Area km2"),
    ("Lisbon", "Portugal", "545,796", "100.1"),
    ("Busan", "Korea", "3,295,760", "770.0"),
    ("Quito", "Ecuador", "2,011,388", "372.4"),
    ("Tromso", "Norway", "77,992", "2,521.3"),
    ("Perth", "Australia", "2,192,229", "6,417.9"),
)
COLUMNS = (
    (
        "The harbour lies at the mouth of",
        "a narrow river that freezes late",
        "in the year. Boats leave before",
        "dawn and come back with herring,",
        "cod and sometimes a few lobsters",
        "that fetch a good price inland.",
    ),
    (
        "In summer the town doubles its",
        "numbers. Visitors rent the small",
        "wooden houses along the quay and",
        "walk to the lighthouse, which was",
        "built of granite in the year 1871",
        "and still shows its light today.",
    ),
)


def font(name: str, size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(f"{matplotlib.get_data_path()}/fonts/ttf/{name}.ttf", size)


def page(kind: str, name: str, size: int = 22) -> tuple[PILImage.Image, str]:
    """(picture, the text it shows, in reading order)."""
    picture = PILImage.new("RGB", (1000, 700), "white")
    pen, face = ImageDraw.Draw(picture), font(name, size)
    lines: list[str] = []
    if kind == "letter":
        for row, text in enumerate(LETTER):
            pen.text((60, 60 + row * 2 * size), text, "black", face)
            lines.append(text)
    elif kind == "columns":
        pen.text((60, 40), "A small town in the north and its port", "black", font(name, 30))
        lines.append("A small town in the north and its port")
        for x, column in zip((60, 540), COLUMNS, strict=True):
            for row, text in enumerate(column):
                pen.text((x, 120 + row * 1.6 * size), text, "black", face)
                lines.append(text)
    else:
        for row, cells in enumerate(INVOICE if kind == "invoice" else TABLE):
            starts = (60, 480, 640, 820) if len(cells) > 2 else (60, 640)
            for x, text in zip(starts, cells, strict=False):
                pen.text((x, 50 + row * 2.2 * size), text, "black", face)
            lines.append(" ".join(cells))
    return picture, "\n".join(lines)


def note() -> tuple[PILImage.Image, str]:
    """Three lines on 600 x 160 pixels, the size of a message's screenshot."""
    picture = PILImage.new("RGB", (600, 160), "white")
    for row, text in enumerate(LETTER[4:]):
        ImageDraw.Draw(picture).text((12, 14 + 46 * row), text, "black", font(FONTS[0], 18))
    return picture, "\n".join(LETTER[4:])


def turned(picture: PILImage.Image, degrees: int) -> PILImage.Image:
    return picture.rotate(-degrees, PILImage.Resampling.BICUBIC, expand=True, fillcolor="white")


def accuracy(truth: str, read: str) -> float:
    """1 - edit distance / length of the truth, every run of white space being one space."""
    a, b = " ".join(truth.split()), " ".join(read.split())
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        corner, row[0] = row[0], i
        for j, y in enumerate(b, 1):
            corner, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, corner + (x != y))
    return max(0.0, 1 - row[-1] / max(1, len(a)))


def samples(quick: bool, data: Path | None) -> Iterator[tuple[str, bytes, str | None]]:
    picture, truth = note()
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    for _ in range(3):
        yield "600 x 160", buffer.getvalue(), truth
    for kind in ("letter", "invoice", "table", "columns"):
        for name in FONTS[:1] if quick else FONTS:
            picture, truth = page(kind, name)
            for degrees in (0, 90) if quick else TURNS:
                buffer = io.BytesIO()
                turned(picture, degrees).save(buffer, "PNG")
                yield f"{kind} {degrees:+d}", buffer.getvalue(), truth
    if data:
        for path in sorted(data.iterdir()):
            if path.suffix.lower() in (".png", ".jpg", ".jpeg"):
                beside = path.with_suffix(".txt")
                truth = beside.read_text() if beside.exists() else None
                yield "folder", path.read_bytes(), truth


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one font, two turns")
    parser.add_argument("--data", type=Path, help="a folder of pictures, name.txt beside name.png")
    options = parser.parse_args()
    logging.getLogger("RapidOCR").setLevel(logging.CRITICAL)
    from rapidocr import RapidOCR

    direct = RapidOCR(params={"Global.log_level": "critical"})
    engine = RapidOcrEngine(ModelRef(name="rapidocr", engine="rapidocr"))
    readers: dict[str, Callable[[bytes], str]] = {
        "ogam": lambda data: engine.see(SeeRequest(image=Image(data))).text,
        "direct": lambda data: "\n".join(direct(data).txts or ()),
    }
    seconds: dict[tuple[str, str], list[float]] = {}
    right: dict[tuple[str, str], list[float]] = {}
    warm = True
    for kind, data, truth in samples(options.quick, options.data):
        for who, read in readers.items():
            if warm:
                read(data)
            start = time.perf_counter()
            text = read(data)
            seconds.setdefault((kind, who), []).append(time.perf_counter() - start)
            if truth is not None:
                right.setdefault((kind, who), []).append(accuracy(truth, text))
        warm = False

    print(f"{'':16}{'seconds a page (median)':^32}{'characters right (mean)':^24}")
    print(f"{'pages':16}{'ogam':>10}{'direct':>10}{'ratio':>10}{'ogam':>14}{'direct':>10}")
    for kind in dict.fromkeys(kind for kind, _ in seconds):
        ours, theirs = (statistics.median(seconds[kind, who]) for who in readers)
        marks = [
            f"{statistics.fmean(right[kind, who]):.2%}" if right.get((kind, who)) else "-"
            for who in readers
        ]
        print(
            f"{kind:16}{ours:10.2f}{theirs:10.2f}{ours / theirs:10.2f}{marks[0]:>14}{marks[1]:>10}"
        )


if __name__ == "__main__":
    main()

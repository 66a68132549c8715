"""Draws receipt.png: made here, so its text is known and its licence is the project's own."""

from __future__ import annotations

from pathlib import Path

import cv2
import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont

LINES = [
    ("BOOK & TEA HOUSE", 34),
    ("12 Harbour Street, Busan", 20),
    ("", 14),
    ("Green tea          2 x 3.50      7.00", 20),
    ("Honey cake         1 x 4.20      4.20", 20),
    ("Notebook, ruled    3 x 2.75      8.25", 20),
    ("", 8),
    ("Subtotal                        19.45", 20),
    ("VAT 10 %                         1.95", 20),
    ("TOTAL EUR             21.40", 26),
    ("", 14),
    ("2026-03-14 15:09   Receipt no. 004217", 20),
    ("Thank you. Come again!", 22),
]
FONT = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSansMono.ttf"


def main() -> None:
    """Write receipt.png beside this file."""
    page = Image.new("RGB", (640, 660), (250, 248, 240))
    pen = ImageDraw.Draw(page)
    y = 24
    for text, size in LINES:
        pen.text((36, y), text, fill=(30, 30, 34), font=ImageFont.truetype(str(FONT), size))
        y += size + 12
    code = cv2.QRCodeEncoder.create().encode("https://example.com/receipt/004217")
    code = cv2.resize(code, None, fx=5, fy=5, interpolation=cv2.INTER_NEAREST)
    page.paste(Image.fromarray(np.asarray(code)), (440, 486))
    page.save(Path(__file__).with_name("receipt.png"), optimize=True)


if __name__ == "__main__":
    main()

"""Time of the opencv engine's features against cv2 called directly, and bar codes read.

    python benchmarks/vision.py [--data FOLDER] [--rounds 5]

The photograph is the repository's astronaut at one megapixel, or the first picture in FOLDER.
The peer runs the same detector of OpenCV once over the whole picture at full size. Bar codes
are rendered here and spoilt in 22 ways each.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import cv2.data
import numpy as np
import zxingcpp

from ogam.capabilities.base import ModelRef
from ogam.capabilities.vision import Feature, SeeRequest
from ogam.engines.opencv import OpenCvEngine
from ogam.media import Image

SAMPLES = Path(__file__).parent.parent / "samples" / "photos"
ENGINE = OpenCvEngine(ModelRef(name="opencv", engine="opencv"))


def median(work: Callable[[], Any], rounds: int) -> float:
    """Milliseconds, the median of ``rounds`` after one to warm up."""
    work()
    times: list[float] = []
    for _ in range(rounds):
        start = time.perf_counter()
        work()
        times.append((time.perf_counter() - start) * 1000)
    return statistics.median(times)


def cascade(name: str) -> cv2.CascadeClassifier:
    return cv2.CascadeClassifier(f"{cv2.data.haarcascades}haarcascade_{name}.xml")


def peers(rgb: Any) -> dict[Feature, tuple[str, Callable[[], Any]]]:
    grey = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
    faces = [cascade(name) for name in ("frontalface_alt2", "profileface", "profileface")]
    cats = [cascade(name) for name in ("frontalcatface", "frontalcatface_extended")]
    people = cv2.HOGDescriptor()
    people.setSVMDetector(cv2.HOGDescriptor.getDefaultPeopleDetector())
    lab = cv2.cvtColor(rgb.astype(np.float32) / 255, cv2.COLOR_RGB2Lab).reshape(-1, 3)
    until = (cv2.TERM_CRITERIA_EPS + cv2.TERM_CRITERIA_MAX_ITER, 20, 0.5)

    def objects() -> None:
        people.detectMultiScale(grey, winStride=(8, 8), scale=1.05)
        for cat in cats:
            cat.detectMultiScale(grey, 1.05, 3)

    def codes() -> None:
        cv2.QRCodeDetector().detectAndDecodeMulti(grey)
        cv2.barcode.BarcodeDetector().detectAndDecodeWithType(grey)

    return {
        "faces": ("3 cascades", lambda: [one.detectMultiScale(grey, 1.1, 3) for one in faces]),
        "objects": ("HOG + 2 cascades", objects),
        "image_properties": (
            "kmeans of all pixels",
            lambda: cv2.kmeans(lab, 10, None, until, 1, cv2.KMEANS_PP_CENTERS),  # type: ignore[call-overload]
        ),
        "barcodes": ("QR + EAN detectors", codes),
    }


def spoilt(code: Any) -> Iterator[tuple[str, Any]]:
    page = np.full((600, 800), 255, np.uint8)
    top, left = (600 - code.shape[0]) // 2, (800 - code.shape[1]) // 2
    page[top : top + code.shape[0], left : left + code.shape[1]] = code
    for angle in (0, 10, 30, 45, 60, 90, 180):
        matrix = cv2.getRotationMatrix2D((400, 300), angle, 1)
        yield f"turned {angle}", cv2.warpAffine(page, matrix, (800, 600), borderValue=[255])
    yield "light on dark", 255 - page
    yield "faint", (page * 0.15 + 100).astype(np.uint8)
    for sigma in (1, 2, 3):
        yield f"blur {sigma}", cv2.GaussianBlur(page, (0, 0), sigma)
    noise = np.random.default_rng(1)
    for sigma in (20, 50, 80):
        noisy = page + noise.normal(0, sigma, page.shape)
        yield f"noise {sigma}", noisy.clip(0, 255).astype(np.uint8)
    for factor in (0.5, 0.35, 0.25):
        yield (
            f"size {factor}",
            cv2.resize(page, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA),
        )
    yield "size 5", cv2.resize(page, None, fx=5, fy=5, interpolation=cv2.INTER_CUBIC)
    corners = np.array([[0, 0], [800, 0], [800, 600], [0, 600]], np.float32)
    slanted = np.array([[120, 60], [680, 120], [800, 600], [0, 540]], np.float32)
    view = cv2.getPerspectiveTransform(corners, slanted)
    yield "slanted", cv2.warpPerspective(page, view, (800, 600), borderValue=[255])
    yield "shadow", (page * np.linspace(0.15, 1, 800)).astype(np.uint8)
    packed = cv2.imencode(".jpg", page, [cv2.IMWRITE_JPEG_QUALITY, 8])[1]
    yield "JPEG 8", cv2.imdecode(packed, cv2.IMREAD_GRAYSCALE)


def by_opencv(page: Any) -> list[str]:
    found = list(cv2.QRCodeDetectorAruco().detectAndDecodeMulti(page)[1])
    return found + list(cv2.barcode.BarcodeDetector().detectAndDecodeWithType(page)[1])


def by_zxing(page: Any) -> list[str]:
    return [code.text for code in zxingcpp.read_barcodes(np.ascontiguousarray(page))]


def by_ogam(page: Any) -> list[str]:
    result = ENGINE.see(SeeRequest(image=Image(page), features=("barcodes",)))
    return [code.text for code in result.barcodes]


def codes_read() -> None:
    kinds = {
        "QRCode": "https://example.com/ogam?id=42",
        "EAN13": "5901234123457",
        "Code128": "Ogam-128",
        "DataMatrix": "Ogam data matrix",
    }
    readers = {"OpenCV alone": by_opencv, "zxing-cpp alone": by_zxing, "ogam": by_ogam}
    print(f"\n{'codes read':12}" + "".join(f"{name:>18}" for name in readers) + "  ogam misses")
    for kind, text in kinds.items():
        code = zxingcpp.create_barcode(text, zxingcpp.barcode_format_from_str(kind))
        pages = list(spoilt(np.array(code.to_image(scale=4 if "Code" in kind[2:] else 3))))
        counts: list[str] = []
        missed: list[str] = []
        for reader in readers.values():
            missed = [name for name, page in pages if text not in reader(page)]
            counts.append(f"{len(pages) - len(missed)}/{len(pages)}")
        print(f"{kind:12}" + "".join(f"{count:>18}" for count in counts) + f"  {', '.join(missed)}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, help="a folder whose first picture is used")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    path = min(options.data.iterdir()) if options.data else SAMPLES / "astronaut.jpg"
    rgb = Image(path).pixels()
    factor = (1_000_000 / (rgb.shape[0] * rgb.shape[1])) ** 0.5
    rgb = cv2.resize(rgb, None, fx=factor, fy=factor, interpolation=cv2.INTER_CUBIC)
    image = Image(rgb)  # type: ignore[arg-type]
    image.open()
    print(f"{path.name}, {rgb.shape[1]} x {rgb.shape[0]}, medians of {options.rounds}")
    print(f"{'feature':18}{'ogam ms':>10}{'cv2 ms':>10}{'ratio':>8}  peer")
    known = peers(rgb)
    for feature in sorted(OpenCvEngine.features):
        request = SeeRequest(image=image, features=(feature,))
        ours = median(lambda request=request: ENGINE.see(request), options.rounds)
        if feature not in known:
            print(f"{feature:18}{ours:10.0f}{'':>18}  (OpenCV has none; finds the faces first)")
            continue
        name, work = known[feature]
        theirs = median(work, options.rounds)
        print(f"{feature:18}{ours:10.0f}{theirs:10.0f}{ours / theirs:8.2f}  {name}")
    codes_read()


if __name__ == "__main__":
    main()

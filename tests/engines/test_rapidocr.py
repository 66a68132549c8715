"""Pictures read: real ones, rendered ones, turned, skewed, transparent and empty."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from PIL import Image as PILImage
from PIL import ImageDraw, ImageFont

from ogam.capabilities.base import CancelledWork, ModelRef, Units, cancellable
from ogam.capabilities.vision import SeeRequest, SeeResult
from ogam.engines.rapidocr import RapidOcrEngine
from ogam.errors import EngineError, InvalidMediaError, UnknownModelError
from ogam.media import Image

SAMPLES = Path(__file__).parents[2] / "samples" / "ocr"
REF = ModelRef(name="rapidocr", engine="rapidocr")
LINES = ("Invoice 2024-0317", "Steel bolts, M8 x 40", "Total due: 256.03 EUR")


@pytest.fixture(scope="module")
def engine() -> Iterator[RapidOcrEngine]:
    made = RapidOcrEngine(REF)
    yield made
    made.close()


def read(engine: RapidOcrEngine, picture: object) -> SeeResult:
    if isinstance(picture, PILImage.Image):
        picture = np.asarray(picture)
    image = Image(SAMPLES / picture if isinstance(picture, str) else picture)
    return engine.see(SeeRequest(image=image, features=("document_text",)))


def font(name: str, size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(f"{matplotlib.get_data_path()}/fonts/ttf/{name}.ttf", size)


def page(name: str = "DejaVuSans", size: int = 24) -> PILImage.Image:
    picture = PILImage.new("RGB", (420, 170), "white")
    pen = ImageDraw.Draw(picture)
    for row, text in enumerate(LINES):
        pen.text((30, 20 + 48 * row), text, "black", font(name, size))
    return picture


def turn(picture: PILImage.Image, degrees: int) -> PILImage.Image:
    return picture.rotate(-degrees, PILImage.Resampling.BICUBIC, expand=True, fillcolor="white")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("en_rec.jpg", "To facilitate the shot type analysis in videos, we collect MovieShots, a"),
        ("img_exif_orientation.jpg", "我是中国人"),
        ("short.png", "中国网络空间安全"),
        ("text_cls.jpg", "怪我咯"),
        ("text_rec.jpg", "韩国小馆"),
        ("latin.jpg", "Alphabetum in mundo hodie frequentissime adhibitum est"),
        ("test_letterbox_like.jpg", "请打开verbose日志并查看控制台的输出"),
        ("black_font_color_transparent.png", "我是中国人"),
        ("white_font_color_transparent.png", "我是中国人"),
    ],
)
def test_a_real_picture_is_read(engine: RapidOcrEngine, name: str, expected: str) -> None:
    assert expected in read(engine, name).text


def test_an_advertisement_keeps_all_that_rapidocr_itself_reads(engine: RapidOcrEngine) -> None:
    text = read(engine, "ch_en_num.jpg").text
    for expected in ("正品促销", "大桶装更划算", "-40℃深度防冻不结冰", "券后价", "假一赔十", "5.8"):
        assert expected in text
    assert text.count("10.0起") == 2


@pytest.mark.parametrize(
    "name", ["DejaVuSans", "DejaVuSerif", "DejaVuSansMono", "STIXGeneral", "cmr10"]
)
def test_rendered_text_is_read_in_every_font(engine: RapidOcrEngine, name: str) -> None:
    assert read(engine, page(name)).text.split("\n") == list(LINES)


@pytest.mark.parametrize("degrees", [90, 180, 270, 4, -5])
def test_a_turned_page_is_read_and_its_words_are_where_they_are_seen(
    engine: RapidOcrEngine, degrees: int
) -> None:
    found = read(engine, turn(page(), degrees))
    assert found.text.split("\n") == list(LINES)
    assert found.document is not None
    # From the first word's top left to its top right runs the direction of the text.
    start, end = found.document.words[0].polygon.points[:2]
    angle = np.degrees(np.arctan2(end.y - start.y, end.x - start.x)) % 360
    assert abs((angle - degrees + 180) % 360 - 180) < 3


def test_words_and_symbols_lie_where_they_were_drawn(engine: RapidOcrEngine) -> None:
    found = read(engine, page())
    assert found.document is not None
    pen = ImageDraw.Draw(page())
    words = iter(found.document.words)
    for row, text in enumerate(LINES):
        at = 0
        for word in text.split():
            at = text.index(word, at)
            left = 30 + pen.textlength(text[:at], font("DejaVuSans", 24))
            right = left + pen.textlength(word, font("DejaVuSans", 24))
            box = next(words).polygon.bounds
            # A letter is about 14 pixels wide here.
            assert box[0] == pytest.approx(left, abs=8)
            assert box[2] == pytest.approx(right, abs=8)
            assert box[1] < 20 + 48 * row + 14 < box[3]
            at += len(word)


def test_the_symbols_spell_the_text_and_carry_probabilities(engine: RapidOcrEngine) -> None:
    document = read(engine, "test_letterbox_like.jpg").document
    assert document is not None
    symbols = [symbol for word in document.words for symbol in word.symbols]
    breaks = {"": "", "space": " ", "line": "\n"}
    assert "".join(s.text + breaks[s.break_after] for s in symbols) == document.text
    assert len({s.confidence for s in symbols}) > 10
    assert all(0 < s.confidence <= 1 for s in symbols)
    assert document.pages[0].languages[0] == "zh"


def test_black_and_white_text_on_nothing_are_both_read(engine: RapidOcrEngine) -> None:
    picture = PILImage.new("RGBA", (500, 200), (0, 0, 0, 0))
    pen = ImageDraw.Draw(picture)
    pen.text((40, 30), "Black letters here", "black", font("DejaVuSans", 36))
    pen.text((40, 110), "White letters there", "white", font("DejaVuSans", 36))
    assert read(engine, picture).text == "Black letters here\nWhite letters there"


def test_a_lone_one_is_no_dash(engine: RapidOcrEngine) -> None:
    picture = PILImage.new("RGB", (600, 260), "white")
    pen = ImageDraw.Draw(picture)
    for row, (item, count) in enumerate((("Delivery", "1"), ("Brushes", "4"), ("Ladder", "1"))):
        pen.text((40, 40 + 60 * row), item, "black", font("DejaVuSans", 28))
        pen.text((400, 40 + 60 * row), count, "black", font("DejaVuSans", 28))
    assert read(engine, picture).text == "Delivery 1\nBrushes 4\nLadder 1"


def test_a_picture_of_ones_is_not_taken_for_a_turned_page(engine: RapidOcrEngine) -> None:
    picture = PILImage.new("RGB", (200, 300), "white")
    for row in range(3):
        ImageDraw.Draw(picture).text((80, 30 + 80 * row), "1", "black", font("DejaVuSans", 48))
    assert read(engine, picture).text == "1\n1\n1"


def test_an_endless_strip_is_read_in_bounded_memory(engine: RapidOcrEngine) -> None:
    picture = PILImage.new("RGB", (20_000, 8), "white")
    ImageDraw.Draw(picture).rectangle((10, 3, 19_990, 5), "black")
    assert read(engine, picture).text == ""


def test_text_that_fills_the_picture_to_its_edges_is_read(engine: RapidOcrEngine) -> None:
    face = font("DejaVuSans", 30)
    left, top, right, bottom = face.getbbox("Edge to edge")
    picture = PILImage.new("RGB", (int(right - left) + 2, int(bottom - top) + 2), "white")
    ImageDraw.Draw(picture).text((1 - left, 1 - top), "Edge to edge", "black", face)
    assert read(engine, picture).text == "Edge to edge"


@pytest.mark.parametrize("side", [4, 40, 700])
def test_an_empty_picture_has_no_text(engine: RapidOcrEngine, side: int) -> None:
    found = read(engine, PILImage.new("RGB", (side, side), "white"))
    assert found.text == ""
    assert found.document is None


def test_a_picture_without_text_has_no_text(engine: RapidOcrEngine) -> None:
    assert read(engine, "empty_black.jpg").text == ""


def test_every_feature_asked_counts_once(engine: RapidOcrEngine) -> None:
    image = Image(np.full((40, 40, 3), 255, np.uint8))
    one = engine.see(SeeRequest(image=image, features=("text",)))
    assert (one.units, one.features) == (Units(image_features=1), ("text",))
    assert (one.engine, one.model) == ("rapidocr", "rapidocr")
    everything = engine.see(SeeRequest(image=image))
    assert everything.units == Units(image_features=2)


def test_many_threads_read_the_same_as_one(engine: RapidOcrEngine) -> None:
    names = ["short.png", "text_rec.jpg", "en_rec.jpg"]
    alone = [read(engine, name).text for name in names]
    with ThreadPoolExecutor(6) as pool:
        together = list(pool.map(lambda name: read(engine, name).text, names * 3))
    assert together == alone * 3


def test_a_cancelled_reading_stops(engine: RapidOcrEngine) -> None:
    def work() -> None:
        event = threading.Event()
        event.set()
        cancellable(event)
        with pytest.raises(CancelledWork):
            read(engine, page())

    with ThreadPoolExecutor(1) as pool:
        pool.submit(work).result()


def test_nothing_is_printed_and_the_librarys_logger_is_left_alone(
    capfd: pytest.CaptureFixture[str],
) -> None:
    logger = logging.getLogger("RapidOCR")
    before, root = logger.level, list(logging.getLogger().handlers)
    fresh = RapidOcrEngine(REF)
    read(fresh, PILImage.new("RGB", (50, 50), "white"))
    fresh.close()
    captured = capfd.readouterr()
    assert (captured.out, captured.err) == ("", "")
    assert logger.level == before
    assert logging.getLogger().handlers == root


def test_a_damaged_picture_is_invalid_media(engine: RapidOcrEngine) -> None:
    data = (SAMPLES / "ch_en_num.jpg").read_bytes()[:2000]
    with pytest.raises(InvalidMediaError):
        engine.see(SeeRequest(image=Image(data)))


def test_an_unknown_model_is_refused() -> None:
    with pytest.raises(UnknownModelError):
        RapidOcrEngine(ModelRef(name="rapidocr/tamil", engine="rapidocr", model="tamil"))


def test_a_folder_brings_other_models(tmp_path: Path) -> None:
    (tmp_path / "korean_rec.onnx").write_bytes(b"not a model")
    ref = ModelRef(name="rapidocr/korean", engine="rapidocr", model="korean", folder=tmp_path)
    with pytest.raises(EngineError, match=r"korean_rec\.onnx"):
        read(RapidOcrEngine(ref), page())

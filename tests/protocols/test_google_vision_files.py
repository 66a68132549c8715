"""Files of several pages: PDF, TIFF and GIF, at once and later."""

from __future__ import annotations

import io
import pathlib

import pytest
from google.api_core import exceptions
from google.cloud import vision
from PIL import Image, ImageDraw, ImageFont

from ogam.errors import InvalidMediaError, InvalidRequestError
from ogam.protocols.google_vision.pages import pages_of

PDF, TIFF, GIF = "application/pdf", "image/tiff", "image/gif"
FEATURES = [{"type_": vision.Feature.Type.DOCUMENT_TEXT_DETECTION}]


def file(kind, texts):
    pictures = []
    for text in texts:
        picture = Image.new("RGB", (300, 200), "white")
        font = ImageFont.load_default(40)
        ImageDraw.Draw(picture).text((40, 70), text, fill="black", font=font)
        pictures.append(picture)
    buffer = io.BytesIO()
    name = {PDF: "PDF", TIFF: "TIFF", GIF: "GIF"}[kind]
    pictures[0].save(buffer, name, save_all=True, append_images=pictures[1:])
    return buffer.getvalue()


def client(address):
    return vision.ImageAnnotatorClient(
        transport="rest", client_options={"api_endpoint": address.http, "api_key": address.key}
    )


def annotate(address, data, kind, **more):
    request = {"input_config": {"content": data, "mime_type": kind}, "features": FEATURES, **more}
    return client(address).batch_annotate_files(requests=[request]).responses[0]


@pytest.mark.parametrize("kind", [PDF, TIFF, GIF])
def test_the_first_five_pages_are_seen(fake_server, kind):
    found = annotate(fake_server, file(kind, [f"page {number}" for number in range(7)]), kind)
    assert found.total_pages == 7
    assert [one.context.page_number for one in found.responses] == [1, 2, 3, 4, 5]
    assert all(one.full_text_annotation.text for one in found.responses)


def test_a_page_of_a_pdf_has_its_size_in_points_and_places_in_parts_of_it(fake_server):
    found = annotate(fake_server, file(PDF, ["one"]), PDF).responses[0].full_text_annotation
    page = found.pages[0]
    assert (page.width, page.height) == (300, 200)
    corners = page.blocks[0].bounding_box.normalized_vertices
    assert len(corners) == 4
    assert all(0 <= one.x <= 1 and 0 <= one.y <= 1 for one in corners)


def test_pages_are_chosen_from_both_ends(fake_server):
    data = file(TIFF, ["a", "b", "c"])
    found = annotate(fake_server, data, TIFF, pages=[-1, 1])
    assert [one.context.page_number for one in found.responses] == [1, 3]


@pytest.mark.parametrize("pages", [[0], [4], [-4]])
def test_a_page_that_is_not_there_is_the_files_error(fake_server, pages):
    found = annotate(fake_server, file(PDF, ["a", "b", "c"]), PDF, pages=pages)
    assert found.error.code == 3
    assert "3 pages" in found.error.message


@pytest.mark.parametrize(
    "data", [b"%PDF-1.7 and then nothing", b"nothing", file(PDF, ["a"])[:300]], ids=len
)
def test_a_damaged_file_is_the_files_error(fake_server, data):
    found = annotate(fake_server, data, PDF)
    assert found.error.code == 3
    assert not found.responses


def test_more_than_five_pages_or_one_file_are_refused(fake_server):
    with pytest.raises(exceptions.BadRequest):
        annotate(fake_server, file(PDF, ["a"]), PDF, pages=[1, 2, 3, 4, 5, 6])
    request = {"input_config": {"content": b"x", "mime_type": PDF}, "features": FEATURES}
    with pytest.raises(exceptions.BadRequest):
        client(fake_server).batch_annotate_files(requests=[request, request])


def test_a_type_that_is_no_file_of_pages_is_refused():
    with pytest.raises(InvalidRequestError):
        pages_of(b"x", "image/png")


def test_a_pdf_page_is_rendered_no_larger_than_can_be_read():
    data = io.BytesIO()
    Image.new("RGB", (5000, 50), "white").save(data, "PDF", resolution=10.0)
    page = pages_of(data.getvalue(), PDF).page(1)
    assert max(page.image.size) <= 2401
    assert page.points == (36000, 360) or page.points[0] > 10_000


def test_a_locked_pdf_says_so():
    lock = b"/Encrypt<</Filter/Standard/V 1/R 2/P -4/O(%b)/U(%b)>>/ID[(1)(1)]" % (
        b"o" * 32,
        b"u" * 32,
    )
    locked = file(PDF, ["a"]).replace(b"trailer\n<<", b"trailer\n<<" + lock)
    with pytest.raises(InvalidMediaError, match="locked by a password"):
        pages_of(locked, PDF)


def test_all_pages_are_seen_later(fake_server):
    store = f"{fake_server.server.config.server.data}/google/storage"

    folder = pathlib.Path(store, "in-bucket")
    folder.mkdir(parents=True)
    (folder / "seven.pdf").write_bytes(file(PDF, [str(number) for number in range(7)]))
    request = {
        "input_config": {"gcs_source": {"uri": "gs://in-bucket/seven.pdf"}, "mime_type": PDF},
        "features": FEATURES,
        "output_config": {"gcs_destination": {"uri": "gs://out-bucket/x-"}, "batch_size": 3},
    }
    operation = client(fake_server).async_batch_annotate_files(requests=[request])
    answer = operation.result(timeout=30)
    assert answer.responses[0].output_config.gcs_destination.uri == "gs://out-bucket/x-"
    names = sorted(one.name for one in pathlib.Path(store, "out-bucket").iterdir())
    assert names == ["x-output-1-to-3.json", "x-output-4-to-6.json", "x-output-7-to-7.json"]
    last = pathlib.Path(store, "out-bucket", names[-1]).read_bytes()
    found = vision.AnnotateFileResponse.from_json(last)
    assert found.responses[0].context.uri == "gs://in-bucket/seven.pdf"
    assert found.total_pages == 7

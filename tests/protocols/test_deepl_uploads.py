"""Documents that clients left, as many requests at once come and fetch them."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ogam.errors import NotFoundError
from ogam.protocols.deepl.uploads import Upload, Uploads

ABOUT = Upload(id="", key_hash="", name="a.txt", ending="txt", created=0, target="DE")


def test_documents_come_and_go_while_others_do(tmp_path: Path) -> None:
    # One that is deleted while another request sweeps, or counts, is no failure of that request.
    uploads = Uploads(tmp_path)

    def come_and_go(_: int) -> None:
        for _ in range(100):
            uploads.delete(uploads.create(b"text", ABOUT)[0])

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(come_and_go, range(4)))
    assert not list(tmp_path.iterdir())


def test_a_document_fetched_twice_at_once_is_not_found_the_second_time(tmp_path: Path) -> None:
    uploads = Uploads(tmp_path)
    about, key = uploads.create(b"text", ABOUT)
    uploads.finish(about, b"Text")
    assert uploads.result(uploads.get(about.id, key)) == b"Text"
    uploads.delete(about)
    with pytest.raises(NotFoundError, match="Document not found"):
        uploads.result(about)

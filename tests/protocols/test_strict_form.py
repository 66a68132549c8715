"""Multipart forms are taken only where every reader finds the same in them."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ogam.net import forms
from ogam.protocols import strict_form
from ogam.protocols.strict_form import Part

PLAIN = (
    b'--b\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n'
    b'--b\r\nContent-Disposition: form-data; name="f"; filename="x.txt"\r\n'
    b"Content-Type: text/plain\r\n\r\ntwo\r\nlines\r\n--b--\r\n"
)
names = st.text(
    st.characters(exclude_categories=("C", "Z"), exclude_characters='"\\%'), min_size=1, max_size=9
)


def test_parts_are_found_where_they_stand() -> None:
    form = strict_form.parse(PLAIN, b"b")
    assert form is not None
    assert form.texts() == [("a", "1")]
    file = form.file("f")
    assert file is not None and file.file_name == "x.txt"
    assert form.content(file) == b"two\r\nlines"
    assert form.file("a") is None and form.file("none") is None
    assert form.with_field("a", "other") == PLAIN.replace(b"\r\n1\r\n", b"\r\nother\r\n")
    added = strict_form.parse(form.with_field("new", "안"), b"b")
    assert added is not None and added.texts() == [("new", "안"), ("a", "1")]


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(names, st.text())), st.lists(st.tuples(names, names, st.binary())), names)
def test_what_is_written_is_read(
    fields: list[tuple[str, str]], files: list[tuple[str, str, bytes]], value: str
) -> None:
    every = [(name, file, "a/b", data) for name, file, data in files]
    kind, data = forms.multipart(fields, every)
    form = strict_form.parse(data, kind.partition("=")[2].encode())
    if not (fields or files):
        assert form is None
        return
    assert form is not None
    assert form.texts() == fields
    assert [form.content(one) for one in form.parts if one.file_name is not None] == [
        data for _, _, data in files
    ]
    if fields:
        name = fields[0][0]
        changed = strict_form.parse(form.with_field(name, value), kind.partition("=")[2].encode())
        assert changed is not None
        assert {told for one, told in changed.texts() if one == name} == {value}


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"--b\r\nContent", b"x\r\n--b\r\nContent"),
        (b"--b--\r\n", b"--b--\r\nmore"),
        (b"--b--\r\n", b""),
        (b"--b--\r\n", b"--b"),
        (b"lines", b"--b lines"),
        (b"lines", b"\n--b\nContent-Disposition: form-data; name=x\n\n"),
        (b'name="a"', b"name=a"),
        (b'name="a"', b'name="a"; name="f"'),
        (b'name="a"', b'name="a\\""'),
        (b'filename="x.txt"', b"filename*=utf-8''x.docx"),
        (b"Content-Type: text/plain", b"Content-Transfer-Encoding: base64"),
        (b"Content-Type", b'content-disposition: form-data; name="g"\r\nContent-Type'),
        (b"Content-Type: text/plain", b"Content-Type: a\n b"),
        (b"Content-Type: text/plain", b"Content-Type: a\r b"),
        (b"Content-Type: text/plain", b"Content-Type: \xff"),
        (b"Content-Disposition", b"Content-Description"),
        (b"\r\n", b"\n"),
    ],
)
def test_what_readers_may_differ_about_is_not_taken(old: bytes, new: bytes) -> None:
    assert old in PLAIN
    assert strict_form.parse(PLAIN.replace(old, new, 1), b"b") is None


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200), st.integers(0, len(PLAIN)))
def test_any_bytes_are_a_form_or_none(data: bytes, at: int) -> None:
    strict_form.parse(data, b"b")
    form = strict_form.parse(PLAIN[:at] + data + PLAIN[at:], b"b")
    if form is not None:
        assert all(isinstance(one, Part) for one in form.parts)
        assert all(b"--b" not in form.content(one) for one in form.parts)

"""Forms that the server's own parser reads back."""

from __future__ import annotations

import asyncio
import email.parser
import email.policy

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import Request

from ogam.errors import InvalidRequestError
from ogam.net import forms

NAMES = st.text(st.characters(codec="utf-8", exclude_characters='"\r\n\\'), min_size=1, max_size=9)


def parsed(content_type, body):
    async def main():
        async def receive():
            return {"type": "http.request", "body": body}

        scope = {
            "type": "http",
            "method": "POST",
            "headers": [(b"content-type", content_type.encode())],
        }
        async with Request(scope, receive).form() as form:
            return [
                (
                    name,
                    one
                    if isinstance(one, str)
                    else (one.filename, one.content_type, await one.read()),
                )
                for name, one in form.multi_items()
            ]

    return asyncio.run(main())


@given(
    fields=st.lists(st.tuples(NAMES, st.text(st.characters(codec="utf-8"))), max_size=4),
    content=st.binary(max_size=300),
    file_name=NAMES,
)
def test_a_form_is_read_back_equal(fields, content, file_name):
    form = forms.multipart(fields, [("file", file_name, "audio/wav", content)])
    assert parsed(*form) == [*fields, ("file", (file_name, "audio/wav", content))]


def test_names_that_would_be_other_headers_are_escaped():
    _, body = forms.multipart([('a"\r\nx: y', "v")], [("f", 'q"\r\n\r\nz.wav', "", b"data")])
    assert b'name="a%22%0D%0Ax: y"\r\n\r\nv\r\n' in body
    assert b'filename="q%22%0D%0A%0D%0Az.wav"\r\ncontent-type: application/octet-stream' in body


def test_any_reader_of_mime_finds_the_parts():
    content_type, body = forms.multipart(
        [("model", "m"), ("model", "n")], [("f", "a", "x/y", b"1")]
    )
    text = b"content-type: " + content_type.encode() + b"\r\n\r\n" + body
    parts = email.parser.BytesParser(policy=email.policy.HTTP).parsebytes(text).iter_parts()
    assert [part.get_payload() for part in parts] == ["m", "n", "1"]
    assert parsed(*forms.multipart()) == []


def test_a_content_type_that_would_be_another_header_is_refused():
    with pytest.raises(InvalidRequestError):
        forms.multipart(files=[("f", "a", "x/y\r\nz: 1", b"")])

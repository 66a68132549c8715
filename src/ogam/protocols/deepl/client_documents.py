"""A document translated by DeepL: sent, waited for, fetched once.

https://developers.deepl.com/api-reference/document
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from urllib.parse import quote

import msgspec

from ogam.errors import DeadlineError, InvalidRequestError
from ogam.net import forms
from ogam.protocols.deepl import wire, wire_answers
from ogam.protocols.deepl.client_calls import Calls

# Seconds between two questions: as the vendor's own estimate says, within these.
_SOONEST, _LATEST = 0.5, 10.0


class Document(msgspec.Struct, frozen=True, kw_only=True):
    """A translated document, and the characters billed for it."""

    data: bytes
    characters: int


async def translate(
    calls: Calls, data: bytes, name: str, fields: Sequence[tuple[str, str]], *, patience: float
) -> Document:
    """Translate a document, whose kind is its name's ending.

    Billed when it is fetched: what fails before costs nothing. ``patience``, in seconds, bounds
    the wait for the translation; then DeadlineError.
    """
    kind, body = forms.multipart(fields, [("file", name, "application/octet-stream", data)])
    told = await calls.send("POST", "/v2/document", body, kind=kind)
    handle = calls.decode(told, wire.DocumentHandle)
    path = f"/v2/document/{quote(handle.document_id, safe='')}"
    key = msgspec.json.encode(wire.DocumentKey(document_key=handle.document_key))
    try:
        async with asyncio.timeout(patience):
            status = await _done(calls, path, key)
    except TimeoutError:
        raise DeadlineError(
            f"{calls.vendor.name} has not translated {name[:80]} within {patience:g} s."
        ) from None
    result = await calls.send("POST", f"{path}/result", key, bills=True)
    return Document(data=result, characters=status.billed_characters or 0)


async def _done(calls: Calls, path: str, key: bytes) -> wire_answers.DocumentStatus:
    while True:
        told = calls.decode(await calls.send("POST", path, key), wire_answers.DocumentStatus)
        if told.status == "done":
            return told
        if told.status == "error":
            reason = told.error_message or told.message or "no reason is given"
            raise InvalidRequestError(
                f"{calls.vendor.name} could not translate the document: {reason[:300]}"
            )
        await asyncio.sleep(min(_LATEST, max(_SOONEST, (told.seconds_remaining or 0.0) / 2)))

"""Recordings in a form that go on to a vendor as they came: what routing and budgets read of them.

Knows no vendor: a protocol says what its fields are called, and how it sends.
"""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from functools import cached_property
from hashlib import sha256

import msgspec

from ogam.capabilities.speech_recognition import RecognitionOptions, TranscribeRequest
from ogam.errors import OgamError
from ogam.gateway import bounds
from ogam.gateway.billing import Billing, Price
from ogam.gateway.bounds import Unprovable
from ogam.gateway.routing import Facts
from ogam.media import Audio
from ogam.protocols import forwarding, strict_form
from ogam.protocols.serving import Call
from ogam.protocols.strict_form import Form, Part


async def read(call: Call) -> tuple[Form, Part, list[tuple[str, str]]] | None:
    """The form that a call brings, its one file, and its texts; None where it is no such form."""
    form = await strict_form.read(call.request)
    file = form and form.file("file")
    if form is None or file is None:
        return None
    try:
        return form, file, form.texts()
    except UnicodeDecodeError:
        return None


class Recording(forwarding.Whole):
    """A recording on its way to be transcribed.

    ``free`` are the fields that ask for nothing that is billed beyond the sound, ``model`` and
    ``words`` those of the model's name and of words to expect.
    """

    free: frozenset[str]
    model: str
    words: str

    def __init__(self, call: Call, form: Form, file: Part, fields: list[tuple[str, str]]) -> None:
        self.call, self.form, self.file, self.fields = call, form, file, fields
        self.seconds: float | None = None

    def field(self, name: str) -> str:
        """What the last field of that name holds; empty where there is none."""
        return dict(self.fields).get(name, "")

    @property
    def said(self) -> bytes:
        """The fields, and the recording by its hash."""
        told = {"sha256": sha256(self.form.content(self.file)).hexdigest()}
        return msgspec.json.encode({**dict(self.fields), "file": told})

    @property
    @abstractmethod
    def language(self) -> str | None:
        """The tag of the language that is named, if any."""

    def audio(self) -> Audio:
        """The sound. An OgamError where it is none."""
        return Audio(self.form.content(self.file))

    @cached_property
    def _request(self) -> TranscribeRequest:
        words = tuple(value for name, value in self.fields if name == self.words)
        return TranscribeRequest(audio=self.audio(), options=RecognitionOptions(phrases=words))

    async def measure(self) -> None:
        """Find out how long it is, as far as it can be read here."""
        if self.seconds is None:
            try:
                self.seconds = await asyncio.to_thread(lambda: self._request.audio.duration)
            except OgamError:
                return

    def facts(self) -> Facts:
        """Its language, and its length where that was measured."""
        tag = self.language
        return Facts(languages=(tag,) if tag else None, seconds=self.seconds)

    def odd(self) -> set[str]:
        """The fields whose cost nobody knows."""
        names = [name for name, _ in self.fields]
        found = {name for name in names if name not in self.free | {self.words}}
        found |= {one.name for one in self.form.parts if one.file_name is not None} - {"file"}
        return found | {one for one in (self.model,) if names.count(one) > 1}

    async def prove(self, price: Price) -> Billing | Unprovable:
        """By its seconds."""
        if odd := self.odd():
            return forwarding.unknown(min(odd))
        try:
            return await asyncio.to_thread(lambda: bounds.prove("transcribe", self._request, price))
        except OgamError as error:
            return Unprovable(
                reason=f"How long the recording is cannot be read here: {error.message}",
                hint=error.hint,
            )

    def made(self, model: str) -> bytes:
        """The form, with another model's name where it is another."""
        if model == self.field(self.model):
            return self.form.data
        return self.form.with_field(self.model, model)

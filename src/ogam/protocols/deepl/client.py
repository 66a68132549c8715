"""DeepL, called: texts, documents, languages. Knows no gateway and no price."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
from typing import ClassVar

import msgspec

from ogam import net
from ogam.capabilities.base import Capability, ModelRef, Units
from ogam.capabilities.translation import (
    Formality,
    TranslateRequest,
    TranslateResult,
    Translation,
)
from ogam.errors import OgamError, VendorError
from ogam.protocols.deepl import client_documents, convert_asked, languages, wire, wire_answers
from ogam.protocols.deepl.client_calls import Calls
from ogam.protocols.deepl.client_documents import Document
from ogam.protocols.deepl.client_glossaries import Glossaries
from ogam.protocols.forwarding_client import Raw
from ogam.vendors import Vendor


class DeepLEngine:
    """A DeepL account, or what speaks its protocol.

    The model is one of DeepL's kinds, such as ``latency_optimized``; without one DeepL chooses.
    Characters are those that it tells it bills: code points of the texts, not of the context.
    """

    capabilities: ClassVar[frozenset[Capability]] = frozenset(("translate",))
    requires: ClassVar[tuple[str, ...]] = ()
    extra: ClassVar[str] = ""
    vendor_engine: ClassVar[bool] = True

    def __init__(self, ref: ModelRef, vendor: Vendor, http: net.Client) -> None:
        self._ref, self._calls = ref, Calls(vendor, http)
        self._glossaries = Glossaries(self._calls)
        self._pairs: tuple[tuple[str, str], ...] | None = None
        self._asking = asyncio.Lock()
        # Of the published list until the account's own is asked for.
        self.formal: tuple[str, ...] = tuple(map(languages.tag, sorted(languages.FORMAL)))

    def close(self) -> None:
        """Nothing to let go of: the connections are whose they were. See :meth:`aclose`."""

    async def aclose(self) -> None:
        """Delete the glossaries that requests brought. Those of a killed process are used again."""
        await self._glossaries.delete()

    async def languages(self) -> tuple[tuple[str, str], ...]:
        """Every (source, target) as tags; ``formal`` then holds the targets with a formality."""
        async with self._asking:
            if self._pairs is None:
                kind = list[wire_answers.Language]
                sources = await self._calls.ask("/v2/languages?type=source", kind)
                targets = await self._calls.ask("/v2/languages?type=target", kind)
                self.formal = tuple(
                    languages.tag(one.language) for one in targets if one.supports_formality
                )
                self._pairs = convert_asked.pairs(
                    [one.language for one in sources], [one.language for one in targets]
                )
            return self._pairs

    async def usage(self) -> int:
        """The characters that the account was billed in its period, by all who use it."""
        return (await self._calls.ask("/v2/usage", wire_answers.Usage)).character_count

    async def translate(self, request: TranslateRequest) -> TranslateResult:
        """Every text, in as many requests as it takes."""
        bodies = convert_asked.bodies(request, self._ref.model)
        async with AsyncExitStack() as stack:
            if request.glossary:
                terms = convert_asked.dictionary(request)
                held = await stack.enter_async_context(self._glossaries.holding(terms))
                bodies = [msgspec.structs.replace(one, glossary_id=held) for one in bodies]
            told = await self._all(bodies)
        texts = zip(told, request.texts, strict=True)
        characters = sum(convert_asked.billed(one, text) for one, text in texts)
        return TranslateResult(
            engine=self._ref.engine,
            model=self._ref.name,
            units=Units(characters=characters),
            translations=self._translations(told, request.source),
            target=request.target,
        )

    async def document(
        self,
        data: bytes,
        name: str,
        *,
        target: str,
        source: str | None = None,
        formality: Formality = "default",
        glossary: Sequence[tuple[str, str]] = (),
        output_format: str | None = None,
        patience: float = 1800.0,
    ) -> Document:
        """A document, whose kind is its name's ending; ``output_format`` is another ending.

        Languages are tags. ``patience``, in seconds, bounds the wait for the translation.
        """
        asked = wire.DocumentForm(
            target_lang=convert_asked.target(target),
            source_lang=convert_asked.source(source) if source else None,
            formality=formality,
            output_format=output_format,
        )
        fields = [(key, str(value)) for key, value in convert_asked.given(asked).items()]
        async with AsyncExitStack() as stack:
            if glossary:
                like = TranslateRequest(
                    texts=("document",), target=target, source=source, glossary=tuple(glossary)
                )
                terms = convert_asked.dictionary(like)
                held = await stack.enter_async_context(self._glossaries.holding(terms))
                fields.append(("glossary_id", held))
            return await client_documents.translate(
                self._calls, data, name, fields, patience=patience
            )

    @property
    def raw(self) -> Raw:
        """The way of bodies that go through unchanged."""
        return self._calls.raw

    async def _all(self, bodies: Sequence[wire.TranslateBody]) -> list[wire_answers.Translation]:
        """Every body's translations. A failure after a first answer tells that some is billed."""
        found: list[wire_answers.Translation] = []
        for body in bodies:
            try:
                found += await self._one(body)
            except OgamError as error:
                if not found:
                    raise
                raise VendorError(
                    f"{error.message} The {len(found)} texts before were translated and billed.",
                    hint=error.hint,
                ) from error
        return found

    async def _one(self, body: wire.TranslateBody) -> list[wire_answers.Translation]:
        data = await self._calls.send(
            "POST", "/v2/translate", convert_asked.encoded(body), bills=True
        )
        told = self._calls.decode(data, wire_answers.Translations, bills=True).translations
        if len(told) != len(body.text):
            what = f"{len(told)} translations of {len(body.text)} texts"
            raise self._calls.broken(what, bills=True)
        return told

    def _translations(
        self, told: Sequence[wire_answers.Translation], source: str | None
    ) -> tuple[Translation, ...]:
        return tuple(convert_asked.translation(one, source) for one in told)

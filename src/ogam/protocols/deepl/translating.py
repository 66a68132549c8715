"""Carries out work on segments with the route's translator."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, NamedTuple

import msgspec

from ogam.capabilities.translation import Formality, TranslateRequest, TranslateResult
from ogam.errors import EngineError, UnsupportedOptionError
from ogam.gateway.dispatch import Gateway, Target
from ogam.markup import glossary
from ogam.markup.glossary import Term
from ogam.markup.likeness import alike
from ogam.markup.segments import Segment, Work, core, translate
from ogam.protocols.deepl.languages import Languages

Ask = Callable[[TranslateRequest], Awaitable[TranslateResult]]
# Texts of one engine call: others get their turn between two of a long document's.
_TOGETHER = 128


class Order(NamedTuple):
    """What every text is translated with. ``alike``: case and marks at the ends are kept."""

    target: str
    source: str | None = None
    formality: Formality = "default"
    context: str = ""
    terms: Sequence[Term] = ()
    alike: bool = False


class Done(NamedTuple):
    """The segments' pieces, the language of each text that was asked, the engine's last result."""

    pieces: list[list[str]]
    sources: dict[str, str]
    result: TranslateResult | None

    def source(self, segments: Sequence[Segment]) -> str | None:
        """The language that most of these segments' text is in."""
        votes: Counter[str] = Counter()
        for segment in segments:
            text = core(segment)
            if text in self.sources:
                votes[self.sources[text]] += len(text)
        return votes.most_common(1)[0][0] if votes else None


async def languages(gateway: Gateway, target: Target = None) -> Languages:
    """The languages of the route's translator.

    An engine may say which it has: ``languages()`` gives pairs of tags, ``formal`` are the
    targets in which it chooses the formality. One that does not say is taken to have them all.
    """
    name = gateway.models("translate", target)[0]
    engine = gateway.engine("translate", name)
    tell = getattr(engine, "languages", None)
    if tell is None:
        return Languages(None)
    return Languages(await gateway.run(name, tell), getattr(engine, "formal", ()))


async def carry_out(ask: Ask, segments: Sequence[Segment], order: Order) -> Done:
    """Translate the segments, marks and glossary kept. ``ask`` carries out one request."""
    work = translate(segments, order.terms)
    sources: dict[str, str] = {}
    result: TranslateResult | None = None
    made: list[str] | None = None
    while True:
        texts, value = await asyncio.to_thread(_step, work, made)
        if texts is None:
            return Done(value, sources, result)
        made = []
        for start in range(0, len(texts), _TOGETHER):
            part = texts[start : start + _TOGETHER]
            result = await _asked(ask, part, order)
            for text, one in zip(part, result.translations, strict=True):
                sources[text] = one.source
                made.append(alike(text, one.text) if order.alike else one.text)


def _step(work: Work[Any], made: list[str] | None) -> tuple[list[str] | None, Any]:
    # StopIteration cannot leave a thread.
    try:
        return (next(work) if made is None else work.send(made)), None
    except StopIteration as end:
        return None, end.value


async def _asked(ask: Ask, texts: Sequence[str], order: Order) -> TranslateResult:
    found = await asyncio.to_thread(glossary.in_texts, texts, order.terms)
    request = TranslateRequest(
        texts=tuple(texts),
        target=order.target,
        source=order.source,
        formality=order.formality,
        context=order.context,
        glossary=tuple(dict.fromkeys((one.source, one.target) for own in found for one in own)),
    )
    try:
        result = await ask(request)
    except UnsupportedOptionError as error:
        if error.param != "glossary":
            raise
        # The engine cannot; then the terms are put in here.
        result = await ask(msgspec.structs.replace(request, glossary=()))
    if len(result.translations) != len(texts):
        raise EngineError(
            f"{result.model} gave {len(result.translations)} translations of {len(texts)} texts."
        )
    return result

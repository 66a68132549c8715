"""DeepL Write: texts rephrased and corrected.

A text engine that does as it is told gets an order for each text. Where the route for generate
has none, a translator that corrects does it; of the styles and tones it has those that English
shows in its short forms, and refuses the others.
"""

from __future__ import annotations

from collections.abc import Sequence

from starlette.responses import Response

from ogam.capabilities.languages import guess
from ogam.capabilities.text_generation import GenerateResult
from ogam.capabilities.translation import TranslateRequest, TranslateResult
from ogam.errors import (
    EngineError,
    InvalidRequestError,
    NotConfiguredError,
    OgamError,
    UnknownLanguageError,
)
from ogam.markup.segments import wordy
from ogam.protocols.deepl import convert, passing, registers, wire
from ogam.protocols.deepl.patient import patiently
from ogam.protocols.deepl.state import read
from ogam.protocols.serving import Call, reply

Body = wire.RephraseBody | wire.CorrectBody
# The languages of DeepL Write, in which a text's is looked for.
_WRITTEN = ("en", "de", "fr", "es", "it", "pt", "ja", "ko", "zh")


async def rephrase(call: Call) -> Response:
    """Texts, better written."""
    await call.request.body()
    return patiently(call, _improving(call, wire.RephraseBody))


async def correct(call: Call) -> Response:
    """Texts without their mistakes."""
    await call.request.body()
    return patiently(call, _improving(call, wire.CorrectBody))


async def _improving(call: Call, kind: type[wire.RephraseBody | wire.CorrectBody]) -> Response:
    passed = await passing.improvements(call, kind)
    if passed is not None:
        return passed
    body = await read(call, kind)
    convert.check_texts(body.text)
    if not all(wordy(one) for one in body.text):
        raise InvalidRequestError("A text is empty.", param="text")
    order, target = convert.improving(body)
    reason = _not_instructed(call)
    if reason is None:
        made = [await _told(call, order, text, target) for text in body.text]
    else:
        languages = await _corrected(call)
        if not languages:
            raise reason
        made = await _corrections(call, body, languages, target)
    return reply(wire.Improvements(improvements=made))


def _not_instructed(call: Call) -> OgamError | None:
    """Why nothing on the route for generate does as it is told; None where something does."""
    name = call.gateway.models("generate", None)[0]
    call.gateway.engine("generate", name)
    about = call.gateway.registry.manifest(name)
    if about is None or about.instructed:
        return None
    return NotConfiguredError(
        f"{name} follows no instructions: it cannot rephrase or correct.",
        hint="Put a model that can first on the route for generate in ogam.toml.",
    )


async def _corrected(call: Call) -> Sequence[str]:
    """The languages that the route's translator corrects."""
    name = call.gateway.models("translate", None)[0]
    engine = call.gateway.engine("translate", name)
    return await call.gateway.run(name, lambda: getattr(engine, "corrected", ()))


async def _told(call: Call, order: str, text: str, target: str | None) -> wire.Improvement:
    made: GenerateResult = await call.answer(
        "generate", convert.improve_request(order, text), GenerateResult
    )
    if not made.text.strip():
        raise EngineError(f"{made.model} gave no text.")
    return _improvement(made.text.strip(), guess(text, _WRITTEN), target)


async def _corrections(
    call: Call, body: Body, languages: Sequence[str], target: str | None
) -> list[wire.Improvement]:
    found = [target.partition("-")[0] if target else guess(one, _WRITTEN) for one in body.text]
    for language in found:
        if language not in languages:
            raise UnknownLanguageError(
                f"Texts in {language!r} are not corrected here.",
                hint=f"There are {', '.join(languages)}.",
                param="target_lang" if target else "text",
            )
    register = registers.wanted(body, found)
    made: list[wire.Improvement] = []
    for text, language in zip(body.text, found, strict=True):
        request = TranslateRequest(texts=(text,), source=language, target=f"{language}-x-correct")
        done: TranslateResult = await call.answer("translate", request, TranslateResult)
        made.append(_improvement(registers.written(done.text, register), language, target))
    return made


def _improvement(text: str, source: str, target: str | None) -> wire.Improvement:
    return wire.Improvement(
        text=text, detected_source_language=source, target_language=target or source
    )

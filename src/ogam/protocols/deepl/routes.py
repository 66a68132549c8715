"""What DeepL's SDK asks for, answered: texts, languages, usage; the rest in routes_*."""

from __future__ import annotations

import asyncio

from starlette.requests import Request
from starlette.responses import Response

from ogam.capabilities.translation import TranslateRequest, TranslateResult
from ogam.errors import InvalidRequestError
from ogam.gateway import characters
from ogam.protocols.deepl import convert, errors, languages, passing, wire
from ogam.protocols.deepl import routes_documents as documents
from ogam.protocols.deepl import routes_glossaries as glossaries
from ogam.protocols.deepl import routes_improving as improving
from ogam.protocols.deepl.patient import patiently
from ogam.protocols.deepl.state import form, read, state
from ogam.protocols.deepl.translating import Order, carry_out
from ogam.protocols.deepl.translating import languages as known_languages
from ogam.protocols.serving import Call, Protocol, Route, reply

_PAGES = "https://developers.deepl.com/api-reference"


async def translate(call: Call) -> Response:
    """Up to fifty texts."""
    await call.request.body()  # while the client sends it: what follows may take long
    return patiently(call, _answered(call))


async def _answered(call: Call) -> Response:
    passed = await passing.texts(call)
    if passed is not None:
        return passed
    body = await read(call, wire.TranslateBody)
    convert.check(body)
    known = await known_languages(call.gateway, call.model(None))
    source = known.source(body.source_lang)
    target = known.target(body.target_lang, source)
    known.check_formality(body.formality, body.target_lang)
    own = state(call.gateway)
    terms = (
        await asyncio.to_thread(own.glossaries.terms, convert.glossary_ids(body), source, target)
        if source is not None
        else []
    )
    order = Order(
        target,
        source,
        formality=body.formality,
        context=convert.context(body),
        terms=terms,
        alike=body.preserve_formatting,
    )
    return await _translated(call, body, order)


async def _translated(call: Call, body: wire.TranslateBody, order: Order) -> Response:
    templates = await asyncio.to_thread(lambda: [convert.template(one, body) for one in body.text])

    async def ask(request: TranslateRequest) -> TranslateResult:
        return await call.answer("translate", request, TranslateResult)

    done = await carry_out(ask, [segment for one in templates for segment in one.segments], order)
    translations: list[wire.Translation] = []
    at = 0
    for template in templates:
        pieces = done.pieces[at : at + len(template.segments)]
        at += len(template.segments)
        source = order.source or done.source(template.segments) or "en"
        translations.append(
            wire.Translation(
                detected_source_language=languages.base(source),
                text=convert.filled(template, pieces, body),
                billed_characters=template.characters if body.show_billed_characters else None,
                model_type_used=convert.model_used(body.model_type),
                tag_handling_version=(body.tag_handling_version or "v2")
                if body.tag_handling
                else None,
            )
        )
    return reply(wire.Translations(translations=translations), done.result)


async def list_languages(call: Call) -> Response:
    """The languages of the route's engine, as sources or as targets."""
    kind = call.request.query_params.get("type", "")
    if form(call):  # the SDK sends a form, with a GET
        kind = dict(wire.fields(await call.request.body())).get("type", kind)
    if kind not in ("", "source", "target"):
        raise InvalidRequestError("type is source or target.", param="type")
    known = await known_languages(call.gateway)
    if kind != "target":
        told = [wire.Language(language=one, name=languages.name(one)) for one in known.sources]
    else:
        told = [
            wire.Language(
                language=one, name=languages.name(one), supports_formality=known.formal(one)
            )
            for one in known.targets
        ]
    return reply(told)


async def usage(call: Call) -> Response:
    """The characters that the key's translations came to this month."""
    count, limit = await characters.used(call.gateway, call.key, "translate", "deepl")
    return reply(wire.Usage(character_count=count, character_limit=limit))


def _key(request: Request) -> str | None:
    kind, _, key = request.headers.get("authorization", "").partition(" ")
    return key.strip() if kind.lower() == "deepl-auth-key" else None


def _speaks(request: Request) -> bool:
    agent = request.headers.get("user-agent", "").lower()
    auth = request.headers.get("authorization", "").lower()
    return agent.startswith("deepl-") or auth.startswith("deepl-auth-key")


PROTOCOL = Protocol(
    name="deepl",
    routes=(
        Route(
            method="POST",
            path="/v2/translate",
            handler=translate,
            summary="Translate texts.",
            page=f"{_PAGES}/translate",
            body=wire.TranslateBody,
            reply=wire.Translations,
        ),
        Route(
            method="GET",
            path="/v2/languages",
            handler=list_languages,
            summary="List the languages.",
            page=f"{_PAGES}/languages",
            query=wire.LanguagesQuery,
            reply=list[wire.Language],
        ),
        Route(
            method="GET",
            path="/v2/usage",
            handler=usage,
            summary="Count the characters of this month.",
            page=f"{_PAGES}/usage-and-quota",
            reply=wire.Usage,
        ),
        Route(
            method="POST",
            path="/v2/write/rephrase",
            handler=improving.rephrase,
            summary="Improve texts.",
            page=f"{_PAGES}/improve-text",
            body=wire.RephraseBody,
            reply=wire.Improvements,
        ),
        Route(
            method="POST",
            path="/v2/write/correct",
            handler=improving.correct,
            summary="Correct texts.",
            page=f"{_PAGES}/correct-text",
            body=wire.CorrectBody,
            reply=wire.Improvements,
        ),
        *glossaries.ROUTES,
        *documents.ROUTES,
    ),
    key=_key,
    failure=errors.failure,
    speaks=_speaks,
    request_id_header="X-Trace-ID",
)

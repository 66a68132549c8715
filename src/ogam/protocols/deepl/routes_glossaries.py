"""Glossaries: of one dictionary (v2), of several (v3)."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
from starlette.responses import Response

from ogam.errors import InvalidRequestError, NotFoundError, UnknownLanguageError
from ogam.protocols.deepl import convert, wire
from ogam.protocols.deepl.glossaries import Dictionary, Glossary
from ogam.protocols.deepl.languages import NAMES, base
from ogam.protocols.deepl.state import read, state
from ogam.protocols.deepl.translating import languages
from ogam.protocols.serving import Call, Handler, Route, reply

_PAGES = "https://developers.deepl.com/api-reference"
# Entries may be as large as DeepL takes them, and JSON escapes a tab.
_MOST_BYTES = 2 * convert.MOST_ENTRIES_BYTES


async def pairs(call: Call) -> Response:
    """The pairs that the route's engine translates."""
    found = await languages(call.gateway)
    return reply(
        wire.LanguagePairs(
            supported_languages=[
                wire.LanguagePair(source_lang=one, target_lang=other)
                for one, other in found.pairs()
            ]
        )
    )


async def create_v2(call: Call) -> Response:
    """A glossary of one dictionary."""
    body = await read(call, wire.GlossaryBody, most=_MOST_BYTES)
    made = await asyncio.to_thread(
        lambda: state(call.gateway).glossaries.create(body.name, [_dictionary(body)])
    )
    return reply(_v2(made), status=201)


async def list_v2(call: Call) -> Response:
    """All glossaries of one dictionary."""
    found = await asyncio.to_thread(state(call.gateway).glossaries.all)
    return reply(wire.Glossaries(glossaries=[_v2(one) for one in found if _single(one)]))


async def get_v2(call: Call) -> Response:
    """One of them."""
    return reply(_v2(await _one_v2(call)))


async def entries_v2(call: Call) -> Response:
    """Its entries, tab-separated."""
    found = await _one_v2(call)
    accept = call.request.headers.get("accept", "*/*")
    if not any(one in accept for one in ("*/*", "text/*", "text/tab-separated-values")):
        raise InvalidRequestError(
            f"Entries come as text/tab-separated-values, not as {accept[:60]}.", param="Accept"
        )
    return reply(convert.tsv(found.dictionaries[0].entries), media_type="text/tab-separated-values")


async def create(call: Call) -> Response:
    """A glossary of several dictionaries."""
    body = await read(call, wire.MultilingualBody, most=_MOST_BYTES)
    made = await asyncio.to_thread(
        lambda: state(call.gateway).glossaries.create(
            body.name, [_dictionary(one) for one in body.dictionaries]
        )
    )
    return reply(_v3(made), status=201)


async def list_all(call: Call) -> Response:
    """All glossaries."""
    found = await asyncio.to_thread(state(call.gateway).glossaries.all)
    return reply(wire.Multilinguals(glossaries=[_v3(one) for one in found]))


async def get(call: Call) -> Response:
    """One glossary."""
    return reply(_v3(await _one(call)))


async def patch(call: Call) -> Response:
    """Another name, or more entries in a dictionary."""
    body = await read(call, wire.MultilingualPatch, most=_MOST_BYTES)
    if len(body.dictionaries) > 1:
        raise InvalidRequestError("One dictionary may be changed at a time.", param="dictionaries")

    def change(glossary: Glossary) -> Glossary:
        if body.name is not None:
            glossary = msgspec.structs.replace(glossary, name=body.name)
        for one in body.dictionaries:
            new = _dictionary(one)
            pair = (new.source, new.target)
            old = [d.entries for d in glossary.dictionaries if (d.source, d.target) == pair]
            glossary = glossary.having(
                msgspec.structs.replace(new, entries={**(old[0] if old else {}), **new.entries})
            )
        return glossary

    made = await asyncio.to_thread(
        state(call.gateway).glossaries.change, call.params["glossary_id"], change
    )
    return reply(_v3(made))


async def put_dictionary(call: Call) -> Response:
    """A dictionary in place of the one of its pair."""
    body = await read(call, wire.DictionaryBody, most=_MOST_BYTES)

    def change(glossary: Glossary) -> Glossary:
        return glossary.having(_dictionary(body))

    made = await asyncio.to_thread(
        state(call.gateway).glossaries.change, call.params["glossary_id"], change
    )
    return reply(_dictionary_told(made.dictionary(body.source_lang, body.target_lang)))


async def delete_dictionary(call: Call) -> Response:
    """One dictionary less; with the last one the glossary goes."""
    source, target = _asked_pair(call)
    found = await _one(call)
    gone = found.dictionary(source, target)
    store = state(call.gateway).glossaries
    if len(found.dictionaries) == 1:
        await asyncio.to_thread(store.delete, found.id)
        return Response(status_code=204)

    def change(glossary: Glossary) -> Glossary:
        kept = tuple(
            one
            for one in glossary.dictionaries
            if (one.source, one.target) != (gone.source, gone.target)
        )
        return msgspec.structs.replace(glossary, dictionaries=kept)

    await asyncio.to_thread(store.change, found.id, change)
    return Response(status_code=204)


async def entries(call: Call) -> Response:
    """One dictionary's entries."""
    found = (await _one(call)).dictionary(*_asked_pair(call))
    told = wire.DictionaryEntries(
        source_lang=found.source.lower(),
        target_lang=found.target.lower(),
        entries=convert.tsv(found.entries),
    )
    return reply(wire.Entries(dictionaries=[told]))


async def delete(call: Call) -> Response:
    """A glossary less."""
    await asyncio.to_thread(state(call.gateway).glossaries.delete, call.params["glossary_id"])
    return Response(status_code=204)


async def _one(call: Call) -> Glossary:
    return await asyncio.to_thread(state(call.gateway).glossaries.get, call.params["glossary_id"])


async def _one_v2(call: Call) -> Glossary:
    found = await _one(call)
    if not _single(found):
        raise NotFoundError(
            "The glossary has several dictionaries.", hint="Ask for it at /v3/glossaries."
        )
    return found


def _single(glossary: Glossary) -> bool:
    return len(glossary.dictionaries) == 1


def _asked_pair(call: Call) -> tuple[str, str]:
    query = call.request.query_params
    source, target = query.get("source_lang"), query.get("target_lang")
    if not source or not target:
        raise InvalidRequestError("source_lang and target_lang are wanted.", param="source_lang")
    return source, target


def _dictionary(body: wire.GlossaryBody | wire.DictionaryBody) -> Dictionary:
    for param, code in (("source_lang", body.source_lang), ("target_lang", body.target_lang)):
        if base(code) not in NAMES:
            raise UnknownLanguageError(
                f"Value for {param!r} not supported: {code[:20]!r}.",
                hint="GET /v2/glossary-language-pairs lists the pairs.",
                param=param,
            )
    source, target = base(body.source_lang), base(body.target_lang)
    if source == target:
        raise InvalidRequestError("Source and target language are equal.", param="target_lang")
    return Dictionary(
        source=source, target=target, entries=convert.entries(body.entries, body.entries_format)
    )


def _v2(glossary: Glossary) -> wire.Glossary:
    only = glossary.dictionaries[0]
    return wire.Glossary(
        glossary_id=glossary.id,
        name=glossary.name,
        source_lang=only.source.lower(),
        target_lang=only.target.lower(),
        creation_time=glossary.created,
        entry_count=len(only.entries),
    )


def _v3(glossary: Glossary) -> wire.Multilingual:
    return wire.Multilingual(
        glossary_id=glossary.id,
        name=glossary.name,
        dictionaries=[_dictionary_told(one) for one in glossary.dictionaries],
        creation_time=glossary.created,
    )


def _dictionary_told(one: Dictionary) -> wire.Dictionary:
    return wire.Dictionary(
        source_lang=one.source.lower(), target_lang=one.target.lower(), entry_count=len(one.entries)
    )


def _route(
    method: str,
    path: str,
    handler: Handler,
    summary: str,
    *,
    body: Any = None,
    query: Any = None,
    answer: Any = None,
    media: tuple[str, ...] = (),
    status: int = 200,
) -> Route:
    page = "glossaries" if path.startswith("/v2") else "multilingual-glossaries"
    return Route(
        method=method,
        path=path,
        handler=handler,
        summary=summary,
        page=f"{_PAGES}/{page}",
        body=body,
        query=query,
        reply=answer,
        media=media,
        status=status,
    )


_ONE_V2, _ONE = "/v2/glossaries/{glossary_id}", "/v3/glossaries/{glossary_id}"
ROUTES = (
    _route(
        "GET",
        "/v2/glossary-language-pairs",
        pairs,
        "The pairs that glossaries may have.",
        answer=wire.LanguagePairs,
    ),
    _route(
        "POST",
        "/v2/glossaries",
        create_v2,
        "Make a glossary.",
        body=wire.GlossaryBody,
        answer=wire.Glossary,
        status=201,
    ),
    _route("GET", "/v2/glossaries", list_v2, "List the glossaries.", answer=wire.Glossaries),
    _route("GET", _ONE_V2, get_v2, "Describe a glossary.", answer=wire.Glossary),
    _route("DELETE", _ONE_V2, delete, "Delete a glossary.", status=204),
    _route(
        "GET",
        f"{_ONE_V2}/entries",
        entries_v2,
        "A glossary's entries, tab-separated.",
        media=("text/tab-separated-values",),
    ),
    _route(
        "POST",
        "/v3/glossaries",
        create,
        "Make a glossary of several dictionaries.",
        body=wire.MultilingualBody,
        answer=wire.Multilingual,
        status=201,
    ),
    _route("GET", "/v3/glossaries", list_all, "List all glossaries.", answer=wire.Multilinguals),
    _route("GET", _ONE, get, "Describe a glossary.", answer=wire.Multilingual),
    _route(
        "PATCH",
        _ONE,
        patch,
        "Rename a glossary, or add entries.",
        body=wire.MultilingualPatch,
        answer=wire.Multilingual,
    ),
    _route("DELETE", _ONE, delete, "Delete a glossary.", status=204),
    _route(
        "GET",
        f"{_ONE}/entries",
        entries,
        "A dictionary's entries.",
        query=wire.PairQuery,
        answer=wire.Entries,
    ),
    _route(
        "PUT",
        f"{_ONE}/dictionaries",
        put_dictionary,
        "Replace a dictionary.",
        body=wire.DictionaryBody,
        answer=wire.Dictionary,
    ),
    _route(
        "DELETE",
        f"{_ONE}/dictionaries",
        delete_dictionary,
        "Delete a dictionary.",
        query=wire.PairQuery,
        status=204,
    ),
)

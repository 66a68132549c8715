"""Translations as DeepL is asked for them, and its answers as Ogam's values. Pure; no I/O."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from ogam.capabilities.translation import TranslateRequest, Translation
from ogam.errors import TooLargeError, UnknownModelError, UnsupportedOptionError
from ogam.protocols.deepl import convert, languages, wire, wire_answers

# https://developers.deepl.com/api-reference/translate: the most that one request may hold
MOST_BYTES = 128 * 1024
MODELS = ("quality_optimized", "prefer_quality_optimized", "latency_optimized")
# Tags whose language DeepL has under another code.
_OTHERS = {
    "no": "NB",
    "zh-cn": "ZH-HANS",
    "zh-hk": "ZH-HANT",
    "zh-mo": "ZH-HANT",
    "zh-sg": "ZH-HANS",
    "zh-tw": "ZH-HANT",
}


def target(tag: str) -> str:
    """DeepL's code of a target: EN-US for en-US, and DE for de-AT, for it has no Austrian.

    A language that is not in its published list is asked for as it is: the list grows.
    """
    code = tag.replace("_", "-")
    found = _OTHERS.get(code.lower(), code.upper())
    base = languages.base(code)
    return base if found not in languages.NAMES and base in languages.NAMES else found


def source(tag: str) -> str:
    """DeepL's code of a source, which has no variant."""
    return languages.base(target(tag))


def bodies(request: TranslateRequest, model: str) -> list[wire.TranslateBody]:
    """The requests that carry out one: each of up to 50 texts and 128 KiB, in order.

    TooLargeError for a text (or context) that fits into none, before anything is sent.
    """
    if request.alternatives > 1:
        raise UnsupportedOptionError(
            "DeepL gives one translation of each text.",
            hint="Leave alternatives out.",
            param="alternatives",
        )
    empty = wire.TranslateBody(
        text=[],
        target_lang=target(request.target),
        source_lang=source(request.source) if request.source else None,
        context=request.context,
        show_billed_characters=True,
        formality=request.formality,
        model_type=_model(model),
        # As long as any: it is put in when there is one.
        glossary_id="0" * 36 if request.glossary else None,
    )
    start = len(encoded(empty))
    made: list[wire.TranslateBody] = []
    size = MOST_BYTES
    for text in request.texts:
        bytes_of = len(msgspec.json.encode(text)) + 1
        if start + bytes_of > MOST_BYTES:
            raise TooLargeError(
                f"A text of {len(text):,} characters, with its context, is over DeepL's "
                f"{MOST_BYTES // 1024} KiB a request.",
                hint="Cut it at its paragraphs.",
                param="texts",
            )
        if size + bytes_of > MOST_BYTES or len(made[-1].text) >= convert.MOST_TEXTS:
            made.append(msgspec.structs.replace(empty, text=[]))
            size = start
        made[-1].text.append(text)
        size += bytes_of
    return made


def _model(name: str) -> wire.ModelType | None:
    if not name:
        return None
    if name not in MODELS:
        raise UnknownModelError(
            f"DeepL has no model {name[:40]!r}.",
            hint=f"There are {', '.join(MODELS)}; without one DeepL chooses.",
            param="model",
        )
    return name  # pyright: ignore[reportReturnType]


def encoded(body: msgspec.Struct) -> bytes:
    """The JSON of a body without the fields that ask for nothing."""
    return msgspec.json.encode(given(body))


def given(body: msgspec.Struct) -> dict[str, Any]:
    """The fields of a body that differ from their defaults."""
    found: dict[str, Any] = {}
    for field in msgspec.structs.fields(body):
        value = getattr(body, field.name)
        made = field.default_factory
        default = field.default if made is msgspec.NODEFAULT else made()  # pyright: ignore[reportCallIssue]
        if value != default:
            found[field.name] = value
    return found


def translation(told: wire_answers.Translation, asked: str | None) -> Translation:
    """One translated text; its source is the one found, else the one that was named."""
    found = told.detected_source_language
    return Translation(text=told.text, source=languages.tag(found) if found else asked or "und")


def billed(told: wire_answers.Translation, text: str) -> int:
    """What a text costs: as the vendor tells, else its code points."""
    return len(text) if told.billed_characters is None else told.billed_characters


def pairs(sources: Sequence[str], targets: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """Every (source, target) that DeepL translates, as tags: it has all of them."""
    return tuple(
        (languages.tag(one), languages.tag(other))
        for one in sources
        for other in targets
        if languages.base(one) != languages.base(other)
    )


def dictionary(request: TranslateRequest) -> wire.DictionaryBody:
    """The request's glossary as DeepL keeps one; UnsupportedOptionError where it could not.

    Of two entries for one term the first holds.
    """
    if request.source is None:
        raise UnsupportedOptionError(
            "DeepL uses a glossary where the source is named.",
            hint="Give source=.",
            param="glossary",
        )
    found: dict[str, str] = {}
    for term, wanted in request.glossary:
        found.setdefault(term.strip(), wanted.strip())
    text = convert.tsv(found)
    convert.entries(text, "tsv")
    return wire.DictionaryBody(
        source_lang=source(request.source).lower(),
        target_lang=languages.base(target(request.target)).lower(),
        entries=text,
    )

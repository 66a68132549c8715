"""DeepL's values to Ogam's and back. Pure functions; knows no engine."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence

from ogam.capabilities.text_generation import GenerateRequest, Message
from ogam.errors import InvalidRequestError, TooLargeError, UnsupportedOptionError
from ogam.markup import plain, tags
from ogam.markup.segments import Template
from ogam.protocols.deepl import languages, wire

# DeepL's own limits: https://developers.deepl.com/docs/resources/usage-limits
MOST_TEXTS = 50
MOST_GLOSSARIES = 5
MOST_INSTRUCTIONS = 10
MOST_INSTRUCTION = 300
MOST_TERM_BYTES = 1024
MOST_ENTRIES_BYTES = 10 * 1024 * 1024

_STYLES = ("academic", "business", "casual", "simple")
_TONES = ("confident", "diplomatic", "enthusiastic", "friendly")
_WRITTEN = ("DE", "EN", "EN-GB", "EN-US", "ES", "FR", "IT", "JA", "KO", "PT", "PT-BR", "PT-PT",
            "ZH", "ZH-HANS")  # fmt: skip


def check(body: wire.TranslateBody | wire.DocumentForm) -> None:
    """Refuse what does not go together, and what nothing here can do."""
    if body.style_id is not None or body.translation_memory_id is not None:
        what = "style rules" if body.style_id is not None else "translation memories"
        raise UnsupportedOptionError(
            f"There are no {what} here.",
            hint="Leave it out; glossaries are kept.",
            param="style_id" if body.style_id is not None else "translation_memory_id",
        )
    ids = glossary_ids(body)
    if body.glossary_id and body.glossary_ids:
        raise InvalidRequestError(
            "Give glossary_id or glossary_ids, not both.", param="glossary_id"
        )
    if len(ids) > MOST_GLOSSARIES:
        raise InvalidRequestError(
            f"At most {MOST_GLOSSARIES} glossaries may be named.", param="glossary_ids"
        )
    if ids and not body.source_lang:
        raise InvalidRequestError(
            "A glossary wants source_lang.",
            hint="Name the language of the text.",
            param="source_lang",
        )
    if isinstance(body, wire.TranslateBody):
        check_texts(body.text)
        if len(body.custom_instructions) > MOST_INSTRUCTIONS or any(
            len(one) > MOST_INSTRUCTION for one in body.custom_instructions
        ):
            raise InvalidRequestError(
                f"custom_instructions are at most {MOST_INSTRUCTIONS}, of {MOST_INSTRUCTION} "
                "characters each.",
                param="custom_instructions",
            )


def check_texts(texts: Sequence[str]) -> None:
    """From one to fifty texts."""
    if not texts:
        raise InvalidRequestError("Parameter 'text' not specified.", param="text")
    if len(texts) > MOST_TEXTS:
        raise InvalidRequestError(
            f"{len(texts)} texts are too many; the limit is {MOST_TEXTS}.",
            hint="Send several requests.",
            param="text",
        )


def glossary_ids(body: wire.TranslateBody | wire.DocumentForm) -> list[str]:
    """The glossaries to use, in order."""
    return body.glossary_ids or ([body.glossary_id] if body.glossary_id else [])


def template(text: str, body: wire.TranslateBody) -> Template:
    """A text's segments, as the options say."""
    kind = body.tag_handling
    split = body.split_sentences or ("nonewlines" if kind == "html" else "1")
    if kind is None:
        return plain.parse(text, join_lines=split != "1")
    options = tags.Options(
        kind,
        outline=body.outline_detection,
        splitting=frozenset(body.splitting_tags),
        non_splitting=frozenset(body.non_splitting_tags),
        ignored=frozenset(body.ignore_tags),
        join_lines=split != "1",
    )
    return tags.parse(text, options)


def filled(made: Template, pieces: Sequence[Sequence[str]], body: wire.TranslateBody) -> str:
    """A text with its translation in it."""
    written = {None: plain.written, "xml": tags.written, "html": tags.written_html}
    return made.fill(pieces, written[body.tag_handling])


def context(body: wire.TranslateBody) -> str:
    """What may influence the translation."""
    return "\n".join(one for one in (body.context, *body.custom_instructions) if one)


def model_used(asked: wire.ModelType | None) -> str | None:
    """The kind of model, told where it was asked for: here there is one for every kind."""
    return asked and asked.removeprefix("prefer_")


def entries(text: str, form: str) -> dict[str, str]:
    """A dictionary's entries from tab- or comma-separated lines."""
    if len(text.encode()) > MOST_ENTRIES_BYTES:
        raise TooLargeError(
            f"The entries have more than {MOST_ENTRIES_BYTES:,} bytes.", param="entries"
        )
    rows = _csv(text) if form == "csv" else [line.split("\t") for line in text.splitlines()]
    found: dict[str, str] = {}
    for number, row in enumerate(rows, 1):
        if not any(cell.strip() for cell in row):
            continue
        # CSV may name the languages after the terms.
        if len(row) != 2 and not (form == "csv" and len(row) == 4):
            raise _entry(number, "does not have a source and a target term")
        source, target = row[0].strip(), row[1].strip()
        for term in (source, target):
            _check_term(number, term)
        if source in found:
            raise _entry(number, f"duplicates the source term {source[:60]!r}")
        found[source] = target
    if not found:
        raise InvalidRequestError("The glossary has no entries.", param="entries")
    return found


def _csv(text: str) -> list[list[str]]:
    try:
        return list(csv.reader(io.StringIO(text, newline=""), strict=True))
    except csv.Error as error:
        raise InvalidRequestError(
            f"The entries are not valid CSV: {error}.", param="entries"
        ) from None


def _check_term(number: int, term: str) -> None:
    if not term:
        raise _entry(number, "has an empty term")
    if any(ord(one) < 32 or 128 <= ord(one) <= 159 or one in "\u2028\u2029" for one in term):
        raise _entry(number, "holds a control character")
    if len(term.encode()) > MOST_TERM_BYTES:
        raise _entry(number, f"has a term of more than {MOST_TERM_BYTES} bytes")


def _entry(number: int, what: str) -> InvalidRequestError:
    return InvalidRequestError(
        "Invalid glossary entries provided.", hint=f"Entry {number} {what}.", param="entries"
    )


def tsv(found: Mapping[str, str]) -> str:
    """A dictionary's entries as tab-separated lines."""
    return "\n".join(f"{source}\t{target}" for source, target in found.items())


def improving(body: wire.RephraseBody | wire.CorrectBody) -> tuple[str, str | None]:
    """What a text engine is told, and the target's tag."""
    target = body.target_lang
    if target is not None and target.upper() not in _WRITTEN:
        raise UnsupportedOptionError(
            f"Value for 'target_lang' not supported: {target[:20]!r}.",
            hint=f"There are {', '.join(_WRITTEN)}.",
            param="target_lang",
        )
    language = languages.name(target) if target else "the language it is in"
    if isinstance(body, wire.CorrectBody):
        order = "Correct the spelling and grammar of the user's text, and change nothing else."
    else:
        order = f"Rewrite the user's text so that it is correct and reads well.{_manner(body)}"
    said = f"{order} Write in {language}. Answer with the text alone."
    return said, languages.tag(target) if target else None


def _manner(body: wire.RephraseBody) -> str:
    style = _choice(body.writing_style, _STYLES, "writing_style")
    tone = _choice(body.tone, _TONES, "tone")
    if style and tone:
        raise InvalidRequestError("Give writing_style or tone, not both.", param="tone")
    return f" Make it {style or tone}." if style or tone else ""


def _choice(asked: str | None, known: Sequence[str], param: str) -> str:
    name = (asked or "default").removeprefix("prefer_")
    if name == "default":
        return ""
    if name not in known:
        raise InvalidRequestError(
            f"Value for {param!r} not supported: {name[:20]!r}.",
            hint=f"There are {', '.join(known)}.",
            param=param,
        )
    return f"{name}"


def improve_request(order: str, text: str) -> GenerateRequest:
    """One text to improve. As long as the text and half again, and the likeliest words."""
    return GenerateRequest(
        messages=(Message(role="system", content=order), Message(role="user", content=text)),
        max_tokens=64 + 3 * len(text) // 2,
        temperature=0,
        seed=0,
    )

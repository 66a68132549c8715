"""DeepL's JSON and forms, as types. Each names its page.

https://developers.deepl.com/api-reference
"""

from __future__ import annotations

from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints
from urllib.parse import parse_qsl

import msgspec

T = TypeVar("T", bound=msgspec.Struct)

Formality = Literal["default", "more", "less", "prefer_more", "prefer_less"]
ModelType = Literal["quality_optimized", "prefer_quality_optimized", "latency_optimized"]


class TranslateBody(msgspec.Struct, kw_only=True):
    """https://developers.deepl.com/api-reference/translate.

    Without effect here: ``model_type`` (the route has one model; the reply names the kind that
    was asked for), ``tag_handling_version`` and ``enable_beta_languages``.
    ``custom_instructions`` go to the engine with ``context``, for what it makes of them.
    ``split_sentences`` "0" is as "nonewlines": an engine cuts sentences by itself.
    Refused: ``style_id`` and ``translation_memory_id``, for there are none here.
    """

    text: list[str]
    target_lang: str
    source_lang: str | None = None
    context: str = ""
    show_billed_characters: bool = False
    split_sentences: Literal["0", "1", "nonewlines"] | None = None
    preserve_formatting: bool = False
    formality: Formality = "default"
    model_type: ModelType | None = None
    glossary_id: str | None = None
    glossary_ids: list[str] | None = None
    style_id: str | None = None
    translation_memory_id: str | None = None
    translation_memory_threshold: int | None = None
    custom_instructions: list[str] = []
    tag_handling: Literal["xml", "html"] | None = None
    tag_handling_version: Literal["v1", "v2"] | None = None
    outline_detection: bool = True
    enable_beta_languages: bool = False
    non_splitting_tags: list[str] = []
    splitting_tags: list[str] = []
    ignore_tags: list[str] = []


class Translation(msgspec.Struct, kw_only=True, omit_defaults=True):
    """One of the translations in a reply."""

    detected_source_language: str
    text: str
    billed_characters: int | None = None
    model_type_used: str | None = None
    tag_handling_version: str | None = None


class Translations(msgspec.Struct, kw_only=True):
    """The reply to /v2/translate."""

    translations: list[Translation]


class DocumentForm(msgspec.Struct, kw_only=True):
    """https://developers.deepl.com/api-reference/document; ``file`` is the multipart file.

    ``output_format`` must be the input's: nothing is converted here.
    """

    target_lang: str
    source_lang: str | None = None
    filename: str | None = None
    output_format: str | None = None
    formality: Formality = "default"
    glossary_id: str | None = None
    glossary_ids: list[str] | None = None
    style_id: str | None = None
    translation_memory_id: str | None = None
    translation_memory_threshold: int | None = None
    enable_beta_languages: bool = False


class PairQuery(msgspec.Struct, kw_only=True):
    """Which dictionary of a glossary is meant."""

    source_lang: str
    target_lang: str


class LanguagesQuery(msgspec.Struct, kw_only=True):
    """https://developers.deepl.com/api-reference/languages."""

    type: Literal["source", "target"] = "source"


class DocumentHandle(msgspec.Struct, kw_only=True):
    """What an upload is called from then on."""

    document_id: str
    document_key: str


class DocumentKey(msgspec.Struct, kw_only=True):
    """The key that an upload was answered with."""

    document_key: str = ""


class DocumentStatus(msgspec.Struct, kw_only=True, omit_defaults=True):
    """https://developers.deepl.com/api-reference/document/check-document-status."""

    document_id: str
    status: Literal["queued", "translating", "done", "error"]
    seconds_remaining: int | None = None
    billed_characters: int | None = None
    error_message: str | None = None


class Language(msgspec.Struct, kw_only=True, omit_defaults=True):
    """https://developers.deepl.com/api-reference/languages."""

    language: str
    name: str
    supports_formality: bool | None = None


class Usage(msgspec.Struct, kw_only=True):
    """https://developers.deepl.com/api-reference/usage-and-quota."""

    character_count: int
    character_limit: int


class LanguagePair(msgspec.Struct, kw_only=True):
    """Two languages, in lower case."""

    source_lang: str
    target_lang: str


class LanguagePairs(msgspec.Struct, kw_only=True):
    """The pairs that glossaries may have."""

    supported_languages: list[LanguagePair]


class GlossaryBody(msgspec.Struct, kw_only=True):
    """https://developers.deepl.com/api-reference/glossaries/create-a-glossary (v2)."""

    name: str
    source_lang: str
    target_lang: str
    entries: str
    entries_format: Literal["tsv", "csv"] = "tsv"


class Glossary(msgspec.Struct, kw_only=True):
    """A glossary of one dictionary (v2)."""

    glossary_id: str
    name: str
    source_lang: str
    target_lang: str
    creation_time: str
    entry_count: int
    ready: bool = True


class Glossaries(msgspec.Struct, kw_only=True):
    """All of them (v2)."""

    glossaries: list[Glossary]


class DictionaryBody(msgspec.Struct, kw_only=True):
    """A dictionary of a glossary with its entries."""

    source_lang: str
    target_lang: str
    entries: str
    entries_format: Literal["tsv", "csv"] = "tsv"


class MultilingualBody(msgspec.Struct, kw_only=True):
    """https://developers.deepl.com/api-reference/multilingual-glossaries (v3)."""

    name: str
    dictionaries: list[DictionaryBody]


class MultilingualPatch(msgspec.Struct, kw_only=True):
    """What to change: the name, and entries to add to at most one dictionary."""

    name: str | None = None
    dictionaries: list[DictionaryBody] = []


class Dictionary(msgspec.Struct, kw_only=True):
    """A dictionary without its entries."""

    source_lang: str
    target_lang: str
    entry_count: int


class Multilingual(msgspec.Struct, kw_only=True):
    """A glossary (v3)."""

    glossary_id: str
    name: str
    dictionaries: list[Dictionary]
    creation_time: str


class Multilinguals(msgspec.Struct, kw_only=True):
    """All of them (v3)."""

    glossaries: list[Multilingual]


class DictionaryEntries(msgspec.Struct, kw_only=True):
    """A dictionary with its entries, as tab-separated lines."""

    source_lang: str
    target_lang: str
    entries: str
    entries_format: str = "tsv"


class Entries(msgspec.Struct, kw_only=True):
    """The reply to a question for one dictionary's entries."""

    dictionaries: list[DictionaryEntries]


class RephraseBody(msgspec.Struct, kw_only=True):
    """https://developers.deepl.com/api-reference/improve-text."""

    text: list[str]
    target_lang: str | None = None
    writing_style: str | None = None
    tone: str | None = None


class CorrectBody(msgspec.Struct, kw_only=True):
    """https://developers.deepl.com/api-reference/correct-text."""

    text: list[str]
    target_lang: str | None = None


class Improvement(msgspec.Struct, kw_only=True):
    """One improved text."""

    text: str
    detected_source_language: str
    target_language: str


class Improvements(msgspec.Struct, kw_only=True):
    """The reply to both."""

    improvements: list[Improvement]


def fields(body: bytes) -> list[tuple[str, str]]:
    """The fields of a URL-encoded body. ValueError where it is none."""
    return parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=10_000)


def from_fields(given: list[tuple[str, str]], kind: type[T]) -> T:
    """A form's fields as ``kind``. Repeated fields are a list, and so are commas but in texts.

    msgspec.ValidationError where they do not fit.
    """
    values: dict[str, Any] = {}
    hints = get_type_hints(kind)
    for raw, value in given:
        name = raw.removesuffix("[]")
        if not _is_list(hints.get(name)):
            values[name] = value
        elif name == "text":
            values.setdefault(name, []).append(value)
        else:
            values.setdefault(name, []).extend(one for one in value.split(",") if one)
    return msgspec.convert(values, kind, strict=False)


def _is_list(hint: Any) -> bool:
    return get_origin(hint) is list or any(get_origin(one) is list for one in get_args(hint))

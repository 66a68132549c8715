"""What DeepL answers, as its client reads it: what is used, and no more is required.

https://developers.deepl.com/api-reference
"""

from __future__ import annotations

import msgspec


class Translation(msgspec.Struct, kw_only=True):
    """https://developers.deepl.com/api-reference/translate."""

    text: str
    detected_source_language: str = ""
    billed_characters: int | None = None


class Translations(msgspec.Struct, kw_only=True):
    """One for each text, in their order."""

    translations: list[Translation]


class Language(msgspec.Struct, kw_only=True):
    """https://developers.deepl.com/api-reference/languages."""

    language: str
    supports_formality: bool = False


class Glossary(msgspec.Struct, kw_only=True):
    """https://developers.deepl.com/api-reference/multilingual-glossaries."""

    glossary_id: str
    name: str = ""


class Glossaries(msgspec.Struct, kw_only=True):
    """All of the account's."""

    glossaries: list[Glossary]


class DocumentStatus(msgspec.Struct, kw_only=True):
    """https://developers.deepl.com/api-reference/document/check-document-status."""

    status: str
    seconds_remaining: float | None = None
    billed_characters: int | None = None
    error_message: str | None = None
    message: str | None = None


class Usage(msgspec.Struct, kw_only=True):
    """https://developers.deepl.com/api-reference/usage-and-quota."""

    character_count: int
    character_limit: int


class Failure(msgspec.Struct, kw_only=True):
    """https://developers.deepl.com/docs/best-practices/error-handling."""

    message: str | None = None
    detail: str | None = None

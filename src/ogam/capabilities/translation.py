"""translate: text from one language into another. Knows no markup and no document format."""

from __future__ import annotations

from typing import Literal, Protocol

from ogam.capabilities.base import Answer, Request, Result, Value, check_count, check_text
from ogam.errors import InvalidRequestError

Formality = Literal["default", "more", "less", "prefer_more", "prefer_less"]


class TranslateRequest(Request, frozen=True, kw_only=True):
    """Translate each of ``texts`` into ``target``, from ``source`` (None: find out).

    Languages are BCP-47 tags. ``context`` influences the translation and is not
    translated itself. ``glossary`` pairs are (source term, target term). ``alternatives``
    asks for so many translations of each text, 1 to 20.
    """

    texts: tuple[str, ...]
    target: str
    source: str | None = None
    formality: Formality = "default"
    context: str = ""
    glossary: tuple[tuple[str, str], ...] = ()
    alternatives: int = 1

    def __post_init__(self) -> None:
        if not self.texts:
            raise InvalidRequestError("There is nothing to translate.", param="texts")
        for text in self.texts:
            check_text(text, "text")
        check_text(self.target, "target")
        check_count(self.alternatives, "alternatives", 1, 20)


class Translation(Value, frozen=True, kw_only=True, omit_defaults=True):
    """One translated text and the language it was in.

    ``alternatives`` are further translations, the best first, none of them ``text``: one
    fewer than was asked for, or fewer still where the engine finds no more.
    """

    text: str
    source: str
    alternatives: tuple[str, ...] = ()


class TranslateResult(Result, frozen=True, kw_only=True):
    """``translations`` in the order of the texts; ``text`` is the first."""

    translations: tuple[Translation, ...]
    target: str

    @property
    def text(self) -> str:
        """The first translation."""
        return self.translations[0].text

    @property
    def texts(self) -> tuple[str, ...]:
        """All translations."""
        return tuple(translation.text for translation in self.translations)


class Translator(Protocol):
    """What an engine that translates must have."""

    def translate(self, request: TranslateRequest, /) -> Answer[TranslateResult]:
        """Translate every text."""
        ...

"""DeepL's codes for languages, and Ogam's (BCP-47).

The table is DeepL's own list (https://developers.deepl.com/docs/getting-started/supported-languages):
what is offered where the route's engine does not say which languages it has.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from ogam.errors import UnknownLanguageError, UnsupportedOptionError

# code -> English name
NAMES = {
    "AR": "Arabic", "BG": "Bulgarian", "CS": "Czech", "DA": "Danish", "DE": "German",
    "EL": "Greek", "EN": "English", "EN-GB": "English (British)", "EN-US": "English (American)",
    "ES": "Spanish", "ES-419": "Spanish (Latin American)", "ET": "Estonian", "FI": "Finnish",
    "FR": "French", "HE": "Hebrew", "HU": "Hungarian", "ID": "Indonesian", "IT": "Italian",
    "JA": "Japanese", "KO": "Korean", "LT": "Lithuanian", "LV": "Latvian", "NB": "Norwegian",
    "NL": "Dutch", "PL": "Polish", "PT": "Portuguese", "PT-BR": "Portuguese (Brazilian)",
    "PT-PT": "Portuguese (European)", "RO": "Romanian", "RU": "Russian", "SK": "Slovak",
    "SL": "Slovenian", "SV": "Swedish", "TH": "Thai", "TR": "Turkish", "UK": "Ukrainian",
    "VI": "Vietnamese", "ZH": "Chinese", "ZH-HANS": "Chinese (simplified)",
    "ZH-HANT": "Chinese (traditional)",
}  # fmt: skip
# A target may be a variant; of these bases a variant is always named.
_VARIANTS = {
    "EN": ("EN-GB", "EN-US"),
    "ES": ("ES", "ES-419"),
    "PT": ("PT-BR", "PT-PT"),
    "ZH": ("ZH", "ZH-HANS", "ZH-HANT"),
}
# The targets in which the formality can be chosen.
FORMAL = frozenset(("DE", "ES", "ES-419", "FR", "IT", "JA", "NL", "PL", "PT-BR", "PT-PT", "RU"))
Pairs = Sequence[tuple[str, str]]


def base(code: str) -> str:
    """The language without its variant, in DeepL's case: EN for en-US."""
    return re.split("[-_]", code)[0].upper()


def tag(code: str) -> str:
    """The BCP-47 tag of a code: en-US for EN-US, zh-Hans for ZH-HANS."""
    first, *rest = re.split("[-_]", code)
    return "-".join([first.lower(), *(_subtag(one) for one in rest)])


def _subtag(one: str) -> str:
    return one.title() if len(one) == 4 else one.upper()


class Languages:
    """What may be asked for. ``pairs`` are the engine's tags, None where it does not say.

    ``formal`` are the tags of the targets in which it can choose the formality.
    """

    def __init__(self, pairs: Pairs | None, formal: Iterable[str] = ()) -> None:
        self._pairs = pairs
        if pairs is None:
            bases = {base(code) for code in NAMES}
            self.sources = sorted(bases)
            self.targets = sorted(one for code in bases for one in _VARIANTS.get(code, (code,)))
            self._formal = FORMAL
        else:
            self.sources = sorted({base(source) for source, _ in pairs})
            ends = {target.upper() for _, target in pairs}
            self.targets = sorted({one for end in ends for one in _VARIANTS.get(end, (end,))})
            self._formal = frozenset(
                one for code in formal for one in (*_VARIANTS.get(code.upper(), ()), code.upper())
            )

    def formal(self, code: str) -> bool:
        """Whether the formality can be chosen in this target."""
        return code.upper() in self._formal

    def check_formality(self, formality: str, code: str) -> None:
        """UnsupportedOptionError where a formality is demanded that the target has not."""
        if formality in ("more", "less") and not self.formal(code):
            raise UnsupportedOptionError(
                f"'formality' is not supported for {code.upper()} here.",
                hint=f"Leave it out, or ask for prefer_{formality}.",
                param="formality",
            )

    def source(self, code: str | None) -> str | None:
        """The tag of a source; UnknownLanguageError where it is none."""
        if code is None or not code:
            return None
        if base(code) not in self.sources:
            raise _unknown("source_lang", code, self.sources)
        return tag(base(code))

    def target(self, code: str, source: str | None = None) -> str:
        """The tag of a target, with a source that leads there; UnknownLanguageError otherwise."""
        known = {*self.targets, *_VARIANTS} if self._pairs is None else set(self.targets)
        if self._pairs is not None:
            known |= {base(one) for one in self.targets}
        if code.upper() not in known:
            raise _unknown("target_lang", code, self.targets)
        if source is not None and not self.leads(source, code):
            raise UnknownLanguageError(
                f"{base(source)} is not translated into {code.upper()} here.",
                hint="GET /v2/glossary-language-pairs lists the pairs.",
                param="target_lang",
            )
        return tag(code)

    def leads(self, source: str, target: str) -> bool:
        """Whether ``source`` is translated into ``target``."""
        if self._pairs is None:
            return base(source) in self.sources
        return any(
            base(one) == base(source) and base(other) == base(target) for one, other in self._pairs
        )

    def pairs(self) -> list[tuple[str, str]]:
        """All pairs of bases, in lower case."""
        ends = sorted({base(one) for one in self.targets})
        return [
            (one.lower(), other.lower())
            for one in self.sources
            for other in ends
            if one != other and self.leads(one, other)
        ]


def name(code: str) -> str:
    """The English name, the code itself where none is known."""
    return NAMES.get(code.upper(), code)


def _unknown(param: str, code: str, known: Sequence[str]) -> UnknownLanguageError:
    return UnknownLanguageError(
        f"Value for {param!r} not supported: {code[:20]!r}.",
        hint=f"There are {', '.join(known)}.",
        param=param,
    )

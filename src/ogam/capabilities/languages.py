"""Language tags, and a guess at a text's language among a few. Knows no model.

The guess is small on purpose: it chooses between the languages a model has, by script, then by
common short words, then by letters that only some languages use. Where all of that says
nothing, it is the model's first language.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

# Script: ranges of code points, and the languages written in it.
_SCRIPTS: tuple[tuple[str, frozenset[str]], ...] = (
    ("[\uac00-\ud7a3\u1100-\u11ff]", frozenset({"ko"})),
    ("[\u3040-\u30ff]", frozenset({"ja"})),
    ("[\u4e00-\u9fff]", frozenset({"zh", "ja"})),
    ("[\u0400-\u04ff]", frozenset({"ru", "uk", "bg", "sr", "mk", "be", "kk"})),
    ("[\u0600-\u06ff]", frozenset({"ar", "fa", "ur"})),
    ("[\u0590-\u05ff]", frozenset({"he", "yi"})),
    ("[\u0370-\u03ff]", frozenset({"el"})),
    ("[\u0e00-\u0e7f]", frozenset({"th"})),
    ("[\u0900-\u097f]", frozenset({"hi", "mr", "ne"})),
)
_SCRIPTED = frozenset[str]().union(*(languages for _, languages in _SCRIPTS))
# The commonest short words of each, of a hand's knowledge and no corpus.
_WORDS = {
    language: frozenset(words.split())
    for language, words in {
        "en": "the of and to is you that it he she was for are with they this have not what we i",
        "de": "der die das und ist nicht ein eine ich du wir sie es zu mit auf den von wie ihnen",
        "fr": "le la les et est un une je tu il elle nous vous des de ne pas que ce dans comment",
        "es": "el la los las y es un una yo no que de en por con se su para como está",
        "it": "il la gli e è un una io non che di in per con si lo del come sono sta",
        "pt": "o a os as e é um uma eu não que de em por com se do da como está você",
        "nl": "de het een en is niet ik je wij zij van op met te dat hoe voor zijn dit",
        "sv": "och är det en ett jag du vi inte som på av med för att den hur till",
        "da": "og er det en et jeg du vi ikke som på af med for at den hvordan til",
        "pl": "i jest nie to się w na z do jak że ja ty my co dla są był",
        "tr": "ve bir bu ne ben sen biz de da için ile çok nasıl değil var",
        "fi": "ja on ei se minä sinä hän me että en oli mitä kun niin",
        "cs": "a je to se na že v jak ne já ty my co pro jsem není",
        "ru": "и не в на я что он она мы вы это как с по был",
        "uk": "і не в на я що він вона ми ви це як з по був та є",
    }.items()
}
_LETTERS = {
    "de": "äöüß",
    "fr": "éèêàçùâîôûœ",
    "es": "ñ¿¡áíóú",
    "it": "èàòùì",
    "pt": "ãõçáâê",
    "sv": "åäö",
    "da": "æøå",
    "pl": "ąćęłńśźż",
    "tr": "ğışçöü",
    "fi": "äö",
    "cs": "ěščřžýů",
    "uk": "іїєґ",
    "ru": "ыэё",
}


def find(wanted: str, known: Sequence[str]) -> str | None:
    """The tag of ``known`` that ``wanted`` means: itself in any case, or its base (en-US: en).

    A base also means its only variant (pt: pt-BR, where there is one).
    """
    lower = {one.lower(): one for one in known}
    tag = wanted.lower().replace("_", "-")
    base = tag.partition("-")[0]
    if tag in lower or base in lower:
        return lower.get(tag, lower.get(base))
    variants = [one for key, one in lower.items() if key.partition("-")[0] == base]
    return variants[0] if tag == base and len(variants) == 1 else None


def guess(text: str, known: Sequence[str]) -> str:
    """The language of ``known`` that the text is most likely in."""
    if len(known) == 1:
        return known[0]
    return max(known, key=lambda tag: _likeness(text, tag.partition("-")[0].lower()))


def _likeness(text: str, language: str) -> float:
    lower = text.lower()
    score = 0.0
    letters = sum(one.isalpha() for one in lower) or 1
    scripted = 0
    for script, languages in _SCRIPTS:
        count = len(re.findall(script, lower))
        scripted += count
        if language in languages:
            score += 10 * count / letters
    if language not in _SCRIPTED:
        score += 10 * (letters - scripted) / letters
    words = re.findall(r"\w+", lower)
    score += 5 * sum(one in _WORDS.get(language, ()) for one in words) / (len(words) or 1)
    score += sum(one in _LETTERS.get(language, "") for one in lower) / letters
    # Han alone is Chinese, where kana would be found in Japanese.
    return score - 0.5 if language == "ja" and not re.search("[\u3040-\u30ff]", lower) else score

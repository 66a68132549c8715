"""Sentences with faults as people make them, for a model that corrects: spelling, agreement."""

from __future__ import annotations

import re
from random import Random

# Forms that are taken for one another.
_CONFUSED: dict[str, tuple[tuple[str, ...], ...]] = {
    "en": (
        ("is", "are", "am", "be"),
        ("was", "were"),
        ("has", "have", "had"),
        ("do", "does", "did"),
        ("a", "an", "the"),
        ("their", "there", "they're"),
        ("your", "you're"),
        ("its", "it's"),
        ("then", "than"),
        ("to", "too", "two"),
        ("who", "whom", "which"),
        ("in", "on", "at"),
        ("much", "many"),
        ("this", "these"),
        ("that", "those"),
        ("he", "him"),
        ("she", "her"),
        ("i", "me"),
        ("good", "well"),
        ("lose", "loose"),
        ("affect", "effect"),
        ("don't", "doesn't"),
        ("isn't", "aren't"),
        ("wasn't", "weren't"),
        ("hear", "here"),
        ("of", "off", "have"),
    ),
    "de": (
        ("der", "die", "das", "den", "dem", "des"),
        ("ein", "eine", "einen", "einem", "einer"),
        ("dass", "das"),
        ("seid", "seit"),
        ("bin", "ist", "sind", "bist"),
        ("habe", "hat", "haben", "hast"),
        ("war", "waren", "warst"),
        ("mir", "mich"),
        ("dir", "dich"),
        ("ihm", "ihn"),
        ("mein", "meine", "meinen", "meinem"),
        ("als", "wie"),
        ("wird", "werden", "wirst"),
    ),
    "fr": (
        ("le", "la", "les"),
        ("un", "une", "des"),
        ("a", "à", "as"),
        ("ou", "où"),
        ("et", "est", "es"),
        ("sont", "son"),
        ("ce", "se"),
        ("ces", "ses", "c'est"),
        ("suis", "est", "sommes"),
        ("ont", "on"),
        ("du", "de", "des"),
        ("mon", "ma", "mes"),
        ("ai", "est", "a"),
    ),
    "es": (
        ("el", "la", "los", "las"),
        ("un", "una", "unos"),
        ("es", "está", "son", "están"),
        ("a", "ha"),
        ("por", "para"),
        ("mi", "mí"),
        ("tu", "tú"),
        ("si", "sí"),
        ("he", "ha", "han"),
        ("soy", "estoy"),
        ("era", "estaba"),
    ),
}
# The ending that goes or comes where number and person change.
_ENDINGS = {
    "en": ("s", "es", "ed", "ing"),
    "de": ("e", "en", "t", "n"),
    "fr": ("s", "e", "es", "nt"),
}
_SPELLED = (
    ("ie", "ei"), ("ei", "ie"), ("ence", "ense"), ("ance", "ence"), ("able", "ible"), ("ph", "f"),
    ("ou", "u"), ("ea", "ee"), ("tion", "sion"), ("ally", "aly"), ("ght", "gt"), ("ful", "full"),
    ("ck", "k"), ("qu", "kw"), ("wh", "w"), ("kn", "n"), ("our", "or"), ("ely", "ly"), ("er", "ar"),
    ("ß", "ss"), ("ä", "a"), ("ö", "o"), ("ü", "u"), ("é", "e"), ("è", "e"), ("ê", "e"), ("á", "a"),
    ("í", "i"), ("ó", "o"), ("ñ", "n"), ("ç", "c"), ("h", ""), ("v", "b"), ("z", "s"),
)  # fmt: skip
_LETTERS = "abcdefghijklmnopqrstuvwxyz"
_SHARE_RIGHT = 0.15


def spoilt(text: str, language: str, draw: Random) -> str:
    """``text`` with one to three faults; one in seven is left as it is, to be left alone."""
    if draw.random() < _SHARE_RIGHT:
        return text
    words = re.split(r"(\W+)", text)
    for _ in range(draw.choice((1, 1, 2, 2, 3))):
        draw.choice((_confuse, _confuse, _misspell, _misspell, _ending, _leave_out))(
            words, language, draw
        )
    made = "".join(words)
    if draw.random() < 0.1:
        made = made.rstrip(".!?")
    if draw.random() < 0.15:
        made = made[:1].lower() + made[1:]
    return made if made.strip() else text


def _places(words: list[str], least: int) -> list[int]:
    """Where words of ``least`` letters or more stand that are no names."""
    return [
        at
        for at in range(0, len(words), 2)
        if len(words[at]) >= least and words[at].isalpha() and (at == 0 or words[at].islower())
    ]


def _confuse(words: list[str], language: str, draw: Random) -> None:
    joined = {form: group for group in _CONFUSED[language] for form in group}
    found = [at for at in range(0, len(words), 2) if words[at].lower() in joined]
    if not found:
        _misspell(words, language, draw)
        return
    at = draw.choice(found)
    own = words[at]
    other = draw.choice([one for one in joined[own.lower()] if one != own.lower()])
    words[at] = other.capitalize() if own[:1].isupper() else other


def _misspell(words: list[str], language: str, draw: Random) -> None:  # noqa: ARG001
    found = _places(words, 4)
    if not found:
        return
    at = draw.choice(found)
    word = words[at]
    usual = [(old, new) for old, new in _SPELLED if old in word[1:]]
    if usual and draw.random() < 0.5:
        old, new = draw.choice(usual)
        words[at] = word[0] + word[1:].replace(old, new, 1)
        return
    place = draw.randrange(1, len(word))
    doubled = [one for one in range(1, len(word)) if word[one] == word[one - 1]]
    match draw.randrange(6):
        case 0:
            word = word[:place] + word[place + 1 :]
        case 1:
            word = word[:place] + word[place] + word[place:]
        case 2 if place + 1 < len(word):
            word = word[:place] + word[place + 1] + word[place] + word[place + 2 :]
        case 3:
            word = word[:place] + draw.choice(_LETTERS) + word[place + 1 :]
        case 4:
            word = word[:place] + draw.choice(_LETTERS) + word[place:]
        case _ if doubled:
            place = draw.choice(doubled)
            word = word[:place] + word[place + 1 :]
        case _:
            word = word[:place] + word[place + 1 :]
    words[at] = word


def _ending(words: list[str], language: str, draw: Random) -> None:
    found = _places(words, 3)
    if not found:
        return
    at = draw.choice(found)
    word = words[at]
    endings = _ENDINGS.get(language, ("s", "n", "o", "a"))
    has = [one for one in endings if word.endswith(one) and len(word) > len(one) + 1]
    words[at] = word[: -len(has[-1])] if has else word + endings[draw.randrange(2)]


def _leave_out(words: list[str], language: str, draw: Random) -> None:
    """A small word that is not there, or is there twice."""
    small = {form for group in _CONFUSED[language] for form in group}
    found = [at for at in range(2, len(words) - 1, 2) if words[at].lower() in small]
    if not found:
        _misspell(words, language, draw)
        return
    at = draw.choice(found)
    if draw.random() < 0.75:
        words[at] = words[at + 1] = ""
    else:
        words[at] = f"{words[at]} {words[at]}"

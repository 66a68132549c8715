"""Which voices eSpeak NG has, and how names, languages and scripts lead to them.

Knows nothing of processes or sound; the list comes from the library once, through a worker.
"""

from __future__ import annotations

import bisect
import difflib
import functools
import os
from collections import Counter
from typing import Literal

import msgspec

from ogam.capabilities.speech_synthesis import Voice
from ogam.engines.espeak import process
from ogam.errors import UnknownLanguageError, UnknownVoiceError

# espeak's own names of languages that are not BCP-47, or mean another place in it.
_TAGS = {
    "ca-ba": "ca-x-balear",
    "ca-nw": "ca-x-nord",
    "ca-va": "ca-valencia",
    "en-us-nyc": "en-US-x-nyc",
    "piqd": "tlh-Piqd",
    "ru-cl": "ru-x-classic",
}
# Listed by the library, but without a dictionary in the data of espeakng-loader 0.2.4: mute.
_MUTE = frozenset({"fo", "kaa", "xex"})
# Tags that lead to another language than the one left when their end is cut off.
_INSTEAD = {"zh-hk": "yue", "zh-mo": "yue", "es-es": "es", "nn": "nb", "iw": "he", "in": "id"}
# What speaks where neither text nor request names a language: the variant of American English
# that PocketSphinx understands best, 79 % of the words of three sentences; en-us alone 27 %.
CLEAR = "en-us+f5"
_GENDERS: dict[str, Literal["male", "female", "neutral"]] = {
    "1": "male",
    "2": "female",
    "3": "neutral",
}
# Where blocks of Unicode begin (The Unicode Standard, Blocks.txt) and the language to read
# them in; "" is any language's. Han is read as Mandarin unless there is kana.
_BLOCKS = (
    (0x0000, ""), (0x0370, "el"), (0x0400, "ru"), (0x0530, "hy"), (0x0590, "he"),
    (0x0600, "ar"), (0x0700, ""), (0x0900, "hi"), (0x0980, "bn"), (0x0A00, "pa"),
    (0x0A80, "gu"), (0x0B00, "or"), (0x0B80, "ta"), (0x0C00, "te"), (0x0C80, "kn"),
    (0x0D00, "ml"), (0x0D80, "si"), (0x0E00, "th"), (0x0E80, ""), (0x1000, "my"),
    (0x10A0, "ka"), (0x1100, "ko"), (0x1200, "am"), (0x1380, ""), (0x3040, "ja"),
    (0x3100, ""), (0x3130, "ko"), (0x3190, ""), (0x3400, "cmn"), (0xA000, ""),
    (0xAC00, "ko"), (0xD7B0, ""), (0xF900, "cmn"), (0xFB00, ""), (0x20000, "cmn"),
)  # fmt: skip
_STARTS = [start for start, _ in _BLOCKS]
_LOOKED_AT = 2000  # characters; a script shows sooner


class Catalogue:
    """Which voices there are, and how names and languages lead to them."""

    def __init__(self, listed: str, variants: list[str]) -> None:
        self.variants = {variant.lower(): variant for variant in variants}
        self.voices: tuple[Voice, ...] = ()
        self._names: dict[str, tuple[str, str]] = {}
        self._languages: dict[str, tuple[int, str]] = {}
        found: list[Voice] = []
        short: dict[str, tuple[str, str]] = {}
        for line in listed.split("\n"):
            identifier, gender, name, *rest = line.split("\t")
            ranks, raw = [int(rank) for rank in rest[::2]], [tag.lower() for tag in rest[1::2]]
            file = identifier.rpartition("/")[2].lower()
            if file in _MUTE:
                continue
            # A voice is called after its language; the second of one language after its file.
            key = file if raw[0] in self._names else raw[0]
            tags = tuple(_TAGS.get(tag) or _bcp47(tag) for tag in raw)
            found.append(
                Voice(
                    id=key,
                    name=name.strip(),
                    language=tags[0],
                    gender=_GENDERS.get(gender, "unknown"),
                    languages=tags,
                    description="eSpeak NG: clear, quick and plainly synthetic.",
                )
            )
            self._names[key] = short[file] = (key, identifier)
            for rank, tag in zip(ranks + ranks, (*raw, *map(str.lower, tags)), strict=True):
                if tag not in self._languages or rank < self._languages[tag][0]:
                    self._languages[tag] = (rank, key)
        base = next(voice for voice in found if voice.id == "en-us")
        clear = msgspec.structs.replace(base, id=CLEAR, name=f"{base.name}, clear", gender="female")
        self.voices = (clear, *found)
        self._names = short | self._names

    def voice(self, name: str) -> tuple[str, str]:
        """The id and the library's name of a voice, with its variant where it has one."""
        base, plus, variant = name.partition("+")
        entry = self._names.get(base.lower())
        if entry is None:
            near = difflib.get_close_matches(base.lower()[:40], self._names, 3, 0.5)
            near += [key for key in self._names if base and key.startswith(base.lower()[:2])]
            near = list(dict.fromkeys(near))[:3]
            raise UnknownVoiceError(
                f"espeak has no voice {name[:80]!r}.",
                hint=f"Near it: {', '.join(near)}." if near else "voices() lists all, such as ko.",
                param="voice",
            )
        if not plus:
            return entry
        kept = self.variants.get(variant.lower())
        if kept is None:
            near = difflib.get_close_matches(variant.lower()[:40], self.variants, 3, 0.3) or [
                "f3",
                "m1",
            ]
            raise UnknownVoiceError(
                f"espeak has no variant {variant[:80]!r} for the voice {base!r}.",
                hint=f"Try {', '.join(f'{entry[0]}+{self.variants[one]}' for one in near)}.",
                param="voice",
            )
        return f"{entry[0]}+{kept}", f"{entry[1]}+{kept}"

    def language(self, tag: str) -> tuple[str, str]:
        """The best voice for a BCP-47 tag, by cutting it from its end (RFC 4647, 3.4)."""
        left = normal(tag)
        while left:
            left = _INSTEAD.get(left, left)
            if left in self._languages:
                return self._names[self._languages[left][1]]
            # Spanish of anywhere but Spain is nearer to Latin America's.
            if left.startswith("es-"):
                left = "es-419"
                continue
            left = left.rpartition("-")[0]
        near = difflib.get_close_matches(normal(tag)[:40], self._languages, 3, 0.5)
        raise UnknownLanguageError(
            f"espeak does not speak {tag[:80]!r}.",
            hint=f"Near it: {', '.join(near)}."
            if near
            else "Give a BCP-47 tag such as ko or en-US; voices() lists all.",
            param="language",
        )


def language_of(text: str) -> str:
    """The language that reads most of the letters of ``text``, "" for Latin letters.

    A script says little about a language (Cyrillic is read as Russian), but an English voice
    would spell Greek or kana letter by letter.
    """
    found = Counter(
        _BLOCKS[bisect.bisect_right(_STARTS, ord(letter)) - 1][1]
        for letter in text[:_LOOKED_AT]
        if letter.isalpha()
    )
    if found["ja"]:
        found["ja"] += found.pop("cmn", 0)
    return max(found, key=found.__getitem__, default="")


def normal(tag: str) -> str:
    """A tag as it is compared: lower case, with hyphens."""
    return tag.strip().lower().replace("_", "-")


def _bcp47(tag: str) -> str:
    """A lower-case tag of the library as BCP-47 writes it: ko, en-US, cmn-Latn-pinyin."""
    first, *rest = tag.split("-")
    private = False
    for at, part in enumerate(rest):
        private = private or len(part) == 1
        if not private and len(part) in (2, 4):
            rest[at] = part.upper() if len(part) == 2 else part.title()
    return "-".join((first, *rest))


@functools.cache
def catalogue() -> Catalogue:
    """Asked of the library once in the life of this process (1.5 ms)."""
    folder = os.path.join(process.paths()[1], "voices", "!v")
    return Catalogue(process.voices(), os.listdir(folder))

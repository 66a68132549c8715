"""Make ``starter/speech-de`` and ``starter/speech-es``: German and Spanish for PocketSphinx.

    python starter/recipes/speech.py DATA OUT              make OUT/speech-de and OUT/speech-es
    python starter/recipes/speech.py DATA --check MODEL    is MODEL what DATA gives?

DATA holds deu/pairs.tsv and spa/pairs.tsv: English, tab, the other language, from Tatoeba. No
sound is used: the acoustic model stays the American English one that PocketSphinx brings. A
dictionary of the most frequent words spells them in its phones: eSpeak NG says their IPA, and a
table below gives each IPA phone the nearest English ones. A trigram model says how the words
follow each other. Whole English sentences are set aside with all of their translations, by a hash
of their letters and digits, 2 in 200 of them: half to choose the tables and weights by, half for
the figures in the cards.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import subprocess
import sys
from collections import Counter, defaultdict
from pathlib import Path

import _pronounce
from _check import check
from _trigrams import arpa

WORDS, BIGRAMS, TRIGRAMS = 10_000, 22_000, 16_000
_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*")
_BEGINNING = re.compile(r"(?<=[.!?:;\"„“«»¿¡–—-])\s*")
_LANGUAGE_MARK = re.compile(r"\([a-z-]+\)")  # what eSpeak NG says in another language's phones
_VOWELS = frozenset("aeiouyøœɔɛɪʊʏəɜɐɑɒæʌ")


def _table(text: str) -> dict[str, str]:
    """``ts=T+S`` as an entry, by the IPA phone."""
    return dict(one.replace("+", " ").split("=") for one in text.split())


# IPA as eSpeak NG writes it to English phones; after "|" the second choice. Made from what the
# sounds are, and where two English ones are as near, by which a forced alignment of set-aside
# sentences takes.
_COMMON = _table("""
    b=B p=P pː=P t=T d=D k=K ɡ=G f=F v=V s=S z=Z ʃ=SH ʒ=ZH θ=TH h=HH x=HH|K m=M n=N n̩=AH+N
    ŋ=NG l=L l̩=AH+L əl=AH+L j=Y w=W r=R ɹ=R tʃ=CH dʒ=JH ts=T+S a=AA|AH aː=AA ɑ̃=AA+N ɐ=AH
    æ=AE ɒ=AA ʌ=AH e=EY ə=AH ɛ̃=EH+N ɜː=ER œ̃=AH+N i=IY u=UW o=OW ɔː=AO ɔ̃=AO+N aɪ=AY
    aɪə=AY+AH aʊ=AW eɪ=EY ɛɪ=EY eə=EH+R ɪə=IH+R ʊə=UH+R əʊ=OW oɪ=OY ɔɪ=OY
""")
_GERMAN = _COMMON | _table("""
    ð=DH ç=SH|HH+Y pf=P+F ɾ=AH|R iː=IY ɪ=IH yː=IY|UW ʏ=IH|UH eː=EY|IY ɛ=EH|IH ɛː=EY|EH
    øː=UW|ER œ=ER|EH ə=AH|IH ɜ=ER|AH ɑː=AA ɑ=AA ɔ=AO oː=OW|AO ʊ=UH uː=UW ɔø=OY ʊɐ=UH+AH
""")
_SPANISH = _COMMON | _table("""
    β=B|V ð=DH|D ɣ=G ʎ=Y|L+Y ʝ=Y|JH ɲ=N+Y|N ɾ=R r=R|D+R a=AA e=EH|IH ɛ=EH|IH o=AO|OW eʊ=EH+UW
""")


class Language:
    """What differs between the two."""

    def __init__(self, tag: str, name: str, folder: str, phones: dict[str, str], **weights: object):
        self.tag, self.name, self.folder = tag, name, folder
        self.phones, self.weights = phones, weights
        self.code = tag.partition("-")[0]


LANGUAGES = (
    Language("de-DE", "German", "deu", _GERMAN, weights=(7.5, 9.5, 10.0), insertion=3.0),
    Language("es-ES", "Spanish", "spa", _SPANISH, weights=(7.5, 9.5, 10.0), insertion=3.0),
)


def side(english: str) -> str:
    """Which set an English sentence and all of its translations belong to."""
    plain = "".join(re.findall(r"\w", english.casefold()))
    place = int.from_bytes(hashlib.sha256(plain.encode()).digest()[:4], "big") % 200
    return {0: "test", 1: "valid"}.get(place, "train")


def words(text: str) -> list[str]:
    """The words of a text as it writes them."""
    return [one.replace("’", "'") for one in _WORD.findall(text)]


def sentences(path: Path) -> dict[str, list[str]]:
    """The language's own sentences: ``train``, ``valid`` and ``test``, none of them in two."""
    found: dict[str, dict[str, None]] = {"train": {}, "valid": {}, "test": {}}
    for line in path.read_text(encoding="utf-8").splitlines():
        english, _, other = line.partition("\t")
        found[side(english)].setdefault(other.strip())
    aside = {tuple(words(one.lower())) for name in ("valid", "test") for one in found[name]}
    train = [one for one in found["train"] if tuple(words(one.lower())) not in aside]
    return {"train": train, "valid": list(found["valid"]), "test": list(found["test"])}


def spelling(texts: list[str]) -> dict[str, str]:
    """Small letters to how the word is mostly written within a sentence: Haus, Tom."""
    seen: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for text in texts:
        for part in _BEGINNING.split(text):
            for word in words(part)[1:]:
                seen[word.lower()][word] += 1
    return {small: max(sorted(ways), key=ways.__getitem__) for small, ways in seen.items()}


def said(code: str, asked: list[str]) -> dict[str, str]:
    """The IPA of words, by eSpeak NG."""
    done = subprocess.run(
        [sys.executable, _pronounce.__file__],
        input="\n".join([code, *asked]).encode(),
        capture_output=True,
        check=True,
    )
    return dict(zip(asked, done.stdout.decode().split("\n"), strict=False))


def pronunciations(ipa: str, table: dict[str, str]) -> list[str]:
    """A word in English phones, two ways at most; none where the table lacks one of its own."""
    phones = [one.strip("ˈˌ ") for one in _LANGUAGE_MARK.sub("", ipa).split("_")]
    phones = [one for one in phones if one]
    # An r after a vowel is hardly one in German.
    phones = [
        "r" if one == "ɾ" and phones[at + 1 : at + 2] and phones[at + 1][0] in _VOWELS else one
        for at, one in enumerate(phones)
    ]
    if not all(one in table for one in phones):
        return []
    ways = [table[one].split("|") for one in phones]
    # The first choices throughout, and the second ones.
    found = (" ".join(way[0] for way in ways), " ".join(way[-1] for way in ways))
    return [one for one in dict.fromkeys(found) if one]


def make(language: Language, data: Path, folder: Path) -> None:
    """Write the dictionary, the language model and the manifest into ``folder``."""
    train = sentences(data / language.folder / "pairs.tsv")["train"]
    # A number is said in words that its digits do not show.
    texts = [words(one.lower()) for one in train if not re.search(r"\d", one)]
    counts = Counter(word for text in texts for word in text)
    frequent = sorted(counts, key=lambda word: (-counts[word], word))[:WORDS]
    ways = spelling(train)
    ipa = said(language.code, sorted(frequent))
    known = {word: pronunciations(ipa[word], language.phones) for word in sorted(frequent)}
    known = {word: found for word, found in known.items() if found}
    lines = [f"{ways.get(word, word)} {one}" for word, found in known.items() for one in found]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "words.dict").write_text("\n".join([*lines, ""]), encoding="utf-8", newline="\n")
    model = arpa(texts, set(known), BIGRAMS, TRIGRAMS)
    (folder / "words.lm").write_text(model, encoding="utf-8", newline="\n")
    (folder / "model.json").write_text(manifest(language, folder), encoding="utf-8", newline="\n")


def manifest(language: Language, folder: Path) -> str:
    """The text of ``model.json`` for the files in ``folder``."""
    files = ("words.dict", "words.lm")
    told = {
        "name": f"speech-{language.code}",
        "engine": "pocketsphinx",
        "capabilities": ["transcribe"],
        "files": {one: hashlib.sha256((folder / one).read_bytes()).hexdigest() for one in files},
        "licence": "CC-BY-2.0-FR",
        "source": "https://tatoeba.org",
        "summary": f"Hears {language.name}, with the phones of American English.",
        "understands": [language.code],
        "language": language.tag,
        **language.weights,
    }
    return json.dumps(told, indent=2, ensure_ascii=False) + "\n"


def main() -> int:
    """Make both, or compare one."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="the folder with deu/pairs.tsv and spa/pairs.tsv")
    parser.add_argument("out", type=Path, nargs="?", help="where the models' folders go")
    parser.add_argument("--check", type=Path, metavar="MODEL", help="compare, keep nothing")
    options = parser.parse_args()
    if options.check:
        name = json.loads((options.check / "model.json").read_bytes())["name"]
        language = next(one for one in LANGUAGES if name == f"speech-{one.code}")
        return check(options.check, lambda folder: make(language, options.data, folder))
    if options.out is None:
        parser.error("name OUT, or a MODEL to --check")
    for language in LANGUAGES:
        make(language, options.data, options.out / f"speech-{language.code}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

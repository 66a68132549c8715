"""Make ``starter/translate`` out of what ``translate.py`` trained: more languages, and manners.

    python starter/recipes/translate_more.py DATA MORE --part more --start FIRST
    python starter/recipes/translate_more.py DATA MANNERS --part manners --start MORE
    python starter/recipes/translate_more.py DATA LAST --part last --start MANNERS
    python starter/recipes/translate_more.py DATA RUN --resume        go on; Ctrl-C saves
    python starter/recipes/translate_more.py LAST --check MODEL       is MODEL what LAST exports?

DATA holds tatoeba/ and python_docs/, each with a folder a language (deu, fra, spa, ita, por, jpn
and kor; of python_docs/ the last two) in which pairs.tsv is English, tab, the other language.
FIRST is the run of ``translate.py``; LAST ships. The second part reads manners that are seldom in
the data so often that the model takes them for the rule; the third reads them less. Beside the
pairs, the model learns from them

- Japanese and Korean;
- to speak formally or not: of translations that show it, half ask for it (de-x-formal);
- to carry over what U+E000 to U+E007 stand for: numbers that both sides share, and some names;
- to correct German, English, French and Spanish (en-x-correct): sentences that are wrong by
  chance, and what they were.

The sets are those of ``translate.py``: no translation of a sentence of the test is trained on.
"""

from __future__ import annotations

import argparse
import csv
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import NamedTuple

import msgspec
from _check import check
from _faults import spoilt
from translate import HEADINGS, LANGUAGES, Row, settings, side

from ogam.training.translation import train
from ogam.training.translation_result import export_again
from ogam.training.translation_settings import Settings, settings_of

ASIAN = {"jpn": "ja", "kor": "ko"}
# Korean has few pairs of everyday sentences; they are read this often.
TIMES = {("tatoeba", "ko"): 5}


class Part(NamedTuple):
    """A stretch of training. ``rare`` says how often manners that are seldom are read besides;
    ``always``: they are always asked for where they are there, and not half of the time.
    """

    updates: int
    rate: float
    warmup: int
    rare: dict[str, int]
    always: bool = False


PARTS = {
    "more": Part(3250, 8e-4, 200, {"es-x-formal": 3}, always=True),
    "manners": Part(
        600,
        4e-4,
        100,
        {"es-x-formal": 23, "de-x-formal": 11, "es-x-familiar": 3, "de-x-familiar": 1},
        always=True,
    ),
    "last": Part(
        5512,
        8e-4,
        200,
        {"es-x-formal": 24, "de-x-formal": 4, "es-x-familiar": 2, "de-x-familiar": 1},
    ),
}
CORRECTED = {"en": 100_000, "de": 30_000, "fr": 30_000, "es": 30_000}
_NUMBER = re.compile(r"(?<!\w)\d+(?:[.,:]\d+)*(?!\w)")
_NAME = re.compile(r"(?<!\w)[A-Z][a-z]{2,}(?!\w)")
_SHARE_OF_NAMES = 0.08
# What shows how a translation speaks to someone. "Sie" and "Ihr" at the beginning of a sentence
# may be anyone; French "vous" and Spanish "ustedes" may be several.
_FORMAL = {
    "de": re.compile(r"(?<![.!?] )(?<!^)\b(Sie|Ihnen|Ihr|Ihre[nmrs]?)\b"),
    "fr": re.compile(r"\b(vous|votre|vos)\b", re.IGNORECASE),
    "es": re.compile(r"\b(usted|ustedes)\b", re.IGNORECASE),
    "ja": re.compile(
        r"(です|ます|ました|ません|でした|でしょう|ください|下さい|ましょう)か?[。!?]?$"
    ),
    "ko": re.compile(r"(요|니다|니까|세요|시오)[.!?]?$"),
}
_FAMILIAR = {
    "de": re.compile(r"\b(du|dich|dir|dein(e[nmrs]?)?|euch|euer|eure[nmrs]?)\b", re.IGNORECASE),
    "fr": re.compile(r"\b(tu|te|toi|ton|ta|tes)\b|\bt['’]", re.IGNORECASE),
    "es": re.compile(r"\b(tú|te|ti|tu|tus|contigo|vosotros|vuestr[oa]s?)\b", re.IGNORECASE),
    "ja": re.compile(r"(だ|よ|ね|ぞ|な|た|る|い|う|く|す|つ|ぬ|む|ぶ)[。!?]?$"),
    "ko": re.compile(r"(다|어|아|야|지|니|냐|해|라|자)[.!?]?$"),
}


def manner(text: str, language: str) -> str:
    """The tag that asks for how ``text`` speaks: de-x-formal, de-x-familiar, or de alone."""
    if language not in _FORMAL:
        return language
    formal = _FORMAL[language].search(text) is not None
    familiar = _FAMILIAR[language].search(text) is not None
    if language in ("ja", "ko") and formal:  # the endings of plain speech are in it
        return f"{language}-x-formal"
    if formal == familiar:
        return language
    return f"{language}-x-{'formal' if formal else 'familiar'}"


def carried(source: str, target: str, draw: Random) -> tuple[str, str]:
    """Both sides with marks in place of what they share: numbers, and now and then a name."""
    shared = [one for one in _NUMBER.findall(source) if _once(one, source, target)]
    chosen = [one for one in shared if draw.random() < (0.8 if len(one) > 2 else 0.3)]
    if draw.random() < _SHARE_OF_NAMES:
        chosen += [one for one in _NAME.findall(source) if _once(one, source, target)]
    for place, one in enumerate(chosen[:8]):
        word = re.compile(rf"(?<!\w){re.escape(one)}(?!\w)")
        source, target = (word.sub(chr(0xE000 + place), text) for text in (source, target))
    return source, target


def _once(word: str, *texts: str) -> bool:
    return all(len(re.findall(rf"(?<!\w){re.escape(word)}(?!\w)", text)) == 1 for text in texts)


def prepare(data: Path, target: Path, part: Part) -> dict[str, Path]:
    """Write train.tsv, valid.tsv and test.tsv."""
    draw = Random("manners")
    rows: dict[str, list[Row]] = {"train": [], "valid": [], "test": []}
    plain: dict[str, set[str]] = {language: set() for language in CORRECTED}
    for corpus, language, english, other in _pairs(data):
        everyday = corpus == "tatoeba"
        where = side(english)
        if where == "train":
            for text, own in ((english, "en"), (other, language)):
                if own in plain and everyday:
                    plain[own].add(text)
            for _ in range(TIMES.get((corpus, language), 1)):
                rows[where] += _both(*carried(english, other, draw), language)
        elif everyday or language == "ko":
            rows[where] += _both(english, other, language)
    asked: list[Row] = []
    for source, text, own, language in rows["train"]:
        tag = manner(text, language)
        again = part.rare.get(tag, 0)
        wanted = (part.always and again) or draw.random() < 0.5
        asked.append((source, text, own, tag if wanted else language))
        asked += [(source, text, own, tag)] * again
    for language, count in CORRECTED.items():
        for text in draw.sample(sorted(plain[language]), min(count, len(plain[language]))):
            wrong = spoilt(text, language, draw)
            asked.append((wrong, text, language, f"{language}-x-correct"))
    rows["train"] = asked
    target.mkdir(parents=True, exist_ok=True)
    paths = {name: target / f"{name}.tsv" for name in rows}
    for name, path in paths.items():
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, delimiter="\t", lineterminator="\n")
            writer.writerows([HEADINGS, *rows[name]])
    return paths


def _pairs(data: Path) -> Iterator[tuple[str, str, str, str]]:
    """Corpus, language, English, the other language: each pair once."""
    seen = set[tuple[str, str]]()
    for corpus in ("python_docs", "tatoeba"):
        # Of prose about programs only what the two need that have little else.
        languages = ASIAN if corpus == "python_docs" else LANGUAGES | ASIAN
        for folder, language in languages.items():
            file = data / corpus / folder / "pairs.tsv"
            for line in file.read_text(encoding="utf-8").splitlines():
                english, _, other = (part.strip() for part in line.partition("\t"))
                if english and other and (english, other) not in seen:
                    seen.add((english, other))
                    yield corpus, language, english, other


def _both(english: str, other: str, language: str) -> list[Row]:
    return [(english, other, "en", language), (other, english, language, "en")]


def more(paths: dict[str, Path], start: Path, threads: int, part: Part) -> Settings:
    """The run's: the first one's shape, more pieces, and a rate that falls from what it had."""
    return msgspec.structs.replace(
        settings(paths, threads),
        start=str(start),
        vocabulary=13_000,
        lr=part.rate,
        warmup=part.warmup,
        updates=part.updates,
        valid_every=max(100, min(250, part.updates // 6)),
        average=8 if part.updates > 1000 else 5,
        licence="CC-BY-2.0-FR AND PSF-2.0",
    )


def main() -> int:
    """Train, export, and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, nargs="?", help="the folder with tatoeba/deu ...")
    parser.add_argument("run", type=Path, help="the run's folder")
    parser.add_argument("--part", choices=PARTS, help="which stretch")
    parser.add_argument("--start", type=Path, help="the run before it")
    parser.add_argument("--resume", action="store_true", help="go on with a run")
    parser.add_argument("--updates", type=int, help="how many updates in all")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--check", type=Path, metavar="MODEL", help="compare, train nothing")
    options = parser.parse_args()
    if options.check:
        return check(options.check, lambda folder: export_again(options.run, folder))
    if options.resume:
        chosen = settings_of(options.run, updates=options.updates)
    elif options.data is None or options.start is None or options.part is None:
        parser.error("name DATA and RUN, a --part, and the run before it by --start")
    else:
        part = PARTS[options.part]
        paths = prepare(options.data, options.run.with_name(options.run.name + "-data"), part)
        chosen = more(paths, options.start, options.threads, part)
    outcome = train(chosen, options.run, resume=options.resume)
    if outcome.model is None:
        print(f"stopped after {outcome.update} updates; go on with --resume")
        return 130
    for pair, scores in outcome.test.items():
        print(f"{pair} {scores}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

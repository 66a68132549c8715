"""Make ``starter/translate``: one Transformer for English with German, French and Spanish.

    python starter/recipes/translate.py DATA RUN            train; Ctrl-C saves
    python starter/recipes/translate.py DATA RUN --resume   go on
    python starter/recipes/translate.py RUN --check MODEL   is MODEL what RUN exports?

DATA holds a folder a language (deu, fra, spa, ita, por), each with pairs.tsv: English, tab, the
other language, from Tatoeba. Both directions of every pair are trained on, with a token that
names the target language. Whole English sentences are set aside, by a hash of their letters and
digits, so that none of a set-aside sentence's translations is trained on: 1 in 100 of them,
half for validation, half for the test whose figures end the run. RUN-data gets the sets. BLEU is
sacreBLEU's on the texts as they are, one reference each.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import re
import sys
from pathlib import Path

from _check import check

from ogam.training.translation import train
from ogam.training.translation_result import export_again
from ogam.training.translation_settings import Settings, settings_of

LANGUAGES = {"deu": "de", "fra": "fr", "spa": "es", "ita": "it", "por": "pt"}
HEADINGS = ("source", "target", "source_language", "language")
Row = tuple[str, str, str, str]


def side(english: str) -> str:
    """Which set an English sentence and all of its translations belong to."""
    plain = "".join(re.findall(r"\w", english.casefold()))
    place = int.from_bytes(hashlib.sha256(plain.encode()).digest()[:4], "big") % 200
    return {0: "test", 1: "valid"}.get(place, "train")


def prepare(source: Path, target: Path) -> dict[str, Path]:
    """Write train.tsv, valid.tsv and test.tsv, every pair in both directions."""
    rows: dict[str, list[Row]] = {"train": [], "valid": [], "test": []}
    for folder, language in LANGUAGES.items():
        seen = set[tuple[str, str]]()
        for line in (source / folder / "pairs.tsv").read_text(encoding="utf-8").splitlines():
            english, _, other = (part.strip() for part in line.partition("\t"))
            if not english or not other or (english, other) in seen:
                continue
            seen.add((english, other))
            part = rows[side(english)]
            part.append((english, other, "en", language))
            part.append((other, english, language, "en"))
    target.mkdir(parents=True, exist_ok=True)
    paths = {name: target / f"{name}.tsv" for name in rows}
    for name, path in paths.items():
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, delimiter="\t", lineterminator="\n")
            writer.writerows([HEADINGS, *rows[name]])
    return paths


def settings(paths: dict[str, Path], threads: int) -> Settings:
    """The run's. A small model: what serves is about 10 MB in 8 bits."""
    return Settings(
        train=(str(paths["train"]),),
        valid=(str(paths["valid"]),),
        test=(str(paths["test"]),),
        vocabulary=10_000,
        max_tokens=80,
        d_model=256,
        nhead=4,
        encoder_layers=4,
        decoder_layers=2,
        feed_forward=1024,
        dropout=0.05,
        attention_dropout=0.0,
        activation_dropout=0.0,
        pre_norm=True,
        lr=2e-3,
        schedule="inverse-sqrt",
        warmup=1000,
        betas=(0.9, 0.98),
        batch_tokens=3072,
        amp="bf16",
        updates=30_000,
        valid_every=300,
        save_every=100,
        average=8,
        threads=threads,
        device="cpu",
        name="translate",
        licence="CC-BY-2.0-FR",
    )


def main() -> int:
    """Train, export, and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, nargs="?", help="the folder with deu/pairs.tsv ...")
    parser.add_argument("run", type=Path, help="the run's folder")
    parser.add_argument("--resume", action="store_true", help="go on with a run")
    parser.add_argument("--updates", type=int, help="how many updates in all")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--check", type=Path, metavar="MODEL", help="compare, train nothing")
    options = parser.parse_args()
    if options.check:
        return check(options.check, lambda folder: export_again(options.run, folder))
    if options.data is None:
        parser.error("name DATA and RUN")
    if options.resume:
        chosen = settings_of(options.run, updates=options.updates)
    else:
        paths = prepare(options.data, options.run.with_name(options.run.name + "-data"))
        chosen = settings(paths, options.threads)
    outcome = train(chosen, options.run, resume=options.resume)
    if outcome.model is None:
        print(f"stopped after {outcome.update} updates; go on with --resume")
        return 130
    for pair, scores in outcome.test.items():
        print(f"{pair} {scores}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

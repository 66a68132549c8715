"""Train the starter language model on tales that are in the public domain.

    python starter/recipes/write.py FOLDER RUN             train; Ctrl-C saves
    python starter/recipes/write.py FOLDER RUN --resume    go on
    python starter/recipes/write.py RUN --check MODEL      is MODEL what RUN exports?

FOLDER holds books as text files. Of each only prose is kept: headings, contents, captions,
notes about the edition and licences go. Every twentieth book is held out whole, so that the
score is that of a book the model has never seen. Beside the model's bits a byte the script
prints those of n-grams of characters, n up to 6, interpolated (Witten-Bell) and trained on
the same text; a model that does not beat them is not worth shipping.
"""

from __future__ import annotations

import argparse
import math
import re
import sys
from collections import Counter, defaultdict
from pathlib import Path

from _check import check

from ogam.training.language_model import Settings, export_again, resume, train

_NOT_PROSE = re.compile(
    r"gutenberg|transcriber|copyright|illustrat|e-?text|https?:|\bpublish|\bedition\b|footnote",
    re.IGNORECASE,
)
_HELD_OUT = 20
_ORDER = 6


def prose(text: str) -> str:
    """The paragraphs of a book that are sentences, each on a line."""
    kept: list[str] = []
    for block in re.split(r"\n\s*\n", text.replace("\r\n", "\n")):
        paragraph = " ".join(block.replace("_", "").split())
        ended = re.search(r"[.!?][\"'”’)]*$", paragraph)
        if len(paragraph) >= 20 and ended and not _NOT_PROSE.search(paragraph):
            kept.append(paragraph)
    return "\n".join(kept) + "\n"


def prepare(source: Path, target: Path) -> tuple[list[Path], list[Path]]:
    """Write the prose of each book into ``target``; the training and the held-out files."""
    target.mkdir(parents=True, exist_ok=True)
    training: list[Path] = []
    held_out: list[Path] = []
    for number, path in enumerate(sorted(source.glob("*.txt"))):
        text = prose(path.read_text(encoding="utf-8-sig", errors="replace"))
        if len(text) < 10_000:
            continue
        place = target / path.name
        place.write_text(text, encoding="utf-8")
        (held_out if number % _HELD_OUT == 7 else training).append(place)
    if not training or not held_out:
        sys.exit(f"{source} holds too few books (.txt).")
    return training, held_out


def n_gram_bits(training: list[Path], held_out: list[Path]) -> list[float]:
    """Bits a byte of character n-grams, n from 1 to 6, on the first 200,000 held-out characters."""
    counts: list[defaultdict[str, Counter[str]]] = [defaultdict(Counter) for _ in range(_ORDER)]
    for path in training:
        text = path.read_text(encoding="utf-8")
        for order in range(_ORDER):
            table = counts[order]
            for at in range(order, len(text)):
                table[text[at - order : at]][text[at]] += 1
    sums = {
        (order, context): sum(found.values())
        for order in range(_ORDER)
        for context, found in counts[order].items()
    }
    test = "".join(path.read_text(encoding="utf-8") for path in held_out)[:200_000]
    bits = [0.0] * _ORDER
    for at in range(_ORDER, len(test)):
        share = 1 / 0x10000
        for order in range(_ORDER):
            context = test[at - order : at]
            found = counts[order].get(context)
            if found:
                total = sums[order, context]
                share = (found[test[at]] + len(found) * share) / (total + len(found))
            bits[order] -= math.log2(share)
    read = len(test[_ORDER:].encode())
    return [one / read for one in bits]


def main() -> int:
    """Prepare the books, train, and print the score."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("books", type=Path, nargs="?")
    parser.add_argument("run", type=Path)
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("--compare", action="store_true", help="only score the n-grams")
    parser.add_argument("--check", type=Path, metavar="MODEL", help="compare, train nothing")
    options = parser.parse_args()
    if options.check:
        return check(options.check, lambda folder: export_again(options.run, folder))
    if options.books is None:
        parser.error("name FOLDER and RUN")
    training, held_out = prepare(options.books, options.run.with_name(options.run.name + "-text"))
    if options.compare:
        for order, bits in enumerate(n_gram_bits(training, held_out), 1):
            print(f"{order}-gram of characters: {bits:.3f} bits a byte")
        return 0
    if options.resume:
        score = resume(options.run)
    else:
        settings = Settings(
            files=tuple(str(path) for path in training),
            valid=tuple(str(path) for path in held_out),
            vocabulary=4096,
            d_model=256,
            layers=6,
            heads=4,
            context=256,
            dropout=0.0,
            batch=16,
            steps=options.steps,
            learning_rate=1.5e-3,
            warmup=100,
            precision="bf16",
            threads=options.threads,
            valid_every=250,
            save_every=100,
        )
        score = train(options.run, settings)
    if score is None:
        print("Saved; go on with --resume.")
        return 130
    print(f"{score.bits_per_byte:.4f} bits a byte, perplexity {score.perplexity:.2f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

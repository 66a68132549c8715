"""Make ``starter/write`` out of what ``write.py`` trained: it also answers in a conversation.

    python starter/recipes/write_chat.py FIRST --part first --start RUN    train; Ctrl-C saves
    python starter/recipes/write_chat.py LAST --part last --start FIRST
    python starter/recipes/write_chat.py LAST --part last --resume         go on
    python starter/recipes/write_chat.py LAST --check MODEL   is MODEL what LAST exports?

RUN is the run of ``write.py``, beside it the text it wrote (RUN-text); LAST ships. A third of what
is read are those books again, so that tales stay what they were; most of the rest are conversations
made up by ``_dialogues.py``, with sentences and beginnings of tales from the books, and some are
tokens drawn by chance (``_looking_back.py``). The second part has fewer of those, more of what asks
for a value, and short names.
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path
from typing import NamedTuple

from _check import check
from _dialogues import dialogues
from _looking_back import LookingBack

from ogam.training.language_model import END, Settings, export_again, train
from ogam.training.runs import settings_of

# How a conversation reads, for the manifest. What begins the next turn ends an answer.
TEMPLATE = {
    "system": "{content}\n",
    "user": "Q: {content}\n",
    "assistant": "A: {content}\n",
    "answer": "A:",
    "stop": "\nQ:",
}
_COUNT = 110_000
# Of the files of a run, those that are books.
_BOOKS, _HELD_OUT = 70, 4


class Part(NamedTuple):
    """A stretch of training: ``percent`` as :func:`_dialogues.dialogues` has it, the share of rows
    drawn by chance, and the weight of where heads look.
    """

    steps: int
    rate: float
    percent: tuple[int, ...]
    drawn: float
    looking: float
    short: bool = False


PARTS = {
    "first": Part(2400, 1.5e-3, (34, 16, 30, 6, 4, 4, 3, 2, 1), 0.25, 0.4),
    "last": Part(800, 8e-4, (28, 8, 48, 4, 3, 4, 2, 2, 1), 0.07, 0.2, short=True),
}


def prepare(first: Settings, target: Path, part: Part) -> tuple[list[str], list[str]]:
    """Write the conversations; the files to train on and those to validate on."""
    target.mkdir(parents=True, exist_ok=True)
    files, valid = first.files[:_BOOKS], first.valid[:_HELD_OUT]
    books = [Path(path).read_text(encoding="utf-8") for path in files]
    text = "\n".join(books)
    found = re.findall(r"(?<=[.!?] )[A-Z][a-z' ,]{8,50}[.!?](?= )", text)
    sentences = sorted(set(found))
    tales = [
        line[:400].rpartition(". ")[0] + "."
        for line in text.split("\n")
        if re.match(r"(Once|There was|There were|There lived|Long ago|In the old)\b", line)
        and len(line) > 120
    ]
    print(f"{len(sentences):,} sentences to repeat, {len(tales):,} beginnings of tales")
    paths: dict[str, Path] = {}
    for name, count in (("train", _COUNT), ("valid", 500)):
        paths[name] = target / f"{name}.txt"
        seed = f"{name} short" if part.short else name
        made = dialogues(count, seed, sentences, tales, part.percent, short=part.short)
        paths[name].write_text(f"\n{END}\n".join(made) + "\n", encoding="utf-8")
    return [*files, str(paths["train"])], [*valid, str(paths["valid"])]


def main() -> int:
    """Write the conversations, train, and print the score."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("--part", choices=PARTS, help="which stretch")
    parser.add_argument("--start", type=Path, help="the run before it")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("--check", type=Path, metavar="MODEL", help="compare, train nothing")
    options = parser.parse_args()
    if options.check:
        return check(options.check, lambda folder: export_again(options.run, folder))
    if options.part is None:
        parser.error("name a --part")
    part = PARTS[options.part]
    lesson = LookingBack(share=part.drawn, weight=part.looking)
    if options.resume:
        score = train(options.run, settings_of(options.run, Settings), resume=True, lesson=lesson)
    elif options.start is None:
        parser.error("name the run before it by --start")
    else:
        first = settings_of(options.start, Settings)
        files, valid = prepare(first, options.run.with_name(options.run.name + "-text"), part)
        settings = Settings(
            files=tuple(files),
            valid=tuple(valid),
            start=str(options.start),
            d_model=first.d_model,
            layers=first.layers,
            heads=first.heads,
            context=first.context,
            dropout=0.0,
            batch=16,
            steps=part.steps,
            learning_rate=part.rate,
            warmup=50,
            precision="bf16",
            threads=options.threads,
            valid_every=250,
            save_every=100,
        )
        score = train(options.run, settings, lesson=lesson)
    if score is None:
        print("Saved; go on with --resume.")
        return 130
    print(f"{score.bits_per_byte:.4f} bits a byte, perplexity {score.perplexity:.2f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

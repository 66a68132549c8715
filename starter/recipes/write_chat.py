"""Make ``starter/write`` out of what ``write.py`` trained: it also answers in a conversation.

    python starter/recipes/write_chat.py RUN --start FIRST    train; Ctrl-C saves
    python starter/recipes/write_chat.py RUN --resume         go on
    python starter/recipes/write_chat.py RUN --check MODEL    is MODEL what RUN exports?

FIRST is the run of ``write.py``, beside it the text it wrote (FIRST-text). Half of what is read
are those books again, so that tales stay what they were, half are conversations made up by
``_dialogues.py``, with sentences and beginnings of tales from the books. At the end: bits a byte
on the books that FIRST held out too, and how many of 400 new conversations are answered right.
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

from _check import check
from _dialogues import dialogues

from ogam.training.language_model import END, Settings, export_again, resume, train
from ogam.training.runs import settings_of

# How a conversation reads, for the manifest. What begins the next turn ends an answer.
TEMPLATE = {
    "system": "{content}\n",
    "user": "Q: {content}\n",
    "assistant": "A: {content}\n",
    "answer": "A:",
    "stop": "\nQ:",
}
_COUNT = 60_000


def prepare(first: Settings, target: Path) -> tuple[list[str], list[str]]:
    """Write the conversations; the files to train on and those to validate on."""
    target.mkdir(parents=True, exist_ok=True)
    books = [Path(path).read_text(encoding="utf-8") for path in first.files]
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
    for part, count in (("train", _COUNT), ("valid", 500)):
        paths[part] = target / f"{part}.txt"
        made = dialogues(count, part, sentences, tales)
        paths[part].write_text(f"\n{END}\n".join(made) + "\n", encoding="utf-8")
    return [*first.files, str(paths["train"])], [*first.valid, str(paths["valid"])]


def main() -> int:
    """Write the conversations, train, and print the score."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("--start", type=Path, help="the run of write.py")
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("--check", type=Path, metavar="MODEL", help="compare, train nothing")
    options = parser.parse_args()
    if options.check:
        return check(options.check, lambda folder: export_again(options.run, folder))
    if options.resume:
        score = resume(options.run)
    elif options.start is None:
        parser.error("name FIRST by --start")
    else:
        first = settings_of(options.start, Settings)
        files, valid = prepare(first, options.run.with_name(options.run.name + "-text"))
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
            steps=options.steps,
            learning_rate=8e-4,
            warmup=50,
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

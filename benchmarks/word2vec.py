"""Words a second of Word2Vec training against gensim called directly, and what the vectors know.

    python benchmarks/word2vec.py [--text FOLDER] [--data FOLDER] [--rounds 5] [--workers 1]
                                  [--epochs 3] [--sg]

Three train on the same sentences with the same settings, in turns, so that what else the
machine does falls on all: Ogam from its file of words, which it copies, counts, and saves
checkpoints and a log of; gensim from the same file (``corpus_file``), which is there already;
and gensim from lists of words in memory, which are there already too. The folder to serve,
with its map and loss curve, is not counted.

--text holds text files; without it the text is made up, of 20,000 words drawn by Zipf's law.
--data holds EN-WS-353-ALL.txt (WordSim-353) and questions-words.txt (Google's analogies): then
the scores of all three are told, those of the last round.
"""

from __future__ import annotations

import argparse
import random
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from gensim.models import Word2Vec

from ogam.training import word2vec
from ogam.training.runs import Run
from ogam.training.word2vec_text import Sentences

TESTS = ("EN-WS-353-ALL.txt", "questions-words.txt")


def made_up(path: Path) -> None:
    draw = random.Random(3)
    with path.open("w") as file:
        for _ in range(60_000):
            file.write(" ".join(f"w{int(20_000 ** draw.random())}" for _ in range(20)) + "\n")


def gather(source: Path, path: Path) -> None:
    """One file of sentences, lines of lower-case words, from all text files of a folder."""
    with path.open("w", encoding="utf-8") as file:
        for words in Sentences(sorted(source.glob("*.txt")), "paragraphs"):
            file.write(" ".join(words) + "\n")


def timed(make: Callable[[], Any], spent: list[tuple[float, float]]) -> Any:
    """Make a model; ``spent`` gets the seconds on the wall's clock and of processor time."""
    start = time.perf_counter(), time.process_time()
    model = make()
    spent.append((time.perf_counter() - start[0], time.process_time() - start[1]))
    return model


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--text", type=Path)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--sg", action="store_true")
    options = parser.parse_args()
    same = {"epochs": options.epochs, "workers": options.workers, "sg": int(options.sg), "seed": 1}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        text = folder / "text.txt"
        if options.text:
            gather(options.text, text)
        else:
            made_up(text)
        lists = [line.split() for line in text.read_text(encoding="utf-8").splitlines()]
        words = sum(map(len, lists)) * options.epochs
        wanted = word2vec.Settings(files=(str(text),), text="words", **same)

        def ogam() -> Any:
            place = Path(tempfile.mkdtemp(dir=folder))
            run = Run(place, msgspec.to_builtins(wanted), resume=False)
            return word2vec.fit(run, wanted, word2vec.prepare_text(run.folder, wanted))

        makers: dict[str, Callable[[], Any]] = {
            "ogam": ogam,
            "gensim, corpus_file": lambda: Word2Vec(corpus_file=str(text), **same),
            "gensim, lists": lambda: Word2Vec(lists, **same),
        }
        spent: dict[str, list[tuple[float, float]]] = {one: [] for one in makers}
        for _ in range(options.rounds):
            made = {one: timed(make, spent[one]) for one, make in makers.items()}
            if options.workers == 1 and len(made["ogam"].corpus.parts) == 1:
                equal = (one.wv.vectors for one in list(made.values())[:2])
                assert np.array_equal(*equal)
        scores = {
            one: [word2vec.score(model.wv, options.data / test) for test in TESTS]
            for one, model in made.items()
            if options.data
        }
    print(
        f"{words // options.epochs:,} words, {options.epochs} epochs, {options.workers} workers, "
        f"{'skip-gram' if options.sg else 'CBOW'}, {options.rounds} rounds in turns, medians"
    )
    for one, found in spent.items():
        clock, processor = (
            statistics.median(
                peer[at] / ours[at] for ours, peer in zip(spent["ogam"], found, strict=True)
            )
            for at in (0, 1)
        )
        rate = words / statistics.median(wall for wall, _ in found)
        print(
            f"{one:<22}{rate:>10,.0f} words/s{clock:>7.2f}{processor:>7.2f}"
            + "".join(
                f"   {test.name} {test.value:.3f} ({test.used} of {test.total})"
                for test in scores.get(one, [])
            )
        )
    print(
        "then: Ogam's words/s over this one's, round by round, by the clock and by processor time"
    )


if __name__ == "__main__":
    main()

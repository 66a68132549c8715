"""Words a second of Word2Vec training against gensim called directly, in one run.

    python benchmarks/word2vec.py [--data FOLDER] [--rounds 5] [--workers 1]

Both train on the same sentences with the same settings, in turns, so that what else the
machine does falls on both. gensim gets its sentences as lists in memory; Ogam reads its file,
logs, and writes a checkpoint each epoch, but its map and loss curve are not counted. FOLDER
holds text files; without it the text is made up, of 20,000 words drawn by Zipf's law.
"""

from __future__ import annotations

import argparse
import random
import statistics
import tempfile
import time
from pathlib import Path

import msgspec
import numpy as np
from gensim.models import Word2Vec

from ogam.training import word2vec
from ogam.training.runs import Run

EPOCHS = 3


def made_up(path: Path) -> None:
    draw = random.Random(3)
    with path.open("w") as file:
        for _ in range(20_000):
            file.write(" ".join(f"w{int(20_000 ** draw.random())}" for _ in range(20)) + "\n")


def gather(source: Path, path: Path) -> None:
    """One file of sentences, lines of lower-case words, from all text files of a folder."""
    sentences = word2vec.Sentences(sorted(source.glob("*.txt")), "paragraphs")
    with path.open("w", encoding="utf-8") as file:
        for words in sentences:
            file.write(" ".join(words) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--workers", type=int, default=1)
    options = parser.parse_args()
    rates: dict[str, list[float]] = {"ogam": [], "gensim": []}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        text = folder / "text.txt"
        if options.data:
            gather(options.data, text)
        else:
            made_up(text)
        sentences = [line.split() for line in text.read_text(encoding="utf-8").splitlines()]
        words = sum(map(len, sentences)) * EPOCHS
        wanted = word2vec.Settings(
            files=(str(text),), text="words", epochs=EPOCHS, workers=options.workers
        )
        for number in range(options.rounds):
            run = Run(folder / f"run{number}", msgspec.to_builtins(wanted), resume=False)
            start = time.perf_counter()
            model = word2vec._vocabulary(wanted)
            word2vec._train(run, model, wanted)
            rates["ogam"].append(words / (time.perf_counter() - start))
            start = time.perf_counter()
            peer = Word2Vec(sentences, epochs=EPOCHS, workers=options.workers, seed=1)
            rates["gensim"].append(words / (time.perf_counter() - start))
            if options.workers == 1:
                assert np.array_equal(model.wv.vectors, peer.wv.vectors)
    print(f"{words // EPOCHS:,} words, {EPOCHS} epochs, {options.rounds} rounds in turns, medians")
    for one, found in rates.items():
        print(f"{one:<8}{statistics.median(found):>12,.0f} words/s")
    ratios = [a / b for a, b in zip(rates["ogam"], rates["gensim"], strict=True)]
    print(f"{'ratio':<8}{statistics.median(ratios):>12.2f}")


if __name__ == "__main__":
    main()

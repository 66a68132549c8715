"""Word error rate and speed of Ogam's PocketSphinx engine beside PocketSphinx itself.

The peer is PocketSphinx at its defaults, called directly on the whole clip (16 kHz mono).
The two take turns, clip by clip. Run: python benchmarks/recognition.py [--data FOLDER]
where FOLDER holds manifest.tsv (columns file, text and, if it likes, kind_of_truth).
"""

from __future__ import annotations

import argparse
import csv
import re
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import pocketsphinx

from ogam.capabilities.base import ModelRef
from ogam.capabilities.speech_recognition import TranscribeRequest
from ogam.engines.pocketsphinx import PocketSphinxEngine
from ogam.media import Audio

SAMPLES = Path(__file__).parent.parent / "samples" / "speech"


def words(text: str) -> list[str]:
    return re.sub(r"[^\w ]|_", "", text.lower().replace("-", " ")).split()


def distance(reference: list[str], heard: list[str]) -> int:
    row = list(range(len(heard) + 1))
    for at, one in enumerate(reference, 1):
        before, row[0] = row[0], at
        for to, other in enumerate(heard, 1):
            before, row[to] = row[to], min(row[to] + 1, row[to - 1] + 1, before + (one != other))
    return row[-1]


def clips(folder: Path) -> list[tuple[Path, list[str]]]:
    manifest = folder / "manifest.tsv"
    with open(manifest if manifest.exists() else folder / "texts.tsv", encoding="utf-8") as file:
        return [
            (folder / row["file"], words(row["text"]))
            for row in csv.DictReader(file, delimiter="\t")
            if row.get("kind_of_truth", "reference") == "reference"
        ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=SAMPLES)
    parser.add_argument("--repeat", type=int, default=3)
    chosen = parser.parse_args()
    found = clips(chosen.data)
    decoder = pocketsphinx.Decoder(loglevel="FATAL")
    engine = PocketSphinxEngine(ModelRef(name="pocketsphinx", engine="pocketsphinx"))

    def ogam(path: Path) -> str:
        return engine.transcribe(TranscribeRequest(audio=Audio(path))).text

    def direct(path: Path) -> str:
        pcm = Audio(path).pcm(16_000, 1).data
        decoder.start_utt()
        decoder.process_raw(pcm, full_utt=True)
        decoder.end_utt()
        best = decoder.hyp()
        return best.hypstr if best is not None else ""

    sides: dict[str, Callable[[Path], str]] = {"ogam": ogam, "direct": direct}
    for side in sides.values():
        side(found[-1][0])  # loads the model
    seconds = sum(Audio(path).pcm(16_000, 1).seconds for path, _ in found)
    factors: dict[str, list[float]] = {name: [] for name in sides}
    errors = dict.fromkeys(sides, 0)
    for turn in range(chosen.repeat):
        spent = dict.fromkeys(sides, 0.0)
        for path, reference in found:
            for name, side in sides.items():
                began = time.perf_counter()
                text = side(path)
                spent[name] += time.perf_counter() - began
                if turn == 0:
                    errors[name] += distance(reference, words(text))
        for name in sides:
            factors[name].append(spent[name] / seconds)
    engine.close()
    total = sum(len(reference) for _, reference in found)
    medians = {name: statistics.median(values) for name, values in factors.items()}
    print(f"{len(found)} clips, {seconds:.0f} s, {total} words, {chosen.repeat} turns")
    print(f"{'':8}{'wrong':>8}{'WER':>8}{'real-time factor':>18}")
    for name in sides:
        print(f"{name:8}{errors[name]:8}{errors[name] / total:8.3f}{medians[name]:18.3f}")
    print(f"ogam / direct, real-time factor: {medians['ogam'] / medians['direct']:.3f}")


if __name__ == "__main__":
    main()

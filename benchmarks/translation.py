"""Sentences a second of CTranslate2's 8-bit model against the same weights in torch, in one run.

    python benchmarks/translation.py [--count 40] [--rounds 3] [--d-model 512] [--threads 1]

Both search with a beam of 5 over the same sentences of 5 to 30 tokens and write exactly as many
tokens as the sentence has (random weights never end one), so both do the same work. torch runs
its own nn.Transformer in float32 with the beam search that the export is tested against: it
has no cache, as nn.Transformer has none. Each side runs in a process of its own, in turns;
memory is the process's peak, libraries included, and what is above that of an idle process
which has only imported them.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

VOCABULARY = 8000
BEAM = 5


def sentences(count: int) -> list[list[int]]:
    """Token numbers, from 5 to 30 a sentence, the same each time."""
    draw = random.Random(5)
    return [
        [draw.randrange(4, VOCABULARY) for _ in range(5 + index * 26 // count)]
        for index in range(count)
    ]


def peak() -> float:
    """This process's peak memory in MB."""
    try:
        # getrusage would tell the parent's, where that was higher when it started this one.
        status = Path("/proc/self/status").read_text(encoding="utf-8")
        return int(status.partition("VmHWM:")[2].split()[0]) / 1024
    except (OSError, IndexError):
        scale = 1 << 20 if sys.platform == "darwin" else 1 << 10
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / scale


def made(shape: dict[str, Any]) -> Any:
    """The model, the same each time; its end mark's score is too low to be chosen."""
    import torch

    from ogam.training.transformer import Shape, Transformer

    torch.manual_seed(1)
    return Transformer(Shape(**shape)).eval()


def groups(count: int) -> list[list[list[int]]]:
    """Batches of eight sentences of nearly one length."""
    every = sentences(count)
    return [every[start : start + 8] for start in range(0, len(every), 8)]


def run_torch(shape: dict[str, Any], count: int, threads: int, rounds: int) -> dict[str, Any]:
    import torch

    from ogam.training.transformer import END, beam_search

    torch.set_num_threads(threads)
    model = made(shape)
    idle = peak()
    seconds: list[float] = []
    for _ in range(rounds):
        start = time.perf_counter()
        for group in groups(count):
            longest = max(map(len, group))
            beam_search(model, [[*one, END] for one in group], beam=BEAM, longest=longest)
        seconds.append(time.perf_counter() - start)
    return {"seconds": seconds, "peak": peak(), "idle": idle}


def run_ctranslate2(folder: str, count: int, threads: int, rounds: int) -> dict[str, Any]:
    import ctranslate2

    idle = peak()
    translator = ctranslate2.Translator(folder, inter_threads=1, intra_threads=threads)
    seconds: list[float] = []
    for _ in range(rounds):
        start = time.perf_counter()
        for group in groups(count):
            translator.translate_batch(
                [[f"w{token}" for token in one] for one in group],
                beam_size=BEAM,
                max_decoding_length=max(map(len, group)),
                min_decoding_length=max(map(len, group)),
            )
        seconds.append(time.perf_counter() - start)
    return {"seconds": seconds, "peak": peak(), "idle": idle}


def child(name: str, given: dict[str, Any]) -> dict[str, Any]:
    command = [sys.executable, __file__, "--child", name, json.dumps(given)]
    return json.loads(subprocess.check_output(command).splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--d-model", type=int, default=512)
    parser.add_argument("--layers", type=int, default=6)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        name, given = options.child
        print(json.dumps(globals()[f"run_{name}"](**json.loads(given))))
        return
    from ogam.training.export_translator import save_ctranslate2
    from ogam.training.transformer import SPECIALS

    shape = {
        "vocabulary": VOCABULARY,
        "d_model": options.d_model,
        "nhead": options.d_model // 64 or 1,
        "encoder_layers": options.layers,
        "decoder_layers": options.layers,
        "feed_forward": 4 * options.d_model,
        "positions": 64,
    }
    words = [*SPECIALS, *(f"w{number}" for number in range(4, VOCABULARY))]
    rest = {"count": options.count, "threads": options.threads, "rounds": 1}
    found: dict[str, list[dict[str, Any]]] = {"ctranslate2": [], "torch": []}
    with tempfile.TemporaryDirectory() as folder:
        model = made(shape)
        save_ctranslate2(Path(folder), model.shape, model.state_dict(), words, "int8")
        size = sum(path.stat().st_size for path in Path(folder).iterdir()) / 1e6
        weights = sum(one.numel() for one in model.parameters()) * 4 / 1e6
        del model
        for _ in range(options.rounds):
            found["ctranslate2"].append(child("ctranslate2", {"folder": folder, **rest}))
            found["torch"].append(child("torch", {"shape": shape, **rest}))
    print(
        f"d_model {options.d_model}, {options.layers}+{options.layers} layers, beam {BEAM}, "
        f"{options.threads} thread(s), {options.count} sentences, {options.rounds} rounds in turns"
    )
    print(f"{'':<14}{'sentences/s':>12}{'peak MB':>10}{'above idle':>12}{'weights MB':>12}")
    for name, parts in found.items():
        rate = statistics.median(options.count / one["seconds"][0] for one in parts)
        top = statistics.median(one["peak"] for one in parts)
        work = statistics.median(one["peak"] - one["idle"] for one in parts)
        weight = size if name == "ctranslate2" else weights
        print(f"{name:<14}{rate:>12.2f}{top:>10.0f}{work:>12.0f}{weight:>12.1f}")
    ratios = [
        peer["seconds"][0] / ours["seconds"][0]
        for ours, peer in zip(found["ctranslate2"], found["torch"], strict=True)
    ]
    print(f"ratio {statistics.median(ratios):.2f} (each: {', '.join(f'{r:.2f}' for r in ratios)})")


if __name__ == "__main__":
    main()

"""Sentences a second of CTranslate2's 8-bit model against the same weights in torch, in one run.

    python benchmarks/translation.py [--count 40] [--rounds 3] [--d-model 512] [--threads 1]
    python benchmarks/translation.py --starter [--run RUN]

Both search with a beam of 5 over the same sentences of 5 to 30 tokens and write exactly as many
tokens as the sentence has (random weights never end one), so both do the same work. torch runs
its own nn.Transformer in float32 with the beam search that the export is tested against: it
has no cache, as nn.Transformer has none. Each side runs in a process of its own, in turns;
memory is the process's peak, libraries included, and what is above that of an idle process
which has only imported them.

``--starter`` measures the translator that ships, from English to German, on 200 sentences made up
here, against a model of its shape in torch: of random weights, both then writing as many tokens as
the sentence has; or, with ``--run``, of the weights of the run that made it, both ending by
themselves.
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
STARTER = Path(__file__).parents[1] / "starter/src/ogam_starter/models/translate"
STARTER_COUNT = 200


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


def english(count: int) -> list[str]:
    """Sentences of 4 to 12 words, the same each time."""
    draw = random.Random(7)
    who = ("the old man", "my sister", "a teacher", "the cat", "nobody", "our neighbour", "she")
    does = ("reads", "has lost", "is looking for", "wants to buy", "forgot", "will never sell")
    what = ("a book", "the key", "that red bicycle", "his umbrella", "two tickets", "the letter")
    when = ("", " today", " in the garden", " because it is raining", " for her friends", " again")
    made_up = (
        f"{draw.choice(who)} {draw.choice(does)} {draw.choice(what)}{draw.choice(when)}."
        for _ in range(count)
    )
    return [one.capitalize() for one in made_up]


def longest(group: list[list[Any]], *, ends: bool) -> int:
    """The most tokens that a batch's translations may have."""
    return max(map(len, group)) * (2 if ends else 1)


def run_torch(
    shape: dict[str, Any], batches: list[list[list[int]]], threads: int, weights: str
) -> dict[str, Any]:
    import torch

    from ogam.training.transformer import END, beam_search

    torch.set_num_threads(threads)
    idle = peak()
    model = made(shape)
    if weights:
        from ogam.training.runs import load_checkpoint

        model.load_state_dict(load_checkpoint(Path(weights))[0])
    start = time.perf_counter()
    for group in batches:
        most = longest(group, ends=bool(weights))
        beam_search(model, [[*one, END] for one in group], beam=BEAM, longest=most)
    return {"seconds": time.perf_counter() - start, "peak": peak(), "idle": idle}


def run_ctranslate2(
    folder: str, batches: list[list[list[str]]], threads: int, ends: bool
) -> dict[str, Any]:
    import ctranslate2

    idle = peak()
    translator = ctranslate2.Translator(folder, inter_threads=1, intra_threads=threads)
    start = time.perf_counter()
    for group in batches:
        most = longest(group, ends=ends)
        translator.translate_batch(
            group,
            beam_size=BEAM,
            max_decoding_length=most,
            min_decoding_length=1 if ends else most,
        )
    return {"seconds": time.perf_counter() - start, "peak": peak(), "idle": idle}


def child(name: str, given: dict[str, Any]) -> dict[str, Any]:
    command = [sys.executable, __file__, "--child", name, json.dumps(given)]
    return json.loads(subprocess.check_output(command).splitlines()[-1])


def random_model(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """A model of random weights, exported to ``folder``: its shape, what it reads, its words."""
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
    model = made(shape)
    save_ctranslate2(folder, model.shape, model.state_dict(), words, "int8")
    return {"shape": shape, "batches": groups(options.count), "words": words}


def starter_model(folder: Path) -> dict[str, Any]:
    """The same of the translator in ``folder``, whose shape is that of its recipe."""
    import sentencepiece

    words = json.loads((folder / "shared_vocabulary.json").read_bytes())
    cutter = sentencepiece.SentencePieceProcessor(model_file=str(folder / "spm.model"))
    texts = english(STARTER_COUNT)
    # As the engine does it: the token of the target language first.
    cut = [[words.index("<2de>"), *cutter.encode(text)] for text in sorted(texts, key=len)]
    shape = {
        "vocabulary": len(words),
        "d_model": 256,
        "nhead": 4,
        "encoder_layers": 4,
        "decoder_layers": 2,
        "feed_forward": 1024,
        "positions": 160,
        "pre_norm": True,
    }
    parts = [cut[start : start + 8] for start in range(0, len(cut), 8)]
    return {"shape": shape, "batches": parts, "words": words}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--d-model", type=int, default=512)
    parser.add_argument("--layers", type=int, default=6)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--starter", action="store_true", help="measure the translator that ships")
    parser.add_argument("--run", type=Path, help="with --starter: the run that made it")
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        name, given = options.child
        print(json.dumps(globals()[f"run_{name}"](**json.loads(given))))
        return
    found: dict[str, list[dict[str, Any]]] = {"ctranslate2": [], "torch": []}
    with tempfile.TemporaryDirectory() as scratch:
        folder = STARTER if options.starter else Path(scratch)
        given = starter_model(folder) if options.starter else random_model(options, folder)
        shape, numbers, words = given["shape"], given["batches"], given["words"]
        size = (folder / "model.bin").stat().st_size / 1e6
        weights = sum(one.numel() for one in made(shape).parameters()) * 4 / 1e6
        ours = {
            "folder": str(folder),
            "batches": [[[words[token] for token in one] for one in group] for group in numbers],
            "threads": options.threads,
            "ends": options.run is not None,
        }
        peer = {
            "shape": shape,
            "batches": numbers,
            "threads": options.threads,
            "weights": str(options.run / "best") if options.run else "",
        }
        for _ in range(options.rounds):
            found["ctranslate2"].append(child("ctranslate2", ours))
            found["torch"].append(child("torch", peer))
    count = sum(map(len, numbers))
    print(
        f"d_model {shape['d_model']}, {shape['encoder_layers']}+{shape['decoder_layers']} layers, "
        f"beam {BEAM}, {options.threads} thread(s), {count} sentences, {options.rounds} rounds in "
        "turns"
    )
    print(f"{'':<14}{'sentences/s':>12}{'peak MB':>10}{'above idle':>12}{'weights MB':>12}")
    for name, parts in found.items():
        rate = statistics.median(count / one["seconds"] for one in parts)
        top = statistics.median(one["peak"] for one in parts)
        work = statistics.median(one["peak"] - one["idle"] for one in parts)
        weight = size if name == "ctranslate2" else weights
        print(f"{name:<14}{rate:>12.2f}{top:>10.0f}{work:>12.0f}{weight:>12.1f}")
    ratios = [
        slow["seconds"] / fast["seconds"]
        for fast, slow in zip(found["ctranslate2"], found["torch"], strict=True)
    ]
    print(f"ratio {statistics.median(ratios):.2f} (each: {', '.join(f'{r:.2f}' for r in ratios)})")


if __name__ == "__main__":
    main()

"""Tokens a second of the generator against transformers' own generate, in one run.

    python benchmarks/generation.py [--rounds 5] [--threads 1] [--layers 12] [--d-model 768]

GPT-2 small's architecture with random weights: 128 new tokens after a prompt of 32, the likeliest
one each time, so that all do the same work (the end mark's embedding is nought, which no
maximum is). Ours is the engine as it is, with 8-bit and with float32 weights; the peer is
``generate`` of transformers in torch, float32, with its cache of keys and values. "8 sequences"
continue one prompt (``n=8``, there a batch of eight); "8 requests" are eight callers at once,
each with a prompt of its own, and the peer's batch of those eight prompts.

Each side is a process of its own that may use so many cores, and they run in turns. Memory is
the process's peak, libraries included, and what is above that of a process which has only
imported them. The limit is what the memory allows at one sequence: every weight is read once a
token, so the bandwidth (the best of several sums over an array of 1 GB, by as many processes as
cores are allowed, between the rounds) over the bytes of the weights.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

VOCABULARY = 50257
PROMPT, NEW = 32, 128
END = "<end>"
SIDES = ("int8", "float32", "transformers")
WORK = {"1 sequence": 1, "8 sequences": 8, "8 requests": 8}


def prompts(count: int) -> list[list[int]]:
    """Token numbers, the same each time."""
    import random

    draw = random.Random(5)
    return [[draw.randrange(1, VOCABULARY) for _ in range(PROMPT)] for _ in range(count)]


def status(field: str) -> float:
    """VmHWM (peak) or VmRSS of this process, in MB."""
    text = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(text.partition(f"{field}:")[2].split()[0]) / 1024


def make(folder: Path, d_model: int, layers: int) -> None:
    """The same random weights for all: transformers' folder, and one of ours for each precision."""
    import torch
    import transformers
    from tokenizers import Tokenizer, models, pre_tokenizers

    from ogam.training.export_language_model import convert

    transformers.utils.logging.disable_progress_bar()
    words = {END: 0, **{f"w{number}": number for number in range(1, VOCABULARY)}}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token=END))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    torch.manual_seed(1)
    config = transformers.GPT2Config(
        vocab_size=VOCABULARY,
        n_embd=d_model,
        n_layer=layers,
        n_head=d_model // 64,
        bos_token_id=0,
        eos_token_id=0,
    )
    network = transformers.GPT2LMHeadModel(config).eval()
    with torch.no_grad():
        network.transformer.wte.weight[0] = 0
    network.save_pretrained(folder / "transformers")
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token=END, eos_token=END, unk_token=END
    ).save_pretrained(folder / "transformers")
    for precision in ("int8", "float32"):
        (folder / precision).mkdir()
        convert(folder / "transformers", folder / precision, precision)
        tokenizer.save(str(folder / precision / "tokenizer.json"))
        manifest = {"context": 1024, "end": END}
        (folder / precision / "model.json").write_text(json.dumps(manifest), encoding="utf-8")


def ours(folder: Path) -> Callable[[str], int]:
    """The engine: a function that does one kind of work and tells how many tokens it wrote."""
    from ogam.capabilities.base import ModelRef
    from ogam.capabilities.text_generation import GenerateRequest
    from ogam.engines.ctranslate2_generator import CTranslate2GeneratorEngine

    engine = CTranslate2GeneratorEngine(
        ModelRef(name="made", engine="ctranslate2_generator", folder=folder)
    )
    pool = ThreadPoolExecutor(8)

    def one(prompt: list[int], n: int = 1) -> int:
        text = " ".join(f"w{number}" for number in prompt)
        request = GenerateRequest(prompt=text, n=n, max_tokens=NEW, temperature=0)
        return engine.generate(request).units.output_tokens

    def work(kind: str) -> int:
        if kind == "8 requests":
            return sum(pool.map(one, prompts(8)))
        return one(prompts(1)[0], WORK[kind])

    return work


def theirs(folder: Path, threads: int) -> Callable[[str], int]:
    """Transformers' generate, in float32."""
    import torch
    import transformers

    transformers.utils.logging.disable_progress_bar()
    transformers.utils.logging.set_verbosity_error()
    torch.set_num_threads(threads)
    network = transformers.GPT2LMHeadModel.from_pretrained(folder, dtype=torch.float32).eval()

    def work(kind: str) -> int:
        given = prompts(8) if kind == "8 requests" else prompts(1) * WORK[kind]
        ids = torch.tensor(given)
        with torch.inference_mode():
            out = network.generate(
                ids,
                attention_mask=torch.ones_like(ids),
                do_sample=False,
                max_new_tokens=NEW,
                min_new_tokens=NEW,
                use_cache=True,
                pad_token_id=0,
            )
        return int(out[:, PROMPT:].numel())

    return work


def child(side: str, folder: str, threads: int) -> None:
    """Do the kinds of work named on standard input, one a line; answer each in JSON."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])
    if side == "transformers":
        import torch
        import transformers

        _ = torch.zeros(1), transformers.GPT2LMHeadModel
    else:
        import ctranslate2
        import tokenizers

        _ = ctranslate2.Generator, tokenizers.Tokenizer
    idle = status("VmRSS")
    path = Path(folder) / side
    work = theirs(path, threads) if side == "transformers" else ours(path)
    for line in sys.stdin:
        wall, cpu = time.perf_counter(), time.process_time()
        tokens = work(line.strip())
        answer = {
            "tokens": tokens,
            "wall": time.perf_counter() - wall,
            "cpu": time.process_time() - cpu,
            "peak": status("VmHWM"),
            "idle": idle,
        }
        print(json.dumps(answer), flush=True)


def bandwidth(threads: int) -> float:
    """Bytes a second that so many cores read together."""
    code = (
        "import numpy as np, time, os, sys\n"
        "c = int(sys.argv[1])\n"
        "if hasattr(os, 'sched_setaffinity'):\n"
        "    os.sched_setaffinity(0, {sorted(os.sched_getaffinity(0))[c]})\n"
        "a = np.ones(1 << 27)\n"
        "b = []\n"
        "for _ in range(5):\n"
        "    t = time.perf_counter(); a.sum(); b.append(a.nbytes / (time.perf_counter() - t))\n"
        "print(max(b))\n"
    )
    running = [
        subprocess.Popen([sys.executable, "-c", code, str(core)], stdout=subprocess.PIPE)
        for core in range(threads)
    ]
    return sum(float(one.communicate()[0]) for one in running)


class Side:
    """A process that does what it is asked, and its answers."""

    def __init__(self, side: str, folder: str, threads: int) -> None:
        command = [sys.executable, __file__, "--child", side, folder, "--threads", str(threads)]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.answers: dict[str, list[dict[str, Any]]] = {kind: [] for kind in WORK}

    def ask(self, kind: str) -> dict[str, Any]:
        """Do one kind of work, and wait for it."""
        assert self._process.stdin is not None and self._process.stdout is not None
        print(kind, file=self._process.stdin, flush=True)
        return json.loads(self._process.stdout.readline())

    def close(self) -> None:
        """End the process."""
        self._process.communicate()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--d-model", type=int, default=768)
    parser.add_argument("--layers", type=int, default=12)
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(*options.child, options.threads)
        return
    speeds: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        make(Path(folder), options.d_model, options.layers)
        sizes = {side: (Path(folder) / side / "model.bin").stat().st_size for side in SIDES[:2]}
        sizes["transformers"] = (Path(folder) / "transformers/model.safetensors").stat().st_size
        sides = {side: Side(side, folder, options.threads) for side in SIDES}
        for one in sides.values():
            one.ask("1 sequence")  # loads
        for _ in range(options.rounds):
            speeds.append(bandwidth(options.threads))
            for kind in WORK:
                for one in sides.values():
                    one.answers[kind].append(one.ask(kind))
        for one in sides.values():
            one.close()
    report(sides, sizes, max(speeds), options)


def report(sides: dict[str, Side], sizes: dict[str, int], speed: float, options: Any) -> None:
    print(
        f"GPT-2, d_model {options.d_model}, {options.layers} layers; {NEW} tokens after {PROMPT}; "
        f"{options.threads} thread(s), {options.rounds} rounds in turns; "
        f"memory {speed / 1e9:.1f} GB/s"
    )
    print(
        f"{'':<14}{'work':<14}{'tokens/s':>10}{'ratio':>8}{'of CPU':>8}"
        f"{'limit':>8}{'peak MB':>10}{'above idle':>12}{'weights MB':>12}"
    )
    for name, one in sides.items():
        for kind, answers in one.answers.items():
            peers = sides["transformers"].answers[kind]
            rate = statistics.median(a["tokens"] / a["wall"] for a in answers)
            ratio, cpu = (
                statistics.median(p[clock] / a[clock] for a, p in zip(answers, peers, strict=True))
                for clock in ("wall", "cpu")
            )
            assert all(a["tokens"] == NEW * WORK[kind] for a in answers), (name, kind)
            limit = f"{speed / sizes[name]:.0f}" if kind == "1 sequence" else ""
            last = answers[-1]
            print(
                f"{name:<14}{kind:<14}{rate:>10.1f}{ratio:>8.2f}{cpu:>8.2f}{limit:>8}"
                f"{last['peak']:>10.0f}{last['peak'] - last['idle']:>12.0f}"
                f"{sizes[name] / 1e6:>12.1f}"
            )


if __name__ == "__main__":
    main()

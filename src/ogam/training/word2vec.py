"""Word2Vec, by gensim, from text files of any size; with scores on similarity and analogies.

Ends in ``RUN/model``: the vectors in word2vec's binary format, which the engine ``word2vec``
and most other programs read. With one worker a run is a function of its settings and its
files: it gives the vectors gensim gives when called directly, and goes on to the same ones
after a stop. With more, threads write into the same numbers in an order that no seed decides.

Papers: https://arxiv.org/abs/1301.3781 and https://arxiv.org/abs/1310.4546
"""

# gensim has no types.
# pyright: reportUnknownVariableType=false, reportUnknownMemberType=false
# pyright: reportUnknownArgumentType=false
from __future__ import annotations

import hashlib
import json
import logging
import re
import shutil
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import msgspec

from ogam.errors import EngineError, InvalidRequestError, OutputError
from ogam.extras import needs
from ogam.media import files
from ogam.models.store import MANIFEST
from ogam.training import data
from ogam.training._progress import bar
from ogam.training.runs import Run

with needs("train"):
    import numpy as np
    import torch
    from gensim.models import Word2Vec

VECTORS = "vectors.bin"
# gensim cuts a sentence after so many words, without a word about it; here it is cut in two.
_LONGEST = 10_000
_WORD = re.compile(r"\w+(?:['’]\w+)*")
_DRAWN = 120


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Everything a run depends on. The defaults are gensim's, but for ``workers``.

    ``text`` says what the files hold: ``lines`` of raw text, each a sentence; raw text in
    ``paragraphs`` with blank lines between them; or ``words``, lines cut into words by
    spaces already. Raw text is put in lower case and cut into words: letters, digits, and
    apostrophes inside. ``sg`` 0 is CBOW, 1 skip-gram.
    """

    files: tuple[str, ...]
    text: Literal["lines", "paragraphs", "words"] = "lines"
    vector_size: int = 100
    window: int = 5
    min_count: int = 5
    sg: Literal[0, 1] = 0
    negative: int = 5
    sample: float = 1e-3
    alpha: float = 0.025
    epochs: int = 5
    workers: int = 1
    seed: int = 1

    def __post_init__(self) -> None:
        if not self.files:
            raise InvalidRequestError("There is no text to train on.", param="files")
        for name in ("vector_size", "window", "min_count", "negative", "epochs", "workers"):
            if getattr(self, name) < 1:
                raise InvalidRequestError(f"{name} must be at least 1.", param=name)
        if not 0 <= self.seed < 2**32:
            raise InvalidRequestError("seed must be from 0 to 4294967295.", param="seed")


class Score(msgspec.Struct, frozen=True, kw_only=True):
    """The result on one file of word pairs or analogies, of which ``used`` of ``total`` counted.

    ``kind`` "similarity": ``value`` is Spearman's rank correlation of the cosines with the
    people's scores. "analogy": the share of questions whose first answer is right. An item
    with a word that is not known does not count.
    """

    name: str
    kind: Literal["similarity", "analogy"]
    value: float
    used: int
    total: int


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What a finished run made: how many ``words`` have a vector, and the scores."""

    words: int
    scores: tuple[Score, ...] = ()


def train(
    folder: Path, settings: Settings, *, evaluate: Sequence[Path] = (), resume: bool = False
) -> Outcome | None:
    """Run, or go on with, the run in ``folder``; None where it was stopped before its end.

    ``evaluate`` are files of word pairs (word, word, score, between tabs) or of analogies
    (four words a line, sections begin with ``:``). A stop waits for the end of nothing: the
    epoch under way is given up, and done again on resuming. Raises InvalidRequestError for
    text that cannot be used, OutputError where ``folder`` cannot be written.
    """
    for path in map(Path, settings.files):
        next(data.lines(path), None)
    for path in evaluate:
        _kind(path)
    run = Run(folder, msgspec.to_builtins(settings), resume=resume)
    try:
        model = _vocabulary(settings)
    except InvalidRequestError:
        if not resume:  # nothing was there before, and nothing in it is worth keeping
            shutil.rmtree(folder, ignore_errors=True)
        raise
    if not _train(run, model, settings):
        return None
    scores = tuple(score(model.wv, path) for path in evaluate)
    for one in scores:
        run.log(step=settings.epochs, **msgspec.to_builtins(one))
    run.draw_loss()
    _export(folder / "model", model, settings, scores)
    return Outcome(words=len(model.wv), scores=scores)


class Sentences:
    """The sentences of text files, lists of words, read anew each time they are walked through."""

    def __init__(self, paths: Sequence[Path], text: str) -> None:
        self._paths, self._text = paths, text

    def __iter__(self) -> Iterator[list[str]]:
        for path in self._paths:
            for unit in _paragraphs(data.lines(path), self._text):
                words = unit.split() if self._text == "words" else _WORD.findall(unit.lower())
                for start in range(0, len(words), _LONGEST):
                    yield words[start : start + _LONGEST]


def _paragraphs(lines: Iterable[str], text: str) -> Iterator[str]:
    if text != "paragraphs":
        yield from lines
        return
    held: list[str] = []
    for line in lines:
        if line.strip():
            held.append(line)
        elif held:
            yield "\n".join(held)
            held = []
    if held:
        yield "\n".join(held)


class _Stopped(Exception):  # noqa: N818
    """The run was asked to stop; the epoch under way is given up."""


class _Model(Word2Vec):
    """gensim's model that passes over the epochs that were ``done`` before a stop."""

    done = 0

    def _train_epoch(self, *arguments: Any, cur_epoch: int = 0, **options: Any) -> Any:
        if cur_epoch < self.done:
            return 0, 0, 0
        return super()._train_epoch(*arguments, cur_epoch=cur_epoch, **options)


def _vocabulary(settings: Settings) -> Any:
    sentences = Sentences([Path(path) for path in settings.files], settings.text)
    model: Any = _Model(
        vector_size=settings.vector_size,
        window=settings.window,
        min_count=settings.min_count,
        sg=settings.sg,
        negative=settings.negative,
        sample=settings.sample,
        alpha=settings.alpha,
        workers=settings.workers,
        seed=settings.seed,
        epochs=settings.epochs,
    )
    try:
        with _quiet():
            model.build_vocab(sentences)
    except RuntimeError as error:  # what gensim raises where no word is left
        raise InvalidRequestError(f"The text holds no words: {error}.") from None
    if not len(model.wv):
        raise InvalidRequestError(
            f"No word stands {settings.min_count} times in the text.",
            hint="Give more text, or a lower --min-count.",
        )
    return model


def _train(run: Run, model: Any, settings: Settings) -> bool:
    """All epochs that are left; False where the run was asked to stop."""
    last = run.load_last()
    if last is not None:
        _restore(model, *last)
    sentences = Sentences([Path(path) for path in settings.files], settings.text)
    every = model.corpus_count
    watch = _Watch(run, model, settings)
    done = model.done * every
    with _quiet(), run.stoppable(), bar(settings.epochs * every, done) as report:
        watched = _Watched(sentences, run, lambda done: watch.report(report, done))
        try:
            model.train(
                watched,
                total_examples=every,
                epochs=settings.epochs,
                compute_loss=True,
                callbacks=[watch],
            )
        except _Stopped:
            return False
    return True


@contextmanager
def _quiet() -> Generator[None]:
    """Without gensim's advice on standard error, such as that a text is short."""
    logger = logging.getLogger("gensim")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)


class _Watched:
    """Sentences that are counted, and end where the run is asked to stop.

    gensim reads them in a thread of its own, where an exception would leave it waiting.
    """

    def __init__(self, sentences: Sentences, run: Run, count: Callable[[int], None]) -> None:
        self._sentences, self._run, self._count = sentences, run, count

    def __iter__(self) -> Iterator[list[str]]:
        for number, words in enumerate(self._sentences, 1):
            if self._run.stop_asked:
                return
            if number % 1000 == 0:
                self._count(number)
            yield words


class _Watch:
    """What gensim calls around each epoch: the log, the checkpoint, the stop."""

    def __init__(self, run: Run, model: Any, settings: Settings) -> None:
        self._run, self._model, self._settings = run, model, settings
        self._epoch = 0
        self._loss = "…"

    def report(self, bar: Callable[[int, str], None], done: int) -> None:
        bar(self._epoch * self._model.corpus_count + done, f"loss {self._loss}")

    def on_train_begin(self, model: Any) -> None:
        """Nothing."""

    def on_train_end(self, model: Any) -> None:
        """Nothing."""

    def on_epoch_begin(self, model: Any) -> None:
        """Start the loss at 0: gensim's sum is a float32, too coarse for many epochs."""
        model.running_training_loss = 0.0

    def on_epoch_end(self, model: Any) -> None:
        """Log and save, unless this epoch was passed over or cut short."""
        self._epoch += 1
        if self._epoch <= model.done:
            return
        if self._run.stop_asked:
            raise _Stopped
        loss = float(model.get_latest_training_loss()) / max(1, model.corpus_total_words)
        self._loss = f"{loss:.4f}"
        if not np.isfinite(model.wv.vectors).all():
            raise EngineError(
                f"The vectors are no longer numbers after epoch {self._epoch}.",
                hint="Start a new run with a lower --alpha.",
            )
        self._run.log(step=self._epoch, loss=loss)
        kind, keys, position, has_gauss, cached = model.random.get_state()
        state = [kind, keys.tolist(), int(position), int(has_gauss), float(cached)]
        tensors = {
            "vectors": torch.from_numpy(model.wv.vectors),
            "outputs": torch.from_numpy(model.syn1neg),
        }
        self._run.save(self._epoch, tensors, {"random": state})


def _restore(model: Any, tensors: dict[str, Any], state: dict[str, Any]) -> None:
    if tensors["vectors"].shape != model.wv.vectors.shape:
        raise InvalidRequestError(
            "The text files have changed since the run was started: their words are others.",
            hint="Start a new run.",
        )
    model.wv.vectors[:] = tensors["vectors"].numpy()
    model.syn1neg[:] = tensors["outputs"].numpy()
    kind, keys, *rest = state["random"]
    model.random.set_state((kind, np.array(keys, np.uint32), *rest))
    model.done = int(state["step"])


# Scores


def score(vectors: Any, path: Path) -> Score:
    """The score of gensim's KeyedVectors on a file of word pairs or of analogies."""
    kind = _kind(path)
    try:
        if kind == "analogy":
            value, sections = vectors.evaluate_word_analogies(str(path), dummy4unknown=False)
            used = len(sections[-1]["correct"]) + len(sections[-1]["incorrect"])
            total = sum(1 for line in data.lines(path) if line.strip() and not line.startswith(":"))
            value = float(value) if used else 0.0
        else:
            total = sum(1 for line in data.lines(path) if line.strip() and line[:1] != "#")
            _, spearman, unknown = vectors.evaluate_word_pairs(str(path), delimiter="\t")
            value, used = float(spearman[0]), round(total * (1 - unknown / 100))
    except (ValueError, ZeroDivisionError, IndexError):
        # Nothing in common with the vocabulary, or too few pairs for a correlation.
        value, used, total = 0.0, 0, sum(1 for line in data.lines(path) if line.strip())
    return Score(name=path.stem, kind=kind, value=value, used=used, total=total)


def _kind(path: Path) -> Literal["similarity", "analogy"]:
    for line in data.lines(path):
        if line.startswith(":") or len(line.split()) == 4:
            return "analogy"
        if line.count("\t") >= 2:
            return "similarity"
    raise InvalidRequestError(
        f"{path} holds neither word pairs nor analogies.",
        hint="Pairs: word, word and score between tabs. Analogies: four words a line.",
    )


# The result


def _export(folder: Path, model: Any, settings: Settings, scores: Sequence[Score]) -> None:
    """Write ``folder``, in place of one that is there; whole or not at all."""
    temporary = folder.with_name(f".{folder.name}.new")
    try:
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
        model.wv.save_word2vec_format(str(temporary / VECTORS), binary=True)
        draw_map(model.wv.index_to_key, model.wv.vectors, temporary / "words.png")
        digests = {
            path.name: hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted(temporary.iterdir())
        }
        manifest = {
            "name": folder.resolve().parent.name,
            "engine": "word2vec",
            "capabilities": ["embed"],
            "files": digests,
            "licence": "as the text it was trained on",
            "source": ", ".join(Path(path).name for path in settings.files[:5]),
            "summary": f"Vectors of {settings.vector_size} numbers for {len(model.wv):,} words.",
            "vectors": VECTORS,
            "dimensions": settings.vector_size,
            "scores": [msgspec.to_builtins(one) for one in scores],
        }
        (temporary / MANIFEST).write_text(
            json.dumps(manifest, indent=1, ensure_ascii=False) + "\n", encoding="utf-8"
        )
        shutil.rmtree(folder, ignore_errors=True)
        temporary.rename(folder)
    except OSError as error:
        shutil.rmtree(temporary, ignore_errors=True)
        raise OutputError(
            f"The model {folder} cannot be written: {error.strerror or error}.",
            hint="Free some space, then go on with --resume.",
        ) from None


def draw_map(words: Sequence[str], vectors: Any, path: Path) -> None:
    """Draw the first 120 words on their two main directions, as a PNG."""
    import warnings

    with needs("train"):
        from matplotlib.figure import Figure
    shown = np.asarray(vectors[:_DRAWN], np.float64)
    shown = shown - shown.mean(axis=0)
    _, _, directions = np.linalg.svd(shown, full_matrices=False)
    points = np.zeros((len(shown), 2))
    points[:, : len(directions[:2])] = shown @ directions[:2].T
    figure: Any = Figure(figsize=(9, 7), layout="constrained")
    axes = figure.add_subplot()
    axes.scatter(points[:, 0], points[:, 1], s=12, color="#0072b2")
    for word, (x, y) in zip(words[:_DRAWN], points.tolist(), strict=True):
        axes.annotate(
            word,
            (x, y),
            xytext=(4, 3),
            textcoords="offset points",
            fontsize=8,
            parse_math=False,
        )
    axes.set_title("The most frequent words, on their vectors' two main directions", fontsize=10)
    with files.replacing(path) as temporary, warnings.catch_warnings():
        # A script that no font here has is drawn as boxes.
        warnings.filterwarnings("ignore", message="Glyph", category=UserWarning)
        figure.savefig(temporary, dpi=150, format="png")

"""Word2Vec, by gensim, from text files of any size; with scores on similarity and analogies.

Ends in ``RUN/model``: the vectors in word2vec's binary format, which the engine ``word2vec``
and most other programs read. The text is first cut into words, into files in ``RUN/text``
that gensim reads without Python (its ``corpus_file``). With one worker a run is a function of
its settings and its files: on a text of one part it gives the vectors gensim gives when called
directly on that file, and goes on to the same ones after a stop. With more, threads write into
the same numbers in an order that no seed decides.

Papers: https://arxiv.org/abs/1301.3781 and https://arxiv.org/abs/1310.4546
"""

# gensim has no types.
# pyright: reportUnknownVariableType=false, reportUnknownMemberType=false
# pyright: reportUnknownArgumentType=false
from __future__ import annotations

import hashlib
import logging
import shutil
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import msgspec

from ogam.errors import EngineError, InvalidRequestError
from ogam.extras import needs
from ogam.training import data, processes
from ogam.training._progress import bar
from ogam.training.runs import Run
from ogam.training.word2vec_result import Score, export, kind_of, score
from ogam.training.word2vec_text import Corpus, prepare

with needs("train"):
    import numpy as np
    import torch
    from gensim.models import Word2Vec

# The share of the time that may go into checkpoints: one is written at the end of a part of
# the text unless that comes too soon after the last for this.
_SAVING = 0.01


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


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What a finished run made: how many ``words`` have a vector, and the scores."""

    words: int
    scores: tuple[Score, ...] = ()


def train(
    folder: Path, settings: Settings, *, evaluate: Sequence[Path] = (), resume: bool = False
) -> Outcome | None:
    """Run, or go on with, the run in ``folder``; None where it was stopped before its end.

    ``evaluate`` are files of word pairs (word, word, score, between tabs) or of analogies
    (four words a line, sections begin with ``:``). A stop waits for the end of the part of the
    text under way, some seconds; a kill loses what was done since the last checkpoint: at
    most an epoch, or, where epochs are that short, a hundred times what a checkpoint takes.
    Raises InvalidRequestError for text that cannot be used, OutputError where ``folder``
    cannot be written.
    """
    processes.refuse_several()
    if not resume:  # a run has its own copy of the text
        for path in map(Path, settings.files):
            next(data.lines(path), None)
    for path in evaluate:
        kind_of(path)
    run = Run(folder, msgspec.to_builtins(settings), resume=resume)
    try:
        corpus = prepare_text(folder, settings)
    except InvalidRequestError:
        if not resume:  # nothing was there before, and nothing in it is worth keeping
            shutil.rmtree(folder, ignore_errors=True)
        raise
    model = fit(run, settings, corpus)
    if model is None:
        return None
    scores = tuple(score(model.wv, path) for path in evaluate)
    for one in scores:
        run.log(step=settings.epochs * len(corpus.parts), **msgspec.to_builtins(one))
    run.draw_loss()
    source = ", ".join(Path(path).name for path in settings.files[:5])
    export(folder / "model", model.wv, source, scores)
    shutil.rmtree(folder / "text", ignore_errors=True)
    return Outcome(words=len(model.wv), scores=scores)


def prepare_text(folder: Path, settings: Settings) -> Corpus:
    """The run's text in ``folder/text``, cut into words; made there unless it is there."""
    paths = [Path(path) for path in settings.files]
    return prepare(folder / "text", paths, settings.text, settings.min_count)


def fit(run: Run, settings: Settings, corpus: Corpus) -> Any:
    """The model of gensim after all epochs that were left; None where the run was asked to stop."""
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
    )
    model.corpus, model.text = corpus, run.folder / "text"
    steps = settings.epochs * len(corpus.parts)
    with _quiet():
        model.build_vocab_from_freq(dict(corpus.counts))
        last = run.load_last()
        if last is not None:
            _restore(model, *last)
        with run.stoppable(), bar(steps, model.done) as report:
            try:
                model.train(
                    corpus_file=str(model.text / corpus.parts[0].file),
                    total_examples=corpus.parts[0].sentences,
                    total_words=corpus.parts[0].words,
                    epochs=steps,
                    compute_loss=True,
                    callbacks=[_Watch(run, model, steps, report)],
                )
            except _Stopped:
                return None
    return model


class _Stopped(Exception):  # noqa: N818
    """The run was asked to stop, and is saved."""


class _Model(Word2Vec):
    """gensim's model for which each part of the text is an epoch, so that the learning rate
    falls evenly over all of them; those that were ``done`` before a stop are passed over.
    """

    corpus: Corpus
    text: Path
    done = 0

    def _train_epoch_corpusfile(
        self,
        corpus_file: str,  # noqa: ARG002
        cur_epoch: int = 0,
        total_examples: int | None = None,  # noqa: ARG002
        total_words: int | None = None,  # noqa: ARG002
        callbacks: Sequence[Any] = (),
        **options: Any,
    ) -> Any:
        if cur_epoch < self.done:
            return 0, 0, 0
        place = cur_epoch % len(self.corpus.parts)
        part = self.corpus.parts[place]
        # Once an epoch: it takes 3 % of the time. Of the first part: the last may be a few words.
        self.compute_loss = place == 0
        # Each worker takes its share of the sentences, and by gensim's arithmetic the learning
        # rate would fall by that share alone of what it should, and leap back after each part.
        share = -(-part.sentences // self.workers)
        path = str(self.text / part.file)
        return super()._train_epoch_corpusfile(
            path, cur_epoch, share, part.words, callbacks, **options
        )


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


class _Watch:
    """What gensim calls around each part of the text: the log, the checkpoint, the stop."""

    def __init__(
        self, run: Run, model: _Model, steps: int, report: Callable[[int, str], None]
    ) -> None:
        self._run, self._model, self._steps, self._report = run, model, steps, report
        self._step = 0
        self._saved = time.monotonic()
        self._cost = 0.0
        self._told = ""
        # Checkpoints of other words are of no use.
        self._words = _digest(model)

    def on_train_begin(self, model: Any) -> None:
        """Nothing."""

    def on_train_end(self, model: Any) -> None:
        """Nothing."""

    def on_epoch_begin(self, model: Any) -> None:
        """Start the loss at 0: gensim's sum is a float32, too coarse for many parts."""
        model.running_training_loss = 0.0

    def on_epoch_end(self, model: Any) -> None:
        """Log, save and stop, unless this part was passed over."""
        self._step += 1
        if self._step <= model.done:
            return
        parts = model.corpus.parts
        if not np.isfinite(model.wv.vectors).all():
            raise EngineError(
                f"The vectors are no longer numbers after step {self._step}.",
                hint="Start a new run with a lower --alpha.",
            )
        epoch = round(self._step / len(parts), 3)
        if model.compute_loss:
            # The sum of the worker that ended last, over its share of the words.
            words = parts[0].words / model.workers
            loss = float(model.get_latest_training_loss()) / max(1.0, words)
            self._run.log(step=self._step, epoch=epoch, loss=loss)
            self._told = f", loss {loss:.4f}"
        self._report(self._step, f"epoch {epoch:g}{self._told}")
        stop = self._run.stop_asked
        waited = time.monotonic() - self._saved
        if stop or self._step == self._steps or waited * _SAVING >= self._cost:
            self._save(model)
        if stop and self._step < self._steps:
            raise _Stopped

    def _save(self, model: Any) -> None:
        before = time.monotonic()
        kind, keys, position, has_gauss, cached = model.random.get_state()
        state = [kind, keys.tolist(), int(position), int(has_gauss), float(cached)]
        tensors = {
            "vectors": torch.from_numpy(model.wv.vectors),
            "outputs": torch.from_numpy(model.syn1neg),
        }
        self._run.save(self._step, tensors, {"random": state, "words": self._words})
        self._saved = time.monotonic()
        self._cost = self._saved - before


def _digest(model: Any) -> str:
    """The hash of a model's words, in their order."""
    return hashlib.blake2b("\n".join(model.wv.index_to_key).encode(), digest_size=16).hexdigest()


def _restore(model: Any, tensors: dict[str, Any], state: dict[str, Any]) -> None:
    if state.get("words") != _digest(model):
        raise InvalidRequestError(
            "The text files have changed since the run was started: their words are others.",
            hint="Start a new run.",
        )
    model.wv.vectors[:] = tensors["vectors"].numpy()
    model.syn1neg[:] = tensors["outputs"].numpy()
    kind, keys, *rest = state["random"]
    model.random.set_state((kind, np.array(keys, np.uint32), *rest))
    model.done = int(state["step"])

"""A language model of GPT-2's architecture, trained on text files from nothing.

:func:`train` runs or resumes a run and ends in ``RUN/model``, which the engine
``ctranslate2_generator`` serves. What a step does depends on the settings and the step's
number alone (the order of the data, dropout), so a run that was stopped goes on to the same
losses, bit for bit on the same machine's CPU.

Perplexity is ``exp(nats / tokens)`` and bits per byte ``nats / ln 2 / bytes``, where nats is
the sum of the cross-entropy of every token of the validation text, the end token after each
document included, and bytes is the length of that text in UTF-8. Perplexities compare only
between models with the same tokenizer, bits per byte between any.
"""

# Modules of torch are called through an untyped __call__; transformers' classes are untyped.
# pyright: reportUnknownVariableType=false, reportUnknownMemberType=false
from __future__ import annotations

import json
import math
import shutil
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

import msgspec

from ogam.errors import EngineError, InvalidRequestError, OutputError
from ogam.extras import needs
from ogam.media import files
from ogam.training import devices, processes
from ogam.training import language_model_data as texts
from ogam.training.language_model_data import END
from ogam.training.runs import Run, WatchedRun, check_same, settings_of

with needs("train"):
    import numpy as np
    import torch
    from torch import Tensor
    from torch.nn import functional
    from transformers import GPT2Config, GPT2LMHeadModel

from ogam.training._progress import bar

if TYPE_CHECKING:
    from tokenizers import Tokenizer

    from ogam.training.language_model_data import Stream


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Everything a run depends on.

    ``valid`` are files to validate on; without any, ``held_out`` is the share of the training
    text put aside for it. ``tokenizer`` is a folder with GPT-2's tokenizer or one like it;
    without one a byte-level BPE of ``vocabulary`` tokens is trained. One step reads ``batch``
    x ``accumulate`` blocks of ``context`` tokens. The learning rate rises to
    ``learning_rate`` in ``warmup`` steps and falls along a cosine to a tenth of it.
    ``threads`` 0 leaves their number to torch; ``device`` is as in
    :func:`ogam.training.devices.find`. ``start`` is the folder of an ended run of the same shape
    to begin from, with its weights and its tokenizer.
    """

    files: tuple[str, ...]
    valid: tuple[str, ...] = ()
    held_out: float = 0.02
    lines: bool = False
    start: str = ""
    tokenizer: str = ""
    vocabulary: int = 8192
    d_model: int = 256
    layers: int = 4
    heads: int = 4
    context: int = 256
    dropout: float = 0.1
    batch: int = 16
    accumulate: int = 1
    steps: int = 2000
    learning_rate: float = 1e-3
    warmup: int = 100
    weight_decay: float = 0.1
    clip: float = 1.0
    precision: Literal["fp32", "bf16"] = "fp32"
    quantization: Literal["int8", "float32"] = "int8"
    seed: int = 0
    device: str = "auto"
    threads: int = 0
    log_every: int = 10
    valid_every: int = 200
    save_every: int = 200

    def __post_init__(self) -> None:
        if not self.files:
            raise InvalidRequestError("There is no text to train on.", param="files")
        counts = ("d_model", "layers", "heads", "batch", "accumulate", "steps")
        for name in (*counts, "log_every", "valid_every", "save_every"):
            if getattr(self, name) < 1:
                raise InvalidRequestError(f"{name} must be at least 1.", param=name)
        if self.d_model % self.heads:
            raise InvalidRequestError(
                f"d_model {self.d_model} cannot be shared by {self.heads} heads.",
                hint="It must be a multiple of the heads: 256 and 4, 768 and 12.",
                param="d_model",
            )
        if self.context < 8:
            raise InvalidRequestError("context must be at least 8 tokens.", param="context")
        if not self.tokenizer and not 257 <= self.vocabulary <= 1_000_000:
            raise InvalidRequestError(
                "vocabulary must be at least 257: a token for each byte, and the end token.",
                param="vocabulary",
            )
        if not self.valid and not 0 < self.held_out < 0.5:
            raise InvalidRequestError("held_out must lie between 0 and 0.5.", param="held_out")


# What a run takes over from the one it begins from.
SAME = ("d_model", "layers", "heads", "context")


class Score(msgspec.Struct, frozen=True, kw_only=True):
    """How well a model foretells a text: the sum of cross-entropies, over how much."""

    nats: float
    tokens: int
    bytes: int

    @property
    def loss(self) -> float:
        """Nats a token."""
        return self.nats / self.tokens

    @property
    def perplexity(self) -> float:
        """``exp`` of the nats a token."""
        return math.exp(min(self.loss, 700))

    @property
    def bits_per_byte(self) -> float:
        """Bits a byte of UTF-8."""
        return self.nats / math.log(2) / self.bytes


class Lesson(Protocol):
    """What a model learns in place of its text alone, such as what a teacher says of it.

    ``settings`` are what the run depends on beside its own settings, ``made`` what the model's
    card says of how it was made.
    """

    settings: Mapping[str, Any]
    made: str

    def begin(self, model: Any) -> None:
        """Put the weights to begin with into the model."""
        ...

    def cost(self, model: Any, inputs: Tensor, targets: Tensor) -> Tensor:
        """The cost of a batch (batch, context)."""
        ...


def train(
    folder: Path, settings: Settings, *, resume: bool = False, lesson: Lesson | None = None
) -> Score | None:
    """Run, or go on with, the run in ``folder``; the score of the model that was exported.

    ``lesson`` is what it learns in place of its text alone. None where the run was stopped
    before its end: its checkpoint is written then. Raises InvalidRequestError for data or
    settings that cannot be used, EngineError where the loss is no longer a number, OutputError
    where ``folder`` cannot be written.
    """
    processes.refuse_several()
    devices.find(settings.device)
    for path in (*settings.files, *settings.valid):
        # Before a run is made whose folder would then be in the way.
        _check_text(Path(path), lines=settings.lines)
    fixed = {**msgspec.to_builtins(settings), **(lesson.settings if lesson else {})}
    run = Run(folder, fixed, resume=resume)
    if settings.threads:
        torch.set_num_threads(settings.threads)
    try:
        if settings.start and not resume:
            _check_start(settings)
        tokenizer, training, validation = _prepare(folder, settings)
    except InvalidRequestError:
        if not resume:  # nothing was there before, and nothing in it is worth keeping
            shutil.rmtree(folder, ignore_errors=True)
        raise
    trainer = _Trainer(run, settings, tokenizer, training, validation, lesson=lesson)
    if not trainer.run_steps():
        return None
    score = trainer.take_best()
    run.draw_loss()
    from ogam.training.export_language_model import export

    made = {"made": lesson.made} if lesson else {}
    export(folder / "model", trainer.model, tokenizer, settings, score, **made)
    return score


def resume(folder: Path) -> Score | None:
    """Go on with the run in ``folder`` under the settings it was started with."""
    return train(folder, settings_of(folder, Settings), resume=True)


def export_again(run: Path, folder: Path) -> None:
    """Write what the ended run in ``run`` exported once more, without manifest and card.

    Into ``folder``, which exists. Raises InvalidRequestError where the run has not ended.
    """
    with needs("train"):
        from tokenizers import Tokenizer
    settings = settings_of(run, Settings)
    weights = _ended(run)
    tokenizer: Any = Tokenizer.from_file(str(run / "data" / "tokenizer.json"))
    model = _network(settings, tokenizer)
    _put(weights, dict(model.named_parameters()))
    from ogam.training import export_language_model

    export_language_model.write(folder, model, tokenizer, settings.quantization)


def _ended(run: Path) -> dict[str, Tensor]:
    """The weights that the ended run in ``run`` exported."""
    best = WatchedRun(run).load_best()
    if best is None or not (run / "model").exists():
        raise InvalidRequestError(
            f"The run {run} has not ended.", hint="Go on with it by --resume first."
        )
    return best[0]


def _check_start(settings: Settings) -> None:
    """Refuse a beginning that does not fit."""
    start = settings_of(Path(settings.start), Settings)
    if settings.tokenizer:
        raise InvalidRequestError(
            "A run that begins from another has its tokenizer.",
            hint="Leave --tokenizer out.",
            param="tokenizer",
        )
    check_same(SAME, settings, start)


def evaluate(
    model: Any,
    stream: Stream,
    sizes: Any,
    *,
    context: int,
    batch: int = 16,
    device: torch.device | str = "cpu",
) -> Score:
    """Foretell every token of ``stream`` but its first, in blocks of ``context``.

    Each block is read alone, so a token sees at most ``context`` tokens before it, and a
    block's first only itself's predecessor. ``sizes`` maps a token to its bytes.
    """
    model.eval()
    nats, count = 0.0, len(stream) - 1
    whole = count // context * context
    with torch.no_grad():
        for start in range(0, whole, batch * context):
            stop = min(whole, start + batch * context)
            inputs = _tensor(stream[start:stop]).view(-1, context)
            targets = _tensor(stream[start + 1 : stop + 1]).view(-1, context)
            nats += _nats(model, inputs.to(device), targets.to(device))
        if whole < count:
            inputs, targets = _tensor(stream[whole:count]), _tensor(stream[whole + 1 :])
            nats += _nats(model, inputs[None].to(device), targets[None].to(device))
    read = int(np.asarray(sizes)[np.asarray(stream[1:])].sum())
    return Score(nats=nats, tokens=count, bytes=max(1, read))


def _nats(model: Any, inputs: Tensor, targets: Tensor) -> float:
    logits = model(input_ids=inputs).logits.float()
    return float(
        functional.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="sum").double()
    )


class _Trainer:
    """The model, its optimiser, and the loop."""

    def __init__(
        self,
        run: Run,
        settings: Settings,
        tokenizer: Tokenizer,
        training: Stream,
        validation: Stream,
        *,
        lesson: Lesson | None = None,
    ) -> None:
        self._lesson = lesson
        self._run, self._settings = run, settings
        self._training, self._validation = training, validation
        self._sizes = texts.byte_lengths(tokenizer)
        self._device = devices.find(settings.device)
        torch.manual_seed(settings.seed)
        model = _network(settings, tokenizer)
        if lesson is not None:
            lesson.begin(model)
        self.model = model.to(self._device)
        # The output layer shares the embedding's weights: it is one parameter, under one name.
        self._parameters: dict[str, Tensor] = dict(self.model.named_parameters())
        self._optimizer = torch.optim.AdamW(
            [
                {
                    "params": [one for one in self._parameters.values() if one.dim() > 1],
                    "weight_decay": settings.weight_decay,
                },
                {
                    "params": [one for one in self._parameters.values() if one.dim() < 2],
                    "weight_decay": 0.0,
                },
            ],
            lr=settings.learning_rate,
            betas=(0.9, 0.95),
            fused=True,
        )
        self._order = lru_cache(maxsize=1)(texts.order)
        self._step = 0
        self._best = math.inf
        last = run.load_last()
        if last is not None:
            self._restore(*last)
        elif settings.start:
            self._load_weights(_ended(Path(settings.start)))

    def run_steps(self) -> bool:
        """Train to the last step; False where the run was asked to stop."""
        settings, run = self._settings, self._run
        with run.stoppable(), bar(settings.steps, self._step) as report:
            while self._step < settings.steps:
                loss = self._one_step()
                step = self._step
                report(step, f"loss {loss:.4f}")
                if step % settings.log_every == 0 or step == settings.steps:
                    run.log(step=step, loss=loss, learning_rate=rate(settings, step))
                if step % settings.valid_every == 0 or step == settings.steps:
                    self._validate()
                stopping = run.stop_asked and step < settings.steps
                if step % settings.save_every == 0 or step == settings.steps or stopping:
                    run.save(step, self._tensors(), {"best": self._best})
                if stopping:
                    return False
        return True

    def take_best(self) -> Score:
        """Put the best checkpoint's weights into the model, and score it."""
        best = self._run.load_best()
        if best is not None:
            self._load_weights(best[0])
        return self._score()

    def _one_step(self) -> float:
        settings = self._settings
        self.model.train()
        # Dropout draws from here, so a resumed run needs no generator's state.
        torch.manual_seed(settings.seed * 1_000_003 + self._step)
        for group in self._optimizer.param_groups:
            group["lr"] = rate(settings, self._step + 1)
        self._optimizer.zero_grad(set_to_none=True)
        total = 0.0
        for inputs, targets in self._batches():
            with self._autocast():
                if self._lesson is not None:
                    loss = self._lesson.cost(self.model, inputs, targets)
                else:
                    logits = self.model(input_ids=inputs).logits
                    loss = functional.cross_entropy(
                        logits.flatten(0, 1).float(), targets.flatten(), reduction="mean"
                    )
            share = loss / settings.accumulate
            share.backward()
            total += float(share.detach())
        norm = torch.nn.utils.clip_grad_norm_(self._parameters.values(), settings.clip)
        if not math.isfinite(total) or not bool(torch.isfinite(norm)):
            kept = self._run.checkpoints()
            raise EngineError(
                f"The loss is no longer a number at step {self._step + 1}; "
                f"{f'{kept[-1].name} is kept' if kept else 'there is no checkpoint yet'}.",
                hint="Start a new run with a lower learning rate, or in fp32.",
            )
        self._optimizer.step()
        self._step += 1
        return total

    def _batches(self) -> Iterator[tuple[Tensor, Tensor]]:
        """The blocks of the current step: inputs and targets (batch, context)."""
        settings = self._settings
        context = settings.context
        size = settings.batch * settings.accumulate
        count = texts.blocks(len(self._training), context)
        epoch, at = divmod(self._step * size, max(size, count // size * size))
        starts = self._order(len(self._training), context, settings.seed, epoch)
        # A text of fewer blocks than a step reads is read more than once in it.
        chosen = [starts[(at + index) % count] for index in range(size)]
        for first in range(0, size, settings.batch):
            rows = [
                self._training[start : start + context + 1]
                for start in chosen[first : first + settings.batch]
            ]
            block = _tensor(np.stack(rows)).to(self._device)
            yield block[:, :-1], block[:, 1:]

    def _autocast(self) -> AbstractContextManager[Any]:
        if self._settings.precision == "fp32":
            return nullcontext()
        return torch.autocast(self._device.type, torch.bfloat16)

    def _validate(self) -> None:
        score = self._score()
        self._run.log(
            step=self._step,
            valid_loss=score.loss,
            perplexity=score.perplexity,
            bits_per_byte=score.bits_per_byte,
        )
        if score.loss < self._best:
            self._best = score.loss
            self._run.save_best(
                self._step, self._weights(), {"loss": score.loss, "bits": score.bits_per_byte}
            )

    def _score(self) -> Score:
        return evaluate(
            self.model,
            self._validation,
            self._sizes,
            context=self._settings.context,
            batch=self._settings.batch,
            device=self._device,
        )

    # What a checkpoint holds

    def _weights(self) -> dict[str, Tensor]:
        return {f"model.{name}": one.detach() for name, one in self._parameters.items()}

    def _tensors(self) -> dict[str, Tensor]:
        tensors = self._weights()
        for name, one in self._parameters.items():
            state = self._optimizer.state[one]
            tensors[f"first.{name}"] = state["exp_avg"]
            tensors[f"second.{name}"] = state["exp_avg_sq"]
        return tensors

    def _load_weights(self, tensors: Mapping[str, Tensor]) -> None:
        _put(tensors, self._parameters)

    def _restore(self, tensors: Mapping[str, Tensor], state: Mapping[str, Any]) -> None:
        self._load_weights(tensors)
        self._step, best = int(state["step"]), state["best"]
        self._best = math.inf if best is None else float(best)
        for name, one in self._parameters.items():
            self._optimizer.state[one] = {
                "step": torch.tensor(float(self._step), device=self._device),
                "exp_avg": tensors[f"first.{name}"].to(self._device),
                "exp_avg_sq": tensors[f"second.{name}"].to(self._device),
            }


def _network(settings: Settings, tokenizer: Tokenizer) -> Any:
    """The model, its weights drawn at random."""
    end = tokenizer.token_to_id(END)
    return GPT2LMHeadModel(
        GPT2Config(
            vocab_size=tokenizer.get_vocab_size(),
            n_positions=settings.context,
            n_embd=settings.d_model,
            n_layer=settings.layers,
            n_head=settings.heads,
            resid_pdrop=settings.dropout,
            embd_pdrop=settings.dropout,
            attn_pdrop=settings.dropout,
            bos_token_id=end,
            eos_token_id=end,
            use_cache=False,
        )
    )


def _put(tensors: Mapping[str, Tensor], parameters: Mapping[str, Tensor]) -> None:
    """A checkpoint's weights into a model's."""
    with torch.no_grad():
        for name, one in parameters.items():
            one.copy_(tensors[f"model.{name}"])


def rate(settings: Settings, step: int) -> float:
    """The learning rate of a step, counted from 1: warm-up, then a cosine to a tenth."""
    if step <= settings.warmup:
        return settings.learning_rate * step / settings.warmup
    done = (step - settings.warmup) / max(1, settings.steps - settings.warmup)
    return settings.learning_rate * (0.1 + 0.45 * (1 + math.cos(math.pi * done)))


def _check_text(path: Path, *, lines: bool) -> None:
    document = next(texts.documents([path], lines=lines), None)
    if document is None or next(document, None) is None:
        raise InvalidRequestError(f"{path} begins with no text.", hint="Is it the right file?")


def _prepare(folder: Path, settings: Settings) -> tuple[Tokenizer, Stream, Stream]:
    """The tokenizer and both streams: made once a run, and read again when it is resumed.

    A run therefore goes on with the text it was started with, whatever the files hold then.
    """
    with needs("train"):
        from tokenizers import Tokenizer
    place = folder / "data"
    ready = place / "ready.json"
    train_path, valid_path = place / "train.bin", place / "valid.bin"
    if ready.exists():
        tokenizer = Tokenizer.from_file(str(place / "tokenizer.json"))
        return tokenizer, texts.stream(tokenizer, train_path), texts.stream(tokenizer, valid_path)
    try:
        place.mkdir(exist_ok=True)
    except OSError as error:
        raise OutputError(f"{place} cannot be made: {error.strerror}.") from None
    paths = [Path(path) for path in settings.files]
    given = settings.tokenizer or (settings.start and str(Path(settings.start) / "data"))
    if given:
        tokenizer = texts.load_tokenizer(Path(given))
    else:
        tokenizer = texts.train_tokenizer(paths, settings.vocabulary, lines=settings.lines)
    files.write(place / "tokenizer.json", tokenizer.to_str().encode())
    training = texts.write_stream(tokenizer, paths, train_path, lines=settings.lines)
    if settings.valid:
        others = [Path(path) for path in settings.valid]
        validation = texts.write_stream(tokenizer, others, valid_path, lines=settings.lines)
    else:
        training, validation = texts.split(tokenizer, train_path, valid_path, settings.held_out)
    if texts.blocks(len(training), settings.context) < 1:
        raise InvalidRequestError(
            f"The text has {len(training):,} tokens, fewer than one block of {settings.context:,}.",
            hint="Give more text, or a shorter --context.",
        )
    about = {"training_tokens": len(training), "validation_tokens": len(validation)}
    files.write(ready, json.dumps(about).encode())
    return tokenizer, training, validation


def _tensor(tokens: Any) -> Tensor:
    return torch.from_numpy(np.asarray(tokens, np.int64))

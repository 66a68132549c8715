"""The settings of a translation run: what they mean, and which are refused."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import Any, Literal

import msgspec

from ogam.errors import ConfigurationError, InvalidRequestError
from ogam.training import devices
from ogam.training.export_translator import Precision
from ogam.training.transformer import Shape
from ogam.training.translation_data import Columns, Tokenization

# What may differ when a run goes on: how long it lasts, and what happens after it.
FREE = ("updates", "patience", "beam", "precision", "name", "licence", "test", "keep")


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Everything a run depends on. Files are one table or two files of lines.

    ``target_token`` puts <2de> before each source; None does so where the languages stand in a
    column or ``target_language`` is given. ``vocabulary`` is the size for SentencePiece, and the
    most words with "space" (0: all). ``lr`` is the highest rate: reached after ``warmup``
    updates, then kept ("constant") or falling with the square root ("inverse-sqrt").
    ``valid`` empty: a hundredth of the training pairs, 2,000 at most, is held out.
    Every ``valid_every`` updates the loss on ``valid`` is taken; after ``patience`` times
    without a better one the run ends (0: never). ``average``: the last so many weights, one a
    validation, are averaged at the end. ``amp`` is the precision of the arithmetic in training.
    ``accumulate`` counts the batches of an update over all processes, ``threads`` those of each.
    ``start`` is the folder of an ended run of the same shape to begin from: its weights, and its
    tokens, to which new ones are added until there are ``vocabulary``. ``keep`` is the share of
    those weights in what is exported: between what it knew and what it learned often lies what
    does both (Wortsman et al., https://arxiv.org/abs/2109.01903).

    A target language may name a manner of it by BCP 47's private use, such as de-x-formal.
    """

    train: tuple[str, ...]
    start: str = ""
    keep: float = 0.0
    valid: tuple[str, ...] = ()
    test: tuple[str, ...] = ()
    columns: Columns = Columns()
    source_language: str = ""
    target_language: str = ""
    target_token: bool | None = None
    tokens: Tokenization = "sentencepiece"
    vocabulary: int = 8000
    max_tokens: int = 256
    d_model: int = 512
    nhead: int = 8
    encoder_layers: int = 6
    decoder_layers: int = 6
    feed_forward: int = 2048
    dropout: float = 0.1
    attention_dropout: float | None = None
    activation_dropout: float | None = None
    activation: Literal["relu", "gelu"] = "relu"
    pre_norm: bool = False
    lr: float = 1e-4
    schedule: Literal["constant", "inverse-sqrt"] = "constant"
    warmup: int = 0
    betas: tuple[float, float] = (0.9, 0.999)
    smoothing: float = 0.1
    batch_tokens: int = 4096
    accumulate: int = 1
    clip: float = 1.0
    amp: Literal["fp32", "bf16"] = "fp32"
    updates: int = 50_000
    patience: int = 10
    valid_every: int = 500
    save_every: int = 500
    log_every: int = 50
    average: int = 5
    beam: int = 5
    precision: Precision = "int8"
    seed: int = 1
    threads: int = 0
    device: str = "auto"
    name: str = ""
    licence: str = "unknown"

    def shape(self, vocabulary: int) -> Shape:
        """The model's, for a vocabulary of that many tokens."""
        own: dict[str, Any] = {
            name: getattr(self, name) for name in Shape.__struct_fields__ if hasattr(self, name)
        }
        # The end mark takes a place, and a translation may be longer than its source.
        own |= {"vocabulary": vocabulary, "positions": 2 * self.max_tokens}
        return Shape(**own)


def settings_of(folder: Path, **free: Any) -> Settings:
    """The settings a run was started with; ``free`` replaces those that may change."""
    try:
        fixed = json.loads((folder / "settings.json").read_bytes())["settings"]
        fixed.pop("files")
        last = json.loads((folder / "free.json").read_bytes())
        given = {name: value for name, value in free.items() if value is not None}
        return msgspec.convert({**fixed, **last, **given}, Settings)
    except FileNotFoundError:
        raise InvalidRequestError(
            f"{folder} holds no run of a transformer.",
            hint="Is it the right folder? Without --resume a new run begins.",
        ) from None
    except (OSError, ValueError, KeyError, TypeError):
        raise ConfigurationError(f"The run {folder} is damaged.", hint="Start a new run.") from None


def rate(settings: Settings, update: int) -> float:
    """The learning rate of an update, counted from 1."""
    warmup = max(1, settings.warmup)
    if update < warmup:
        return settings.lr * update / warmup
    if settings.schedule == "constant":
        return settings.lr
    return settings.lr * math.sqrt(warmup / update)


def check(settings: Settings) -> None:
    """Refuse settings that cannot be meant, before any work."""
    settings.shape(4)
    counts = ("vocabulary", "warmup", "patience", "average", "threads", "clip")
    for name in counts:
        if getattr(settings, name) < 0:
            raise InvalidRequestError(f"{name} cannot be below 0.", param=name)
    positive = ("max_tokens", "batch_tokens", "accumulate", "updates", "beam", "lr")
    for name in (*positive, "valid_every", "save_every", "log_every", "feed_forward"):
        if not getattr(settings, name) > 0:
            raise InvalidRequestError(f"{name} must be above 0.", param=name)
    for name in ("dropout", "attention_dropout", "activation_dropout", "smoothing", "keep"):
        value = getattr(settings, name)
        if value is not None and not 0 <= value < 1:
            raise InvalidRequestError(f"{name} must be from 0 to below 1.", param=name)
    if settings.keep and not settings.start:
        raise InvalidRequestError(
            "There are no weights to keep a share of.",
            hint="Name the run to begin from by --start, or leave --keep out.",
            param="keep",
        )
    devices.find(settings.device)


def cores() -> int:
    """How many this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1

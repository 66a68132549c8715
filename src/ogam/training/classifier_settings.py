"""The settings of a classifier's run: what they mean, and which are refused."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from ogam.errors import InvalidRequestError


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """How to train. The defaults suit fine-tuning a small encoder on some thousand examples.

    ``split`` is the share of texts that go to validation where it has no file of its own;
    ``warm_up`` the share of steps over which the learning rate climbs; ``evaluations`` how
    often an epoch is validated; ``patience`` after how many validations without a better
    accuracy to stop (0: never). ``class_weights`` makes rare labels count as much as
    frequent ones. ``bf16`` computes products in bfloat16, weights stay float32: on a CPU
    with AMX a step of 32 texts of 30 tokens took 0.34 s instead of 1.39 s.
    ``average`` is the decay of a running mean of the weights, such as 0.999, which is then what
    is validated and exported (0: none). ``eight_bits`` counts what is right in a validation by the
    graph in 8 bits that would ship: some in a thousand differ, either way. ``pooling`` is what
    the head reads: what the architecture's own does (BERT's the first token, through a layer
    more), or the mean of all tokens, which encoders of sentences were made for. ``r_drop`` is the
    alpha of :class:`ogam.training._r_drop.RDrop` (0: none); ``freeze_embeddings`` leaves the
    encoder's as they are, for words that few examples have. ``names`` renames the data's labels.
    ``start`` is the folder of a run that ended, whose weights this one begins with.
    ``save_every`` counts steps. ``device`` is as in :func:`ogam.training.devices.find`.
    """

    epochs: int = 3
    batch_size: int = 32
    learning_rate: float = 5e-5
    warm_up: float = 0.06
    weight_decay: float = 0.01
    clip: float = 1.0
    label_smoothing: float = 0.0
    class_weights: bool = False
    max_tokens: int = 256
    split: float = 0.1
    evaluations: int = 1
    patience: int = 0
    average: float = 0.0
    eight_bits: bool = False
    pooling: Literal["own", "mean"] = "own"
    r_drop: float = 0.0
    freeze_embeddings: bool = False
    bf16: bool = False
    seed: int = 1
    save_every: int = 500
    names: dict[str, str] = {}
    start: str = ""
    device: str = "auto"

    def __post_init__(self) -> None:
        for name, low, high in (
            ("epochs", 1, 1000),
            ("batch_size", 1, 4096),
            ("learning_rate", 1e-9, 1.0),
            ("warm_up", 0.0, 1.0),
            ("weight_decay", 0.0, 1.0),
            ("clip", 1e-6, 1e6),
            ("label_smoothing", 0.0, 0.9),
            ("max_tokens", 4, 4096),
            ("split", 0.001, 0.9),
            ("average", 0.0, 0.99999),
            ("r_drop", 0.0, 100.0),
            ("evaluations", 1, 1000),
            ("patience", 0, 1000),
            ("seed", 0, 2**63 - 1),
            ("save_every", 1, 10**9),
        ):
            value = getattr(self, name)
            if not low <= value <= high:  # NaN is not
                raise InvalidRequestError(
                    f"{name} must be from {low:g} to {high:g}, not {value}.", param=name
                )
        if self.pooling not in ("own", "mean"):
            raise InvalidRequestError(
                f"There is no pooling {self.pooling!r}: own or mean.", param="pooling"
            )

    @property
    def fixed(self) -> dict[str, Any]:
        """What must be the same when a run goes on: all but where it computes and reads."""
        every: dict[str, Any] = msgspec.to_builtins(self)
        return {name: one for name, one in every.items() if name not in ("device", "start")}

"""R-Drop: a network that answers twice, under two dropouts, and pays for contradicting itself."""

# torch leaves some of its types open.
# pyright: reportUnknownMemberType=false
from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor


class RDrop:
    """A :class:`ogam.training.classifier.Lesson`.

    Half of what Liang et al. 2021 (https://arxiv.org/abs/2106.14448) minimise, so that learning
    rates stay comparable: the mean cross-entropy of both answers, and ``alpha`` quarters of the
    sum of their Kullback-Leibler divergences, each from the other.
    """

    def __init__(self, alpha: float) -> None:
        self._alpha = alpha

    def parameters(self) -> dict[str, Tensor]:
        """None: it learns nothing itself."""
        return {}

    def cost(
        self, network: Any, inputs: Mapping[str, Tensor], right: Tensor, hard: Any
    ) -> tuple[Tensor, Tensor]:
        """The cost of a batch, and the logits (batch, labels) of the first answer."""
        twice = {name: one.repeat(2, 1) for name, one in inputs.items()}
        logits = network(**twice).logits.float()
        one, other = logits.log_softmax(1).chunk(2)
        # Both divergences in one: sum of (p - q) (log p - log q).
        apart = ((one.exp() - other.exp()) * (one - other)).sum(1).mean()
        return hard(logits, right.repeat(2)) + self._alpha / 4 * apart, logits.chunk(2)[0]

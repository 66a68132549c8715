"""What distilling has in common, whatever is distilled: layers taken over, and what it costs a
student to differ from its teacher. Knows no kind of model, no file and no loop.

Soft targets: Hinton, Vinyals, Dean 2015, https://arxiv.org/abs/1503.02531.
Hidden states: Jiao et al. 2020 (TinyBERT), https://arxiv.org/abs/1909.10351.
"""

# torch leaves some of its types open.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from ogam.errors import InvalidRequestError
from ogam.extras import needs

with needs("train"):
    import torch
    from torch import Tensor
    from torch.nn import functional

# encoder.layer.3.output.weight, transformer.h.3.mlp.weight, transformer.decoder.layers.3.norm1.bias
_LAYER = re.compile(r"^(?P<stack>.*\b(?:layers?|h))\.(?P<number>\d+)\.(?P<rest>.+)$")


def taken(teacher: int, student: int) -> list[int]:
    """Which of the teacher's layers, counted from 0, each of the student's begins as.

    Every k-th, the last one among them: [2, 5] of six. What a layer gives is what the one it
    began as gave, so it is also the layer whose output it is held to.
    """
    if not 1 <= student <= teacher:
        raise InvalidRequestError(
            f"The student cannot have {student} layers: its teacher has {teacher}.",
            hint=f"Choose from 1 to {teacher}.",
            param="layers",
        )
    return [round((at + 1) * teacher / student) - 1 for at in range(student)]


def inherited(
    student: Mapping[str, Tensor],
    teacher: Mapping[str, Tensor],
    layers: Mapping[str, Sequence[int]],
) -> dict[str, Tensor]:
    """The student's weights, those of the teacher in them wherever one is as large or larger.

    ``layers`` maps a part of the name of a stack of layers ("encoder", or "" for all) to what
    :func:`taken` says of it. A narrower student gets the first rows and columns, by which
    weights keep their scale; what the teacher has not stays as it is.
    """
    found: dict[str, Tensor] = {}
    for name, own in student.items():
        place = name
        if match := _LAYER.match(name):
            chosen = next((one for part, one in layers.items() if part in match["stack"]), None)
            if chosen is not None:
                place = f"{match['stack']}.{chosen[int(match['number'])]}.{match['rest']}"
        other = teacher.get(place)
        fits = (
            other is not None
            and other.ndim == own.ndim
            and all(mine <= theirs for mine, theirs in zip(own.shape, other.shape, strict=True))
        )
        if other is not None and fits:
            found[name] = other[tuple(slice(size) for size in own.shape)].detach().clone()
        else:
            found[name] = own.detach().clone()
    return found


def soft_cost(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """How far the student's probabilities are from the teacher's: a number for each row.

    Both are logits (rows, classes), divided by ``temperature``. The Kullback-Leibler divergence
    times the square of the temperature, so that its gradients weigh the same at any (Hinton
    et al., section 2).
    """
    wanted = (teacher.float() / temperature).log_softmax(-1)
    found = (student.float() / temperature).log_softmax(-1)
    apart = functional.kl_div(found, wanted, reduction="none", log_target=True).sum(-1)
    return apart * temperature**2


def states_cost(
    student: Sequence[Tensor],
    teacher: Sequence[Tensor],
    layers: Sequence[int],
    mask: Tensor | None = None,
    widen: Any = None,
) -> Tensor:
    """The mean squared distance of hidden states, over the embeddings and all student's layers.

    ``student`` and ``teacher`` are what goes into the first layer and comes out of each,
    (batch, tokens, width); ``layers`` are those of :func:`taken`, ``mask`` (batch, tokens) is 1
    where a token is real, ``widen`` the projection to the teacher's width where it differs.
    """
    wanted = [teacher[0], *(teacher[layer + 1] for layer in layers)]
    total = torch.zeros(())
    for own, other in zip(student, wanted, strict=True):
        found = (own if widen is None else widen(own)).float()
        apart = (found - other.float()).square().mean(-1)
        total = total + (apart.mean() if mask is None else (apart * mask).sum() / mask.sum())
    return total / len(wanted)

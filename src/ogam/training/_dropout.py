"""Dropout that draws 16 bits for each element, where torch's draws a double on a CPU."""

# torch is called without types.
# pyright: reportUnknownMemberType=false
from __future__ import annotations

import torch
from torch import Tensor, nn

_WORDS = 1 << 16


class Dropout(nn.Dropout):
    """As torch's on a GPU. On a CPU it drops an element with the nearest probability in 65,536ths.

    There torch's took 6.2 ms of a layer of 293 x 14 x 128 numbers in bfloat16, forward and
    backward, this one 2.2 ms, and an update of a model with 22 of them a tenth less.
    """

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 (torch's name for it)
        """``input`` with some elements zero and the others larger, so that the mean stays."""
        dropped = round(self.p * _WORDS)
        if not self.training or not 0 < dropped < _WORDS or input.device.type != "cpu":
            return super().forward(input)
        count = input.numel()
        drawn = torch.empty((count + 3) // 4, dtype=torch.int64).random_(-(1 << 63), None)
        words = drawn.view(torch.int16)[:count].view(input.shape)
        kept = words >= dropped - _WORDS // 2
        return input * (kept.to(input.dtype) * (_WORDS / (_WORDS - dropped)))


def replace(model: nn.Module) -> None:
    """Let every dropout inside ``model`` be this one. Those inside attention are no modules."""
    for module in model.modules():
        for name, child in module.named_children():
            if type(child) is nn.Dropout:
                setattr(module, name, Dropout(child.p))

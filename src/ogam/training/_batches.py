"""Batches of tokens: nearly equal lengths together, an order that seed and epoch alone decide."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from torch import Tensor

# Batches sorted by length together: with 50, 3% of what SST-2's batches hold is padding.
POOL = 50
# The label of an example without one: torch's cross-entropy passes over it.
UNLABELLED = -100


class Tokens(NamedTuple):
    """One example as a model reads it."""

    ids: list[int]
    types: list[int]
    label: int


def order(lengths: Sequence[int], size: int, seed: int, epoch: int) -> list[list[int]]:
    """Indices of ``lengths`` in batches of ``size``, shuffled.

    Shuffled, cut into pools of 50 batches, each pool sorted by length, and the batches
    shuffled: a batch has little padding, and every epoch has others.
    """
    chance = random.Random(f"{seed}/{epoch}")  # noqa: S311
    indices = list(range(len(lengths)))
    chance.shuffle(indices)
    batches: list[list[int]] = []
    for start in range(0, len(indices), size * POOL):
        pool = sorted(indices[start : start + size * POOL], key=lambda index: lengths[index])
        batches += [pool[at : at + size] for at in range(0, len(pool), size)]
    chance.shuffle(batches)
    return batches


def by_length(lengths: Sequence[int], size: int) -> list[list[int]]:
    """Indices in batches of ``size``, the longest first, for reading without learning."""
    indices = sorted(range(len(lengths)), key=lambda index: -lengths[index])
    return [indices[at : at + size] for at in range(0, len(indices), size)]


def tensors(batch: Sequence[Tokens], padding: int, types: bool) -> tuple[dict[str, Tensor], Any]:
    """What the model takes: ``input_ids``, ``attention_mask`` (batch, tokens); and the labels."""
    import torch

    width = max(len(one.ids) for one in batch)
    ids = torch.full((len(batch), width), padding)
    mask = torch.zeros_like(ids)
    kinds = torch.zeros_like(ids)
    for row, one in enumerate(batch):
        ids[row, : len(one.ids)] = torch.tensor(one.ids)
        kinds[row, : len(one.ids)] = torch.tensor(one.types)
        mask[row, : len(one.ids)] = 1
    inputs = {"input_ids": ids, "attention_mask": mask}
    if types:
        inputs["token_type_ids"] = kinds
    return inputs, torch.tensor([one.label for one in batch])

"""A run that begins where another ended: with its weights, and its tokens with new ones behind.

So a translator learns a language, or a manner of speaking, that it was not made with, and keeps
what it knows.
"""

# torch is called without types, SentencePiece's and protobuf's own have none.
# pyright: reportUnknownVariableType=false, reportUnknownMemberType=false
# pyright: reportUnknownArgumentType=false
from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from ogam.errors import InvalidRequestError
from ogam.training import runs, translation_result
from ogam.training.translation_settings import Settings, settings_of

# A manner's token, such as <2de-x-formal>, and the plain one it is a manner of.
_MANNER = re.compile(r"(<2[A-Za-z0-9-]+?)-x-[A-Za-z0-9-]+>")
# What a run takes over from the one it begins from.
SAME = (
    *("tokens", "d_model", "nhead", "encoder_layers", "decoder_layers", "feed_forward"),
    *("max_tokens", "activation", "pre_norm"),
)


def check(settings: Settings) -> None:
    """Refuse a beginning that does not fit: InvalidRequestError says what differs."""
    start = settings_of(Path(settings.start))
    if settings.tokens != "sentencepiece":
        raise InvalidRequestError("Only a run with SentencePiece can be begun from another.")
    runs.check_same(SAME, settings, start)


def weights(settings: Settings, vocabulary: Sequence[str]) -> dict[str, Tensor]:
    """The weights that the run ``settings.start`` ended with, with a row for each new token.

    A manner's token begins as its language's, any other at random, as large as those there are.
    """
    start = Path(settings.start)
    found = translation_result.chosen(start)
    table = found["embedding.weight"]
    new = vocabulary[len(table) :]
    generator = torch.Generator().manual_seed(settings.seed)
    rows = torch.randn(len(new), table.shape[1], generator=generator) * table.std()
    places = {token: number for number, token in enumerate(vocabulary)}
    for row, token in zip(rows, new, strict=True):
        of = _MANNER.fullmatch(token)
        plain = places.get(f"{of[1]}>") if of else None
        if plain is not None and plain < len(table):
            row.copy_(table[plain])
    found["embedding.weight"] = torch.cat([table, rows])
    return found

"""Which device a run computes on: the word of ``--device`` to torch's own."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ogam.errors import InvalidRequestError
from ogam.extras import needs

if TYPE_CHECKING:
    import torch

_WORD = re.compile(r"auto|cpu|mps|cuda(:(?P<number>\d{1,3}))?")


def find(name: str) -> torch.device:
    """The device of that name: auto, cpu, cuda, cuda:1 (the second one), mps.

    ``auto`` is cuda where there is one, else the CPU. Raises InvalidRequestError where the name
    is none of these or this machine has no such device.
    """
    found = _WORD.fullmatch(name)
    if found is None:
        raise InvalidRequestError(
            f"There is no device {name!r}.",
            hint="Say auto, cpu, cuda, cuda:1 or mps.",
            param="device",
        )
    with needs("train"):
        import torch

    cuda = torch.cuda.is_available()
    if name == "auto":
        return torch.device("cuda" if cuda else "cpu")
    if name == "mps" and not torch.backends.mps.is_available():
        raise InvalidRequestError(
            "There is no MPS device here.", hint="Use --device cpu.", param="device"
        )
    if name.startswith("cuda"):
        if not cuda:
            raise InvalidRequestError(
                "There is no CUDA device here.", hint="Use --device cpu.", param="device"
            )
        count = torch.cuda.device_count()
        if int(found["number"] or 0) >= count:
            raise InvalidRequestError(
                f"There is no {name} here.",
                hint=f"This machine has cuda:0 to cuda:{count - 1}." if count > 1 else "Say cuda.",
                param="device",
            )
    return torch.device(name)

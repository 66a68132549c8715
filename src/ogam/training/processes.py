"""The processes of a run: one, or as many as ``accelerate launch`` or ``torchrun`` started.

Every process holds the whole model and the whole plan of batches; of an update each computes
its share, and the gradients are added up before Adam's step, which all of them take. What they
decide by is a sum over all, the same everywhere, so they stay in step without a word. The first
one alone writes. The gradients are summed once an update, after the last batch: nothing overlaps
with the arithmetic, and ``accumulate`` is what makes up for it.
"""

# torch and accelerate leave many of their types open.
# pyright: reportUnknownVariableType=false, reportUnknownMemberType=false
# pyright: reportUnknownArgumentType=false
from __future__ import annotations

import contextlib
import os
import warnings
from collections.abc import Generator, Iterable, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from ogam.errors import EngineError, InvalidRequestError
from ogam.extras import needs
from ogam.training import devices

if TYPE_CHECKING:
    import torch
    from torch import Tensor

T = TypeVar("T")
# How long the others wait while the first makes the tokens of a large text. A process that died
# is noticed by the launcher, not by this.
_PATIENCE = timedelta(hours=24)


def launched() -> int:
    """How many processes a launcher started for this run, this one among them; 1 without one."""
    return int(os.environ.get("WORLD_SIZE", "1")) if "LOCAL_RANK" in os.environ else 1


def first() -> bool:
    """Whether this process is the one that writes and speaks."""
    return launched() == 1 or os.environ.get("RANK", "0") == "0"


def refuse_several() -> None:
    """Raise InvalidRequestError where a launcher started several processes."""
    if launched() > 1:
        raise InvalidRequestError(
            f"This training runs in one process, and {launched()} were started.",
            hint="Start it without a launcher; ogam train transformer alone shares its work.",
        )


class Processes:
    """This process among those of its run. ``count`` is 1 and ``rank`` 0 where it is alone.

    Made by :meth:`alone` or :func:`joined`. As a context manager it leaves at the end, however
    that comes: a process that goes with its group still open is aborted, now and then, by a
    thread of the group's (9 times in 40 on a busy machine, with torch 2.13).
    """

    def __init__(self, device: torch.device, rank: int = 0, count: int = 1) -> None:
        self.device, self.rank, self.count = device, rank, count
        self._parent = os.getppid()

    def __enter__(self) -> Processes:
        return self

    def __exit__(self, *error: object) -> None:
        self.leave()

    @classmethod
    def alone(cls, device: str) -> Processes:
        """The only process of a run, on the device of that name."""
        refuse_several()
        return cls(devices.find(device))

    @property
    def beside(self) -> int:
        """How many processes share this machine's cores."""
        return int(os.environ.get("LOCAL_WORLD_SIZE", self.count)) if self.count > 1 else 1

    def share(self, batches: Sequence[T], *, cut: bool = False) -> list[tuple[int, T]]:
        """This process's part of ``batches``, each with a number that no other part has.

        Whole batches, in turns; or, with ``cut``, a piece of every one that is long enough.
        """
        if not cut:
            return [one for one in enumerate(batches) if one[0] % self.count == self.rank]
        pieces: list[tuple[int, Any]] = [
            (place * self.count + self.rank, one[self.rank :: self.count])  # pyright: ignore[reportIndexIssue]
            for place, one in enumerate(batches)
        ]
        return [piece for piece in pieces if piece[1]]

    def add_gradients(self, parameters: Iterable[Tensor]) -> None:
        """Give every parameter the sum of all processes' gradients of it."""
        if self.count == 1:
            return
        import torch

        own = list(parameters)
        for one in own:
            if one.grad is None:  # no batch fell to this process
                one.grad = torch.zeros_like(one)
        gradients = [one.grad for one in own if one.grad is not None]
        flat = torch.cat([one.flatten() for one in gradients])
        self._sum(flat)
        for one, part in zip(gradients, flat.split([g.numel() for g in gradients]), strict=True):
            one.copy_(part.view_as(one))

    def total(self, *numbers: float) -> tuple[float, ...]:
        """The sum of each number over all processes, the same in each of them."""
        if self.count == 1:
            return numbers
        import torch

        sums = torch.tensor(numbers, dtype=torch.float64, device=self.device)
        self._sum(sums)
        return tuple(sums.tolist())

    def anyone(self, asked: bool) -> bool:
        """Whether a process was asked to stop, or has lost the launcher that would ask it."""
        if self.count == 1:
            return asked
        return self.total(float(asked or os.getppid() != self._parent))[0] > 0

    def wait(self) -> None:
        """Go on when all are here."""
        self.total(0.0)

    @contextlib.contextmanager
    def first_first(self) -> Generator[None]:
        """Inside, the first process is done before the others begin.

        Where it fails they end without a word: it has said why.
        """
        if self.rank:
            try:
                self.wait()
            except EngineError:
                raise SystemExit(1) from None
        yield
        if not self.rank:
            self.wait()

    def leave(self) -> None:
        """Go on alone, which is how a run ends: the others have nothing left to do."""
        if self.count == 1:
            return
        from torch import distributed

        self.count = 1
        distributed.destroy_process_group()

    def _sum(self, tensor: Tensor) -> None:
        from torch import distributed

        try:
            distributed.all_reduce(tensor)
        except RuntimeError:
            raise EngineError(
                "Another process of this run has ended.",
                hint="Go on from the last checkpoint with --resume.",
            ) from None


def joined(device: str) -> Processes:
    """This process, together with the others where a launcher started several.

    On CUDA each takes the device of its number; ``device`` cannot name one then. Raises
    InvalidRequestError for a device that cannot be used.
    """
    if launched() == 1:
        return Processes.alone(device)
    if ":" in device:
        raise InvalidRequestError(
            f"{launched()} processes cannot share {device}.",
            hint="Say --device cuda: each process takes one of its own.",
            param="device",
        )
    kind = devices.find(device).type
    if kind == "mps":
        raise InvalidRequestError(
            "Several processes cannot share an MPS device.", hint="Say --device cpu, or start one."
        )
    if kind == "cuda":
        devices.find(f"cuda:{os.environ['LOCAL_RANK']}")
    with needs("train"):
        from accelerate import PartialState
    with warnings.catch_warnings():
        # It tells how many threads it chose; the run has a setting of its own.
        warnings.simplefilter("ignore")
        state: Any = PartialState(cpu=kind == "cpu", timeout=_PATIENCE)
    return Processes(state.device, state.process_index, state.num_processes)

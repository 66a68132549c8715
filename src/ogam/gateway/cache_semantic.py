"""Which kept texts are near to a text: cosine over all vectors of a scope, by NumPy.

A scope is all that must be equal but for the text. Its vectors lie in one folder of the store,
a file each, named by the key of the answer; a process reads those that others added. Knows no
encoder: vectors are given to it.
"""

from __future__ import annotations

import math
import os
import threading
import time
from collections import OrderedDict
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from ogam.extras import needs
from ogam.gateway.cache_store import Store, is_hash

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# Of a scope the oldest go above this. A look among 10,000 vectors of 384 numbers takes 0.9 ms
# of one core, among 50,000 it takes 30.
MOST = 10_000
# So often a folder is looked at for what other processes added: to list 10,000 takes up to 0.5 s.
FRESH_SECONDS = 5.0
# Vectors of all scopes that one process holds, 77 MB of 384 numbers.
_HELD = 50_000
# So many of those near enough are offered, for the answer of the nearest may be gone.
_OFFERED = 8
# A folder that changes twice within a tick of the disk's clock shows one time.
_TICK = 0.1


class Near(NamedTuple):
    """The key of an answer, and the cosine of its text with the one that was asked for."""

    key: str
    cosine: float


class _Scope:
    """The vectors of a scope as rows, and which key each row is of."""

    def __init__(self, width: int) -> None:
        import numpy as np

        self._space: NDArray[np.float32] = np.zeros((0, width), np.float32)
        self.keys: list[str] = []
        self.read = -math.inf  # when its folder was last read, and the folder's time then
        self.changed = -1

    @property
    def rows(self) -> NDArray[np.float32]:
        return self._space[: len(self.keys)]

    def add(self, key: str, row: NDArray[np.float32]) -> None:
        import numpy as np

        if len(self.keys) == len(self._space):
            # By half more at a time: to copy 10,000 rows for each new one takes 5 ms.
            more = np.zeros((64 + len(self.keys) // 2, len(row)), np.float32)
            self._space = np.concatenate([self._space, more])
        self._space[len(self.keys)] = row
        self.keys.append(key)

    def keep(self, there: set[str]) -> None:
        stay = [at for at, key in enumerate(self.keys) if key in there]
        if len(stay) < len(self.keys):
            self._space = self._space[stay]
            self.keys = [self.keys[at] for at in stay]


class Nearest:
    """The vectors of one store. Every method blocks; ``vector`` is float32 bytes, of length 1."""

    def __init__(
        self, store: Store, most: int = MOST, *, fresh_seconds: float = FRESH_SECONDS
    ) -> None:
        self._store, self._most, self._fresh_seconds = store, most, fresh_seconds
        self._scopes: OrderedDict[tuple[str, int], _Scope] = OrderedDict()
        self._lock = threading.Lock()

    def find(self, scope: str, vector: bytes, similarity: float) -> list[Near]:
        """The texts whose cosine is ``similarity`` or more, the nearest first; a few."""
        with needs("local"):
            import numpy as np
        asked = np.frombuffer(vector, "<f4")
        with self._lock:
            held = self._fresh(scope, len(asked))
            if not held.keys:
                return []
            cosines = held.rows @ asked
            best = np.argsort(-cosines)[:_OFFERED]
            return [
                Near(held.keys[at], float(cosines[at])) for at in best if cosines[at] >= similarity
            ]

    def add(self, scope: str, key: str, vector: bytes) -> None:
        """Keep the vector of the text that ``key`` answers. OutputError as the store's."""
        import numpy as np

        self._store.write(key, vector, scope)
        row = np.frombuffer(vector, "<f4")
        with self._lock:
            held = self._scopes.get((scope, len(row)))
            if held is not None and key not in held.keys:
                held.add(key, row)

    def remove(self, scope: str, key: str) -> None:
        """Forget a vector, for its answer is gone."""
        self._store.remove(key, scope)
        with self._lock:
            for (name, _), held in self._scopes.items():
                if name == scope:
                    held.keep(set(held.keys) - {key})

    def _fresh(self, scope: str, width: int) -> _Scope:
        """A scope as its folder was a moment ago."""
        held = self._scopes.setdefault((scope, width), _Scope(width))
        self._scopes.move_to_end((scope, width))
        now = time.monotonic()
        if now - held.read >= self._fresh_seconds:
            held.read = now
            try:
                changed = self._store.scope(scope).stat().st_mtime_ns
            except OSError:
                changed = -1
            if changed != held.changed or changed < 0:
                there = self._there(scope)
                held.keep(there)
                for key in there - set(held.keys):
                    row = self._vector(scope, key, width)
                    if row is not None:
                        held.add(key, row)
                settled = time.time_ns() - changed > _TICK * 1e9
                held.changed = changed if settled else -1
        while len(self._scopes) > 1 and sum(len(one.keys) for one in self._scopes.values()) > _HELD:
            self._scopes.popitem(last=False)
        return held

    def _there(self, scope: str) -> set[str]:
        """The keys in a scope's folder; the oldest above the most go."""
        folder = self._store.scope(scope)
        try:
            names = [name for name in os.listdir(folder) if is_hash(name)]
        except OSError:
            return set()
        over = len(names) - self._most
        if over > 0:

            def used(name: str) -> float:
                try:
                    return os.stat(folder / name).st_mtime
                except OSError:
                    return 0.0

            names.sort(key=used)
            for name in names[:over]:
                with suppress(OSError):
                    os.unlink(folder / name)
            names = names[over:]
        return set(names)

    def _vector(self, scope: str, key: str, width: int) -> NDArray[np.float32] | None:
        """One vector; None, and forgotten, where the file is damaged."""
        import numpy as np

        data = self._store.read(key, scope)
        if data is None:
            return None
        if len(data) == 4 * width:
            row = np.frombuffer(data, "<f4")
            if abs(float(row @ row) - 1.0) < 1e-3:
                return row
        self._store.remove(key, scope)
        return None

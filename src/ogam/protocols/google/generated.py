"""Google's generated types, imported when first needed: a package of them takes up to 1.5 s."""

from __future__ import annotations

import importlib
import threading
from typing import Any

from ogam.extras import needs

# These packages import each other in circles: two threads at once see each other's halves.
_one_at_a_time = threading.Lock()


def load(package: str) -> Any:
    """The module, such as ``google.cloud.vision_v1.types``. Blocks; from any thread."""
    with _one_at_a_time, needs("grpc"):
        return importlib.import_module(package)

"""The same over gRPC."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ogam.gateway.dispatch import Gateway
from ogam.gateway.keys import Keys


def services(gateway: Gateway, keys: Keys) -> Sequence[Any]:  # noqa: ARG001
    """The handlers (grpc.GenericRpcHandler) of this protocol's services."""
    return ()

"""google.longrunning.Operations over gRPC: ours, and those that a vendor carries out."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from ogam.gateway.dispatch import Gateway
from ogam.gateway.keys import Keys
from ogam.protocols.google import operations, passing_work_rpc
from ogam.protocols.google.grpc import Rpc, Unary, known, parsed, service, types
from ogam.protocols.google.protojson import seconds
from ogam.protocols.serving import Protocol


def longrunning(gateway: Gateway, keys: Keys, protocol: Protocol) -> Any:
    """The service google.longrunning.Operations; the same whichever protocol adds it."""
    kept = operations.store(gateway)

    async def pb() -> Any:
        return await types("google.longrunning.operations_pb2")

    async def get(rpc: Rpc, asked: Any) -> bytes:
        found = await asyncio.to_thread(kept.get, asked.name, rpc.key.id)
        return (await as_message(found)).SerializeToString()

    async def wait(rpc: Rpc, asked: Any) -> bytes:
        told = known(asked.timeout) if asked.HasField("timeout") else None
        timeout = None if told is None else max(0.0, seconds(told, "timeout"))
        found = await kept.wait(asked.name, rpc.key.id, timeout)
        return (await as_message(found)).SerializeToString()

    async def cancel(rpc: Rpc, asked: Any) -> bytes:
        kept.cancel(asked.name, rpc.key.id)
        return b""

    async def delete(rpc: Rpc, asked: Any) -> bytes:
        kept.delete(asked.name, rpc.key.id)
        return b""

    def first(method: str, own: Callable[[Rpc, Any], Awaitable[bytes]]) -> Unary:
        """What a vendor says that carries the operation out, else what we do."""

        async def answer(rpc: Rpc, data: bytes) -> bytes:
            asked = parsed(getattr(await pb(), f"{method}Request"), data)
            passed = await passing_work_rpc.asked(rpc, method, asked.name, data)
            return await own(rpc, asked) if passed is None else passed

        return answer

    async def listed(rpc: Rpc, data: bytes) -> bytes:
        kinds = await pb()
        asked = parsed(kinds.ListOperationsRequest, data)
        found = await asyncio.to_thread(kept.list, asked.name, rpc.key.id)
        every = [await as_message(one) for one in found]
        return kinds.ListOperationsResponse(operations=every).SerializeToString()

    unary: dict[str, Unary] = {
        "GetOperation": first("GetOperation", get),
        "WaitOperation": first("WaitOperation", wait),
        "ListOperations": listed,
        "CancelOperation": first("CancelOperation", cancel),
        "DeleteOperation": first("DeleteOperation", delete),
    }
    return service("google.longrunning.Operations", gateway, keys, protocol, unary=unary)


async def as_message(operation: operations.Operation) -> Any:
    """An operation as a google.longrunning.Operation."""
    pb = await types("google.longrunning.operations_pb2")
    from google.protobuf import json_format

    for part in (operation.metadata, operation.response):
        # type.googleapis.com/google.cloud.vision.v1.OperationMetadata -> google.cloud.vision_v1
        kind: str = (part or {}).get("@type", "").rpartition("/")[2]
        if kind.startswith("google.cloud."):
            package, version, _ = kind.rsplit(".", 2)
            await types(f"{package}_{version}")
    value = msgspec.to_builtins(operation)
    return await asyncio.to_thread(json_format.ParseDict, value, pb.Operation())

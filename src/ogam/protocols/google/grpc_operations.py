"""google.longrunning.Operations over gRPC: ours, and those that a vendor carries out."""

from __future__ import annotations

import asyncio
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

    async def get(rpc: Rpc, data: bytes) -> bytes:
        asked = parsed((await pb()).GetOperationRequest, data)
        passed = await passing_work_rpc.asked(rpc, "GetOperation", asked.name, data)
        if passed is not None:
            return passed
        found = await asyncio.to_thread(kept.get, asked.name, rpc.key.id)
        return (await as_message(found)).SerializeToString()

    async def wait(rpc: Rpc, data: bytes) -> bytes:
        asked = parsed((await pb()).WaitOperationRequest, data)
        passed = await passing_work_rpc.asked(rpc, "WaitOperation", asked.name, data)
        if passed is not None:
            return passed
        told = known(asked.timeout) if asked.HasField("timeout") else None
        timeout = None if told is None else max(0.0, seconds(told, "timeout"))
        found = await kept.wait(asked.name, rpc.key.id, timeout)
        return (await as_message(found)).SerializeToString()

    async def listed(rpc: Rpc, data: bytes) -> bytes:
        kinds = await pb()
        asked = parsed(kinds.ListOperationsRequest, data)
        found = await asyncio.to_thread(kept.list, asked.name, rpc.key.id)
        every = [await as_message(one) for one in found]
        return kinds.ListOperationsResponse(operations=every).SerializeToString()

    async def cancel(rpc: Rpc, data: bytes) -> bytes:
        asked = parsed((await pb()).CancelOperationRequest, data)
        passed = await passing_work_rpc.asked(rpc, "CancelOperation", asked.name, data)
        if passed is None:
            kept.cancel(asked.name, rpc.key.id)
        return passed or b""

    async def delete(rpc: Rpc, data: bytes) -> bytes:
        asked = parsed((await pb()).DeleteOperationRequest, data)
        passed = await passing_work_rpc.asked(rpc, "DeleteOperation", asked.name, data)
        if passed is None:
            kept.delete(asked.name, rpc.key.id)
        return passed or b""

    unary: dict[str, Unary] = {
        "GetOperation": get,
        "WaitOperation": wait,
        "ListOperations": listed,
        "CancelOperation": cancel,
        "DeleteOperation": delete,
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

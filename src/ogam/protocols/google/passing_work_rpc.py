"""Operations at a vendor, begun and asked about over gRPC: see ``passing_work``."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

from ogam.capabilities.base import Capability
from ogam.errors import InvalidRequestError, VendorError
from ogam.gateway import caller
from ogam.gateway.dispatch import Target
from ogam.protocols.google import client_errors, client_rpc, passing_rpc, passing_work
from ogam.protocols.google.grpc import Rpc, parsed, types


async def begin(
    rpc: Rpc, capability: Capability, target: Target, message: passing_rpc.Message
) -> bytes | None:
    """Begin one at the vendor, where the route leads to one: its reply."""
    left: list[tuple[str, str]] = []

    def unsettled(model: str, hold: str) -> None:
        left.append((model, hold))

    found = await passing_rpc.through(rpc, capability, target, message, unsettled)
    if found is not None:
        name = message.answer.FromString(found).name
        await passing_work.remember(rpc, name, left, caller.current().answered)
    return found


async def asked(rpc: Rpc, method: str, name: str, data: bytes) -> bytes | None:
    """The vendor's reply to what is asked about an operation; None where it is none of theirs."""
    sent = await passing_work.found(rpc, name)
    if sent is None:
        return None
    raw = passing_work.engine(rpc.gateway, sent).raw
    if not client_rpc.answers(raw.vendor):
        return None
    import grpc

    method = f"/google.longrunning.Operations/{method}"
    where = passing_rpc.headers(rpc, {"name": name})
    try:
        got = await raw.rpc.unary(method, data, where)
    except grpc.RpcError as error:
        failure = client_errors.of_rpc(raw.vendor.name, error)
        if isinstance(failure, VendorError):
            raise failure from None
        await passing_rpc.refuse(rpc, error)
        raise AssertionError from None  # it has ended the call
    if method.endswith(("/GetOperation", "/WaitOperation")) and not sent.settled:
        with suppress(InvalidRequestError):
            await passing_work.settle(rpc.gateway, sent, await _read(got))
    return got


async def _read(data: bytes) -> dict[str, Any]:
    """An operation of gRPC as JSON, its answer too where Google's types are known here."""
    from google.protobuf import json_format
    from google.protobuf.message import DecodeError

    message = parsed((await types("google.longrunning.operations_pb2")).Operation, data)
    for part in (message.metadata, message.response):
        kind = part.type_url.rpartition("/")[2]
        if kind.startswith("google.cloud."):
            package, version, _ = kind.rsplit(".", 2)
            await types(f"{package}_{version}")
    try:
        return await asyncio.to_thread(json_format.MessageToDict, message)
    except (DecodeError, TypeError, ValueError) as error:
        raise InvalidRequestError(str(error)) from None

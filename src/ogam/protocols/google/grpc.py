"""What Google's protocols share over gRPC: keys in metadata, errors, messages to wire types.

Handlers get and give bytes: Google's generated types take 1.5 s to import, so a service
imports them at its first call (:func:`types`), in a thread. Knows no service but
``google.longrunning.Operations``.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from contextlib import aclosing
from typing import Any, TypeVar, cast

import msgspec

from ogam.errors import EngineError, InvalidRequestError, OgamError
from ogam.extras import needs
from ogam.gateway import caller
from ogam.gateway.caller import Caller
from ogam.gateway.dispatch import Gateway
from ogam.gateway.keys import Key, Keys
from ogam.protocols.google import errors, generated, operations
from ogam.protocols.google.protojson import seconds
from ogam.protocols.serving import Call, Protocol

T = TypeVar("T")
_log = logging.getLogger("ogam.server")


class Rpc(msgspec.Struct, frozen=True, kw_only=True):
    """One gRPC call being answered. ``context`` is grpc's."""

    gateway: Gateway
    protocol: Protocol
    key: Key
    context: Any

    model = Call.model

    async def while_there(self, work: Coroutine[Any, Any, T]) -> T:
        """Do ``work``. grpc cancels it when the client leaves."""
        return await work


# Bytes in, bytes out; a stream has them as iterators.
Unary = Callable[[Rpc, bytes], Awaitable[bytes]]
Streaming = Callable[[Rpc, AsyncIterator[bytes]], AsyncGenerator[bytes]]


def service(
    name: str,
    gateway: Gateway,
    keys: Keys,
    protocol: Protocol,
    *,
    unary: Mapping[str, Unary] | None = None,
    streaming: Mapping[str, Streaming] | None = None,
) -> Any:
    """A grpc.GenericRpcHandler that answers ``/name/Method`` for each method given."""
    with needs("grpc"):
        import grpc

    def begin(context: Any) -> Rpc:
        key = keys.check(_key(context), protocol.name)
        caller.bind(Caller(key=key, protocol=protocol.name))
        return Rpc(gateway=gateway, protocol=protocol, key=key, context=context)

    def one(work: Unary) -> Any:
        async def handler(data: bytes, context: Any) -> bytes:
            try:
                return await work(begin(context), data)
            except Exception as error:
                await _abort(context, error)
                raise
            finally:
                gateway.end_begun()

        return grpc.unary_unary_rpc_method_handler(handler)  # pyright: ignore

    def many(work: Streaming) -> Any:
        async def handler(data: AsyncIterator[bytes], context: Any) -> AsyncIterator[bytes]:
            try:
                # Closed with the call, so that a client that cancels stops the work at once.
                async with aclosing(work(begin(context), data)) as pieces:
                    async for piece in pieces:
                        yield piece
            except Exception as error:
                await _abort(context, error)
                raise
            finally:
                gateway.end_begun()

        return grpc.stream_stream_rpc_method_handler(handler)  # pyright: ignore

    methods = {method: one(work) for method, work in (unary or {}).items()}
    methods |= {method: many(work) for method, work in (streaming or {}).items()}
    return grpc.method_handlers_generic_handler(name, methods)


def _key(context: Any) -> str | None:
    shown: dict[str, str] = dict(context.invocation_metadata() or ())
    kind, _, token = shown.get("authorization", "").partition(" ")
    return shown.get("x-goog-api-key") or (token.strip() if kind.lower() == "bearer" else None)


async def _abort(context: Any, error: Exception) -> None:
    """End the call in Google's shape; what is no error of Ogam's is logged and INTERNAL."""
    import grpc

    if isinstance(error, grpc.aio.AbortError):
        return
    if not isinstance(error, OgamError):
        _log.error("a gRPC call failed", exc_info=error)
        error = EngineError(f"Something failed here: {type(error).__name__}.")
    code = getattr(grpc.StatusCode, errors.name(error))
    said = errors.status(error)["message"]
    details = (("grpc-status-details-bin", errors.packed(error)),)
    await context.abort(code, said, details)


async def types(package: str) -> Any:
    """Google's generated types, such as ``google.cloud.vision_v1.types``."""
    return await asyncio.to_thread(generated.load, package)


def parsed(kind: Any, data: bytes) -> Any:
    """A protocol buffer of ``kind``. InvalidRequestError where the bytes are none."""
    from google.protobuf.message import DecodeError

    try:
        return kind.FromString(data)
    except DecodeError as error:
        raise InvalidRequestError(f"The message cannot be read: {error}.") from None


def from_message(message: Any) -> dict[str, Any]:
    """A protocol buffer as the dictionary that its JSON would be, with bytes as they are."""
    found: dict[str, Any] = {}
    for field, value in message.ListFields():
        if field.message_type is None:
            is_list = field.is_repeated
            found[field.json_name] = list(value) if is_list else value
        elif field.message_type.GetOptions().map_entry:
            found[field.json_name] = dict(value)
        elif field.is_repeated:
            found[field.json_name] = [from_message(item) for item in value]
        else:
            found[field.json_name] = _known(value)
    return found


def _known(message: Any) -> Any:
    """The types that have a JSON of their own."""
    full = message.DESCRIPTOR.full_name
    if full in (
        "google.protobuf.Duration",
        "google.protobuf.Timestamp",
        "google.protobuf.FieldMask",
    ):
        try:
            return message.ToJsonString()
        except ValueError as error:  # a duration of a million years, a path that is none
            raise InvalidRequestError(f"The message cannot be read: {error}") from None
    if full.startswith("google.protobuf.") and full.endswith("Value"):
        return message.value
    return from_message(message)


def fields(value: msgspec.Struct) -> dict[str, Any]:
    """A wire type as keyword arguments of its protocol buffer, which takes names of enums."""
    found: dict[str, Any] = {}
    for name in value.__struct_fields__:
        item = getattr(value, name)
        if not item:
            continue  # 0, "" and [] are what a protocol buffer has by itself
        if isinstance(item, msgspec.Struct):
            found[name] = fields(item)
        elif isinstance(item, list) and isinstance(item[0], msgspec.Struct):
            found[name] = [fields(one) for one in cast(list[msgspec.Struct], item)]
        else:
            found[name] = item
    return found


def longrunning(gateway: Gateway, keys: Keys, protocol: Protocol) -> Any:
    """The service google.longrunning.Operations; the same whichever protocol adds it."""
    kept = operations.store(gateway)

    async def pb() -> Any:
        return await types("google.longrunning.operations_pb2")

    async def get(rpc: Rpc, data: bytes) -> bytes:
        asked = parsed((await pb()).GetOperationRequest, data)
        found = await asyncio.to_thread(kept.get, asked.name, rpc.key.id)
        return (await as_message(found)).SerializeToString()

    async def wait(rpc: Rpc, data: bytes) -> bytes:
        asked = parsed((await pb()).WaitOperationRequest, data)
        told = _known(asked.timeout) if asked.HasField("timeout") else None
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
        kept.cancel(parsed((await pb()).CancelOperationRequest, data).name, rpc.key.id)
        return b""

    async def delete(rpc: Rpc, data: bytes) -> bytes:
        kept.delete(parsed((await pb()).DeleteOperationRequest, data).name, rpc.key.id)
        return b""

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

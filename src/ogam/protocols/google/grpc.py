"""What Google's protocols share over gRPC: keys in metadata, errors, messages to wire types.

Handlers get and give bytes: Google's generated types take 1.5 s to import, so a service
imports them at its first call (:func:`types`), in a thread. Knows no service.
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
from ogam.protocols.google import errors, generated
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
                try:
                    return await work(begin(context), data)
                finally:
                    gateway.end_begun()  # before the client hears of it
            except Exception as error:
                await _abort(context, error)
                raise

        return grpc.unary_unary_rpc_method_handler(handler)  # pyright: ignore

    def many(work: Streaming) -> Any:
        async def handler(data: AsyncIterator[bytes], context: Any) -> AsyncIterator[bytes]:
            try:
                try:
                    # Closed with the call, so that a client that cancels stops the work at once.
                    async with aclosing(work(begin(context), data)) as pieces:
                        async for piece in pieces:
                            yield piece
                finally:
                    gateway.end_begun()
            except Exception as error:
                await _abort(context, error)
                raise

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
            found[field.json_name] = known(value)
    return found


def known(message: Any) -> Any:
    """A message as its JSON, that of Google's own types too."""
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

"""What Google's protocols share of messages that go through unchanged over gRPC, one each way.

As bytes, where nothing changes; else by Google's own types, which keep fields that they do not
know.
"""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, cast
from urllib.parse import quote

import msgspec

from ogam.capabilities.base import Capability, Units
from ogam.errors import InvalidRequestError, VendorError
from ogam.gateway.billing import Billing, Price
from ogam.gateway.bounds import Unprovable
from ogam.gateway.dispatch import Target
from ogam.gateway.routing import Facts
from ogam.protocols import forwarding
from ogam.protocols.forwarding import Head
from ogam.protocols.google import client_errors, client_rpc, passing, protojson
from ogam.protocols.google.grpc import Rpc, from_message

_OWN = frozenset(("x-goog-api-key", "x-goog-request-params", "x-goog-user-project"))


class Message(forwarding.Whole):
    """A message on its way to ``method``, and what it is answered; both are Google's types."""

    # What is answered is no JSON.
    promised: tuple[str, ...] | None = None
    kind: type[msgspec.Struct]

    def __init__(self, rpc: Rpc, method: str, data: bytes, message: Any, answer: Any) -> None:
        self._rpc, self._method, self._data = rpc, method, data
        self._message, self.answer = message, answer
        self.refused: Any = None

    @abstractmethod
    def facts(self) -> Facts:
        """What conditions of a route are about."""

    @abstractmethod
    def bound(self, price: Price) -> Billing | Unprovable:
        """The most that it is billed for, where nothing unknown is in it. Blocking."""

    @abstractmethod
    async def changed(self, message: Any, engine: Any, model: str) -> dict[str, str] | None:
        """Put in what the vendor is to read, and say by what its servers are found; None where
        it stays as it is.
        """

    @abstractmethod
    async def told(self, answer: dict[str, Any]) -> Units | None:
        """What an answer says was used."""

    @property
    def said(self) -> bytes:
        """The message as JSON, pictures and sound by their hash."""
        return passing.kept(from_message(self._message))

    async def prove(self, price: Price) -> Billing | Unprovable:
        """By what is known of it."""
        return await asyncio.to_thread(self._prove, price)

    def _prove(self, price: Price) -> Billing | Unprovable:
        return odd(self._message, self.kind) or self.bound(price)

    async def send(
        self,
        engine: Any,
        model: str,
        *,
        paid: bool,  # noqa: ARG002 - nothing is put in
    ) -> tuple[Head, bytes, Units | None]:
        """Send it."""
        import grpc

        own = type(self._message)()
        own.CopyFrom(self._message)
        found = await self.changed(own, engine, model)
        data = self._data if found is None else await asyncio.to_thread(own.SerializeToString)
        try:
            got = await engine.raw.rpc.unary(self._method, data, headers(self._rpc, found or {}))
        except grpc.RpcError as error:
            failure = client_errors.of_rpc(engine.raw.vendor.name, error)
            if isinstance(failure, VendorError):
                raise failure from None
            self.refused = error
            return Head(status=400, headers=()), b"", None
        answer = await asyncio.to_thread(self._read, engine, got)
        head = Head(status=200, headers=(("content-type", "application/grpc"),))
        return head, got, await self.told(answer)

    def _read(self, engine: Any, data: bytes) -> dict[str, Any]:
        from google.protobuf.message import DecodeError

        try:
            return from_message(self.answer.FromString(data))
        except (DecodeError, InvalidRequestError) as error:
            raise engine.raw.odd(error) from None


async def through(
    rpc: Rpc,
    capability: Capability,
    target: Target,
    message: Message,
    unsettled: Callable[[str, str], None] | None = None,
) -> bytes | None:
    """The vendor's own answer; None where the call is for other steps of its route, or for a
    vendor that is not known to answer gRPC. What the vendor finds wrong ends the call as it said.
    """
    if not answered(rpc, capability, target):
        return None
    call = cast(Any, rpc)
    response = await forwarding.through(call, capability, target, message, unsettled=unsettled)
    if response is None:
        return None
    await refuse(rpc, message.refused)
    return bytes(response.body)


def answered(rpc: Rpc, capability: Capability, target: Target) -> bool:
    """Whether the vendors of this protocol on the route are known to answer gRPC."""
    vendors = map(rpc.gateway.vendor, rpc.gateway.route(capability, target).names)
    own = (one for one in vendors if one is not None and one.protocol == rpc.protocol.name)
    return all(map(client_rpc.answers, own))


def headers(rpc: Rpc, where: Mapping[str, str]) -> list[tuple[str, str]]:
    """What of the client's metadata goes to the vendor, and by what its servers are found."""
    given = cast(Any, rpc.context.invocation_metadata() or ())
    found = [
        (name, value)
        for name, value in given
        if name.startswith("x-goog-") and name not in _OWN and isinstance(value, str)
    ]
    if where:
        params = "&".join(f"{key}={quote(one, safe='')}" for key, one in where.items())
        found.append(("x-goog-request-params", params))
    return found


async def refuse(rpc: Rpc, error: Any) -> None:
    """End the call as the vendor ended it, where it did: ``error`` is its grpc.RpcError."""
    if error is None:
        return
    kept = "grpc-status-details-bin"
    details = tuple(one for one in error.trailing_metadata() or () if one[0] == kept)
    await rpc.context.abort(error.code(), error.details() or "", details)


def odd(message: Any, kind: type[msgspec.Struct]) -> Unprovable | None:
    """Why what ``message`` costs is not known, where something unknown is in it."""
    if _has_unknown(message):
        return passing.unknown("a field that is not known here")
    try:
        protojson.convert(from_message(message), kind)
    except InvalidRequestError as error:
        return Unprovable(reason=f"What this costs is not known: {error.message}")
    return None


def _has_unknown(message: Any) -> bool:
    from google.protobuf.unknown_fields import UnknownFieldSet

    if len(UnknownFieldSet(message)):
        return True
    for field, value in message.ListFields():
        if field.message_type is None:
            continue
        if field.message_type.GetOptions().map_entry:
            inner = field.message_type.fields_by_name["value"].message_type
            inside = list(value.values()) if inner is not None else []
        else:
            inside = value if field.is_repeated else [value]
        if any(_has_unknown(one) for one in inside):
            return True
    return False

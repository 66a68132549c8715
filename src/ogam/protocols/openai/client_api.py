"""A vendor's address, asked in OpenAI's protocol: the key, the statuses, the JSON."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing, asynccontextmanager
from typing import TypeVar
from urllib.parse import urlsplit

import msgspec

from ogam.capabilities.base import ModelRef
from ogam.errors import NotConfiguredError, OgamError, UnknownModelError, VendorError
from ogam.net import Client, Headers, Reply, Streamed, sse
from ogam.protocols.openai import client_errors
from ogam.protocols.openai.wire_replies import Chat, SpeechEvent, Transcript
from ogam.vendors import BUILT_IN, Vendor

T = TypeVar("T")
E = TypeVar("E", Chat, SpeechEvent, Transcript)
JSON = "application/json"
_LONGEST_ERROR = 65_536  # bytes of an error's body that are read from a stream
# OpenAI's own hosts, its regions among them, and Microsoft's, which run the same models.
_OWN = (".openai.com", ".openai.azure.com")


def is_own(url: str) -> bool:
    """Whether a vendor's address is OpenAI's, and not another server that speaks its protocol."""
    return (urlsplit(url).hostname or "").endswith(_OWN)


class Api:
    """One vendor, asked for one model. ``own``: it is OpenAI itself."""

    def __init__(self, ref: ModelRef, vendor: Vendor, http: Client) -> None:
        self.ref, self.vendor, self.http = ref, vendor, http
        self.own = is_own(vendor.url)

    @property
    def model(self) -> str:
        """The model by the vendor's name for it."""
        if not self.ref.model:
            raise UnknownModelError(
                f"{self.ref.name!r} names no model.",
                hint=f"Such as {self.vendor.name}/gpt-4o-mini.",
                param="model",
            )
        return self.ref.model

    def headers(self, *given: tuple[str, str]) -> list[tuple[str, str]]:
        """The fields of a request. NotConfiguredError where OpenAI's key is missing."""
        fields = {name.lower(): value for name, value in given}
        if self.vendor.key:
            fields["authorization"] = f"Bearer {self.vendor.key}"
        fields |= {name.lower(): value for name, value in self.vendor.headers.items()}
        if self.own and not {"authorization", "api-key"} & set(fields):
            built_in = BUILT_IN.get(self.vendor.name)
            variable = built_in.key_env if built_in else ""
            raise NotConfiguredError(
                f"{self.vendor.name} wants a key, and none is set.",
                hint=f"Set {variable}, or key in ogam.toml's [vendors.{self.vendor.name}]."
                if variable
                else f"Name its variable: key_env in ogam.toml's [vendors.{self.vendor.name}].",
            )
        return list(fields.items())

    async def post(self, path: str, body: bytes, content_type: str = JSON) -> Reply:
        """Send a body, and take the whole reply; a status that is no 2xx is raised."""
        reply = await self.http.request(
            "POST",
            path,
            headers=self.headers(("content-type", content_type)),
            body=body,
            timeout=self.vendor.timeout,
        )
        if not 200 <= reply.status < 300:
            raise self.failure(reply.status, reply.headers, reply.body)
        return reply

    @asynccontextmanager
    async def stream(
        self, path: str, body: bytes, content_type: str = JSON
    ) -> AsyncGenerator[Streamed]:
        """Send a body, and take the reply as it comes. Leaving early ends the connection."""
        async with self.http.stream(
            "POST",
            path,
            headers=self.headers(("content-type", content_type)),
            body=body,
            timeout=self.vendor.timeout,
        ) as streamed:
            if not 200 <= streamed.status < 300:
                raise await self.refused(streamed)
            yield streamed

    async def events(
        self, path: str, body: bytes, kind: type[E], content_type: str = JSON
    ) -> AsyncGenerator[E | None]:
        """The events of a stream; None is the ``[DONE]`` that ends it, after which nothing comes.

        VendorError for one that tells an error, or is not ``kind``.
        """
        decoder = msgspec.json.Decoder(kind, strict=False)
        async with self.stream(path, body, content_type) as streamed:
            # A server that cannot stream answers whole, or in its own web page.
            if "event-stream" not in streamed.headers.get("content-type", "text/event-stream"):
                raise self.unreadable("no stream of events")
            async with aclosing(sse.events(streamed)) as events:
                async for name, data in events:
                    if data.strip() == b"[DONE]":
                        yield None
                        return
                    if name == "error":
                        raise self.broken(data)
                    try:
                        event = decoder.decode(data)
                    except (msgspec.DecodeError, UnicodeDecodeError) as error:
                        raise self.unreadable(error) from None
                    # vLLM has told one by "object".
                    if event.error is not None or getattr(event, "object", None) == "error":
                        raise self.broken(data)
                    yield event

    def read(self, body: bytes, kind: type[T]) -> T:
        """A JSON body as ``kind``; VendorError where it is not."""
        try:
            return msgspec.json.decode(body, type=kind, strict=False)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise self.unreadable(error) from None

    def broken(self, data: bytes) -> VendorError:
        """The error for one that a stream tells."""
        return client_errors.broken(data, vendor=self.vendor.name, key=self.vendor.key)

    def unreadable(self, why: object) -> VendorError:
        """The error for a reply that is not what the protocol promises."""
        return client_errors.unreadable(why, vendor=self.vendor.name)

    def cut(self) -> VendorError:
        """The error for a stream that ends before it says so."""
        return VendorError(f"{self.vendor.name} ended its answer in the middle.")

    def failure(self, status: int, headers: Headers, body: bytes) -> OgamError:
        """The error for a reply that is no 2xx."""
        return client_errors.failure(
            status, headers, body, vendor=self.vendor.name, key=self.vendor.key
        )

    async def refused(self, streamed: Streamed) -> OgamError:
        """The same, for one whose body is still to come."""
        body = bytearray()
        async for chunk in streamed:
            body += chunk
            if len(body) > _LONGEST_ERROR:
                break
        return self.failure(streamed.status, streamed.headers, bytes(body))

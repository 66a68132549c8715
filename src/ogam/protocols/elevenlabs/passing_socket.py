"""The socket ``stream-input`` on its way to a vendor that speaks ElevenLabs's protocol: one call
of the gateway, with messages that go on as they came, in both directions.

Its money is :mod:`ogam.protocols.elevenlabs.aside`'s. Knows nothing of sound.
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote_plus

import msgspec
from starlette.websockets import WebSocketDisconnect

from ogam.errors import DeadlineError, InvalidRequestError, VendorError
from ogam.gateway.passed import PassedResult
from ogam.gateway.routing import Facts
from ogam.gateway.walk import Attempt
from ogam.protocols import forwarding
from ogam.protocols.elevenlabs import languages, passing
from ogam.protocols.elevenlabs.aside import Aside, Block, Data, Message
from ogam.protocols.elevenlabs.client_calls import Account
from ogam.protocols.serving import SocketCall

if TYPE_CHECKING:
    from websockets.asyncio.client import ClientConnection
    from websockets.frames import Close

LONGEST_IDLE = 180.0  # seconds; the vendor's
# Seconds for the vendor to agree that it is over, its messages that wait, and bytes of one.
_LIMITS = {"close_timeout": 1.0, "max_queue": 4, "max_size": 64_000_000}
_FREE_QUERY = frozenset(
    (
        *("authorization", "model_id", "language_code", "output_format", "inactivity_timeout"),
        *("enable_logging", "enable_ssml_parsing", "optimize_streaming_latency", "auto_mode"),
        *("apply_text_normalization", "sync_alignment", "seed"),
    )
)
# What the vendor may say that is no fault of the request: the status that HTTP has for it.
# https://elevenlabs.io/docs/eleven-api/resources/errors
_STATUSES = {
    "authentication_error": 401,
    "authorization_error": 403,
    "concurrent_limit_exceeded": 429,
    "detected_unusual_activity": 401,
    "internal_server_error": 500,
    "invalid_api_key": 401,
    "missing_api_key": 401,
    "missing_permissions": 403,
    "needs_authorization": 401,
    "payment_required": 402,
    "quota_exceeded": 401,
    "rate_limit_error": 429,
    "rate_limit_exceeded": 429,
    "server_error": 500,
    "service_unavailable": 503,
    "subscription_required": 403,
    "system_busy": 429,
    "too_many_concurrent_requests": 429,
}
_DONE, _POLICY, _BROKEN = 1000, 1008, 1011


class IdleError(InvalidRequestError):
    """The client has sent nothing for too long."""


async def receive(socket: Any, patience: float) -> Data:
    """The client's next message. WebSocketDisconnect where it has left."""
    try:
        message = await asyncio.wait_for(socket.receive(), patience)
    except TimeoutError:
        raise IdleError(
            f"No text came for {patience:g} seconds.",
            hint='Send {"text": " "} now and then, or ask for another inactivity_timeout.',
        ) from None
    if message["type"] == "websocket.disconnect":
        raise WebSocketDisconnect(message.get("code") or 1005)
    data = message.get("text")
    return data if data is not None else message["bytes"]


async def through(call: SocketCall, data: Data) -> bool:
    """Talk to the vendor until either side is done; ``data`` is the first message.

    False where the call is for other steps of its route: it goes on there, where this ended.
    """
    gateway, voice = call.gateway, call.params["voice_id"]
    own = voice in gateway.config.names or not passing.ID.fullmatch(voice)
    if own or not gateway.forwards(call.protocol.name):
        return False
    fields = dict(call.socket.query_params)
    target = call.model(fields.get("model_id"))
    code = fields.get("language_code")
    facts = Facts(languages=(languages.tag(code),) if code else None)
    way = forwarding.way(call, "speak", target, lambda: facts)
    if way is None or way.route.cache or way.route.record:
        return False
    first = Message.read(data)
    asked = Block(first, frozenset(fields) - _FREE_QUERY)
    trail = gateway.trail("speak", target)
    walk = gateway.walk(trail, way.route, way.steps, asked)
    result: PassedResult | None = None
    failure: BaseException | None = None
    over = True
    try:
        for attempt in walk:
            async with attempt, AsyncExitStack() as stack:
                await attempt.begin()
                assert attempt.vendor is not None
                account = Account(attempt.vendor)
                where = f"/v1/text-to-speech/{voice}/stream-input{_query(call, attempt)}"
                opening = account.connected(where, "to speak", **_LIMITS)
                try:
                    socket = await attempt.within(stack.enter_async_context(opening))
                except DeadlineError as error:
                    raise VendorError(error.message, sent=False) from None
                except VendorError as error:
                    # Whatever fails here, nothing was said; what it refuses is not asked again.
                    error.sent = error.status is not None and error.status < 500
                    raise
                attempt.commit()
                trail.caller.answered = attempt.step.model
                aside = Aside(gateway, trail, attempt, asked)
                talk = _Talk(call.socket, socket, account, aside)
                result = await aside.spent(talk.run(first))
                return True
        if not way.behind:
            raise walk.failure()
        over = False
        way.hand_on(trail)
        return False
    except BaseException as error:
        failure = error
        raise
    finally:
        if over:
            gateway.spending.end(trail, result, failure)


class _Told(msgspec.Struct, kw_only=True):
    """What is read of a message of the vendor's."""

    audio: msgspec.Raw = msgspec.Raw(b"null")
    last: Any = msgspec.field(default=None, name="isFinal")
    error: Any = None
    code: Any = None
    type: Any = None
    message: Any = None


class _Talk:
    """Messages to and fro. ``heard``: there was sound."""

    def __init__(
        self, client: Any, vendor: ClientConnection, account: Account, aside: Aside
    ) -> None:
        self._client, self._vendor = client, vendor
        self._account, self._aside = account, aside
        self._heard = self._refused = self._ended = self._finished = self._fresh = False

    async def run(self, first: Message) -> bool:
        """Until either side closes; whether the vendor refused to speak.

        VendorError where the vendor breaks off, WebSocketDisconnect where the client does.
        """
        up, down = asyncio.create_task(self._up(first)), asyncio.create_task(self._down())
        try:
            await asyncio.wait((up, down), return_when=asyncio.FIRST_COMPLETED)
            if not down.done():
                up.result()
                await asyncio.wait((down,))
            closed = down.result()
        except WebSocketDisconnect:
            if self._finished:
                return False
            raise
        finally:
            up.cancel()
            down.cancel()
            await asyncio.gather(up, down, return_exceptions=True)
        await self._close(closed)
        code = closed.code if closed else _BROKEN
        if not self._heard and (self._refused or code == _POLICY):
            return True
        if code != _DONE and not self._finished:
            raise VendorError(f"{self._account.vendor.name} broke off, with {code}.")
        return False

    async def _up(self, message: Message) -> None:
        from websockets.exceptions import ConnectionClosed

        while True:
            await self._aside.take(message)
            self._aside.characters += message.characters
            self._ended = self._ended or message.last
            try:
                await self._vendor.send(message.data)
            except ConnectionClosed:
                self._aside.characters -= message.characters
                return  # why, is told where it is listened to
            message = Message.read(await self._next())

    async def _next(self) -> Data:
        while True:
            self._fresh = False
            try:
                return await receive(self._client, LONGEST_IDLE)
            except IdleError:
                # Who has said all still listens.
                if not (self._ended and self._fresh):
                    raise

    async def _down(self) -> Close | None:
        from websockets.exceptions import ConnectionClosed

        while True:
            try:
                data = await self._vendor.recv()
            except ConnectionClosed as closed:
                return closed.rcvd
            self._read(data)
            if isinstance(data, str):
                await self._client.send_text(data)
            else:
                await self._client.send_bytes(data)

    def _read(self, data: Data) -> None:
        """Learn how it goes. VendorError where it is refused for what the client cannot help."""
        self._fresh = True
        try:
            told = msgspec.json.decode(data, type=_Told)
        except (msgspec.DecodeError, UnicodeDecodeError):
            self._heard = self._heard or isinstance(data, bytes)
            return
        self._heard = self._heard or bytes(told.audio) not in (b"null", b'""')
        self._finished = self._finished or (self._ended and told.last is True)
        # "code" is a name or a number; "type" says of an error what it is, of all else something.
        if self._heard or (told.error is None and not isinstance(told.code, str)):
            return
        names = [one for one in (told.error, told.code, told.type) if isinstance(one, str)]
        code = next((one for one in names if one in _STATUSES), None)
        if code is not None:
            said = {"code": code, "message": told.message}
            body = msgspec.json.encode({"detail": said})
            raise self._account.refusal(_STATUSES[code], body)
        self._refused = True

    async def _close(self, closed: Close | None) -> None:
        """Close the client's side as the vendor's was."""
        code, reason = (closed.code, closed.reason) if closed else (_BROKEN, "")
        if not (1000 <= code <= 1003 or 1007 <= code <= 1014 or 3000 <= code <= 4999):
            code = _BROKEN
        said = self._account.vendor.told(reason).encode()[:123].decode(errors="ignore")
        with suppress(RuntimeError, WebSocketDisconnect):
            await self._client.close(code, said)


def _query(call: SocketCall, attempt: Attempt) -> str:
    """The address's, with the step's model and without a key; all else as it came."""
    model = attempt.step.model.partition("/")[2]
    query: str = call.socket.scope["query_string"].decode("latin-1")
    placed, parts = not model, list[str]()
    for part in query.split("&") if query else ():
        name, _, value = (unquote_plus(one) for one in part.partition("="))
        if name == "model_id":
            if not placed:
                parts.append(part if value == model else f"model_id={quote(model, safe='')}")
            placed = True
        elif name != "authorization":
            parts.append(part)
    if not placed:
        parts.append(f"model_id={quote(model, safe='')}")
    return "?" + "&".join(parts) if parts else ""

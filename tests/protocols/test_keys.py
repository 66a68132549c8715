"""One key of Ogam's in all five SDKs: let in, limited, refused, revoked, each in its own words."""

from __future__ import annotations

import asyncio
import io
import struct
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import deepl
import grpc
import httpx
import openai
import pytest
from deepl import http_client
from elevenlabs.client import ElevenLabs
from elevenlabs.core.api_error import ApiError
from google.api_core import exceptions as google
from google.cloud import speech_v1, vision
from google.cloud.speech_v1.services.speech.transports import SpeechGrpcTransport
from PIL import Image

from ogam import registry
from ogam.capabilities.base import CAPABILITIES, checkpoint
from ogam.capabilities.speech_synthesis import SpeakRequest, SpeakResult
from ogam.config import Config, Route, Routes
from ogam.config import Server as ServerConfig
from ogam.engines.fake import FakeEngine
from ogam.gateway.keys import hash_key, new_key
from ogam.gateway.ledger import Budget, Ledger, StoredKey
from ogam.gateway.policy import Policy
from ogam.vendors import VendorSettings

from .conftest import Address, running

_buffer = io.BytesIO()
Image.new("RGB", (32, 32), "white").save(_buffer, "PNG")
PNG = _buffer.getvalue()
PCM = struct.pack("<8000h", *(one * 37 % 4000 for one in range(8000)))
VENDORS = ("openai", "elevenlabs", "deepl", "google_vision", "google_speech")


def write(server: Address, key: str) -> str:
    with openai.OpenAI(base_url=f"{server.http}/v1", api_key=key, max_retries=0) as client:
        asked: Any = [{"role": "user", "content": "Hello"}]
        found = client.chat.completions.create(model="gpt-4o-mini", messages=asked, max_tokens=8)
        return found.choices[0].message.content or ""


def speak(server: Address, key: str) -> str:
    with httpx.Client(timeout=30) as http:
        client = ElevenLabs(base_url=server.http, api_key=key, httpx_client=http)
        sound = client.text_to_speech.convert(
            "ada", text="Hello there.", request_options={"max_retries": 0}
        )
        return str(len(b"".join(sound)))


def translate(server: Address, key: str) -> str:
    client = deepl.DeepLClient(key, server_url=f"{server.http}/")
    try:
        return client.translate_text("Hello", target_lang="DE").text
    finally:
        client.close()


def see(server: Address, key: str) -> str:
    options = {"api_endpoint": server.http, "api_key": key}
    client = vision.ImageAnnotatorClient(transport="rest", client_options=options)
    found = client.text_detection(image=vision.Image(content=PNG))
    return found.error.message or "seen"


def hear(server: Address, key: str) -> str:
    options = {"api_endpoint": server.http, "api_key": key}
    client = speech_v1.SpeechClient(transport="rest", client_options=options)
    return str(client.recognize(**_recording()).results)


def hear_over_grpc(server: Address, key: str) -> str:
    with grpc.insecure_channel(server.grpc) as channel:
        client = speech_v1.SpeechClient(transport=SpeechGrpcTransport(channel=channel))
        return str(client.recognize(**_recording(), metadata=[("x-goog-api-key", key)]).results)


def _recording() -> dict[str, Any]:
    config = {"encoding": "LINEAR16", "sample_rate_hertz": 16_000, "language_code": "en-US"}
    return {"config": config, "audio": {"content": PCM}}


SDKS: list[Callable[[Address, str], str]] = [write, speak, translate, see, hear, hear_over_grpc]
# What each SDK raises: for a key that is none, for what it may not do, for too much, for no money.
UNKNOWN = {
    write: openai.AuthenticationError,
    speak: ApiError,
    translate: deepl.AuthorizationException,
    see: google.BadRequest,
    hear: google.BadRequest,
    hear_over_grpc: google.BadRequest,
}
FORBIDDEN = {
    write: openai.PermissionDeniedError,
    speak: ApiError,
    translate: deepl.AuthorizationException,
    see: google.Forbidden,
    hear: google.Forbidden,
    hear_over_grpc: google.Forbidden,
}
LIMITED = {
    write: openai.RateLimitError,
    speak: ApiError,
    translate: deepl.TooManyRequestsException,
    see: google.TooManyRequests,
    hear: google.TooManyRequests,
    hear_over_grpc: google.TooManyRequests,
}
STATUS = {"unknown": 401, "forbidden": 403, "limited": 429, "budget": 401}


@pytest.fixture(autouse=True)
def _once(monkeypatch: pytest.MonkeyPatch) -> None:
    """DeepL's SDK would ask five times more."""
    monkeypatch.setattr(http_client, "max_network_retries", 0)


class Made:
    """A server, and what is done to its keys from another connection to the same ledger."""

    def __init__(self, server: Address) -> None:
        self.server = server

    def do(self, work: Callable[[Ledger], Any]) -> Any:
        async def main() -> Any:
            ledger = await self.server.server.gateway.spending.open()
            return await work(ledger)

        return asyncio.run_coroutine_threadsafe(main(), self.server.loop).result(30)

    def key(self, name: str = "team", *, expires: int | None = None, **policy: Any) -> str:
        secret, own = new_key(), Policy(**policy)
        stored = StoredKey(
            id=hash_key(secret)[:12],
            name=name,
            hash=hash_key(secret),
            created=1,
            expires=expires,
            limits=own.limits,
            allowed=own.allowed,
        )
        self.do(lambda ledger: ledger.add_key(stored))
        # Not a second's wait for each test: the server is told, as it would read it.
        self.read()
        return secret

    def read(self) -> None:
        keys = self.server.server._keys

        async def work(ledger: Ledger) -> None:
            keys.take(await ledger.keys())

        self.do(work)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Made]:
    """Everything leads to ``fake``; keys are the ledger's alone."""
    routes = Routes(**dict.fromkeys(CAPABILITIES, ("fake",)))
    data = str(tmp_path_factory.mktemp("data"))
    with running(Config(routes=routes, server=ServerConfig(data=data))) as server:
        yield Made(server)


def refused(
    work: Callable[[Address, str], str],
    server: Address,
    key: str,
    kinds: dict[Any, type[Exception]],
    status: str,
) -> str:
    with pytest.raises(kinds[work]) as found:
        work(server, key)
    if isinstance(found.value, ApiError):
        assert found.value.status_code == STATUS[status]
    return str(found.value)


@pytest.mark.parametrize("work", SDKS)
def test_a_key_is_let_in_and_another_is_not(made: Made, work: Any) -> None:
    assert work(made.server, made.key())
    assert "not known" in refused(work, made.server, new_key(), UNKNOWN, "unknown")


@pytest.mark.parametrize("work", SDKS)
def test_an_expired_key_is_told_so(made: Made, work: Any) -> None:
    key = made.key(expires=1000)
    assert "'team' expired" in refused(work, made.server, key, UNKNOWN, "unknown")


@pytest.mark.parametrize("work", SDKS)
def test_what_a_key_may_not_do_is_forbidden(made: Made, work: Any) -> None:
    can = {write: "generate", speak: "speak", translate: "translate", see: "see"}
    own = can.get(work, "transcribe")
    others = tuple(one for one in CAPABILITIES if one != own)
    assert f"may not {own}" in refused(
        work, made.server, made.key(capabilities=others), FORBIDDEN, "forbidden"
    )
    assert work(made.server, made.key(capabilities=(own,)))
    models = made.key(models=("espeak/*",))
    assert "may not use" in refused(work, made.server, models, FORBIDDEN, "forbidden")
    assert work(made.server, made.key(models=("espeak/*", "fa*")))
    protocol = made.key(protocols=("none",))
    assert "not for the protocol" in refused(work, made.server, protocol, FORBIDDEN, "forbidden")


@pytest.mark.parametrize("work", SDKS)
def test_a_request_over_the_rate_is_told_when_to_come_again(made: Made, work: Any) -> None:
    key = made.key(requests_per_minute=1)
    assert work(made.server, key)
    assert "1 requests a minute" in refused(work, made.server, key, LIMITED, "limited")


@pytest.mark.parametrize("work", SDKS)
def test_units_over_the_limit_are_worked_off(made: Made, work: Any) -> None:
    key = made.key(
        tokens_per_minute=1,
        characters_per_minute=1,
        audio_seconds_per_minute=1,
        image_features_per_minute=1,
    )
    assert work(made.server, key)
    assert "a minute" in refused(work, made.server, key, LIMITED, "limited")


def test_a_models_name_of_the_clients_is_enough(made: Made) -> None:
    assert write(made.server, made.key(models=("gpt-4o-*",)))
    with pytest.raises(openai.PermissionDeniedError):
        write(made.server, made.key(models=("gpt-5*",)))


def test_a_key_that_is_revoked_stops_within_a_second_or_so(made: Made) -> None:
    key = made.key("leaver")
    for work in SDKS:
        assert work(made.server, key)
    made.do(lambda ledger: ledger.revoke_key(hash_key(key)[:12]))
    # Nobody tells the server: it looks by itself.
    end = time.monotonic() + 10
    while True:
        try:
            write(made.server, key)
        except openai.AuthenticationError:
            break
        assert time.monotonic() < end
        time.sleep(0.05)
    for work in SDKS:
        assert "'leaver' was revoked" in refused(work, made.server, key, UNKNOWN, "unknown")


class Waiting(FakeEngine):
    """Speaks when it is told to."""

    go = threading.Event()
    begun = threading.Semaphore(0)

    def speak(self, request: SpeakRequest) -> SpeakResult:
        self.begun.release()
        while not self.go.wait(0.01):
            checkpoint()
        return super().speak(request)


def test_no_more_calls_run_at_a_time_than_the_key_may(
    made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(registry.BUILT_IN, "waiting", f"{__name__}:Waiting")
    key, url = made.key(concurrent=2), f"{made.server.http}/v1/text-to-speech/ada"
    asked: Any = {"json": {"text": "Hi.", "model_id": "waiting"}, "headers": {"xi-api-key": key}}
    statuses: list[int] = []

    def ask() -> None:
        statuses.append(httpx.post(url, timeout=60, **asked).status_code)

    threads = [threading.Thread(target=ask) for _ in range(2)]
    for thread in threads:
        thread.start()
        assert Waiting.begun.acquire(timeout=30)
    refusal = httpx.post(url, timeout=60, **asked)
    assert (refusal.status_code, refusal.headers["retry-after"]) == (429, "1")
    assert refusal.json()["detail"]["code"] == "concurrent_limit_exceeded"
    with pytest.raises(ApiError):
        speak(made.server, key)
    Waiting.go.set()
    for thread in threads:
        thread.join()
    assert statuses == [200, 200]
    assert speak(made.server, key)

    # A client that leaves frees its place.
    Waiting.go.clear()
    for _ in range(2):
        with pytest.raises(httpx.ReadTimeout):
            httpx.post(url, timeout=0.3, **asked)
    assert Waiting.begun.acquire(timeout=30)
    Waiting.go.set()
    end = time.monotonic() + 20
    while made.server.server.gateway.limits.running(made.server.server._keys.check(key)):
        assert time.monotonic() < end
        time.sleep(0.02)
    assert speak(made.server, key)


@pytest.fixture(scope="module")
def paid(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Made]:
    """Every route leads to its vendor, whom nobody can reach."""
    models = {
        "generate": "openai/gpt-4o-mini",
        "speak": "elevenlabs/eleven_flash_v2_5",
        "translate": "deepl",
        "see": "google_vision",
        "transcribe": "google_speech",
    }
    routes = Routes(**{name: Route(models=(one,), retries=0) for name, one in models.items()})
    nowhere = VendorSettings(url="http://127.0.0.1:9", key="k")
    server = ServerConfig(data=str(tmp_path_factory.mktemp("paid")))
    config = Config(routes=routes, vendors=dict.fromkeys(VENDORS, nowhere), server=server)
    with running(config) as address:
        yield Made(address)


@pytest.mark.parametrize("work", SDKS)
def test_a_key_over_its_budget_is_told_in_the_vendors_own_way(paid: Made, work: Any) -> None:
    key = paid.key()
    budget = Budget(id="b", scope="key", subject=hash_key(key)[:12], period="day", cap=1)
    paid.do(lambda ledger: ledger.set_budget(budget))
    kinds = {**LIMITED, translate: deepl.QuotaExceededException}
    said = refused(work, paid.server, key, kinds, "budget")
    assert "$0.000000001" in said
    paid.do(lambda ledger: ledger.remove_budget("b"))

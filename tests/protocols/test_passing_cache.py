"""Bodies that go through to a vendor, on routes that keep answers: asked once, given again."""

from __future__ import annotations

import asyncio
import base64
import io
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import openai
import PIL.Image
import pytest

from ogam.config import Cache, Config, Route, Routes, Server
from ogam.vendors import VendorSettings

from .conftest import KEY, Address, running
from .passed import last, spent

VENDOR_KEY, OTHERS = "the-vendors-key", "somebody-elses-key"
MESSAGES: Any = [{"role": "user", "content": "Say something nice."}]


@pytest.fixture(scope="module")
def vendor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Address]:
    every = Routes(**dict.fromkeys(Routes.__struct_fields__, ("fake",)))
    own = Server(keys=(VENDOR_KEY,), data=str(tmp_path_factory.mktemp("vendor")))
    with running(Config(routes=every, server=own), grpc=False) as address:
        yield address


def config(vendor: Address, folder: Path, **names: Route) -> Config:
    return Config(
        names=dict(names),
        vendors={
            "openai": VendorSettings(url=f"{vendor.http}/v1", key=VENDOR_KEY),
            "elevenlabs": VendorSettings(url=vendor.http, key=VENDOR_KEY),
            "deepl": VendorSettings(url=vendor.http, key=VENDOR_KEY),
            "google_vision": VendorSettings(url=vendor.http, key=VENDOR_KEY),
            "gone": VendorSettings(protocol="openai", url="http://127.0.0.1:9/v1", key="k"),
        },
        routes=Routes(
            translate=Route(models=("deepl",), cache="exact"),
            see=Route(models=("google_vision",), cache="exact"),
            speak=Route(models=("elevenlabs/eleven_flash_v2_5",), cache="exact"),
        ),
        cache=Cache(folder=str(folder / "answers")),
        server=Server(keys=(KEY, OTHERS), data=str(folder / "data")),
    )


@pytest.fixture(scope="module")
def gateway(vendor: Address, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Address]:
    models = ("openai/gpt-4o-mini",)
    settings = config(
        vendor,
        tmp_path_factory.mktemp("gateway"),
        exact=Route(models=models, cache="exact"),
        near=Route(models=models, cache="semantic"),
        mine=Route(models=models, cache="exact", cache_per_key=True),
        fresh=Route(models=models),
        replay=Route(models=models, cache="replay"),
        broken=Route(models=("gone/x", "fake"), cache="exact", retries=0),
    )
    with running(settings, grpc=False) as address:
        yield address


@pytest.fixture
def sdk(gateway: Address) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{gateway.http}/v1", api_key=KEY, max_retries=0) as client:
        yield client


def asked(vendor: Address) -> str:
    """The id of the last call that the vendor answered."""
    return last(vendor).id


def test_an_equal_body_is_answered_from_what_was_kept(
    sdk: openai.OpenAI, gateway: Address, vendor: Address
) -> None:
    create = sdk.chat.completions.with_raw_response.create
    first = create(model="exact", messages=MESSAGES, seed=1, user="a")
    assert last(gateway).cache == "" and last(gateway).cost > 0
    before, paid = asked(vendor), spent(gateway)
    again = create(model="exact", messages=MESSAGES, seed=1, user="a")
    assert again.content == first.content
    assert again.headers["x-ogam-model"] == "openai/gpt-4o-mini"
    assert again.headers["x-ogam-cache"] == "hit" and "x-ogam-cache" not in first.headers
    assert asked(vendor) == before and spent(gateway) == paid
    assert (last(gateway).cache, last(gateway).cost) == ("hit", 0)
    other = create(model="exact", messages=MESSAGES, seed=1, user="b")
    assert asked(vendor) != before and other.content != first.content


def test_a_stream_is_given_again_as_a_stream(
    sdk: openai.OpenAI, gateway: Address, vendor: Address
) -> None:
    def words() -> list[str]:
        with sdk.chat.completions.create(
            model="exact", messages=MESSAGES, stream=True, seed=2
        ) as stream:
            return [one.choices[0].delta.content or "" for one in stream]

    first, before = words(), asked(vendor)
    assert words() == first and "".join(first)
    assert asked(vendor) == before
    assert (last(gateway).cache, last(gateway).cost) == ("hit", 0)


def test_equal_bodies_at_once_are_sent_once(
    sdk: openai.OpenAI, gateway: Address, vendor: Address
) -> None:
    def ask(_: int) -> str:
        chat = sdk.chat.completions.create(model="exact", messages=MESSAGES, seed=3)
        return chat.id

    before = spent(gateway)
    ask(0)
    once = spent(gateway) - before
    with ThreadPoolExecutor(8) as several:
        ids = set(several.map(ask, range(8)))
    assert len(ids) == 1 and once > 0
    assert spent(gateway) - before == once


def test_a_near_text_gets_the_answer_of_the_first(sdk: openai.OpenAI, gateway: Address) -> None:
    def ask(text: str, **more: Any) -> str:
        messages: Any = [{"role": "user", "content": text}]
        return sdk.chat.completions.create(model="near", messages=messages, **more).id

    first = ask("How do I reset my password?")
    assert ask("How can I reset my password?") == first
    assert last(gateway).cache == "semantic"
    assert ask("How do I bake bread?") != first
    assert ask("How can I reset my password?", temperature=0.5) != first


def test_what_a_key_asked_for_stays_its_own(gateway: Address) -> None:
    def ask(key: str, model: str) -> str:
        with openai.OpenAI(base_url=f"{gateway.http}/v1", api_key=key, max_retries=0) as client:
            return client.chat.completions.create(model=model, messages=MESSAGES, seed=4).id

    assert ask(KEY, "mine") == ask(KEY, "mine") != ask(OTHERS, "mine")
    assert ask(KEY, "exact") == ask(OTHERS, "exact")


def test_a_replay_sends_nothing_and_fails_loudly(
    sdk: openai.OpenAI, gateway: Address, vendor: Address
) -> None:
    before = asked(vendor)
    with pytest.raises(openai.APIStatusError, match="no recording"):
        sdk.chat.completions.create(model="replay", messages=MESSAGES, seed=5)
    assert asked(vendor) == before
    kept = sdk.chat.completions.create(model="exact", messages=MESSAGES, seed=5)
    assert sdk.chat.completions.create(model="replay", messages=MESSAGES, seed=5).id == kept.id
    assert last(gateway).cache == "replay"


def test_what_the_vendor_refuses_is_not_kept(
    sdk: openai.OpenAI, gateway: Address, vendor: Address
) -> None:
    before = last(vendor).id
    for _ in range(2):
        with pytest.raises(openai.BadRequestError) as caught:
            sdk.chat.completions.create(model="exact", messages=MESSAGES, temperature=99)
        assert "temperature" in str(caught.value)
        assert last(gateway).cache == ""
    assert last(vendor).id == before  # it was refused before a model was asked


def test_where_every_vendor_fails_the_next_answers_and_is_not_kept(
    sdk: openai.OpenAI, gateway: Address
) -> None:
    for _ in range(2):
        got = sdk.chat.completions.with_raw_response.create(model="broken", messages=MESSAGES)
        assert got.headers["x-ogam-engine"] == "fake"
        assert [one.model for one in last(gateway).attempts] == ["gone/x", "fake"]
        assert last(gateway).cache == ""


def test_without_a_cache_every_body_is_sent(sdk: openai.OpenAI, vendor: Address) -> None:
    ids = {
        sdk.chat.completions.create(model="fresh", messages=MESSAGES, seed=6).id for _ in range(2)
    }
    assert len(ids) == 2


def test_speech_and_translations_are_kept_too(gateway: Address, vendor: Address) -> None:
    headers = {"xi-api-key": KEY}
    voice = httpx.get(f"{vendor.http}/v1/voices", headers={"xi-api-key": VENDOR_KEY}).json()
    name = voice["voices"][0]["voice_id"]
    url = f"{gateway.http}/v1/text-to-speech/{name}"
    first = httpx.post(url, json={"text": "Hello."}, headers=headers)
    again = httpx.post(url, json={"text": "Hello."}, headers=headers)
    assert first.status_code == again.status_code == 200, first.text
    assert first.content == again.content and again.headers["content-type"] == "audio/mpeg"
    assert last(gateway).cache == "hit"
    body = {"text": ["Hello"], "target_lang": "DE"}
    key = {"authorization": f"DeepL-Auth-Key {KEY}"}
    told = [
        httpx.post(f"{gateway.http}/v2/translate", json=body, headers=key).json() for _ in range(2)
    ]
    assert told[0] == told[1] and told[0]["translations"]
    assert last(gateway).cache == "hit"


def test_a_picture_is_kept_by_its_bytes(gateway: Address) -> None:
    def ask(shade: int) -> httpx.Response:
        data = io.BytesIO()
        PIL.Image.new("RGB", (8, 8), (shade, 0, 0)).save(data, "PNG")
        content = base64.b64encode(data.getvalue()).decode()
        one = {"image": {"content": content}, "features": [{"type": "LABEL_DETECTION"}]}
        url = f"{gateway.http}/v1/images:annotate?key={KEY}"
        return httpx.post(url, json={"requests": [one]}).raise_for_status()

    first, again = ask(1), ask(1)
    assert first.json()["responses"] and first.content == again.content
    assert again.headers["x-ogam-cache"] == "hit"
    assert "x-ogam-cache" not in ask(2).headers


def test_a_stream_says_that_it_was_kept(gateway: Address) -> None:
    body = {"model": "exact", "messages": MESSAGES, "stream": True, "seed": 8}
    own = {"authorization": f"Bearer {KEY}"}
    url = f"{gateway.http}/v1/chat/completions"
    first, again = (httpx.post(url, json=body, headers=own) for _ in range(2))
    assert first.content == again.content and first.content.endswith(b"[DONE]\n\n")
    assert again.headers["x-ogam-cache"] == "hit" and "x-ogam-cache" not in first.headers
    assert again.headers["content-type"] == first.headers["content-type"]


def test_a_client_who_leaves_does_not_take_the_answer_from_others(
    gateway: Address, vendor: Address
) -> None:
    async def main() -> list[Any]:
        url = f"{gateway.http}/v1/chat/completions"
        body = {"model": "exact", "messages": MESSAGES, "seed": 7}
        async with httpx.AsyncClient(headers={"authorization": f"Bearer {KEY}"}) as client:
            every = [asyncio.create_task(client.post(url, json=body)) for _ in range(4)]
            await asyncio.sleep(0)
            every[0].cancel()
            return await asyncio.gather(*every, return_exceptions=True)

    _, *rest = asyncio.run(main())
    assert {one.status_code for one in rest} == {200}
    assert len({one.json()["id"] for one in rest}) == 1

"""OpenAI's text resources on a real, tiny language model that is made here."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import msgspec
import openai
import pytest

pytest.importorskip("torch")
pytest.importorskip("ctranslate2")

from ogam.training.language_model import Settings, train

GPT = "gpt-4o-mini"


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tiny")
    (folder / "text.txt").write_text("the old fox saw a bird, 그 여우. \n" * 300, encoding="utf-8")
    settings = Settings(
        files=(str(folder / "text.txt"),),
        held_out=0.1,
        vocabulary=300,
        d_model=16,
        layers=1,
        heads=2,
        context=64,
        dropout=0.0,
        batch=4,
        steps=6,
        warmup=2,
        quantization="float32",
        threads=1,
    )
    assert train(folder / "run", settings) is not None
    return f"ctranslate2_generator/{folder / 'run' / 'model'}"


@pytest.fixture(scope="module")
def client(model, fake_server):
    """The server's own routes lead to fake; the configuration's names lead to the model."""
    gateway = fake_server.server.gateway
    before = gateway.config
    gateway.config = msgspec.structs.replace(before, names={GPT: model})
    with openai.OpenAI(
        base_url=f"{fake_server.http}/v1", api_key=fake_server.key, max_retries=0
    ) as made:
        yield made
    gateway.config = before


def said(client, **options):
    return client.chat.completions.create(
        model=GPT, messages=[{"role": "user", "content": "the old"}], seed=5, **options
    )


def test_a_seeded_chat_is_the_same_whole_and_streamed(client, model):
    whole = said(client, max_tokens=12)
    got = said(client, max_tokens=12, stream=True)
    assert got.response.headers["x-ogam-engine"] == "ctranslate2_generator"
    chunks = list(got)
    assert whole.model == chunks[0].model == model
    text = "".join(one.choices[0].delta.content or "" for one in chunks)
    assert text == whole.choices[0].message.content
    assert whole.usage.completion_tokens <= 12


def test_a_prompt_over_the_context_has_the_vendors_code(client):
    for stream in (False, True):
        with pytest.raises(openai.BadRequestError) as caught:
            client.chat.completions.create(
                model=GPT, messages=[{"role": "user", "content": "fox " * 200}], stream=stream
            )
        assert caught.value.code == "context_length_exceeded"


def test_completions_and_responses_read_the_same_model(client, model):
    completion = client.completions.create(model=GPT, prompt=["the", "a"], max_tokens=3, seed=1)
    assert completion.model == model and len(completion.choices) == 2
    *_, last = client.responses.create(model=GPT, input="the", max_output_tokens=3, stream=True)
    assert last.response.model == model and last.response.usage.output_tokens <= 3


def test_streams_side_by_side_do_not_mix(client):
    alone = [said(client, max_tokens=n).choices[0].message.content for n in (4, 8, 12)]
    together = threading.Barrier(6)

    def one(n):
        together.wait()
        chunks = said(client, max_tokens=n, stream=True)
        return "".join(one.choices[0].delta.content or "" for one in chunks)

    with ThreadPoolExecutor(6) as pool:
        assert list(pool.map(one, (4, 8, 12) * 2)) == alone * 2

"""OpenAI's models through OpenAI's SDK."""

from __future__ import annotations

import openai
import pytest


def connected(server, key):
    return openai.OpenAI(base_url=f"{server.http}/v1", api_key=key, max_retries=0)


def test_the_routes_models_are_listed_and_found_again(starter_server):
    with connected(starter_server, "any") as client:
        listed = [model.id for model in client.models.list()]
        assert "espeak" in listed
        assert [client.models.retrieve(name).id for name in listed] == listed


def test_an_unknown_model_is_a_404_with_the_vendors_code(starter_server):
    with connected(starter_server, "any") as client, pytest.raises(openai.NotFoundError) as found:
        client.models.retrieve("nothing-like-it")
    assert found.value.code == "model_not_found"


@pytest.mark.parametrize("key", ["another-key", "a-good-key "])
def test_a_wrong_key_is_a_401_with_the_vendors_code(fake_server, key):
    with (
        connected(fake_server, key.strip() + "x") as client,
        pytest.raises(openai.AuthenticationError) as found,
    ):
        client.models.list()
    assert found.value.code == "invalid_api_key"


def test_the_key_lets_in(fake_server):
    with connected(fake_server, fake_server.key) as client:
        assert "fake" in [model.id for model in client.models.list()]


@pytest.mark.parametrize(
    "name",
    [
        "word2vec/./models",
        "onnx_encoder//etc",
        "fake/~/x",
        "fake/x,onnx_encoder//etc",
        "fake/x, word2vec/./models",
    ],
)
def test_a_client_cannot_name_a_folder_not_even_in_a_list(fake_server, name):
    with (
        openai.OpenAI(base_url=f"{fake_server.http}/v1", api_key=fake_server.key) as client,
        pytest.raises(openai.NotFoundError) as found,
    ):
        client.embeddings.create(model=name, input="hello")
    assert found.value.code == "model_not_found"

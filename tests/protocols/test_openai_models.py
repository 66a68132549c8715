"""OpenAI's models through OpenAI's SDK."""

from __future__ import annotations

import openai
import pytest


def test_the_routes_models_are_listed_and_found_again(starter_server):
    client = openai.OpenAI(base_url=f"{starter_server.http}/v1", api_key="any", max_retries=0)
    listed = [model.id for model in client.models.list()]
    assert "espeak" in listed
    assert [client.models.retrieve(name).id for name in listed] == listed


def test_an_unknown_model_is_a_404_with_the_vendors_code(starter_server):
    client = openai.OpenAI(base_url=f"{starter_server.http}/v1", api_key="any", max_retries=0)
    with pytest.raises(openai.NotFoundError) as found:
        client.models.retrieve("nothing-like-it")
    assert found.value.code == "model_not_found"


@pytest.mark.parametrize("key", ["another-key", "a-good-key "])
def test_a_wrong_key_is_a_401_with_the_vendors_code(fake_server, key):
    client = openai.OpenAI(base_url=f"{fake_server.http}/v1", api_key=key.strip() + "x")
    with pytest.raises(openai.AuthenticationError) as found:
        client.models.list()
    assert found.value.code == "invalid_api_key"


def test_the_key_lets_in(fake_server):
    client = openai.OpenAI(base_url=f"{fake_server.http}/v1", api_key=fake_server.key)
    assert "fake" in [model.id for model in client.models.list()]

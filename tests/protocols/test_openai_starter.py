"""What OpenAI's SDK gets of the text model that ships: it looks back at what it was told."""

from __future__ import annotations

import openai
import pytest
from pydantic import BaseModel, create_model

# Names and values that stand in none of the conversations it was trained on.
NAMES = ("Zoltan", "Mirabel", "Ottokar", "Philippa", "Tamsin", "Bertrand", "Ludmila", "Casimir")
GPT = "gpt-4o-mini"


@pytest.fixture(scope="module")
def client(starter_server):
    with openai.OpenAI(
        base_url=f"{starter_server.http}/v1", api_key=starter_server.key, max_retries=0
    ) as made:
        yield made


def said(client, *texts):
    messages = [
        {"role": ("user", "assistant")[at % 2], "content": text} for at, text in enumerate(texts)
    ]
    got = client.chat.completions.create(
        model=GPT, messages=messages, temperature=0, max_completion_tokens=40
    )
    return got.choices[0]


def test_it_says_again_what_it_was_told(client):
    right = 0
    for name in NAMES:
        told = (f"My name is {name}.", "Nice to meet you.")
        answer = said(client, *told, "What is my name? Answer with the name.")
        right += answer.message.content == name and answer.finish_reason == "stop"
    # Six where it was measured; sums differ between processors.
    assert right >= 4


def test_it_fills_in_a_form_with_what_it_was_told(client):
    person = create_model("Person", name=(str, ...), age=(int, ...))
    right = 0
    for age, name in enumerate(NAMES, 21):
        asked = f"{name} is {age} years old. Return this person as JSON."
        got = client.chat.completions.parse(
            model=GPT,
            messages=[{"role": "user", "content": asked}],
            response_format=person,
            max_completion_tokens=60,
        )
        made: BaseModel = got.choices[0].message.parsed
        right += (made.name == name) + (made.age == age)
    assert right >= 10


def test_it_still_continues_a_tale(client):
    got = client.completions.create(model=GPT, prompt="Once upon a time", max_tokens=40, seed=1)
    assert len(got.choices[0].text.split()) > 10
    assert "Q:" not in got.choices[0].text

"""Which steps of a route are for a request, and in which order."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from ogam.capabilities.classification import ClassifyRequest
from ogam.capabilities.speech_recognition import RecognitionOptions, TranscribeRequest
from ogam.capabilities.speech_synthesis import SpeakRequest
from ogam.capabilities.text_generation import GenerateRequest, Message
from ogam.capabilities.translation import TranslateRequest
from ogam.capabilities.vision import SeeRequest
from ogam.gateway.caller import Caller
from ogam.gateway.keys import Key
from ogam.gateway.routing import facts, plan
from ogam.media import Audio, Image
from ogam.routes import Step, When

CALLER = Caller(key=Key(id="k1", name="team-blue"))


def _takes(when: When, request: object, *, seconds: float | None = None) -> bool:
    step = Step(model="a", when=when)
    return bool(plan([step], facts(request, seconds), CALLER).steps)


@pytest.mark.parametrize(
    ("when", "request_", "taken"),
    [
        (When(), GenerateRequest(prompt="x"), True),
        (When(keys=("team-*",)), GenerateRequest(prompt="x"), True),
        (When(keys=("k1",)), GenerateRequest(prompt="x"), True),
        (When(keys=("team-red",)), GenerateRequest(prompt="x"), False),
        (When(max_characters=3), GenerateRequest(prompt="abc"), True),
        (When(max_characters=2), GenerateRequest(prompt="abc"), False),
        (
            When(min_characters=6),
            GenerateRequest(messages=(Message(role="user", content="abc"),) * 2),
            True,
        ),
        (When(languages=("de",)), TranslateRequest(texts=("x",), target="de-AT"), True),
        (
            When(languages=("en-de",)),
            TranslateRequest(texts=("x",), target="DE", source="en-GB"),
            True,
        ),
        (When(languages=("en-de",)), TranslateRequest(texts=("x",), target="de"), False),
        (When(languages=("de",)), TranslateRequest(texts=("x",), target="fr", source="de"), False),
        (When(languages=("ko",)), SpeakRequest(text="x", language="ko-KR"), True),
        (When(languages=("ko",)), SpeakRequest(text="x"), False),
        (When(max_characters=5), ClassifyRequest(texts=("abc", "def")), False),
    ],
)
def test_a_step_is_taken_where_its_conditions_hold(
    when: When, request_: object, taken: bool
) -> None:
    assert _takes(when, request_) is taken


def test_a_recording_is_counted_in_seconds() -> None:
    audio = Audio.from_pcm(bytes(32000), 16000)
    request = TranscribeRequest(audio=audio, options=RecognitionOptions(language="en-US"))
    assert _takes(When(max_seconds=1.0, languages=("en",)), request, seconds=audio.duration)
    assert not _takes(When(min_seconds=2.0), request, seconds=audio.duration)


def test_all_features_asked_for_must_be_among_a_steps() -> None:
    pixel = Image(
        bytes.fromhex(
            "89504e470d0a1a0a0000000d4948445200000001000000010806000000"
            "1f15c4890000000d49444154789c6360606060000000050001a5f64540"
            "0000000049454e44ae426082"
        )
    )
    when = When(features=("text", "faces"))
    assert _takes(when, SeeRequest(image=pixel, features=("text",)))
    assert not _takes(when, SeeRequest(image=pixel, features=("text", "labels")))
    assert not _takes(when, SeeRequest(image=pixel))


def test_what_is_skipped_says_why() -> None:
    step = Step(model="a", when=When(max_characters=2))
    found = plan([step], facts(GenerateRequest(prompt="abc")), CALLER)
    assert found.steps == ()
    assert [one.reason for one in found.skipped] == ["it is for 2 characters at most"]


def test_weights_share_the_requests_and_the_others_stand_behind() -> None:
    steps = [
        Step(model="a", weight=3),
        Step(model="b", weight=1),
        Step(model="c"),
    ]
    draw = random.Random(7)
    orders = Counter(
        tuple(one.model for one in plan(steps, facts(None), CALLER, draw).steps)
        for _ in range(4000)
    )
    assert set(orders) == {("a", "b", "c"), ("b", "a", "c")}
    assert 0.70 < orders["a", "b", "c"] / 4000 < 0.80


def test_a_step_may_take_the_model_that_the_caller_named() -> None:
    steps = [Step(model="openai/*"), Step(model="starter/write")]
    named = Caller()
    named.asked = "gpt-4o"
    models = [one.model for one in plan(steps, facts(None), named).steps]
    assert models == ["openai/gpt-4o", "starter/write"]
    nameless = plan(steps, facts(None), Caller())
    assert [one.model for one in nameless.steps] == ["starter/write"]
    assert "named no model" in nameless.skipped[0].reason

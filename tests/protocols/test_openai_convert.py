"""OpenAI's shapes to Ogam's values and back again."""

from __future__ import annotations

import fnmatch
import math
import re

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ogam.capabilities.base import Units
from ogam.capabilities.classification import Classification, LabelScore
from ogam.capabilities.embedding import EmbedRequest, EmbedResult, Vectors
from ogam.capabilities.text_generation import Choice, GenerateRequest, GenerateResult, Message
from ogam.errors import InvalidRequestError, OgamError, TooLargeError, UnsupportedOptionError
from ogam.protocols.openai import (
    convert,
    convert_embeddings,
    convert_replies,
    convert_responses,
    errors,
    wire_chat,
    wire_embeddings,
    wire_replies,
    wire_responses,
)
from ogam.protocols.serving import decode

TEXT = st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), min_size=1)
SPOKEN = TEXT.filter(str.strip)
TURNS = st.builds(Message, role=st.sampled_from(["system", "user", "assistant"]), content=SPOKEN)
REQUESTS = st.builds(
    GenerateRequest,
    messages=st.lists(TURNS, min_size=1, max_size=4).map(tuple),
    max_tokens=st.none() | st.integers(1, 1_000_000),
    n=st.integers(1, 128),
    temperature=st.none() | st.floats(0, 2),
    top_k=st.none() | st.integers(1, 1000),
    top_p=st.none() | st.floats(0, 1),
    repetition_penalty=st.floats(0.5, 2),
    stop=st.lists(TEXT, max_size=4).map(tuple),
    seed=st.none() | st.integers(-(2**63), 2**63 - 1),
)
RESULTS = st.builds(
    GenerateResult,
    engine=st.just("e"),
    model=st.just("e/m"),
    units=st.builds(Units, input_tokens=st.integers(0, 10**9), output_tokens=st.integers(0, 10**9)),
    choices=st.lists(
        st.builds(Choice, text=st.text(), finish_reason=st.sampled_from(["stop", "length"])),
        min_size=1,
        max_size=4,
    ).map(tuple),
)


def travelled(value, kind):
    return decode(msgspec.json.encode(value), kind)


@given(REQUESTS)
@example(GenerateRequest(messages=(Message(role="user", content="a"),), temperature=1.0))
def test_a_chat_request_comes_back_as_it_went(request):
    body = travelled(convert.chat_body(request, "gpt-4o"), wire_chat.ChatBody)
    assert convert.chat_request(body) == request
    assert body.model == "gpt-4o"


@given(RESULTS)
def test_a_chat_reply_comes_back_as_it_went(result):
    reply = travelled(convert.chat_reply(result, identity="x", created=1), wire_replies.Chat)
    assert convert_replies.choices(reply, len(result.choices)) == result.choices
    assert convert_replies.told(reply.usage) == result.units


@given(st.lists(SPOKEN, min_size=1, max_size=4).map(tuple), st.none() | st.integers(1, 3000))
def test_an_embedding_request_comes_back_as_it_went(texts, dimensions):
    request = EmbedRequest(texts=texts, dimensions=dimensions)
    body = convert_embeddings.embeddings_body(request, "m")
    again = travelled(body, wire_embeddings.EmbeddingsBody)
    assert convert_embeddings.embed_request(again) == request


@given(
    st.integers(1, 5).flatmap(
        lambda width: st.lists(
            st.lists(st.floats(-1, 1, width=32), min_size=width, max_size=width), min_size=1
        )
    ),
    st.sampled_from(["float", "base64", None]),
)
def test_vectors_come_back_bit_for_bit_in_either_encoding(rows, encoding):
    rows = [[1.0, *(0.0 for _ in rows[0][1:])], *rows]
    result = EmbedResult(
        engine="e", model="e/m", units=Units(input_tokens=3), vectors=Vectors.from_rows(rows)
    )
    body = wire_embeddings.EmbeddingsBody(model="m", input="x", encoding_format=encoding)
    sent = convert_embeddings.embeddings_reply(result, body)
    reply = travelled(sent, wire_replies.Embeddings)
    assert convert_replies.vectors(reply, len(rows), None) == result.vectors
    assert convert_replies.told(reply.usage) == result.units


def test_the_parts_of_a_message_are_joined_and_developers_are_the_system():
    body = decode(
        b'{"model":"gpt-4o","messages":[{"role":"developer","content":"Be brief."},'
        b'{"role":"user","name":"ann","content":[{"type":"text","text":"a"},'
        b'{"type":"text","text":"b"}]},{"role":"assistant","content":null,"refusal":"no",'
        b'"annotations":[]}]}',
        wire_chat.ChatBody,
    )
    assert convert.chat_request(body).messages == (
        Message(role="system", content="Be brief."),
        Message(role="user", content="ab"),
        Message(role="assistant", content="no"),
    )


def test_a_responses_conversation_is_the_instructions_then_the_input():
    body = decode(
        b'{"model":"gpt-4o","instructions":"Be brief.","max_output_tokens":7,"input":['
        b'{"role":"user","content":"a"},{"type":"message","role":"assistant","id":"msg_1",'
        b'"status":"completed","content":[{"type":"output_text","text":"b","annotations":[]}]},'
        b'{"role":"user","content":[{"type":"input_text","text":"c"}]}]}',
        wire_responses.ResponseBody,
    )
    request = convert_responses.generate_request(body)
    assert [(one.role, one.content) for one in request.messages] == [
        ("system", "Be brief."),
        ("user", "a"),
        ("assistant", "b"),
        ("user", "c"),
    ]
    assert request.max_tokens == 7


def test_every_field_of_a_body_is_obeyed_refused_or_said_to_be_without_effect():
    # A new field must be put into one of the three.
    obeyed = {
        *("messages", "model", "max_completion_tokens", "max_tokens", "n", "seed", "stop"),
        *(
            "repetition_penalty",
            "response_format",
            "stream",
            "stream_options",
            "temperature",
            "top_k",
            "top_p",
        ),
    }
    said = re.findall(r"``([a-z_*]+)``", wire_chat.ChatBody.__doc__)
    for field in wire_chat.ChatBody.__struct_fields__:
        documented = any(fnmatch.fnmatchcase(field, one) for one in said)
        assert field in obeyed or field in convert.CHAT_REFUSED or documented, field


@pytest.mark.parametrize(
    ("code", "status", "error"),
    [
        ("context_length_exceeded", 400, TooLargeError("long", param="prompt")),
        ("too_large", 413, TooLargeError("long")),
        ("unsupported_value", 400, UnsupportedOptionError("no", param="tools")),
        (None, 500, OgamError("broken")),
    ],
)
def test_errors_have_the_vendors_status_and_code(code, status, error):
    found, body = errors.body(error)
    assert found == status and body["error"]["code"] == code
    assert set(body["error"]) == {"message", "type", "param", "code"}


@given(st.data())
def test_moderation_scores_are_numbers_from_0_to_1_and_flags_follow_them(data):
    scores = data.draw(
        st.lists(
            st.floats(0, 1),
            min_size=len(convert_embeddings.LABELS),
            max_size=len(convert_embeddings.LABELS),
        )
    )
    found = convert_embeddings.moderation(
        Classification(
            scores=tuple(
                LabelScore(label=label, score=score)
                for label, score in zip(convert_embeddings.LABELS, scores, strict=True)
            )
        )
    )
    assert len(found.category_scores) == 13
    assert all(0 <= one <= 1 and math.isfinite(one) for one in found.category_scores.values())
    assert found.categories == {name: one > 0.5 for name, one in found.category_scores.items()}
    assert found.flagged == any(found.categories.values())


def test_the_hint_of_a_wrong_body_names_the_field():
    with pytest.raises(InvalidRequestError) as caught:
        decode(b'{"model":"gpt-4o","messages":[{"role":"nobody"}]}', wire_chat.ChatBody)
    assert caught.value.param == "messages[0].role"
    with pytest.raises(InvalidRequestError, match="frequenzy_penalty"):
        decode(b'{"model":"m","messages":[],"frequenzy_penalty":1}', wire_chat.ChatBody)

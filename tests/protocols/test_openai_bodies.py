"""Bodies of OpenAI's protocol: a caller who means harm is refused, or bounded."""

from __future__ import annotations

import contextlib
import json

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ogam.errors import InvalidRequestError
from ogam.gateway.bounds import Unprovable
from ogam.gateway.prices import Billing, Book, Price
from ogam.protocols.openai.bodies import PER_TOOLS, chat_body_bound, with_maximum
from ogam.protocols.strict_json import decode

BOOK = Book.load()
PRICE = BOOK.find("openai", "gpt-4o-mini", "generate")
EMBEDDING = BOOK.find("openai", "text-embedding-3-small", "embed")
CHAT, COMPLETIONS, RESPONSES, EMBEDDINGS = (
    "chat/completions",
    "completions",
    "responses",
    "embeddings",
)
SAID = [{"role": "user", "content": "안녕"}]
TEXT = st.text(st.characters(exclude_categories=["Cs"]))
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)


def judged(path, body, price=PRICE):
    return chat_body_bound(path, body, len(msgspec.json.encode(body)), price)


def chat(**fields):
    return {"model": "m", "messages": SAID, "max_tokens": 10, **fields}


def units(path, body, price=PRICE):
    found = judged(path, body, price)
    assert isinstance(found, Billing), found
    return found.units


# --- reading -----------------------------------------------------------------------------------


@settings(max_examples=50)
@given(st.dictionaries(TEXT, JSON))
def test_what_any_reader_reads_alike_is_read(body):
    assert decode(json.dumps(body).encode()) == body
    assert decode(msgspec.json.encode(body)) == body


@pytest.mark.parametrize(
    "data",
    [
        b'{"n": 1, "n": 100}',
        b'{"messages": [{"role": "user", "role": "user"}]}',
        b'{"n": 1, "\\u006e": 100}',
        b'{"n": NaN}',
        b'{"n": -Infinity}',
        b'{"n": 1e999}',
        b'{"n": ' + b"9" * 5000 + b"}",
        b"[" * 200_000,
        b'{"a":' * 200_000,
        b'{"text": "\\ud800"}',
        b'\xef\xbb\xbf{"n": 1}',
        '{"n": 1}'.encode("utf-16"),
        b'{"n": "\xff"}',
        b'{"n": 1} {"n": 2}',
        b'{"n": 01}',
        b"{'n': 1}",
        b'["n"]',
        b'"n"',
        b"null",
        b"",
    ],
)
def test_what_two_readers_could_read_in_two_ways_is_refused(data):
    with pytest.raises(InvalidRequestError) as caught:
        decode(data)
    assert len(str(caught.value)) < 200
    assert "\n" not in str(caught.value)


@given(st.binary())
def test_any_bytes_are_an_object_or_refused(data):
    with contextlib.suppress(InvalidRequestError):
        assert isinstance(decode(data), dict)


def test_a_pair_of_surrogates_is_one_character():
    assert decode(b'{"a": "\\ud83d\\udc36"}') == {"a": "🐶"}


# --- the maximum -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "name"),
    [
        (CHAT, "max_completion_tokens"),
        (COMPLETIONS, "max_tokens"),
        (RESPONSES, "max_output_tokens"),
    ],
)
def test_a_maximum_is_put_in_under_the_name_of_the_path(path, name):
    assert with_maximum(path, {"model": "m", name: None}, 77) == {"model": "m", name: 77}
    assert with_maximum(path, {"model": "m", name: 5}, 77) == {"model": "m", name: 5}


def test_a_maximum_of_the_callers_stays_as_it_is():
    assert with_maximum(CHAT, {"max_tokens": 5}, 77) == {"max_tokens": 5}
    assert with_maximum(CHAT, {"max_tokens": "many"}, 77) == {"max_tokens": "many"}
    assert with_maximum(CHAT, {"max_tokens": None}, 77) == {"max_completion_tokens": 77}


def test_an_embedding_writes_nothing_and_gets_no_maximum():
    assert with_maximum(EMBEDDINGS, {"input": "x"}, 77) == {"input": "x"}


def test_with_a_maximum_put_in_the_body_has_a_bound():
    body = {"model": "m", "messages": SAID}
    assert isinstance(judged(CHAT, body), Unprovable)
    assert units(CHAT, with_maximum(CHAT, body, 50)).output_tokens == 50


# --- bounds ------------------------------------------------------------------------------------


@given(st.lists(TEXT, min_size=1, max_size=5), st.integers(1, 128), st.integers(1, 10**7))
def test_what_a_chat_reads_and_writes_is_within_its_bound(texts, n, most):
    body = chat(
        messages=[{"role": "user", "content": text} for text in texts], n=n, max_tokens=most
    )
    found = units(CHAT, body)
    assert found.input_tokens >= sum(len(text.encode()) + 8 for text in texts) + 3
    assert found.output_tokens == n * most


def test_of_two_maxima_the_larger_counts():
    body = chat(max_tokens=10, max_completion_tokens=900)
    assert units(CHAT, body).output_tokens == 900


def test_tools_are_read_too_and_an_empty_list_is_not_nothing():
    tool = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
    plain = units(CHAT, chat()).input_tokens
    assert units(CHAT, chat(tools=[])).input_tokens >= plain + PER_TOOLS
    assert units(CHAT, chat(tools=[tool])).input_tokens > plain + PER_TOOLS + 50
    assert isinstance(judged(CHAT, chat(tools=[{"type": "custom", "custom": {}}])), Billing)


def test_a_chat_with_all_that_is_harmless_has_a_bound():
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    body = chat(
        messages=[
            {"role": "developer", "content": [{"type": "text", "text": "Be brief."}]},
            {"role": "user", "content": "hello", "name": "someone"},
            {"role": "assistant", "content": None, "tool_calls": [call], "audio": None},
            {"role": "tool", "tool_call_id": "c", "content": "42"},
        ],
        temperature=0.5,
        stream=True,
        stream_options={"include_usage": True},
        response_format={"type": "json_object"},
        service_tier="auto",
        modalities=["text"],
        reasoning_effort="low",
        logit_bias={"50256": -100},
        stop=["\n"],
        web_search_options=None,
    )
    assert isinstance(judged(CHAT, body), Billing)


def test_responses_have_a_bound_by_their_own_names():
    body = {
        "model": "m",
        "instructions": "Be brief.",
        "input": [
            {"role": "user", "content": "hi"},
            {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "x"}]},
            {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "c", "output": "42"},
        ],
        "max_output_tokens": 30,
        "reasoning": {"effort": "low", "mode": "standard"},
        "text": {"format": {"type": "text"}},
    }
    found = units(RESPONSES, body)
    assert found.output_tokens == 30
    assert units(RESPONSES, {**body, "input": "hi"}).output_tokens == 30
    assert isinstance(judged(RESPONSES, {**body, "max_output_tokens": None}), Unprovable)
    assert isinstance(judged(RESPONSES, {**body, "n": 5}), Unprovable)


def test_completions_write_each_sequence_of_each_prompt():
    body = {"model": "m", "prompt": ["a", "b", "c"], "max_tokens": 10, "n": 2, "best_of": 5}
    assert units(COMPLETIONS, body).output_tokens == 3 * 5 * 10
    assert units(COMPLETIONS, {**body, "prompt": "a", "best_of": None}).output_tokens == 20
    assert units(COMPLETIONS, {**body, "prompt": [1, 2, 3], "n": 1}).output_tokens == 50
    assert units(COMPLETIONS, {**body, "prompt": [[1], [2]]}).output_tokens == 2 * 5 * 10


@pytest.mark.parametrize("given_", ["text", ["a", "b"], [1, 2, 3], [[1, 2], [3]]])
def test_embeddings_have_a_bound_and_write_nothing(given_):
    found = units(EMBEDDINGS, {"model": "m", "input": given_}, EMBEDDING)
    assert found.output_tokens == 0
    assert found.input_tokens > 3


# --- refusals ----------------------------------------------------------------------------------

URL = {"url": "https://example.org/a.png"}


@pytest.mark.parametrize(
    "n", [0, -1, 129, 1.5, 1.0, "3", True, [1], {"a": 1}, 10**4000, float("nan")]
)
def test_a_hostile_n_has_no_bound(n):
    assert isinstance(chat_body_bound(CHAT, chat(n=n), 100, PRICE), Unprovable)


@pytest.mark.parametrize("most", [0, -5, 10**18, 10**4000, 1e9, "100", True, False, [], {}])
@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
def test_a_hostile_maximum_has_no_bound_also_beside_a_good_one(name, most):
    body = {**chat(max_tokens=10, max_completion_tokens=10), name: most}
    assert isinstance(chat_body_bound(CHAT, body, 100, PRICE), Unprovable)


@pytest.mark.parametrize(
    "fields",
    [
        {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": URL}]}]},
        {"messages": [{"role": "user", "content": [{"type": "input_audio", "input_audio": {}}]}]},
        {"messages": [{"role": "user", "content": [{"type": "file", "file": {"file_id": "f"}}]}]},
        {"messages": [{"role": "user", "content": [{"type": "text", "text": "", "image_url": 1}]}]},
        {"messages": [{"role": "user", "content": [{"type": ["text"], "text": ""}]}]},
        {"messages": [{"role": "user", "content": [{"text": "no type"}]}]},
        {"messages": [{"role": "user", "content": {"type": "text"}}]},
        {"messages": [{"role": "user", "content": ["x"]}]},
        {"messages": [{"role": "assistant", "content": None, "audio": {"id": "audio_1"}}]},
        {"messages": [{"role": "user", "content": "x", "attachments": ["file"]}]},
        {"messages": [{"role": "assistant", "tool_calls": [{"type": "web_search"}]}]},
        {"messages": "hello"},
        {"messages": ["hello"]},
        {"messages": {"role": "user"}},
        {"audio": {"voice": "alloy", "format": "mp3"}},
        {"modalities": ["text", "audio"]},
        {"modalities": "audio"},
        {"web_search_options": {}},
        {"prediction": {"type": "content", "content": "x"}},
        {"moderation": {"model": "omni"}},
        {"service_tier": "priority"},
        {"service_tier": "fast"},
        {"service_tier": ["default"]},
        {"prompt_cache_options": {"ttl": "12h"}},
        {"prompt_cache_options": "12h"},
        {"prompt_cache_retention": "24h"},
        {"tools": [{"type": "web_search"}]},
        {"tools": [{"function": {"name": "f"}}]},
        {"tools": ["web_search"]},
        {"tools": {"type": "function"}},
        {"N": 100},
        {"Max_Tokens": 10**6},
        {"models": ["a-dearer-one"]},
        {"plugins": [{"id": "web"}]},
        {"a field of next year": True},
    ],
)
def test_what_may_cost_what_nobody_can_prove_has_no_bound(fields):
    found = judged(CHAT, chat(**fields))
    assert isinstance(found, Unprovable)
    assert found.reason.endswith(".")
    assert "\n" not in found.reason + found.hint
    assert len(found.reason) < 250


@pytest.mark.parametrize(
    "fields",
    [
        {"previous_response_id": "resp_1"},
        {"conversation": "conv_1"},
        {"prompt": {"id": "pmpt_1"}},
        {"context_management": [{"type": "compaction"}]},
        {"reasoning": {"mode": "pro"}},
        {"reasoning": "pro"},
        {"service_tier": "ultrafast"},
        {"instructions": [{"role": "user", "content": "x"}]},
        {"input": [{"type": "item_reference", "id": "msg_1"}]},
        {"input": [{"type": "reasoning", "id": "rs_1", "encrypted_content": "…"}]},
        {"input": [{"role": "user", "content": [{"type": "input_image", "file_id": "f"}]}]},
        {"input": [{"type": "function_call_output", "output": [{"type": "input_file"}]}]},
        {"input": [{"type": "web_search_call", "id": "ws_1"}]},
        {"input": {"role": "user"}},
        *({"tools": [{"type": kind}]} for kind in ("file_search", "mcp", "code_interpreter")),
        {"tools": [{"type": "image_generation"}, {"type": "function", "name": "f"}]},
    ],
)
def test_what_the_vendor_keeps_or_runs_has_no_bound(fields):
    body = {"model": "m", "input": "hi", "max_output_tokens": 30, **fields}
    assert isinstance(judged(RESPONSES, body), Unprovable)


@pytest.mark.parametrize(
    "fields",
    [{"echo": True}, {"prompt": [{"a": 1}]}, {"prompt": [["a"]]}, {"prompt": 5}, {"best_of": 999}],
)
def test_a_hostile_completion_has_no_bound(fields):
    body = {"model": "m", "prompt": "hi", "max_tokens": 30, **fields}
    assert isinstance(judged(COMPLETIONS, body), Unprovable)


@pytest.mark.parametrize("given_", [{"image": "x"}, [{"image": "x"}], [1, "a", 2.5], 7])
def test_an_embedding_of_anything_but_text_has_no_bound(given_):
    body = {"model": "m", "input": given_}
    assert isinstance(judged(EMBEDDINGS, body, EMBEDDING), Unprovable)


def test_a_price_by_another_unit_says_nothing_about_a_body():
    speaking = BOOK.find("openai", "tts-1", "speak")
    assert isinstance(judged(CHAT, chat(), speaking), Unprovable)
    assert isinstance(judged("audio/speech", chat()), Unprovable)


def test_what_is_free_goes_on_with_fields_nobody_here_knows():
    assert judged(CHAT, chat(anything=1), Price.free("it runs on this machine")) == Billing()


@settings(max_examples=60)
@given(st.sampled_from([CHAT, COMPLETIONS, RESPONSES, EMBEDDINGS]), st.data())
def test_any_body_is_bounded_or_refused_and_never_cheaper_than_its_bytes(path, data):
    names = st.sampled_from(
        ["messages", "input", "prompt", "n", "best_of", "max_tokens", "max_output_tokens", "tools"]
    )
    message = st.fixed_dictionaries({"role": st.just("user"), "content": JSON})
    body = data.draw(st.dictionaries(names, JSON | st.lists(message) | st.integers(1, 9)))
    size = len(json.dumps(body).encode())
    found = chat_body_bound(path, body, size, PRICE)
    if isinstance(found, Billing):
        assert found.units.input_tokens >= size
        assert 0 < PRICE.cost(found) < 2**63

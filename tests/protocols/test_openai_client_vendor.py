"""OpenAI called, where the vendor is one that says what it was told to say."""

from __future__ import annotations

import asyncio
import base64
import json
import struct
from contextlib import aclosing, asynccontextmanager
from email.utils import formatdate
from operator import attrgetter

import pytest

from ogam.capabilities.base import ModelRef, Units
from ogam.capabilities.classification import ClassifyRequest
from ogam.capabilities.embedding import EmbedRequest
from ogam.capabilities.text_generation import Choice, GenerateRequest, TextDelta
from ogam.errors import (
    InvalidMediaError,
    InvalidRequestError,
    NotConfiguredError,
    TooLargeError,
    UnknownLanguageError,
    UnknownModelError,
    UnknownVoiceError,
    UnsupportedOptionError,
    VendorError,
)
from ogam.media import Audio
from ogam.net import Client
from ogam.protocols import forwarding_client
from ogam.protocols.openai import (
    convert_embeddings,
)
from ogam.protocols.openai.client import OpenAIEngine
from ogam.vendors import Vendor

from .scripted import answer, scripted

OPENAI = "https://eu.api.openai.com/v1"
KEY = "sk-secret"
ASKED = GenerateRequest(prompt="Why?", max_tokens=9)
TONE = struct.pack("<800h", *(n % 100 * 50 for n in range(800)))
SOUND = Audio.from_pcm(TONE, 16_000)


@asynccontextmanager
async def engine(url, model="m", *, vendor_url=None, key=KEY, name="openai", **row):
    http = Client(url)
    vendor = Vendor(name=name, protocol="openai", url=vendor_url or url, key=key, **row)
    made = OpenAIEngine(ModelRef(name=f"{name}/{model}", engine=name, model=model), vendor, http)
    try:
        yield made
    finally:
        http.close()


def call(said, method, *args, **options):
    """What ``method`` makes of the answers, and what the vendor was asked."""

    async def run():
        async with scripted(*said) as vendor, engine(f"{vendor.url}/v1", **options) as openai:
            work = attrgetter(method)(openai)(*args)
            if hasattr(work, "__aiter__"):
                return [piece async for piece in work], vendor.asked
            return await work, vendor.asked

    return asyncio.run(run())


def failed(said, method="generate", *args, kind=VendorError, **options):
    with pytest.raises(kind) as caught:
        call([said] if isinstance(said, bytes) else said, method, *(args or (ASKED,)), **options)
    assert type(caught.value) is kind
    assert KEY not in str(caught.value) and "\n" not in str(caught.value)
    return caught.value


def events(*said, done=True):
    """A whole answer that is a stream of events."""
    body = b"".join(b"data: %b\n\n" % (json.dumps(one).encode()) for one in said)
    body += b"data: [DONE]\n\n" if done else b""
    return answer(200, body, content_type="text/event-stream")


def piece(text=None, index=0, reason=None):
    return {"choices": [{"index": index, "delta": {"content": text}, "finish_reason": reason}]}


@pytest.mark.parametrize(
    "reply",
    [
        {"choices": [{"message": {"content": "Because."}}]},
        {
            "id": None,
            "model": "another",
            "choices": [{"index": 0, "message": {"content": "Because."}, "finish_reason": None}],
            "usage": None,
            "timings": {"x": [1]},
        },
        {"choices": [{"message": {"content": None, "refusal": "Because."}, "index": "0"}]},
    ],
)
def test_a_lenient_answer_is_taken_and_without_usage_the_most_is_counted(reply):
    result, asked = call([answer(200, reply)], "generate", ASKED)
    assert result.choices == (Choice(text="Because.", finish_reason="stop"),)
    assert result.model == "openai/m"
    assert result.units.input_tokens >= len("Why?") and result.units.output_tokens == 9
    assert asked[0].path == "/v1/chat/completions"
    assert asked[0].headers["authorization"] == f"Bearer {KEY}"


def test_max_tokens_goes_by_the_name_the_vendor_knows():
    said = answer(200, {"choices": [{"message": {"content": "a"}}]})
    sent = call([said], "generate", ASKED)[1][0].json()
    assert sent == {
        "model": "m",
        "messages": [{"role": "user", "content": "Why?"}],
        "max_tokens": 9,
    }
    # OpenAI's default is 1; another's may be anything, so that a 1 is told where it was asked for.
    warm = GenerateRequest(prompt="Why?", max_tokens=9, temperature=1.0)
    assert call([said], "generate", warm)[1][0].json()["temperature"] == 1.0
    sent = call([said], "generate", warm, vendor_url=OPENAI)[1][0].json()
    assert "temperature" not in sent
    sent = call([said], "generate", ASKED, vendor_url=OPENAI)[1][0].json()
    assert sent == {
        "model": "m",
        "messages": [{"role": "user", "content": "Why?"}],
        "max_completion_tokens": 9,
    }


def test_a_stream_asks_for_usage_and_counts_the_last():
    said = events(
        {"choices": [], "prompt_filter_results": []},
        piece(""),
        piece("Be"),
        piece("cause.") | {"usage": {"prompt_tokens": 3, "completion_tokens": 1}},
        piece(reason="length"),
        {"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 2}},
    )
    found, asked = call([said], "generate_stream", ASKED)
    assert asked[0].json()["stream_options"] == {"include_usage": True}
    *deltas, result = found
    assert deltas == [TextDelta(text="Be"), TextDelta(text="cause.")]
    assert result.choices == (Choice(text="Because.", finish_reason="length"),)
    assert result.units == Units(input_tokens=3, output_tokens=2)


@pytest.mark.parametrize(
    ("said", "whole"),
    [
        (events(piece("a"), done=True), True),
        (events(piece("a"), piece(reason="stop"), done=False), True),
        (events(piece("a"), done=False), False),
        (events(done=False), False),
        (events(done=True), False),  # not one answer
        (answer(200, {"choices": []}, content_type="application/json"), False),
        (answer(200, b"<html>", content_type="text/html"), False),
        (answer(200, b"data: {broken\n\n", content_type="text/event-stream"), False),
    ],
)
def test_a_stream_is_whole_only_where_it_says_so(said, whole):
    if whole:
        assert call([said], "generate_stream", ASKED)[0][-1].text == "a"
    else:
        error = failed(said, "generate_stream")
        assert error.sent and error.status is None


def test_of_two_answers_both_must_end():
    request = GenerateRequest(prompt="a", n=2)
    ends = [piece("a", 0, "stop"), piece("b", 1, "stop")]
    found, _ = call([events(*ends, done=False)], "generate_stream", request)
    assert found[-1].texts == ("a", "b")
    failed(events(*ends[:1], done=False), "generate_stream", request)
    failed(events(*ends[:1]), "generate_stream", request)
    one = answer(200, {"choices": [{"index": 0, "message": {"content": "a"}}]})
    assert "1 of 2" in failed(one, "generate", request).message


@pytest.mark.parametrize(
    "broken",
    [
        b'data: {"error":{"message":"GPU lost","type":"server_error","code":500}}\n\n',
        b'data: {"error":"GPU lost"}\n\n',
        b'data: {"object":"error","message":"GPU lost","code":400}\n\n',
        b"event: error\ndata: GPU lost\n\n",
        b'event: error\ndata: {"message":"GPU lost"}\n\n',
    ],
)
@pytest.mark.parametrize("cut", [False, True])
def test_an_error_in_the_middle_comes_after_the_pieces(broken, cut):
    head = (
        b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
    )
    first = b"data: %b\n\n" % json.dumps(piece("a")).encode()
    chunks = [first] if cut else [first, broken]
    said = head + b"".join(b"%x\r\n%b\r\n" % (len(one), one) for one in chunks)
    said += b"" if cut else b"0\r\n\r\n"

    async def run():
        found = []
        async with scripted(said) as vendor, engine(f"{vendor.url}/v1") as openai:
            with pytest.raises(VendorError) as caught:
                async for one in openai.generate_stream(ASKED):
                    found.append(one)  # noqa: PERF401, what came before it broke is wanted
        return found, caught.value

    found, error = asyncio.run(run())
    assert found == [TextDelta(text="a")] and error.sent
    assert error.message.endswith("GPU lost") != cut


@pytest.mark.parametrize("raw", [False, True])
def test_leaving_a_stream_early_ends_the_connection(raw):
    async def run():
        gone = asyncio.Event()

        async def serve(reader, writer):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n")
            writer.write(b"data: %b\n\n" % json.dumps(piece("a")).encode())
            while await reader.read(65_536):
                pass
            gone.set()
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        async with server, engine(f"http://127.0.0.1:{port}/v1") as openai:
            if raw:
                async with openai.raw.stream("POST", "/chat/completions", "", b"{}", []) as reply:
                    assert b'"a"' in await anext(reply.chunks)
            else:
                async with aclosing(openai.generate_stream(ASKED)) as pieces:
                    assert await anext(pieces) == TextDelta(text="a")
            await asyncio.wait_for(gone.wait(), 20)

    asyncio.run(run())


def problem(message="It is wrong.", **fields):
    return {"error": {"message": message, "type": "invalid_request_error", **fields}}


@pytest.mark.parametrize(
    ("status", "body", "kind", "param"),
    [
        (400, problem(param="temperature"), InvalidRequestError, "temperature"),
        (400, problem(param="messages"), InvalidRequestError, "message"),
        (422, {"detail": [{"loc": ["body"], "msg": "It is wrong."}]}, InvalidRequestError, None),
        (
            400,
            {"object": "error", "message": "It is wrong.", "code": 400},
            InvalidRequestError,
            None,
        ),
        (400, {"error": "It is wrong."}, InvalidRequestError, None),
        (400, problem(code="context_length_exceeded"), TooLargeError, "message"),
        (400, problem(code="unsupported_value", param="n"), UnsupportedOptionError, "n"),
        (400, problem(param="voice", code="invalid_value"), UnknownVoiceError, "voice"),
        (400, problem(param="language"), UnknownLanguageError, "language"),
        (400, problem(param="file"), InvalidMediaError, "audio"),
        (413, problem(), TooLargeError, None),
        (404, problem(code="model_not_found"), UnknownModelError, "model"),
        (404, {"error": "It is wrong."}, UnknownModelError, "model"),
    ],
)
def test_what_is_the_requests_fault_is_said_in_the_vendors_words(status, body, kind, param):
    error = failed(answer(status, body), kind=kind)
    assert error.param == param and "It is wrong." in error.message
    streamed = failed(answer(status, body), "generate_stream", ASKED, kind=kind)
    assert streamed.message == error.message


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (401, problem("Incorrect API key: sk-s****et"), "does not take this key"),
        (403, problem("Country not supported."), "Country not supported."),
        (404, b"<html>", "nothing at that address"),
        (429, problem("Slow down.", code="rate_limit_exceeded"), "Slow down."),
        (429, problem("Pay first.", code="insufficient_quota"), "Pay first."),
        (400, problem("Pay first.", code="billing_hard_limit_reached"), "Pay first."),
        (500, problem(f"Broken {KEY}"), "Broken …"),
        (503, b"\xff\xfe", "503"),
        (302, b"", "302"),
    ],
)
def test_what_is_not_the_requests_fault_is_the_vendors(status, body, words):
    error = failed(answer(status, body))
    assert error.status == status and words in error.message and "****" not in str(error)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry_after": "7"}, 7.0),
        ({"retry_after": "7", "retry_after_ms": "250"}, 0.25),
        ({"retry_after": formatdate(0, usegmt=True)}, 0.0),
        ({"retry_after": "soon"}, None),
        ({"retry_after": "nan"}, None),
        ({}, None),
    ],
)
def test_how_long_the_vendor_asks_to_wait_is_told(headers, seconds):
    assert failed(answer(429, problem(), **headers)).retry_after == seconds


def test_a_vendor_that_cannot_be_reached_was_sent_nothing():
    async def run():
        async with engine("http://127.0.0.1:1/v1") as openai:
            await openai.generate(ASKED)

    with pytest.raises(VendorError) as caught:
        asyncio.run(run())
    assert not caught.value.sent


@pytest.mark.parametrize(
    "body", [b"", b"<html>", b"[]", b'{"choices":3}', b'{"choices":[]}', b'"\xff"', b"{}"]
)
def test_an_answer_that_is_not_what_was_promised_is_the_vendors_fault(body):
    error = failed(answer(200, body))
    assert error.sent and error.status is None


def test_a_missing_key_is_named_and_only_openai_wants_one():
    with pytest.raises(NotConfiguredError, match="OPENAI_API_KEY"):
        call([], "generate", ASKED, key="", vendor_url=OPENAI)
    with pytest.raises(NotConfiguredError, match="key_env"):
        call([], "generate", ASKED, key="", vendor_url=OPENAI, name="second")
    said = answer(200, {"choices": [{"message": {"content": "a"}}]})
    _, asked = call([said], "generate", ASKED, key="", headers={"X-Team": "blue"})
    assert "authorization" not in asked[0].headers and asked[0].headers["x-team"] == "blue"


def embedded(*rows, **fields):
    return answer(200, {"data": [{"embedding": row} for row in rows]} | fields)


def test_vectors_are_made_as_long_as_the_value_promises():
    request = EmbedRequest(texts=("a", "b"))
    result, _ = call([embedded([3.0, 4.0], [0.0, 2.0])], "embed", request)
    assert result.vectors.tolist() == [pytest.approx([0.6, 0.8]), [0.0, 1.0]]
    # Without usage the most that two letters can be is counted.
    assert result.units == Units(input_tokens=2)
    # A server that knows no dimensions is cut to them.
    request = EmbedRequest(texts=("a",), dimensions=2)
    result, asked = call([embedded([3.0, 4.0, 12.0])], "embed", request)
    assert result.vectors.tolist() == [pytest.approx([0.6, 0.8])]
    assert asked[0].json()["dimensions"] == 2


@pytest.mark.parametrize(
    "said",
    [
        embedded([1.0]),
        embedded([1.0], [1.0, 0.0]),
        embedded([], []),
        embedded(base64.b64encode(b"123").decode(), base64.b64encode(b"123").decode()),
        embedded("%%%%", "%%%%"),
        answer(200, {"data": [{"embedding": [1.0], "index": 5}, {"embedding": [1.0], "index": 0}]}),
    ],
)
def test_vectors_that_cannot_be_are_refused(said):
    failed(said, "embed", EmbedRequest(texts=("a", "b")))


def test_a_request_that_fails_after_another_was_billed_never_looks_free(monkeypatch):
    monkeypatch.setattr(convert_embeddings, "MAX_INPUTS", 1)
    said = [embedded([1.0]), answer(400, problem())]
    error = failed(said, "embed", EmbedRequest(texts=("a", "b")))
    assert error.sent and error.status is None and "It is wrong." in error.message
    failed(said[1], "embed", EmbedRequest(texts=("a", "b")), kind=InvalidRequestError)


def test_long_texts_are_shared_out_by_their_bytes():
    texts = ("a" * 200_000, "b" * 100_000, "c", "d" * 400_000, "e")
    assert convert_embeddings.batches(texts) == [texts[:2], texts[2:3], texts[3:4], texts[4:]]


def test_moderation_leaves_out_what_an_older_model_does_not_know():
    scores = {"hate": 0.25, "illicit": None, "violence": 0.5}
    said = answer(200, {"results": [{"flagged": True, "category_scores": scores}]})
    result, _ = call([said], "classify", ClassifyRequest(texts=("a",)))
    assert [(one.label, one.score) for one in result.classifications[0].scores] == [
        ("violence", 0.5),
        ("hate", 0.25),
    ]
    failed(said, "classify", ClassifyRequest(texts=("a", "b")))


def test_no_field_of_the_clients_connection_or_account_goes_to_the_vendor():
    given = [
        ("Connection", "keep-alive, X-Hop"),
        ("X-Hop", "1"),
        *((name, "1") for name in forwarding_client.DROPPED),
        ("Proxy-Authorization", "1"),
        ("X-Forwarded-For", "1"),
        ("Sec-Fetch-Mode", "1"),
        ("Content-Type", "application/json"),
        ("OpenAI-Beta", "assistants=v2"),
        ("Idempotency-Key", "k"),
    ]
    assert forwarding_client.request_headers(given) == [
        ("content-type", "application/json"),
        ("openai-beta", "assistants=v2"),
        ("idempotency-key", "k"),
    ]


def test_of_the_vendors_fields_those_about_the_answer_come_back():
    said = {
        "content_type": "application/json; charset=utf-8",
        "retry_after_ms": "5",
        "x_ratelimit_remaining_tokens": "7",
        "openai_processing_ms": "12",
        "openai_organization": "org-1",
        "x_request_id": "req-1",
        "set_cookie": "a=b",
        "server": "cloudflare",
        "x_envoy": "1",
    }
    body = b'{ "as": "it is" }'
    reply, asked = call(
        [answer(200, body, **said)],
        "raw.forward",
        "POST",
        "/responses",
        "x=1",
        b"{}",
        [("Accept-Encoding", "gzip")],
        headers={"OpenAI-Organization": "org-2"},
    )
    assert reply.body == body
    assert dict(reply.headers) == {
        "content-type": "application/json; charset=utf-8",
        "retry-after-ms": "5",
        "x-ratelimit-remaining-tokens": "7",
        "openai-processing-ms": "12",
        "x-vendor-request-id": "req-1",
    }
    assert asked[0].path == "/v1/responses?x=1" and asked[0].body == b"{}"
    assert asked[0].headers["accept-encoding"] == "identity"
    assert asked[0].headers["openai-organization"] == "org-2"

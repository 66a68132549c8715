"""OpenAI called, where the vendor is one that says what it was told to say."""

from __future__ import annotations

import asyncio
import base64
import json
import struct
from contextlib import aclosing, asynccontextmanager
from email.utils import formatdate
from typing import NamedTuple

import pytest

from ogam.capabilities.base import ModelRef, Units
from ogam.capabilities.classification import ClassifyRequest
from ogam.capabilities.embedding import EmbedRequest
from ogam.capabilities.speech_recognition import RecognitionOptions, TranscribeRequest
from ogam.capabilities.speech_synthesis import SpeakRequest
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
from ogam.media import Audio, wav
from ogam.net import Client
from ogam.protocols import forwarding_client
from ogam.protocols.openai import (
    client_audio,
    convert_embeddings,
    forms,
    languages,
    wire_audio,
)
from ogam.protocols.openai.client import OpenAIEngine
from ogam.vendors import Vendor

OPENAI = "https://eu.api.openai.com/v1"
KEY = "sk-secret"
ASKED = GenerateRequest(prompt="Why?", max_tokens=9)
TONE = struct.pack("<800h", *(n % 100 * 50 for n in range(800)))
SOUND = Audio.from_pcm(TONE, 16_000)


class Asked(NamedTuple):
    path: str
    headers: dict[str, str]
    body: bytes

    def json(self):
        return json.loads(self.body)


class Scripted(NamedTuple):
    url: str
    asked: list[Asked]


def answer(status, body=b"", **headers):
    """A whole answer; what is not bytes is written as JSON."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    fields = {"content-length": str(len(data))} | {
        name.replace("_", "-"): value for name, value in headers.items()
    }
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return f"HTTP/1.1 {status} Said\r\n{lines}\r\n".encode() + data


@asynccontextmanager
async def scripted(*answers):
    """Answers in turn, each on a connection that ends with it; a request too many gets 418."""
    asked: list[Asked] = []

    async def serve(reader, writer):
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        pairs = (line.partition(":") for line in head[1:] if line)
        headers = {name.lower(): value.strip() for name, _, value in pairs}
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        asked.append(Asked(head[0].split(" ")[1], headers, body))
        writer.write(answers[len(asked) - 1] if len(asked) <= len(answers) else answer(418))
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield Scripted(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", asked)


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
            work = getattr(openai, method)(*args)
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
        "temperature": 1.0,
    }
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


def open_ended(pcm, rate=24_000, channels=1):
    """A WAV file from a pipe, with something between its head and its sound."""
    file = bytearray(wav.write(pcm, rate, channels))
    file[4:8] = file[40:44] = b"\xff\xff\xff\xff"
    return bytes(file[:36]) + b"LIST\x04\x00\x00\x00INFO" + bytes(file[36:])


SPEECHES = {
    "open": (open_ended(TONE), True),
    "known length, and a tail": (wav.write(TONE, 24_000, 1) + b"LIST\x02\0\0\0ab", True),
    "stereo": (wav.write(TONE, 24_000, 2), False),
    "flac": (SOUND.encode("flac").data, False),
    "mp3": (SOUND.encode("mp3").data, False),
}


@pytest.mark.parametrize("kind", SPEECHES)
def test_speech_of_any_kind_is_heard(kind):
    file, at_once = SPEECHES[kind]
    found, asked = call([answer(200, file)], "speak_stream", SpeakRequest(text="abc"))
    assert asked[0].json()["response_format"] == "wav"
    *chunks, result = found
    pcm = b"".join(one.pcm for one in chunks)
    assert pcm == result.audio.pcm(None, 1).data
    if at_once:
        assert pcm == TONE and chunks[0].sample_rate == 24_000


@pytest.mark.parametrize("size", [1, 7, 300])
@pytest.mark.parametrize("kind", SPEECHES)
def test_sound_goes_on_in_whole_samples_however_it_is_cut(kind, size):
    file, at_once = SPEECHES[kind]
    sound = client_audio._Sound()
    fed = (sound.feed(file[at : at + size]) for at in range(0, len(file), size))
    chunks = [one for one in fed if one is not None]
    assert all(len(one.pcm) % 2 == 0 for one in chunks)
    assert (len(chunks) > 1) == at_once and not sound.cut
    late, audio = sound.end()
    assert b"".join(one.pcm for one in [*chunks, *([late] if late else [])]) == (
        audio.pcm(None, 1).data
    )


@pytest.mark.parametrize(
    "said",
    [
        answer(200, b""),
        answer(200, b"no sound at all"),
        answer(200, wav.write(TONE, 24_000, 1)[:-2]),
    ],
)
def test_speech_that_is_cut_or_none_is_refused(said):
    failed(said, "speak", SpeakRequest(text="abc"))


def test_speech_by_events_must_reach_its_end():
    file = base64.b64encode(open_ended(TONE)).decode()
    delta = {"type": "speech.audio.delta", "audio": file}
    usage = {"input_tokens": 4, "output_tokens": 50, "total_tokens": 54}
    done = {"type": "speech.audio.done", "usage": usage}
    options = {"vendor_url": OPENAI, "model": "gpt-4o-mini-tts"}
    result, asked = call(
        [events(delta, done, done=False)], "speak", SpeakRequest(text="abc"), **options
    )
    assert asked[0].json()["stream_format"] == "sse"
    assert result.units == Units(input_tokens=4, output_tokens=50, characters=3)
    assert result.audio.pcm().data == TONE
    failed(events(delta, done=False), "speak", SpeakRequest(text="abc"), **options)
    failed(events({**delta, "audio": "%"}), "speak", SpeakRequest(text="abc"), **options)


def form_of(asked):
    """The fields of a multipart body, and its file's (name, type, bytes)."""
    boundary = asked.headers["content-type"].partition("boundary=")[2].encode()
    fields, file = [], None
    for part in asked.body.split(b"--" + boundary)[1:-1]:
        head, _, content = part.strip(b"\r\n").partition(b"\r\n\r\n")
        name = head.split(b'name="')[1].split(b'"')[0].decode()
        if b"filename=" in head:
            file = head.decode(), content
        else:
            fields.append((name, content.decode()))
    return forms.fields(fields, wire_audio.TranscriptionForm), file


VERBOSE = {
    "text": " Hello world. Bye.",
    "language": "english",
    "duration": "2.5",
    "segments": [
        {"id": 0, "start": 0.25, "end": 1.0, "text": " Hello world.", "avg_logprob": -0.5},
        {"id": 1, "start": 1.5, "end": 2.0, "text": " Bye."},
    ],
    "words": [
        {"word": "Hello", "start": 0.2, "end": 0.5},
        {"word": "world", "start": 0.6, "end": 1.0},
        {"word": "Bye", "start": 1.5, "end": 2.0},
    ],
}


def test_whisper_is_asked_for_words_and_every_word_finds_its_utterance():
    options = RecognitionOptions(language="en-GB", phrases=("Ogam", "Daegu"))
    request = TranscribeRequest(audio=SOUND, options=options)
    said = [answer(200, VERBOSE | {"usage": {"type": "duration", "seconds": 3}})]
    result, asked = call(said, "transcribe", request, vendor_url=OPENAI, model="whisper-1")
    form, (head, content) = form_of(asked[0])
    assert form.response_format == "verbose_json" and form.language == "en"
    assert form.timestamp_granularities == ["word", "segment"]
    assert (form.prompt, form.keywords) == ("Ogam, Daegu", [])
    assert 'filename="audio.wav"' in head and content == SOUND.data
    assert [[one.text for one in each.words] for each in result.segments] == [
        ["Hello", "world"],
        ["Bye"],
    ]
    assert result.language == "en" and result.duration == 2.5
    assert result.units == Units(audio_ms=3000)


@pytest.mark.parametrize(
    ("model", "prompt", "keywords"),
    [("gpt-4o-transcribe", "a, b", []), ("gpt-transcribe", None, ["a", "b"])],
)
def test_the_later_models_are_asked_for_text_and_billed_by_tokens(model, prompt, keywords):
    request = TranscribeRequest(audio=SOUND, options=RecognitionOptions(phrases=("a", "b")))
    usage = {"type": "tokens", "input_tokens": 14, "output_tokens": 3, "total_tokens": 17}
    said = {"text": "Hallo.", "usage": usage, "languages": [{"code": "de"}]}
    result, asked = call([answer(200, said)], "transcribe", request, vendor_url=OPENAI, model=model)
    form, _ = form_of(asked[0])
    assert (form.response_format, form.prompt, form.keywords) == ("json", prompt, keywords)
    assert form.timestamp_granularities == []
    assert result.units == Units(input_tokens=14, output_tokens=3, audio_ms=50)
    assert result.language == "de" and result.segments[0].text == "Hallo."


def test_a_server_that_tells_text_alone_is_taken():
    result, _ = call([answer(200, {"text": ""})], "transcribe", TranscribeRequest(audio=SOUND))
    assert result.segments == () and result.duration == SOUND.duration
    assert result.units == Units(audio_ms=50)
    failed(answer(200, {"words": []}), "transcribe", TranscribeRequest(audio=SOUND))


def test_a_heard_stream_must_reach_its_end():
    delta = {"type": "transcript.text.delta", "delta": "Hallo"}
    options = {"vendor_url": OPENAI, "model": "gpt-4o-transcribe"}
    stream = ("transcribe_stream", [TONE], RecognitionOptions())
    failed(events(delta), *stream, **options)
    done = {"type": "transcript.text.done", "text": "Hallo"}
    found, asked = call([events(delta, done, done=False)], *stream, **options)
    assert form_of(asked[0])[0].stream is True
    assert [one.text for one in found] == ["Hallo"] * 3


@pytest.mark.parametrize("tag", ["en", "ko", "zh"])
def test_the_name_of_a_language_leads_back_to_its_tag(tag):
    assert languages.tag(languages.name(tag)) == tag == languages.tag(tag)
    assert languages.tag("unknown") is None and languages.tag("Klingon") == "Klingon"


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
        "forward",
        "/responses?x=1",
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

"""OpenAI called: Ogam's own server is the vendor, so what comes back is what ``fake`` gives."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from operator import attrgetter

import msgspec
import openai
import pytest

from ogam import config as configuration
from ogam.capabilities.base import ModelRef, Units
from ogam.capabilities.classification import ClassifyRequest
from ogam.capabilities.embedding import EmbedRequest
from ogam.capabilities.speech_recognition import (
    PartialTranscript,
    RecognitionOptions,
    TranscribeRequest,
)
from ogam.capabilities.speech_synthesis import SpeakRequest, SpeakResult, SpeechChunk
from ogam.capabilities.text_generation import GenerateRequest, GenerateResult, Message, TextDelta
from ogam.config import Config, Routes
from ogam.engines.fake import FakeEngine
from ogam.errors import (
    InvalidRequestError,
    TooLargeError,
    UnknownModelError,
    UnknownVoiceError,
    UnsupportedOptionError,
    VendorError,
)
from ogam.media import Audio
from ogam.net import Client
from ogam.protocols.openai import convert_embeddings
from ogam.protocols.openai.client import OpenAIEngine, capabilities_of
from ogam.protocols.openai.usage import UsageTap, usage_of
from ogam.vendors import Vendor, VendorSettings

from .conftest import running

# The SDK calls some of what it asks for deprecated since whisper-1 is about to end.
pytestmark = pytest.mark.filterwarnings("ignore:deprecated:DeprecationWarning")
CHAIN = ("openai/fake",)
OPENAI = "https://api.openai.com/v1"
FAKE = FakeEngine(ModelRef(name="fake", engine="fake"))
ASKED = GenerateRequest(
    messages=(Message(role="system", content="Be brief."), Message(role="user", content="Why?")),
    max_tokens=7,
    n=2,
    seed=5,
    temperature=0.5,
)
SPEECH = FAKE.speak(SpeakRequest(text="abc " * 20)).audio


@asynccontextmanager
async def engine(address, model="fake", *, as_openai=False, key=None):
    """With ``as_openai`` the vendor's row says it is; the connections lead here all the same."""
    url = f"{address.http}/v1"
    http = Client(url)
    vendor = Vendor(
        name="openai",
        protocol="openai",
        url=OPENAI if as_openai else url,
        key=address.key if key is None else key,
        timeout=20.0,
    )
    made = OpenAIEngine(
        ModelRef(name=f"openai/{model}", engine="openai", model=model), vendor, http
    )
    try:
        yield made
    finally:
        made.close()
        http.close()


def call(address, method, *args, **options):
    async def run():
        async with engine(address, **options) as called:
            return await attrgetter(method)(called)(*args)

    return asyncio.run(run())


def pieces(address, method, *args, **options):
    async def run():
        async with engine(address, **options) as called:
            return [piece async for piece in getattr(called, method)(*args)]

    return asyncio.run(run())


def as_called(result, **changed):
    """What ``fake`` gave here, signed as the vendor's."""
    model = changed.pop("model", "openai/fake")
    return msgspec.structs.replace(result, engine="openai", model=model, **changed)


@pytest.mark.parametrize(
    "request_",
    [
        ASKED,
        GenerateRequest(prompt="Tell me.", max_tokens=3, seed=1),
        GenerateRequest(prompt="Tell me.", max_tokens=30, seed=2, stop=("river", "stone"), n=3),
        GenerateRequest(prompt="한국어 ½ 🙂", seed=-3, top_p=0.5),
    ],
)
@pytest.mark.parametrize("as_openai", [False, True])
def test_answers_are_the_engines_own_whole_and_streamed(fake_server, request_, as_openai):
    options = {"as_openai": as_openai, "model": "gpt-4o-mini" if as_openai else "fake"}
    model = f"openai/{options['model']}"
    here = as_called(FAKE.generate(request_), model=model)
    assert call(fake_server, "generate", request_, **options) == here
    *deltas, result = pieces(fake_server, "generate_stream", request_, **options)
    assert result == here
    assert deltas == [one for one in FAKE.generate_stream(request_) if isinstance(one, TextDelta)]


def test_what_is_not_openais_goes_to_others_only(fake_server):
    request = GenerateRequest(prompt="a", seed=1, top_k=5, repetition_penalty=1.2)
    assert call(fake_server, "generate", request).text == FAKE.generate(request).text
    for field, given in (
        ("top_k", {"top_k": 5}),
        ("repetition_penalty", {"repetition_penalty": 2}),
    ):
        asked = GenerateRequest(prompt="a", **given)
        with pytest.raises(UnsupportedOptionError) as caught:
            call(fake_server, "generate", asked, model="gpt-4o", as_openai=True)
        assert caught.value.param == field
    with pytest.raises(UnsupportedOptionError, match="max_length"):
        call(fake_server, "generate", GenerateRequest(prompt="a", max_length=9))


@pytest.mark.parametrize("dimensions", [None, 8])
def test_vectors_are_the_engines_own_to_the_bit(fake_server, dimensions):
    request = EmbedRequest(texts=("a river", "한 돌", "light"), dimensions=dimensions)
    here = as_called(FAKE.embed(request), tokens=())
    assert call(fake_server, "embed", request) == here


def test_more_texts_than_one_request_takes_go_in_several(fake_server):
    count = convert_embeddings.MAX_INPUTS + 3
    request = EmbedRequest(texts=tuple(f"t{n % 50}" for n in range(count)))
    assert call(fake_server, "embed", request) == as_called(FAKE.embed(request), tokens=())


def test_a_moderation_model_gives_its_13_categories_the_likeliest_first(fake_server):
    texts = ("I will hurt you", "the weather")
    result = call(fake_server, "classify", ClassifyRequest(texts=texts))
    asked = ClassifyRequest(texts=texts, labels=convert_embeddings.LABELS, multi_label=True)
    expected = [
        convert_embeddings.moderation(one).category_scores
        for one in FAKE.classify(asked).classifications
    ]
    found = [{one.label: one.score for one in each.scores} for each in result.classifications]
    assert found == expected
    for each in result.classifications:
        scores = [one.score for one in each.scores]
        assert scores == sorted(scores, reverse=True) and len(scores) == 13
    assert result.units == Units()
    with pytest.raises(UnsupportedOptionError):
        call(fake_server, "classify", ClassifyRequest(texts=texts, labels=("a", "b")))


@pytest.mark.parametrize(
    ("model", "as_openai"), [("fake", False), ("tts-1", True), ("gpt-4o-mini-tts", True)]
)
def test_speech_is_the_engines_own_whole_and_streamed(fake_server, model, as_openai):
    # alloy stands for the engine's own pitch; gpt-4o-mini-tts is asked for events.
    request = SpeakRequest(text="Hello there, world.", voice="alloy")
    here = FAKE.speak(SpeakRequest(text=request.text))
    options = {"model": model, "as_openai": as_openai}
    whole = call(fake_server, "speak", request, **options)
    assert whole.audio == here.audio
    assert (whole.voice, whole.model) == ("alloy", f"openai/{model}")
    assert whole.units.characters == len(request.text)
    assert (whole.units.input_tokens > 0) == (model == "gpt-4o-mini-tts")
    *chunks, result = pieces(fake_server, "speak_stream", request, **options)
    assert result == whole and isinstance(result, SpeakResult)
    assert all(isinstance(one, SpeechChunk) and one.sample_rate == 16_000 for one in chunks)
    assert b"".join(one.pcm for one in chunks) == here.audio.pcm().data


def test_a_voice_of_the_servers_own_and_its_rate(fake_server):
    request = SpeakRequest(text="abc", voice="max", rate=2.0)
    assert call(fake_server, "speak", request).audio == FAKE.speak(request).audio


@pytest.mark.parametrize(
    "request_",
    [
        SpeakRequest(text="<speak>a</speak>", ssml=True),
        SpeakRequest(text="a", language="de"),
        SpeakRequest(text="a", pitch=3.3),
    ],
)
def test_speech_that_the_protocol_cannot_ask_for_is_refused(fake_server, request_):
    with pytest.raises(UnsupportedOptionError):
        call(fake_server, "speak", request_)


def test_a_text_that_is_too_long_is_not_even_sent(fake_server):
    with pytest.raises(TooLargeError):
        call(fake_server, "speak", SpeakRequest(text="a" * 4097), model="tts-1", as_openai=True)


def test_openais_voices_are_known_and_another_servers_are_not(fake_server):
    assert call(fake_server, "voices") == ()
    later = call(fake_server, "voices", model="gpt-4o-mini-tts", as_openai=True)
    first = call(fake_server, "voices", model="tts-1-hd", as_openai=True)
    assert later[0].id == first[0].id == "alloy"
    assert {one.id for one in later} - {one.id for one in first} == {
        *("ballad", "cedar", "marin", "verse")
    }


def heard(language=None, units=None):
    options = RecognitionOptions(language=language)
    here = FAKE.transcribe(TranscribeRequest(audio=SPEECH, options=options))
    words = tuple(msgspec.structs.replace(one, confidence=None) for one in here.words)
    segments = tuple(msgspec.structs.replace(one, words=words) for one in here.segments)
    # The vendor bills whole seconds.
    units = units or Units(audio_ms=-(-here.units.audio_ms // 1000) * 1000)
    return as_called(here, segments=segments, units=units)


@pytest.mark.parametrize("kind", ["wav", "flac", "mp3", "mulaw"])
def test_a_transcript_has_the_engines_words_and_times(fake_server, kind):
    audio = SPEECH.encode(kind)
    options = RecognitionOptions(language="de-DE")
    request = TranscribeRequest(audio=audio, options=options)
    result = call(fake_server, "transcribe", request)
    here = FAKE.transcribe(request)
    assert (result.text, result.duration) == (here.text, here.duration)
    assert [one.text for one in result.words] == [one.text for one in here.words]
    assert result.language == "de"
    if kind == "wav":
        assert result == heard("de")


def test_a_later_model_tells_its_text_alone(fake_server):
    options = {"model": "gpt-4o-transcribe", "as_openai": True}
    request = TranscribeRequest(audio=SPEECH)
    result = call(fake_server, "transcribe", request, **options)
    assert result.text == FAKE.transcribe(request).text
    assert result.words == () and len(result.segments) == 1
    assert result.segments[0].end == result.duration == SPEECH.duration


@pytest.mark.parametrize(
    ("model", "as_openai"), [("fake", False), ("whisper-1", True), ("gpt-4o-transcribe", True)]
)
@pytest.mark.parametrize("waits", [False, True])
def test_live_sound_is_written_down_once_it_has_ended(fake_server, model, as_openai, waits):
    sound = SPEECH.pcm().data
    blocks = [sound[at : at + 999] for at in range(0, len(sound), 999)]

    async def coming():
        for block in blocks:
            await asyncio.sleep(0)
            yield block

    async def run():
        async with engine(fake_server, model, as_openai=as_openai) as called:
            source = coming() if waits else iter(blocks)
            stream = called.transcribe_stream(source, RecognitionOptions())
            return [piece async for piece in stream]

    *partial, result = asyncio.run(run())
    here = FAKE.transcribe(TranscribeRequest(audio=SPEECH))
    assert result.text == here.text
    assert all(isinstance(one, PartialTranscript) for one in partial)
    finals = [one for one in partial if one.is_final]
    assert tuple(one.segment for one in finals) == result.segments
    if model == "gpt-4o-transcribe":
        assert partial[0].text == here.text and not partial[0].is_final


def test_what_the_form_cannot_say_is_refused(fake_server):
    for options in (RecognitionOptions(grammar="x"), RecognitionOptions(alternatives=2)):
        with pytest.raises(UnsupportedOptionError):
            call(fake_server, "transcribe", TranscribeRequest(audio=SPEECH, options=options))


def test_errors_are_of_the_kind_they_were_there(fake_server):
    asked = GenerateRequest(prompt="a")
    with pytest.raises(VendorError) as caught:
        call(fake_server, "generate", asked, key="wrong")
    assert caught.value.status == 401 and "wrong" not in str(caught.value)
    with pytest.raises(UnknownModelError) as caught:
        call(fake_server, "generate", asked, model="no-such-model")
    assert caught.value.param == "model"
    with pytest.raises(UnknownModelError):
        pieces(fake_server, "generate_stream", asked, model="no-such-model")
    with pytest.raises(UnknownVoiceError):
        call(fake_server, "speak", SpeakRequest(text="a", voice="nobody"))
    with pytest.raises(InvalidRequestError) as caught:
        call(fake_server, "generate", GenerateRequest(prompt="a", stop=("a",) * 5))
    assert caught.value.param == "stop"
    with pytest.raises(UnknownModelError, match="names no model"):
        call(fake_server, "generate", asked, model="")


@pytest.mark.parametrize(
    ("model", "can"),
    [
        ("gpt-4o-mini", "generate"),
        ("o3", "generate"),
        ("ft:gpt-4o-mini:acme::1", "generate"),
        ("text-embedding-3-small", "embed"),
        ("omni-moderation-latest", "classify"),
        ("gpt-4o-mini-transcribe", "transcribe"),
        ("whisper-1", "transcribe"),
        ("gpt-4o-mini-tts", "speak"),
        ("tts-1-hd", "speak"),
    ],
)
def test_openais_models_can_what_their_names_say_and_others_everything(model, can):
    assert capabilities_of(model, OPENAI) == {can}
    assert capabilities_of(model, "http://localhost:11434/v1") == OpenAIEngine.capabilities


def body_of(**fields):
    said = {"model": "fake", "seed": 4, "messages": [{"role": "user", "content": "a b"}]}
    return msgspec.json.encode(said | fields)


def test_a_raw_body_goes_through_with_the_vendors_key(fake_server):
    headers = [
        ("Authorization", "Bearer the-clients-own"),
        ("Content-Type", "application/json"),
        ("Cookie", "a=b"),
        ("Content-Length", "3"),
        ("Host", "elsewhere"),
    ]
    reply = call(fake_server, "raw.forward", "POST", "/chat/completions", "", body_of(), headers)
    told = msgspec.json.decode(reply.body)
    here = FAKE.generate(GenerateRequest(prompt="a b", seed=4))
    assert reply.status == 200 and told["choices"][0]["message"]["content"] == here.text
    names = [name for name, _ in reply.headers]
    assert set(names) == {"content-type", "x-vendor-request-id"}
    assert usage_of(reply.body) == here.units


def test_a_raw_stream_goes_through_and_its_usage_is_read_along(fake_server):
    async def run():
        tap, chunks = UsageTap(), []
        async with engine(fake_server) as called:
            body = body_of(stream=True, stream_options={"include_usage": True})
            async with called.raw.stream(
                "POST", "/chat/completions", "", body, [("content-type", "application/json")]
            ) as reply:
                async for chunk in reply.chunks:
                    tap.feed(chunk)
                    chunks.append(chunk)
        return reply, b"".join(chunks), tap.usage

    reply, raw, usage = asyncio.run(run())
    assert reply.status == 200 and dict(reply.headers)["content-type"].startswith("text/event-str")
    assert raw.endswith(b"data: [DONE]\n\n")
    assert usage == FAKE.generate(GenerateRequest(prompt="a b", seed=4)).units


@pytest.mark.parametrize("streamed", [False, True])
def test_raw_faults_of_the_request_come_back_and_the_keys_do_not(fake_server, streamed):
    async def run(body, key=None):
        async with engine(fake_server, key=key) as called:
            sent = [("content-type", "application/json")]
            asked = ("POST", "/chat/completions", "", body, sent)
            if not streamed:
                reply = await called.raw.forward(*asked)
                return reply.status, reply.body
            async with called.raw.stream(*asked) as reply:
                return reply.status, b"".join([one async for one in reply.chunks])

    status, said = asyncio.run(run(body_of(temperature=9)))
    assert status == 400 and msgspec.json.decode(said)["error"]["param"] == "temperature"
    with pytest.raises(VendorError) as caught:
        asyncio.run(run(body_of(), key="wrong"))
    assert caught.value.status == 401


def test_one_engine_answers_many_at_once(fake_server):
    async def run():
        async with engine(fake_server) as called:
            asked = [GenerateRequest(prompt=f"p{n}", seed=n) for n in range(40)]
            return asked, await asyncio.gather(*(called.generate(one) for one in asked))

    asked, results = asyncio.run(run())
    assert [one.text for one in results] == [FAKE.generate(one).text for one in asked]
    assert all(isinstance(one, GenerateResult) for one in results)


def test_a_recording_is_told_by_its_content_not_its_name(fake_server):
    request = TranscribeRequest(audio=Audio(SPEECH.data))
    assert call(fake_server, "transcribe", request).text == heard().text


@pytest.fixture(scope="module")
def through(fake_server, tmp_path_factory):
    """OpenAI's SDK, at a server whose routes all lead to OpenAI, which is another server."""
    row = VendorSettings(url=f"{fake_server.http}/v1", key=fake_server.key, free=True)
    config = Config(
        routes=Routes(**dict.fromkeys(("generate", "speak", "transcribe", "embed"), CHAIN)),
        vendors={"openai": row},
        server=configuration.Server(data=str(tmp_path_factory.mktemp("data"))),
    )
    with (
        running(config, grpc=False) as address,
        openai.OpenAI(base_url=f"{address.http}/v1", api_key="any", max_retries=0) as client,
    ):
        yield client


def test_the_sdk_through_two_servers_gets_what_the_engine_gives(through):
    asked = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Why?"}], "seed": 3}
    here = FAKE.generate(GenerateRequest(prompt="Why?", seed=3))
    reply = through.chat.completions.create(**asked)
    assert reply.choices[0].message.content == here.text
    assert reply.usage.completion_tokens == here.units.output_tokens
    stream = through.chat.completions.create(
        **asked, stream=True, stream_options={"include_usage": True}
    )
    chunks = list(stream)
    assert "".join(one.choices[0].delta.content or "" for one in chunks[:-1]) == here.text
    assert chunks[-1].usage.prompt_tokens == here.units.input_tokens
    made = through.embeddings.create(model="text-embedding-3-small", input=["a b", "c"])
    assert [tuple(one.embedding) for one in made.data] == [
        pytest.approx(row) for row in FAKE.embed(EmbedRequest(texts=("a b", "c"))).vectors
    ]
    said = through.audio.speech.create(
        model="tts-1", voice="alloy", input="Hello there", response_format="wav"
    )
    assert (
        Audio(said.content).pcm().data
        == FAKE.speak(SpeakRequest(text="Hello there")).audio.pcm().data
    )
    heard_there = through.audio.transcriptions.create(
        model="whisper-1", file=("a.wav", SPEECH.data)
    )
    assert heard_there.text == heard().text
    with pytest.raises(openai.BadRequestError):
        through.audio.speech.create(model="tts-1", voice="nobody", input="a")

"""SDK, Ogam, and a vendor that says what it is told to say: what of Speech-to-Text goes through."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
from google.api_core import exceptions
from google.cloud import speech_v1, speech_v2

from ogam.config import Config, Route, Routes, Server
from ogam.media import Audio
from ogam.vendors import VendorSettings

from .conftest import KEY, Address, running
from .passed import budget, last, open_holds, scripted_vendor
from .test_google_speech_sdk import PCM, RATE
from .test_google_vision_passing import failed, reply

VENDOR_KEY = "the-vendors-key"
PATH = "/v1/speech:recognize"
REC = "projects/local/locations/europe-west4/recognizers/_"
OURS = "/v2/projects/my-project/locations/global/recognizers/_:recognize"
SECOND = 24_000_000 // 60  # nano-dollars, of version 1
SECOND_V2 = -(-16_000_000 * 3 // 60)  # three of version 2
RAW: dict[str, Any] = {"encoding": "LINEAR16", "sampleRateHertz": RATE, "languageCode": "en-US"}
RESULT = {"alternatives": [{"transcript": "hello there", "confidence": 0.5}]}
ONE = {"results": [RESULT], "totalBilledTime": "3s"}
TWO = {"results": [RESULT], "metadata": {"totalBilledDuration": "3s"}}


def config(url: str, data: str, hear: Any = ("google_speech",), **more: Any) -> Config:
    dead = VendorSettings(protocol="google_speech", url="http://127.0.0.1:9", key="k")
    return Config(
        routes=Routes(transcribe=Route(models=hear, retries=0, **more)),
        names={"mine": Route(models=("google_speech",), retries=0)},
        vendors={
            "google_speech": VendorSettings(url=url, key=VENDOR_KEY, project="my-project"),
            "bare": VendorSettings(protocol="google_speech", url=url, key=VENDOR_KEY),
            "dead": dead,
        },
        server=Server(keys=(KEY,), data=data),
    )


@contextmanager
def before(tmp_path: Any, *answers: bytes, **more: Any) -> Iterator[tuple[Address, Any]]:
    """Ogam before a scripted vendor."""
    with (
        scripted_vendor(*answers) as said,
        running(config(said.url, str(tmp_path), **more), grpc=False) as address,
    ):
        yield address, said


def v1(address: Address) -> speech_v1.SpeechClient:
    options = {"api_endpoint": address.http, "api_key": KEY}
    return speech_v1.SpeechClient(transport="rest", client_options=options)


def v2(address: Address) -> speech_v2.SpeechClient:
    options = {"api_endpoint": address.http, "api_key": KEY}
    return speech_v2.SpeechClient(transport="rest", client_options=options)


def heard(address: Address, **more: Any) -> Any:
    given = {"encoding": "LINEAR16", "sample_rate_hertz": RATE, "language_code": "en-US", **more}
    return v1(address).recognize(config=given, audio={"content": PCM}, retry=None)


def body(content: bytes = PCM, **more: Any) -> dict[str, Any]:
    return {"config": {**RAW, **more}, "audio": {"content": base64.b64encode(content).decode()}}


def post(address: Address, asked: Any, path: str = PATH, **headers: str) -> httpx.Response:
    data = asked if isinstance(asked, bytes) else json.dumps(asked).encode()
    given = {"x-goog-api-key": KEY, "content-type": "application/json", **headers}
    return httpx.post(f"{address.http}{path}", content=data, headers=given, timeout=30)


def test_the_sdk_is_answered_by_the_vendor_and_it_is_written_down(tmp_path: Any) -> None:
    with before(tmp_path, reply(ONE)) as (address, said):
        found = heard(address, model="latest_long", enable_spoken_punctuation=True)
        assert found.results[0].alternatives[0].transcript == "hello there"
        (sent,) = said.asked
        assert sent.path.split("?")[0] == PATH
        assert sent.headers["x-goog-api-key"] == VENDOR_KEY
        asked = json.loads(sent.body)
        assert base64.b64decode(asked["audio"]["content"]) == PCM
        assert asked["config"]["enableSpokenPunctuation"] is True  # refused of our own engines
        row = last(address)
        assert (row.protocol, row.capability, row.status) == ("google_speech", "transcribe", "ok")
        assert (row.model, row.units.audio_ms) == ("google_speech/latest_long", 3000)
        assert row.cost == 3 * SECOND
        assert not open_holds(address)


def test_version_two_goes_to_the_operators_project(tmp_path: Any) -> None:
    with before(tmp_path, reply(TWO)) as (address, said):
        found = v2(address).recognize(
            recognizer=REC,
            config={"auto_decoding_config": {}, "model": "chirp_3", "language_codes": ["auto"]},
            content=Audio.from_pcm(PCM, RATE).data,
        )
        assert found.results[0].alternatives[0].transcript == "hello there"
        (sent,) = said.asked
        assert sent.path.split("?")[0] == OURS
        assert json.loads(sent.body)["config"]["model"] == "chirp_3"
        row = last(address)
        assert (row.model, row.units.audio_ms) == ("google_speech/v2/chirp_3", 3000)
        assert row.cost == SECOND_V2


def test_fields_that_nobody_here_knows_arrive_and_come_back(tmp_path: Any) -> None:
    asked = (
        '{ "audio":{"content":"aGk="},"config":{"language_code" : "en-US","new":[1.50,{"a":null}]},'
        '"안녕":1e3}'
    ).encode()
    told = b'{ "totalBilledTime":"1.5s", "new" : [1.0], "metadata":{"totalBilledDuration":"1.5s"}}'
    with before(tmp_path, reply(told), reply(told)) as (address, said):
        assert post(address, asked, f"{PATH}?key={KEY}&new=%20a+b").content == told
        assert last(address).units.audio_ms == 1500
        two = b'{"content":"aGk=","config":{"model":"long","new" : 1.0},"later":[]}'
        assert post(address, two, f"/v2/{REC}:recognize").content == told
        assert last(address).units.audio_ms == 1500
    assert [(one.path, one.body) for one in said.asked] == [
        (f"{PATH}?new=%20a+b", asked),
        (OURS, two),
    ]


@pytest.mark.parametrize(
    ("hear", "model", "sent", "row"),
    [
        ("google_speech", "", "", "google_speech"),
        ("google_speech", "mine", "", "google_speech"),
        ("google_speech/*", "telephony", "telephony", "google_speech/telephony"),
        ("google_speech/v1/video", "default", "video", "google_speech/video"),
        ("google_speech/video", "", "video", "google_speech/video"),
        ("google_speech/v2", "mine", "", "google_speech"),
    ],
)
def test_a_steps_model_stands_before_the_clients(
    tmp_path: Any, hear: str, model: str, sent: str, row: str
) -> None:
    with before(tmp_path, reply(ONE), hear=(hear,)) as (address, said):
        assert post(address, body(**({"model": model} if model else {}), new=1)).is_success
        config = json.loads(said.asked[0].body)["config"]
        assert (config.get("model", ""), config["new"]) == (sent, 1)
        assert last(address).model == row


@pytest.mark.parametrize(
    ("hear", "model", "sent", "row"),
    [
        ("google_speech/v2/chirp_2", "long", "chirp_2", "google_speech/v2/chirp_2"),
        ("google_speech/v2", "", "", "google_speech/v2"),
        ("google_speech/v2/*", "chirp_9", "chirp_9", "google_speech/v2/chirp_9"),
        ("google_speech", "mine", "long", "google_speech/v2"),
    ],
)
def test_so_it_does_in_version_two(
    tmp_path: Any, hear: str, model: str, sent: str, row: str
) -> None:
    asked = {"config": {"model": model, "new": 1}, "content": ""}
    with before(tmp_path, reply(TWO), hear=(hear,)) as (address, said):
        assert post(address, asked, f"/v2/{REC}:recognize").is_success
        config = json.loads(said.asked[0].body)["config"]
        assert (config["model"], config["new"]) == (sent, 1)
        assert last(address).model == row


@pytest.mark.parametrize("hear", ["google_speech/v2/long", "bare"])
def test_where_the_other_version_is_spoken_the_call_is_translated(tmp_path: Any, hear: str) -> None:
    path = f"/v2/{REC}:recognize" if hear == "bare" else PATH
    asked: Any = body()
    if hear == "bare":
        config = {"autoDecodingConfig": {}, "languageCodes": ["en-US"]}
        sound = Audio.from_pcm(PCM, RATE).data
        asked = {"config": config, "content": base64.b64encode(sound).decode()}
    with before(tmp_path, reply({**ONE, **TWO}), hear=(hear,)) as (address, said):
        got = post(address, asked, path)
        assert got.json()["results"][0]["alternatives"][0]["transcript"] == "hello there"
        assert said.asked[0].path == (PATH if hear == "bare" else OURS)


def test_what_the_vendor_does_not_tell_is_measured(tmp_path: Any) -> None:
    both = b"".join(PCM[at : at + 2] * 2 for at in range(0, len(PCM), 2))
    flac = Audio.from_pcm(PCM, RATE).encode("flac").data
    wav = Audio.from_pcm(both, RATE, 2).data
    channels = {"audioChannelCount": 2, "enableSeparateRecognitionPerChannel": True}
    answers = [reply({"results": []})] * 4
    with before(tmp_path, *answers) as (address, _):
        for asked, count in (
            (body(), 3),
            (body(flac, encoding="FLAC"), 3),
            (body(wav, **channels), 6),
            (body(both, audioChannelCount=2), 3),
        ):
            assert post(address, asked).is_success
            row = last(address)
            assert (row.units.audio_ms, row.cost) == (1000 * count, count * SECOND)


@pytest.mark.parametrize(
    ("asked", "seconds"),
    [
        (body(), 3),
        (body(PCM, encoding="MULAW", sampleRateHertz=8000), 9),  # 70,400 bytes
        (body(Audio.from_pcm(PCM, RATE).data, encoding="ENCODING_UNSPECIFIED"), 3),
        # A header that says less than there is does not make it cheaper.
        (body(Audio.from_pcm(PCM[:100], RATE).data + PCM[100:], sampleRateHertz=48_000), 3),
        (body(Audio.from_pcm(PCM, RATE).encode("flac").data, encoding="FLAC"), 4),
        (body(PCM, enableSeparateRecognitionPerChannel=True, audioChannelCount=2), 4),
    ],
)
def test_as_much_as_the_sound_is_long_is_set_aside(tmp_path: Any, asked: Any, seconds: int) -> None:
    with before(tmp_path, reply(b"<html>")) as (address, said):
        with budget(address, seconds * SECOND - 1):
            got = post(address, asked)
            assert (got.status_code, got.json()["error"]["status"]) == (429, "RESOURCE_EXHAUSTED")
            assert not said.asked
        with budget(address, seconds * SECOND):
            assert post(address, asked).status_code == 500
        (hold,) = open_holds(address)
        assert (hold.state, hold.hold.bound) == ("unknown", seconds * SECOND)


def test_a_small_budget_is_googles_exhausted_quota(tmp_path: Any) -> None:
    with before(tmp_path) as (address, said), budget(address, 1):
        with pytest.raises(exceptions.TooManyRequests) as caught:
            heard(address)
        assert caught.value.reason == "QUOTA_EXCEEDED"
        assert not said.asked and not open_holds(address)


@pytest.mark.parametrize(
    ("asked", "status", "said"),
    [
        (body(new=1), 429, "new"),
        (body(b"no sound", encoding="FLAC"), 429, "cannot be read"),
        ({"config": RAW, "audio": {"content": "%"}}, 429, "base64"),
        (body(model="medical_dictation"), 429, "not known"),
        (body(sample_rate_hertz=48_000), 429, "twice"),
        (b'{"config":{},"config":{"languageCode":"en-US"},"audio":{}}', 400, "twice"),
    ],
)
def test_what_has_no_provable_cost_is_refused_under_a_budget(
    tmp_path: Any, asked: Any, status: int, said: str
) -> None:
    with before(tmp_path) as (address, vendor), budget(address, 10**15):
        got = post(address, asked)
        assert got.status_code == status
        if "model" not in str(asked):
            assert said in got.json()["error"]["message"]
        assert not vendor.asked


def test_what_the_vendor_finds_wrong_is_read_in_its_own_words(tmp_path: Any) -> None:
    wrong = failed(400, "INVALID_ARGUMENT", "Bad encoding.", {"@type": "type/x", "new": [1]})
    with before(tmp_path, wrong, wrong, hear=("google_speech", "fake")) as (address, _):
        with pytest.raises(exceptions.BadRequest, match="Bad encoding"):
            heard(address)
        assert post(address, body()).content == wrong.partition(b"\r\n\r\n")[2]
        row = last(address)
        assert row.cost == 0 and [one.outcome for one in row.attempts] == ["refused"]
        assert not open_holds(address)


@pytest.mark.parametrize(
    ("answer", "kept"),
    [
        (failed(403, "PERMISSION_DENIED", "off"), False),
        (failed(429, "RESOURCE_EXHAUSTED", "quota"), False),
        (failed(500, "INTERNAL", "oh"), True),
        (reply(b"<html>"), True),
    ],
)
def test_what_is_not_the_requests_fault_leads_to_the_next_model(
    tmp_path: Any, answer: bytes, kept: bool
) -> None:
    with before(tmp_path, answer, hear=("google_speech", "dead", "fake")) as (address, said):
        assert heard(address).results[0].alternatives[0].transcript != "hello there"
        row = last(address)
        assert [one.model for one in row.attempts] == ["google_speech", "dead", "fake"]
        assert len(said.asked) == 1
        assert [one.state for one in open_holds(address)] == ["unknown"] * kept


def test_with_nothing_behind_it_the_sdk_has_its_typed_error(tmp_path: Any) -> None:
    key = {"reason": "API_KEY_INVALID"}
    wrong = failed(400, "INVALID_ARGUMENT", f"{VENDOR_KEY} is wrong", key)
    with before(tmp_path, wrong) as (address, _), pytest.raises(exceptions.InternalServerError):
        heard(address)


def test_conditions_on_the_length_are_about_the_sound(tmp_path: Any) -> None:
    from ogam.routes import Step, When

    short = Step(model="google_speech", when=When(max_seconds=2))
    with before(tmp_path, hear=(short, "fake")) as (address, said):
        assert heard(address).results
        assert not said.asked and last(address).engine == "fake"


def test_sound_in_storage_is_not_asked_of_the_operators_bucket(tmp_path: Any) -> None:
    with before(tmp_path) as (address, said):
        got = post(address, {"config": RAW, "audio": {"uri": "gs://bucket/a.wav"}})
        assert got.status_code == 404
        config = {"autoDecodingConfig": {}, "languageCodes": ["en-US"]}
        got = post(address, {"config": config, "uri": "gs://bucket/a.wav"}, f"/v2/{REC}:recognize")
        assert got.status_code == 404
        # Nor is a recogniser of the operator's own, which may name a dearer model.
        asked = {"config": config, "content": "aGk="}
        assert post(address, asked, f"/v2/{REC}own:recognize").status_code == 404
        assert not said.asked

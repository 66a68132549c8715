"""Text to speech through ElevenLabs's SDK, and by hand where the SDK cannot."""

from __future__ import annotations

import base64
import io
import struct
from contextlib import contextmanager

import av
import httpx
import msgspec
import pytest
from elevenlabs import VoiceSettings
from elevenlabs.client import ElevenLabs
from elevenlabs.core.api_error import ApiError

from ogam.config import Config, Routes
from ogam.config import Server as ServerConfig
from ogam.media import Audio, wav
from ogam.protocols.elevenlabs.convert import OUTPUTS

from .conftest import running

TEXT = "The quick brown fox jumps over the lazy dog."
ONCE = {"max_retries": 0}


@contextmanager
def connected(server, key=None):
    """The SDK, whose connections are closed at the end."""
    with httpx.Client(timeout=30) as http:
        yield ElevenLabs(base_url=server.http, api_key=key, httpx_client=http)


@pytest.fixture
def client(fake_server):
    with connected(fake_server, fake_server.key) as made:
        yield made


def spoken(client, text=TEXT, voice="ada", **more):
    return b"".join(client.text_to_speech.convert(voice, text=text, request_options=ONCE, **more))


def refused(work):
    with pytest.raises(ApiError) as found:
        work()
    return found.value


def detail(error):
    assert isinstance(error.body, dict)
    return error.body["detail"]


def seconds(data, output):
    raw = {"pcm": "pcm", "mulaw": "mulaw", "alaw": "alaw"}.get(output.kind)
    if raw:
        return Audio(data, encoding=raw, sample_rate=output.rate).duration
    return Audio(data).duration


@pytest.mark.parametrize("name", sorted(OUTPUTS))
def test_every_output_format_is_what_it_says(client, name):
    output = OUTPUTS[name]
    whole = spoken(client, "Hello there.", output_format=name)
    streamed = b"".join(
        client.text_to_speech.stream("ada", text="Hello there.", output_format=name)
    )
    for data in (whole, streamed):
        # The fake engine says each letter in 50 ms.
        assert seconds(data, output) == pytest.approx(0.55, abs=0.12)
        if output.kind not in ("pcm", "mulaw", "alaw"):
            with av.open(io.BytesIO(data)) as container:
                assert container.streams.audio[0].rate == output.rate
    if output.kind == "wav":
        assert wav.header(whole).claimed_seconds == pytest.approx(0.55, abs=0.01)


@pytest.mark.parametrize(
    ("asked", "bits"), [({}, 0xFB90), ({"output_format": "mp3_22050_32"}, 0xF340)]
)
def test_the_first_frame_of_an_mp3_has_the_rates_of_the_format(client, asked, bits):
    # MPEG version and layer; then four bits of bit rate, two of sample rate, padding, private.
    # Without a format it is 44,100 Hz and 128 kbit/s.
    data = spoken(client, **asked)
    assert data[0] == 0xFF
    assert int.from_bytes(data[1:3], "big") & 0xFFFC == bits


def test_a_wav_can_be_played_while_it_comes(client):
    parts = list(client.text_to_speech.stream("ada", text=TEXT, output_format="wav_16000"))
    assert len(parts) > 1
    assert struct.unpack("<I", parts[0][24:28])[0] == 16_000


def test_speed_is_the_rate_and_the_other_settings_change_nothing(client):
    plain = spoken(client, output_format="pcm_16000")
    settings = VoiceSettings(stability=0.1, similarity_boost=0.9, style=1, use_speaker_boost=True)
    same = spoken(client, output_format="pcm_16000", voice_settings=settings)
    slow = spoken(client, output_format="pcm_16000", voice_settings=VoiceSettings(speed=0.5))
    assert plain == same
    assert len(slow) == pytest.approx(2 * len(plain), rel=0.01)


def test_a_pause_in_the_text_is_kept_and_not_read_aloud(starter_server):
    texts = ["One & two, three.", 'One & two, <break time="2.0s" /> three.']
    with connected(starter_server) as client:
        made = [
            client.text_to_speech.convert_with_timestamps(
                "en-us", text=text, output_format="wav_22050", request_options=ONCE
            )
            for text in texts
        ]
    plain, paused = (Audio(base64.b64decode(one.audio_base_64)).duration for one in made)
    assert paused - plain == pytest.approx(2, abs=0.3)
    aligned = made[1].alignment
    assert "".join(aligned.characters) == texts[1]
    said = aligned.character_start_times_seconds[texts[1].index("three")]
    assert said > 2.5


def test_the_characters_of_a_text_get_times_that_never_go_back(client):
    text = "  Hello, wörld — 안녕!  "
    made = client.text_to_speech.convert_with_timestamps("ada", text=text, request_options=ONCE)
    duration = Audio(base64.b64decode(made.audio_base_64)).duration
    aligned = made.alignment
    assert "".join(aligned.characters) == text
    starts = aligned.character_start_times_seconds
    ends = aligned.character_end_times_seconds
    assert starts == sorted(starts)
    assert all(start <= end for start, end in zip(starts, ends, strict=True))
    assert ends[-1] == pytest.approx(duration, abs=0.15)
    assert made.normalized_alignment == aligned


def test_streamed_timestamps_join_to_the_whole_text_and_the_whole_sound(client):
    lines = list(
        client.text_to_speech.stream_with_timestamps("ada", text=TEXT, output_format="pcm_16000")
    )
    assert len(lines) > 3
    joined = "".join("".join(one.alignment.characters) for one in lines if one.alignment)
    assert joined == TEXT
    starts = [
        at for one in lines if one.alignment for at in one.alignment.character_start_times_seconds
    ]
    assert starts == sorted(starts)
    sound = b"".join(base64.b64decode(one.audio_base_64) for one in lines)
    assert sound == spoken(client, output_format="pcm_16000")


def test_the_headers_tell_the_cost_the_request_and_the_engine(client):
    with client.text_to_speech.with_raw_response.convert("ada", text="Twelve chars") as found:
        b"".join(found.data)
    assert found.headers["character-cost"] == "12"
    assert found.headers["content-type"] == "audio/mpeg"
    assert found.headers["request-id"]
    assert found.headers["x-ogam-engine"] == "fake"


def test_spoken_characters_are_counted(client):
    before = client.user.subscription.get()
    spoken(client, "exactly twenty chars")
    after = client.user.get()
    assert after.subscription.character_count - before.character_count == 20
    assert after.subscription.character_limit > after.subscription.character_count


def test_a_voice_of_the_vendors_own_is_the_engines_default(client):
    assert spoken(client, voice="21m00Tcm4TlvDq8ikWAM") == spoken(client, voice="ada")
    # And it speaks the language that is asked for, as the vendor's voices do.
    korean = spoken(client, voice="21m00Tcm4TlvDq8ikWAM", language_code="ko")
    assert korean == spoken(client, voice="bora")
    assert client.voices.get("21m00Tcm4TlvDq8ikWAM").name == "Rachel"


def test_a_voice_of_the_configuration_leads_to_its_model(tmp_path):
    routes = Routes(speak=("nowhere",))
    config = Config(
        routes=routes, names={"myClonedVoice": "fake"}, server=ServerConfig(data=str(tmp_path))
    )
    with running(config, grpc=False) as server, connected(server) as client:
        assert spoken(client, voice="myClonedVoice")
        assert client.voices.get("myClonedVoice").voice_id == "myClonedVoice"


def test_an_unknown_voice_is_a_404_with_the_vendors_code(client):
    asked = (
        lambda: spoken(client, voice="no_such_voice"),
        lambda: list(client.text_to_speech.stream("no_such_voice", text="hi")),
        lambda: list(client.text_to_speech.stream_with_timestamps("no_such_voice", text="hi")),
        lambda: client.text_to_speech.convert_with_timestamps("no_such_voice", text="hi"),
        lambda: client.voices.get("no_such_voice"),
        lambda: client.voices.settings.get("no_such_voice"),
    )
    for work in asked:
        error = refused(work)
        said = detail(error)
        assert error.status_code == 404
        assert (said["code"], said["status"]) == ("voice_not_found", "voice_not_found")
        assert said["request_id"] == error.headers["request-id"]
        assert said["param"] == "voice_id"


@pytest.mark.parametrize(
    ("more", "status", "code"),
    [
        ({"text": ""}, 400, "invalid_parameters"),
        ({"text": " \n"}, 400, "invalid_parameters"),
        ({"text": "a" * 40_001}, 400, "max_character_limit_exceeded"),
        ({"model_id": "no_such_model"}, 404, "model_not_found"),
        ({"output_format": "xyz_1_2"}, 400, "invalid_parameters"),
        ({"language_code": "ko"}, 400, "unsupported_parameter"),
        ({"apply_text_normalization": "off"}, 400, "unsupported_parameter"),
        ({"voice_settings": VoiceSettings(speed=9.0)}, 400, "invalid_parameters"),
    ],
)
def test_what_cannot_be_done_is_refused_in_the_vendors_words(client, more, status, code):
    error = refused(lambda: spoken(client, **{"text": "hi", **more}))
    assert error.status_code == status
    assert detail(error)["code"] == code
    assert detail(error)["message"]


def test_a_vendors_model_leads_to_the_route_and_our_own_name_too(client):
    plain = spoken(client)
    assert spoken(client, model_id="eleven_flash_v2_5") == plain
    assert spoken(client, model_id="fake") == plain


@pytest.mark.parametrize(
    ("body", "place"),
    [
        (b"{}", ["body", "text"]),
        (b'{"text": 5}', ["body", "text"]),
        (b'{"text": "hi", "voice_settings": {"style": 3}}', ["body", "voice_settings", "style"]),
        (b"not json", ["body"]),
    ],
)
def test_a_body_of_another_shape_is_a_422_with_a_list(fake_server, body, place):
    answer = httpx.post(
        f"{fake_server.http}/v1/text-to-speech/ada",
        content=body,
        headers={"xi-api-key": fake_server.key},
    )
    assert answer.status_code == 422
    (said,) = answer.json()["detail"]
    assert said["loc"] == place
    assert said["msg"]


def test_a_wrong_key_is_a_401_with_the_vendors_code(fake_server):
    for key in ("wrong", None):
        with connected(fake_server, key) as stranger:
            error = refused(lambda: stranger.voices.get_all(request_options=ONCE))
        assert error.status_code == 401
        assert detail(error)["code"] == "invalid_api_key"


def test_a_client_that_leaves_in_the_middle_stops_the_stream(client):
    stream = client.text_to_speech.stream("ada", text=TEXT * 100)
    next(iter(stream))
    stream.close()
    assert spoken(client)


def test_a_speech_that_breaks_in_the_middle_breaks_the_connection(fake_server, monkeypatch):
    from ogam.engines.fake import FakeEngine
    from ogam.errors import EngineError

    whole = FakeEngine.speak_stream

    def broken(self, request):
        yield next(whole(self, request))
        raise EngineError("The voice broke.")

    monkeypatch.setattr(FakeEngine, "speak_stream", broken)
    url = f"{fake_server.http}/v1/text-to-speech/ada/stream"
    with (
        pytest.raises(httpx.RemoteProtocolError),
        httpx.stream(
            "POST", url, json={"text": TEXT}, headers={"xi-api-key": fake_server.key}
        ) as answer,
    ):
        assert answer.status_code == 200
        answer.read()


def test_a_speech_that_breaks_at_once_is_a_500_in_the_vendors_shape(client, monkeypatch):
    from ogam.engines.fake import FakeEngine

    def broken(self, request):
        raise ValueError("no sound today")
        yield

    monkeypatch.setattr(FakeEngine, "speak_stream", broken)
    error = refused(
        lambda: list(client.text_to_speech.stream("ada", text="hi", request_options=ONCE))
    )
    assert error.status_code == 500
    assert "no sound today" in detail(error)["message"]


def test_the_openapi_document_knows_these_routes(fake_server):
    paths = httpx.get(f"{fake_server.http}/openapi.json").json()["paths"]
    assert "post" in paths["/v1/text-to-speech/{voice_id}/stream/with-timestamps"]
    body = paths["/v1/text-to-speech/{voice_id}"]["post"]["requestBody"]
    assert "SpeechBody" in msgspec.json.encode(body).decode()

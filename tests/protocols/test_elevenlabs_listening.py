"""Speech to text through ElevenLabs's SDK."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import httpx
import pytest
from elevenlabs.client import ElevenLabs
from elevenlabs.core.api_error import ApiError
from elevenlabs.types import ExportOptions_Docx, ExportOptions_Srt, ExportOptions_Txt

from ogam.config import Config, Routes, Server
from ogam.engines.fake import FakeEngine
from ogam.media import wav

from .conftest import running

ONCE = {"max_retries": 0}
PCM = bytes(range(250)) * 160  # 1.25 s at 16 kHz
SOUND = ("a.wav", wav.write(PCM, 16_000, 1), "audio/wav")


@contextmanager
def connected(server, key=None):
    """The SDK, whose connections are closed at the end."""
    with httpx.Client(timeout=30) as http:
        yield ElevenLabs(base_url=server.http, api_key=key, httpx_client=http)


@pytest.fixture
def client(fake_server):
    with connected(fake_server, fake_server.key) as made:
        yield made


def heard(client, file=SOUND, **more):
    return client.speech_to_text.convert(
        **{"model_id": "scribe_v1", "file": file, "request_options": ONCE, **more}
    )


def refused(work):
    with pytest.raises(ApiError) as found:
        work()
    return found.value


def test_the_words_and_spaces_join_to_the_text(client):
    found = heard(client, diarize=True, tag_audio_events=True)
    assert "".join(one.text for one in found.words) == found.text
    assert [one.type for one in found.words] == ["word", "spacing", "word", "spacing", "word"]
    starts = [one.start for one in found.words]
    assert starts == sorted(starts)
    assert all(one.start <= one.end for one in found.words)
    assert all(one.logprob <= 0 for one in found.words)
    assert (found.language_code, found.language_probability) == ("eng", 1)
    assert found.audio_duration_secs == 1.25


@pytest.mark.parametrize("file", [PCM, ("x.mp3", PCM), ("upload", PCM + b"\x00")])
def test_raw_samples_are_taken_by_their_format_whatever_they_are_called(client, file):
    assert heard(client, file, file_format="pcm_s16le_16").text == heard(client).text


def test_a_recording_without_a_true_name_is_known_by_its_bytes(client):
    assert heard(client, SOUND[1]).text == heard(client, ("a.mp3", SOUND[1], "x/y")).text


@pytest.mark.parametrize("code", ["en", "eng", "en-US"])
def test_a_language_is_told_in_any_of_the_vendors_codes(client, code):
    assert heard(client, language_code=code).language_code == "eng"


def test_an_unknown_language_is_refused(client):
    error = refused(lambda: heard(client, language_code="xho"))
    assert error.status_code == 400
    assert error.body["detail"]["code"] == "unsupported_language"


def test_times_come_as_finely_as_they_are_asked_for(client):
    none = heard(client, timestamps_granularity="none").words
    assert none
    assert all(one.start is None and one.characters is None for one in none)
    for one in heard(client, timestamps_granularity="character").words:
        assert "".join(letter.text for letter in one.characters) == one.text
        assert one.characters[0].start == one.start
        assert one.characters[-1].end == one.end


def test_the_transcript_comes_once_more_as_subtitles_and_text(client):
    found = heard(
        client,
        additional_formats=[
            ExportOptions_Srt(),
            ExportOptions_Txt(),
            ExportOptions_Txt(include_timestamps=True),
        ],
    )
    srt, txt, timed = found.additional_formats
    assert (srt.file_extension, txt.requested_format) == ("srt", "txt")
    assert "-->" in srt.content
    assert txt.content == found.text
    assert timed.content == f"[0.00] {found.text}"


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"cloud_storage_url": "https://example.com/a.wav"}, "cloud_storage_url"),
        ({"source_url": "https://example.com/a.wav"}, "source_url"),
        ({"num_speakers": 2}, "num_speakers"),
        ({"use_multi_channel": True}, "use_multi_channel"),
        ({"webhook": True}, "webhook"),
        ({"entity_detection": "all"}, "entity_detection"),
        ({"transcript_edit": "shorter"}, "transcript_edit"),
        ({"additional_formats": [ExportOptions_Docx()]}, "additional_formats"),
    ],
)
def test_what_no_engine_here_can_do_is_refused_by_name(client, more, param):
    error = refused(lambda: heard(client, **more))
    assert error.status_code == 400
    said = error.body["detail"]
    assert (said["code"], said["param"]) == ("unsupported_parameter", param)


@pytest.mark.parametrize("data", [b"", b"this is not audio" * 60, b"\x89PNG\r\n\x1a\n" + b"0" * 99])
def test_what_is_no_recording_is_refused(client, data):
    error = refused(lambda: heard(client, ("a.wav", data)))
    assert error.status_code == 400
    assert error.body["detail"]["code"] == "invalid_audio"


def test_an_unknown_model_is_a_404(client):
    error = refused(lambda: heard(client, model_id="no_such_model"))
    assert error.status_code == 404
    assert error.body["detail"]["code"] == "model_not_found"


def test_a_form_without_what_it_needs_is_a_422(fake_server):
    url, headers = f"{fake_server.http}/v1/speech-to-text", {"xi-api-key": fake_server.key}
    for parts, place in (
        ({"file": SOUND}, "model_id"),
        ({"model_id": (None, "scribe_v1")}, "file"),
        ({"model_id": (None, "scribe_v1"), "num_speakers": (None, "x")}, "num_speakers"),
        (
            {"model_id": (None, "scribe_v1"), "additional_formats": (None, "{")},
            "additional_formats",
        ),
    ):
        answer = httpx.post(url, files=parts, headers=headers)
        assert answer.status_code == 422
        assert answer.json()["detail"][0]["loc"] == ["body", place]
    # What the SDK sends when it tries again.
    answer = httpx.post(url, headers=headers)
    assert answer.status_code == 422
    assert "max_retries=0" in answer.json()["detail"][0]["msg"]


def test_a_full_queue_refuses_speech_and_lets_recordings_wait(monkeypatch, tmp_path):
    whole = FakeEngine.transcribe
    begun, go_on = threading.Event(), threading.Event()

    def slow(self, request):
        begun.set()
        assert go_on.wait(20)
        return whole(self, request)

    monkeypatch.setattr(FakeEngine, "transcribe", slow)
    routes = Routes(speak=("fake",), transcribe=("fake",))
    config = Config(routes=routes, server=Server(queue=1, data=str(tmp_path)))
    with (
        running(config, grpc=False) as server,
        connected(server) as client,
        ThreadPoolExecutor(2) as threads,
    ):
        first = threads.submit(heard, client)
        assert begun.wait(20)
        second = threads.submit(heard, client)
        error = refused(
            lambda: list(client.text_to_speech.convert("ada", text="hi", request_options=ONCE))
        )
        go_on.set()
        assert first.result(20).text == second.result(20).text
    assert error.status_code == 429
    assert error.body["detail"]["code"] == "rate_limit_exceeded"
    assert int(error.headers["retry-after"]) >= 1


def test_a_real_recording_is_understood(starter_server, samples):
    with (
        connected(starter_server) as client,
        (samples / "speech" / "LJ001-0008.flac").open("rb") as file,
    ):
        found = heard(client, file)
    assert "never" in found.text
    assert "".join(one.text for one in found.words) == found.text

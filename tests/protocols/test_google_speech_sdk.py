"""Speech-to-Text through Google's own SDK: versions 1 and 2, over REST, gRPC and streams."""

from __future__ import annotations

import struct
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.api_core import exceptions as vendor
from google.cloud import speech_v1, speech_v2
from google.cloud.speech_v1.services.speech.transports import SpeechGrpcTransport as Transport1
from google.cloud.speech_v2.services.speech.transports import SpeechGrpcTransport as Transport2

from ogam.media import Audio
from ogam.protocols.google_speech import streaming

from .conftest import Address

RATE = 16_000
REC = "projects/local/locations/global/recognizers/_"
CONFIG: dict[str, Any] = {
    "encoding": "LINEAR16",
    "sample_rate_hertz": RATE,
    "language_code": "en-US",
}
TIMEOUT = 60.0


def sound(seconds: float, seed: int = 1) -> bytes:
    """Samples of which no two half seconds are alike, and so no two words of ``fake``."""
    value, found = seed, []
    for _ in range(int(seconds * RATE)):
        value = (value * 1103515245 + 12345) % 2**31
        found.append((value >> 16) % 4000 - 2000)
    return struct.pack(f"<{len(found)}h", *found)


PCM = sound(2.2)


def text(response: Any) -> str:
    return " ".join(one.alternatives[0].transcript for one in response.results)


@pytest.fixture(scope="module")
def rest(fake_server: Address) -> speech_v1.SpeechClient:
    options = {"api_endpoint": fake_server.http, "api_key": fake_server.key}
    return speech_v1.SpeechClient(transport="rest", client_options=options)


@pytest.fixture(scope="module")
def rest2(fake_server: Address) -> speech_v2.SpeechClient:
    options = {"api_endpoint": fake_server.http, "api_key": fake_server.key}
    return speech_v2.SpeechClient(transport="rest", client_options=options)


@pytest.fixture(scope="module")
def channel(fake_server: Address) -> Iterator[Any]:
    class WithKey(grpc.UnaryUnaryClientInterceptor, grpc.StreamStreamClientInterceptor):
        def _intercept(self, go: Any, details: Any, request: Any) -> Any:
            own = [*(details.metadata or ()), ("x-goog-api-key", fake_server.key)]
            return go(details._replace(metadata=own), request)

        intercept_unary_unary = intercept_stream_stream = _intercept

    with grpc.insecure_channel(fake_server.grpc) as plain:
        yield grpc.intercept_channel(plain, WithKey())


@pytest.fixture(scope="module")
def v1(channel: Any) -> speech_v1.SpeechClient:
    return speech_v1.SpeechClient(transport=Transport1(channel=channel))


@pytest.fixture(scope="module")
def v2(channel: Any) -> speech_v2.SpeechClient:
    return speech_v2.SpeechClient(transport=Transport2(channel=channel))


def recognized(client: speech_v1.SpeechClient, audio: bytes = PCM, **more: Any) -> Any:
    config = {**CONFIG, **more}
    return client.recognize(config=config, audio={"content": audio}, timeout=TIMEOUT, retry=None)


def stream(client: speech_v1.SpeechClient, chunks: Iterator[bytes], **more: Any) -> Iterator[Any]:
    config = {**CONFIG, **more.pop("config", {})}
    requests = (speech_v1.StreamingRecognizeRequest(audio_content=one) for one in chunks)
    return client.streaming_recognize(
        {"config": config, **more}, requests, timeout=TIMEOUT, retry=None
    )


def cut(data: bytes, size: int = 3200) -> Iterator[bytes]:
    return (data[at : at + size] for at in range(0, len(data), size))


def test_an_utterance_with_its_words_and_what_is_billed(rest: speech_v1.SpeechClient) -> None:
    found = recognized(rest, enable_word_time_offsets=True, enable_word_confidence=True)
    (only,) = found.results
    words = only.alternatives[0].words
    assert [one.word for one in words] == only.alternatives[0].transcript.split()
    assert [one.start_time.total_seconds() for one in words] == [0, 0.5, 1, 1.5, 2]
    assert words[0].confidence == 0.5
    assert only.result_end_time.total_seconds() == pytest.approx(2.2)
    assert only.language_code == "en-us"
    assert only.channel_tag == 0
    assert found.total_billed_time.total_seconds() == 3
    assert found.request_id > 0


def test_words_are_left_out_unless_asked_for(rest: speech_v1.SpeechClient) -> None:
    assert not recognized(rest).results[0].alternatives[0].words


def test_each_channel_is_recognised_by_itself(
    rest: speech_v1.SpeechClient, v1: speech_v1.SpeechClient
) -> None:
    other = sound(2.2, seed=99)
    both = b"".join(PCM[at : at + 2] + other[at : at + 2] for at in range(0, len(PCM), 2))
    config = {"audio_channel_count": 2, "enable_separate_recognition_per_channel": True}
    found = recognized(rest, both, **config)
    said = {one.channel_tag: one.alternatives[0].transcript for one in found.results}
    assert said == {1: text(recognized(rest)), 2: text(recognized(rest, other))}
    assert said[1] != said[2]
    assert found.total_billed_time.total_seconds() == 6
    live = list(stream(v1, cut(both), config=config))
    finals = {one.channel_tag: one.alternatives[0].transcript for r in live for one in r.results}
    assert finals == said
    # Without the wish, the first channel alone is heard.
    assert text(recognized(rest, both, audio_channel_count=2)) == said[1]


@pytest.mark.parametrize(
    ("kind", "encoding", "rate"),
    [
        ("wav", "ENCODING_UNSPECIFIED", 0),
        ("wav", "LINEAR16", RATE),
        ("flac", "ENCODING_UNSPECIFIED", 0),
        ("flac", "FLAC", RATE),
        ("mp3", "MP3", RATE),
        ("opus", "OGG_OPUS", RATE),
        ("mulaw", "MULAW", 8000),
    ],
)
def test_every_encoding_is_heard_whole_and_live(
    v1: speech_v1.SpeechClient, kind: Any, encoding: str, rate: int
) -> None:
    data = Audio.from_pcm(PCM, RATE).encode(kind, sample_rate=rate or None).data
    config = {"encoding": encoding, "sample_rate_hertz": rate}
    whole = recognized(v1, data, **config)
    assert len(text(whole).split()) == 5
    live = list(stream(v1, cut(data, 700), config=config))
    assert text(live[0]) == text(whole)
    if kind in ("wav", "flac"):
        assert text(whole) == text(recognized(v1))
    assert live[-1].total_billed_time.total_seconds() == 3


def test_partial_transcripts_come_while_the_client_still_speaks(
    v1: speech_v1.SpeechClient,
) -> None:
    heard = threading.Event()

    def chunks() -> Iterator[bytes]:
        yield PCM[: RATE * 2]
        assert heard.wait(30)
        yield PCM[RATE * 2 :]

    finals: list[Any] = []
    for response in stream(v1, chunks(), interim_results=True):
        for one in response.results:
            if not one.is_final:
                heard.set()
            finals.append(one)
    assert heard.is_set()
    assert [one.is_final for one in finals][-1]
    assert finals[-1].alternatives[0].transcript == text(recognized(v1))


def test_without_interim_results_only_final_ones_come(v1: speech_v1.SpeechClient) -> None:
    found = [one for r in stream(v1, cut(PCM)) for one in r.results]
    assert [one.is_final for one in found] == [True]


def test_a_single_utterance_ends_the_stream(v1: speech_v1.SpeechClient) -> None:
    found = list(stream(v1, cut(PCM), single_utterance=True))
    kind = speech_v1.StreamingRecognizeResponse.SpeechEventType.END_OF_SINGLE_UTTERANCE
    assert found[0].speech_event_type == kind
    assert found[1].results[0].is_final


def test_voice_activity_is_told(v1: speech_v1.SpeechClient) -> None:
    found = list(stream(v1, cut(PCM), enable_voice_activity_events=True))
    assert [one.speech_event_type.name for one in found[:2]] == [
        "SPEECH_ACTIVITY_BEGIN",
        "SPEECH_ACTIVITY_END",
    ]


def test_version_two_hears_the_same(
    rest: speech_v1.SpeechClient, rest2: speech_v2.SpeechClient, v2: speech_v2.SpeechClient
) -> None:
    said = text(recognized(rest))
    config: dict[str, Any] = {
        "explicit_decoding_config": {
            "encoding": "LINEAR16",
            "sample_rate_hertz": RATE,
            "audio_channel_count": 1,
        },
        "language_codes": ["en-US"],
        "model": "long",
        "features": {"enable_word_time_offsets": True},
    }
    whole = rest2.recognize(request={"recognizer": REC, "config": config, "content": PCM})
    assert text(whole) == said
    assert whole.results[0].language_code == "en-US"
    assert len(whole.results[0].alternatives[0].words) == 5
    assert whole.metadata.total_billed_duration.total_seconds() == 3
    auto = {"auto_decoding_config": {}, "language_codes": ["en-US"]}
    wav = Audio.from_pcm(PCM, RATE).data
    assert text(v2.recognize(request={"recognizer": REC, "config": auto, "content": wav})) == said
    first = {
        "recognizer": REC,
        "streaming_config": {
            "config": config,
            "streaming_features": {"interim_results": True},
        },
    }
    requests = [
        speech_v2.StreamingRecognizeRequest(first),
        *(speech_v2.StreamingRecognizeRequest(audio=one) for one in cut(PCM)),
    ]
    live = list(v2.streaming_recognize(requests=iter(requests), timeout=TIMEOUT))
    assert [text(r) for r in live if r.results and r.results[0].is_final] == [said]
    assert any(not one.is_final for r in live for one in r.results)
    assert live[-1].metadata.total_billed_duration.total_seconds() == 3


def test_the_one_recogniser_is_told_and_others_are_not_found(
    rest2: speech_v2.SpeechClient, v2: speech_v2.SpeechClient
) -> None:
    for client in (rest2, v2):
        assert client.get_recognizer(name=REC).name == REC
        listed = client.list_recognizers(parent="projects/local/locations/global")
        assert [one.name for one in listed] == [REC]
        with pytest.raises(vendor.NotFound):
            client.get_recognizer(name=f"{REC}x")


def test_a_long_recording_is_an_operation(
    rest: speech_v1.SpeechClient, v1: speech_v1.SpeechClient
) -> None:
    for client in (rest, v1):
        operation = client.long_running_recognize(config=CONFIG, audio={"content": PCM})
        found = operation.result(timeout=TIMEOUT)
        assert isinstance(found, speech_v1.LongRunningRecognizeResponse)
        assert text(found) == text(recognized(rest))
        assert operation.metadata.progress_percent == 100


def test_a_batch_reads_files_in_storage_and_one_that_fails_stops_no_other(
    rest2: speech_v2.SpeechClient, fake_server: Address
) -> None:
    folder = Path(fake_server.server.config.server.data) / "google" / "storage" / "recordings"
    folder.mkdir(parents=True)
    (folder / "a.wav").write_bytes(Audio.from_pcm(PCM, RATE).data)
    good, gone = "gs://recordings/a.wav", "gs://recordings/gone.wav"
    request: dict[str, Any] = {
        "recognizer": REC,
        "config": {"auto_decoding_config": {}, "language_codes": ["en-US"]},
        "files": [{"uri": good}, {"uri": gone}],
        "recognition_output_config": {
            "inline_response_config": {},
            "output_format_config": {"srt": {}},
        },
    }
    found = rest2.batch_recognize(request=request).result(timeout=TIMEOUT)
    assert len(text(found.results[good].inline_result.transcript).split()) == 5
    assert " --> " in found.results[good].inline_result.srt_captions
    assert found.results[gone].error.code == grpc.StatusCode.NOT_FOUND.value[0]
    assert found.total_billed_duration.total_seconds() == 3
    request["recognition_output_config"] = {"gcs_output_config": {"uri": "gs://out/here"}}
    found = rest2.batch_recognize(request=request).result(timeout=TIMEOUT)
    written = found.results[good].cloud_storage_result.uri.removeprefix("gs://")
    assert b'"transcript"' in (folder.parent / written).read_bytes()


def test_a_language_not_heard_gives_way_to_an_alternative(v1: speech_v1.SpeechClient) -> None:
    with pytest.raises(vendor.InvalidArgument, match="bad language code"):
        recognized(v1, language_code="fr-FR")
    found = recognized(v1, language_code="fr-FR", alternative_language_codes=["de-DE"])
    assert found.results[0].language_code == "de-de"
    live = stream(
        v1,
        cut(PCM),
        config={"language_code": "fr-FR", "alternative_language_codes": ["de-DE"]},
    )
    assert next(live).results[0].language_code == "de-de"


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"language_code": ""}, "language code"),
        ({"sample_rate_hertz": 100}, "sample rate"),
        ({"sample_rate_hertz": 0}, "sample rate"),
        ({"max_alternatives": 31}, "alternatives"),
        ({"encoding": "SPEEX_WITH_HEADER_BYTE"}, "encoding"),
        ({"encoding": "FLAC"}, "decoded"),
        ({"model": "no/such"}, "does not exist"),
        ({"diarization_config": {"enable_speaker_diarization": True}}, "not supported"),
        ({"enable_spoken_punctuation": True}, "not supported"),
        ({"speech_contexts": [{"phrases": ["$MONTH"]}]}, "not supported"),
        ({"speech_contexts": [{"phrases": ["x"], "boost": -1}]}, "boost"),
    ],
)
def test_what_cannot_be_done_is_said(
    v1: speech_v1.SpeechClient, config: dict[str, Any], said: str
) -> None:
    with pytest.raises(vendor.InvalidArgument, match=said):
        recognized(v1, **config)
    with pytest.raises(vendor.InvalidArgument, match=said):
        list(stream(v1, cut(PCM), config=config))


def test_errors_over_rest_are_googles(rest: speech_v1.SpeechClient, fake_server: Address) -> None:
    wav = Audio.from_pcm(PCM, RATE).data
    with pytest.raises(vendor.BadRequest, match="match the value"):
        recognized(rest, wav, sample_rate_hertz=8000)
    with pytest.raises(vendor.BadRequest, match="Sync input too long"):
        recognized(rest, bytes(2 * 8000 * 61), sample_rate_hertz=8000)
    with pytest.raises(vendor.BadRequest, match="not set"):
        recognized(rest, b"")
    with pytest.raises(vendor.NotFound):
        rest.recognize(config=CONFIG, audio={"uri": "gs://no-such-bucket/a.wav"}, retry=None)
    options = {"api_endpoint": fake_server.http, "api_key": "wrong"}
    stranger = speech_v1.SpeechClient(transport="rest", client_options=options)
    with pytest.raises(vendor.BadRequest) as caught:
        recognized(stranger)
    assert caught.value.reason == "API_KEY_INVALID"


def test_a_stream_must_begin_with_its_configuration(channel: Any) -> None:
    kind = speech_v1.StreamingRecognizeRequest
    call = channel.stream_stream(
        "/google.cloud.speech.v1.Speech/StreamingRecognize",
        request_serializer=kind.serialize,
        response_deserializer=speech_v1.StreamingRecognizeResponse.deserialize,
    )
    first = kind(streaming_config={"config": CONFIG})
    for requests in ([], [kind(audio_content=PCM)], [first, first]):
        with pytest.raises(grpc.RpcError) as caught:
            list(call(iter(requests), timeout=TIMEOUT))
        assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


def test_a_stream_that_goes_on_for_too_long_is_out_of_range(v1: speech_v1.SpeechClient) -> None:
    config = {"encoding": "MULAW", "sample_rate_hertz": 8000}
    minute = bytes(8000 * 60)
    with pytest.raises(vendor.OutOfRange, match="305 seconds"):
        list(stream(v1, iter([minute] * 6), config=config))


def test_a_stream_that_falls_silent_is_out_of_range(
    v1: speech_v1.SpeechClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streaming, "PATIENCE", 0.2)
    done = threading.Event()

    def chunks() -> Iterator[bytes]:
        yield PCM
        done.wait(30)

    try:
        with pytest.raises(vendor.OutOfRange, match="close to real time"):
            list(stream(v1, chunks()))
    finally:
        done.set()


def test_more_streams_than_threads_are_refused_and_cancelling_makes_room(
    v1: speech_v1.SpeechClient,
) -> None:
    done = threading.Event()

    def chunks() -> Iterator[bytes]:
        yield PCM
        done.wait(60)

    calls = [stream(v1, chunks(), interim_results=True) for _ in range(16)]
    try:
        for call in calls:
            assert next(iter(call)).results  # it has its thread
        with pytest.raises(vendor.ResourceExhausted):
            list(stream(v1, cut(PCM)))
        for call in calls:
            call.cancel()
        for _ in range(100):
            try:
                assert list(stream(v1, cut(PCM)))
                break
            except vendor.ResourceExhausted:
                done.wait(0.05)
        else:
            pytest.fail("the cancelled streams still hold their threads")
    finally:
        done.set()


def test_a_real_engine_is_heard_live_as_it_is_whole(starter_server: Address, samples: Path) -> None:
    pcm = Audio(samples / "speech" / "cards-002.flac").pcm(RATE, 1).data
    with grpc.insecure_channel(starter_server.grpc) as plain:
        client = speech_v1.SpeechClient(transport=Transport1(channel=plain))
        whole = recognized(client, pcm, speech_contexts=[{"phrases": ["queen of clubs"]}])
        assert "queen of clubs" in text(whole)
        config = {"speech_contexts": [{"phrases": ["queen of clubs"]}]}
        live = list(stream(client, cut(pcm + bytes(RATE * 4)), config=config))
        assert "queen of clubs" in " ".join(text(one) for one in live)

"""stream-input, by the SDK's convert_realtime and by hand."""

from __future__ import annotations

import base64
import json

import httpx
import pytest
from elevenlabs.client import ElevenLabs
from elevenlabs.core.api_error import ApiError
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from ogam.media import Audio

# The SDK asks a closed connection for its code in a way that websockets would like to end.
old_code = pytest.mark.filterwarnings("ignore:ConnectionClosed.code is:DeprecationWarning")


def url(server, voice="ada", **query):
    asked = "&".join(f"{name}={value}" for name, value in query.items())
    base = server.http.replace("http", "ws")
    return f"{base}/v1/text-to-speech/{voice}/stream-input?{asked}"


def opened(server, *, key=True, **more):
    headers = {"xi-api-key": server.key} if key else {}
    return connect(url(server, **more), additional_headers=headers)


def say(socket, **message):
    socket.send(json.dumps(message))


def until_closed(socket):
    """All messages, and the code it closed with."""
    found = []
    try:
        while True:
            found.append(json.loads(socket.recv(timeout=20)))
    except ConnectionClosed as closed:
        return found, closed.rcvd.code


def realtime(server, texts, voice="ada", key=None):
    with httpx.Client() as http:
        client = ElevenLabs(base_url=server.http, api_key=key or server.key, httpx_client=http)
        # The SDK knows only wss.
        client.text_to_speech._ws_base_url = server.http.replace("http", "ws")
        return b"".join(client.text_to_speech.convert_realtime(voice, text=iter(texts)))


@old_code
def test_the_sdk_hears_what_it_writes(fake_server):
    sound = realtime(fake_server, ["Hello there, ", "this is ", "a test. ", "Bye now."])
    # The fake engine says each letter in 50 ms.
    assert Audio(sound).duration == pytest.approx(30 * 0.05, abs=0.15)


@old_code
def test_the_sdk_gets_the_vendors_error(fake_server):
    with pytest.raises(ApiError) as found:
        realtime(fake_server, ["Hello. "], voice="no_such_voice")
    assert found.value.body["error"] == "voice_not_found"
    with pytest.raises(ApiError) as found:
        realtime(fake_server, ["Hello. "], key="wrong")
    assert found.value.body["error"] == "invalid_api_key"


def test_sentences_are_spoken_while_more_is_awaited(fake_server):
    with opened(fake_server, output_format="pcm_16000") as socket:
        say(socket, text=" ")
        say(socket, text="Hello my friend. How are")
        first = json.loads(socket.recv(timeout=20))
        assert first["audio"]
        say(socket, text=" you?")
        say(socket, text="")
        messages, code = until_closed(socket)
    assert code == 1000
    assert messages[-1]["isFinal"] is True
    sound = b"".join(base64.b64decode(one["audio"]) for one in [first, *messages[:-1]])
    assert len(sound) == 24 * 1600  # letters, each of 50 ms


def test_the_alignments_join_to_the_text_and_add_up_to_the_sound(fake_server):
    text = "Hello my friend. And one, two, three! "
    with opened(fake_server, output_format="pcm_16000") as socket:
        say(socket, text=text)
        say(socket, text="")
        messages, _ = until_closed(socket)
    aligned = [one["alignment"] for one in messages if one["alignment"]]
    assert "".join("".join(one["chars"]) for one in aligned) == text
    spans = [one["charStartTimesMs"][-1] + one["charDurationsMs"][-1] for one in aligned]
    assert all(one["charStartTimesMs"][0] == 0 for one in aligned)
    sound = b"".join(base64.b64decode(one["audio"]) for one in messages if one["audio"])
    assert sum(spans) == pytest.approx(len(sound) / 32, abs=len(spans))


def test_a_flush_speaks_what_is_there(fake_server):
    with opened(fake_server, output_format="pcm_16000") as socket:
        say(socket, text="no end", flush=True)
        assert json.loads(socket.recv(timeout=20))["audio"]


def test_an_empty_talk_ends_well(fake_server):
    with opened(fake_server) as socket:
        say(socket, text=" ")
        say(socket, text="... ")
        say(socket, text="")
        assert until_closed(socket) == (
            [{"audio": None, "isFinal": True, "alignment": None, "normalizedAlignment": None}],
            1000,
        )


@pytest.mark.parametrize("field", ["xi_api_key", "authorization"])
def test_the_key_may_come_in_the_first_message(fake_server, field):
    prefix = "Bearer " if field == "authorization" else ""
    with opened(fake_server, key=False) as socket:
        say(socket, text="Hello.", **{field: prefix + fake_server.key})
        say(socket, text="")
        messages, code = until_closed(socket)
    assert code == 1000
    assert messages[0]["audio"]
    with opened(fake_server, key=False) as socket:
        say(socket, text="Hello.", **{field: "wrong"})
        messages, code = until_closed(socket)
    assert code == 1008
    assert [one["error"] for one in messages] == ["invalid_api_key"]


def test_nothing_is_spoken_without_a_key(fake_server):
    with opened(fake_server, key=False) as socket:
        say(socket, text="Hello my friend. ")
        messages, code = until_closed(socket)
    assert code == 1008
    assert messages[0]["error"] == "invalid_api_key"
    assert len(messages) == 1


def test_a_silent_client_is_told_and_left(fake_server):
    with opened(fake_server, inactivity_timeout=1) as socket:
        say(socket, text=" ")
        messages, code = until_closed(socket)
    assert code == 1008
    assert messages[0]["error"] == "input_timeout_exceeded"
    assert messages[0]["message"]


@pytest.mark.parametrize(
    ("query", "message", "error"),
    [
        ({"output_format": "xyz"}, '{"text": " "}', "invalid_parameters"),
        ({"model_id": "nothing"}, '{"text": " "}', "model_not_found"),
        ({"inactivity_timeout": "999"}, '{"text": " "}', "invalid_parameters"),
        ({"inactivity_timeout": "soon"}, '{"text": " "}', "invalid_parameters"),
        ({"enable_ssml_parsing": "true"}, '{"text": " "}', "unsupported_parameter"),
        ({}, "no json", "invalid_parameters"),
        ({}, b"\xff\xfe", "invalid_parameters"),
        ({}, '{"text": 5}', "invalid_parameters"),
        ({}, '{"text": " ", "generation_config": {"chunk_length_schedule": [1]}}',
         "invalid_parameters"),
        ({"language_code": "ko"}, '{"text": " "}', "unsupported_parameter"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_before_it_closes(fake_server, query, message, error):
    with opened(fake_server, **query) as socket:
        socket.send(message)
        messages, code = until_closed(socket)
    assert code == 1008
    assert messages[-1]["error"] == error
    assert messages[-1]["message"]


def test_a_client_that_leaves_stops_the_work(fake_server):
    with opened(fake_server) as socket:
        say(socket, text="Hello my friend. " * 50)
        socket.recv(timeout=20)
    with opened(fake_server) as socket:
        say(socket, text="Hello.")
        say(socket, text="")
        assert until_closed(socket)[1] == 1000


def test_the_settings_of_the_first_message_hold(fake_server):
    lengths = []
    for speed in (1.0, 2.0):
        with opened(fake_server, output_format="pcm_16000") as socket:
            say(socket, text=" ", voice_settings={"speed": speed, "stability": 0.5})
            say(socket, text="Hello my friend. ")
            say(socket, text="")
            messages, _ = until_closed(socket)
        lengths.append(sum(len(one["audio"] or "") for one in messages))
    assert lengths[1] == pytest.approx(lengths[0] / 2, rel=0.1)

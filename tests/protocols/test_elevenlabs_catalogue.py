"""ElevenLabs's voices, models and account through its SDK."""

from __future__ import annotations

from contextlib import contextmanager

import httpx
import openai
import pytest
from elevenlabs.client import ElevenLabs
from elevenlabs.core.api_error import ApiError


@contextmanager
def connected(server, key=None):
    """The SDK, whose connections are closed at the end."""
    with httpx.Client(timeout=30) as http:
        yield ElevenLabs(base_url=server.http, api_key=key, httpx_client=http)


@pytest.fixture
def client(fake_server):
    with connected(fake_server, fake_server.key) as made:
        yield made


@pytest.fixture
def starters(starter_server):
    with connected(starter_server) as made:
        yield made


def test_all_voices_are_listed_and_found_again(client):
    listed = client.voices.get_all().voices
    assert [one.voice_id for one in listed] == ["ada", "bora", "max"]
    for one in listed:
        assert client.voices.get(one.voice_id) == one
        assert one.category == "premade"


def test_the_first_voice_speaks_what_the_route_speaks_by_default(starters):
    first = starters.voices.get_all().voices[0]
    assert first.labels["language"] == "en"


def test_pages_of_voices_join_to_all_of_them(starters):
    every = [one.voice_id for one in starters.voices.get_all().voices]
    found, token = [], None
    while True:
        page = starters.voices.search(page_size=40, next_page_token=token)
        found += [one.voice_id for one in page.voices]
        assert page.total_count == len(every) > 100
        token = page.next_page_token
        assert page.has_more == (token is not None)
        if token is None:
            break
    assert found == every


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ({"search": "BORA"}, ["bora"]),
        ({"language": "kor"}, ["bora"]),
        ({"gender": "male"}, ["max"]),
        ({"voice_ids": ["max", "ada"]}, ["ada", "max"]),
        ({"sort": "name", "sort_direction": "desc"}, ["max", "bora", "ada"]),
        ({"category": "cloned"}, []),
        ({"voice_type": "personal"}, []),
        ({"voice_type": "default", "category": "premade"}, ["ada", "bora", "max"]),
        ({"accent": "american"}, []),
    ],
)
def test_voices_are_found_by_what_they_are(client, asked, found):
    page = client.voices.search(**asked)
    assert [one.voice_id for one in page.voices] == found
    assert page.total_count == len(found)


def test_a_bad_query_for_voices_is_refused(client):
    with pytest.raises(ApiError) as found:
        client.voices.search(page_size=101)
    assert found.value.status_code == 422
    with pytest.raises(ApiError) as found:
        client.voices.search(next_page_token="-1")
    assert found.value.status_code == 400


def test_voices_have_settings_in_range(client):
    for settings in (client.voices.settings.get("ada"), client.voices.settings.get_default()):
        assert 0 <= settings.stability <= 1
        assert 0 <= settings.similarity_boost <= 1
        assert settings.speed == 1


def test_a_voice_that_is_not_listed_but_spoken_is_found(starters):
    assert starters.voices.get("en-us+f2").voice_id == "en-us+f2"
    with pytest.raises(ApiError) as found:
        starters.voices.get("en-us+nobody")
    assert found.value.status_code == 404


def test_models_say_what_they_can_and_which_languages_they_speak(client):
    speaking, hearing = client.models.list()
    assert speaking.can_do_text_to_speech
    assert not hearing.can_do_text_to_speech
    assert [(one.language_id, one.name) for one in speaking.languages] == [
        ("en", "English"),
        ("ko", "Korean"),
        ("de", "German"),
    ]


def test_one_address_answers_openai_and_elevenlabs_each_in_its_own_words(fake_server):
    url = f"{fake_server.http}/v1/models"
    assert isinstance(httpx.get(url, headers={"xi-api-key": fake_server.key}).json(), list)
    with openai.OpenAI(base_url=f"{fake_server.http}/v1", api_key=fake_server.key) as client:
        assert client.models.list().data


def test_an_account_is_told_to_a_server_without_keys(starters):
    assert starters.user.get().user_id == "anyone"
    assert starters.user.subscription.get().status == "active"


def test_an_unknown_path_is_refused_in_the_vendors_shape(client):
    with pytest.raises(ApiError) as found:
        client.history.list()
    assert found.value.status_code == 404
    assert found.value.body["detail"]["code"] == "not_found"

"""OpenAI's responses that are kept, through OpenAI's SDK: got, gone on from, forgotten."""

from __future__ import annotations

import json
import os
import threading
import time

import msgspec
import openai
import pytest

from ogam import config as configuration
from ogam.capabilities.base import Units
from ogam.capabilities.text_generation import Choice, GenerateResult, TextDelta
from ogam.config import Config, Routes
from ogam.errors import NotFoundError
from ogam.protocols.openai import responses
from ogam.protocols.openai import wire_responses as wire

from .conftest import running

GPT = "gpt-4o-mini"
FAKE = Routes(**dict.fromkeys(Routes.__struct_fields__, ("fake",)))


class Listener:
    """An engine that keeps what it was asked, and answers ``answer N``."""

    capabilities = frozenset({"generate"})

    def __init__(self):
        self.asked = []

    def close(self):
        pass

    def generate(self, request):
        *_, result = self.generate_stream(request)
        return result

    def generate_stream(self, request):
        self.asked.append([(one.role, one.content) for one in request.messages])
        text = f"answer {len(self.asked)}"
        yield TextDelta(text=text)
        yield GenerateResult(
            engine="fake",
            model="fake/listener",
            units=Units(output_tokens=2),
            choices=(Choice(text=text),),
        )


@pytest.fixture
def listener(fake_server, monkeypatch):
    engine = Listener()
    registry = fake_server.server.gateway.registry
    monkeypatch.setitem(registry._engines, "fake/listener", engine)
    return engine


@pytest.fixture(scope="module")
def client(fake_server):
    with openai.OpenAI(
        base_url=f"{fake_server.http}/v1", api_key=fake_server.key, max_retries=0
    ) as made:
        yield made


def test_a_response_comes_back_as_it_went(client):
    made = client.responses.create(model=GPT, input="hi", metadata={"k": "v"}, instructions="c")
    assert made.store and made.previous_response_id is None
    assert client.responses.retrieve(made.id) == made
    assert client.responses.retrieve(made.id).output_text == made.output_text != ""


def test_a_deleted_one_is_gone(client):
    made = client.responses.create(model=GPT, input="hi")
    raw = client.responses.with_raw_response.delete(made.id)
    assert json.loads(raw.http_response.content) == {
        "id": made.id,
        "deleted": True,
        "object": "response",
    }
    for gone in (
        client.responses.retrieve,
        client.responses.delete,
        client.responses.cancel,
        client.responses.input_items.list,
    ):
        with pytest.raises(openai.NotFoundError, match=f"Response with id '{made.id}' not found"):
            gone(made.id)


def test_a_conversation_goes_on_without_its_instructions(client, listener):
    first = client.responses.create(
        model="fake/listener",
        instructions="Be brief.",
        input=[{"role": "developer", "content": "d"}, {"role": "user", "content": "one"}],
    )
    second = client.responses.create(
        model="fake/listener", input="two", previous_response_id=first.id
    )
    assert second.previous_response_id == first.id
    client.responses.delete(first.id)  # the second keeps what it goes on from
    client.responses.create(
        model="fake/listener",
        instructions="Be long.",
        input="three",
        previous_response_id=second.id,
    )
    said = [("system", "d"), ("user", "one"), ("assistant", "answer 1"), ("user", "two")]
    assert listener.asked[1] == said
    assert listener.asked[2] == [
        ("system", "Be long."),
        *said,
        ("assistant", "answer 2"),
        ("user", "three"),
    ]


def test_the_input_is_listed_page_by_page(client, listener):
    first = client.responses.create(
        model="fake/listener",
        input=[
            {"role": "user", "content": [{"type": "input_text", "text": "one"}]},
            {"role": "assistant", "content": [{"type": "refusal", "refusal": "no"}]},
        ],
    )
    second = client.responses.create(
        model="fake/listener", input="two", previous_response_id=first.id
    )
    found = list(client.responses.input_items.list(second.id, order="asc", limit=1))
    assert [one.role for one in found] == ["user", "assistant", "assistant", "user"]
    assert [one.content[0].type for one in found] == [
        *("input_text", "refusal", "output_text", "input_text"),
    ]
    assert found[1].content[0].refusal == "no"
    assert found[2].id == first.output[0].id
    assert found[2].content[0].text == first.output_text
    assert list(client.responses.input_items.list(second.id)) == found[::-1]
    assert len({one.id for one in found}) == 4
    with pytest.raises(openai.BadRequestError) as refused:
        client.responses.input_items.list(second.id, limit=101)
    assert refused.value.param == "limit"


def test_a_stream_is_kept_when_it_ends(client, listener):
    stream = client.responses.create(model="fake/listener", input="one", stream=True)
    *_, last = stream
    assert client.responses.retrieve(last.response.id) == last.response
    more = client.responses.create(
        model="fake/listener", input="two", stream=True, previous_response_id=last.response.id
    )
    assert next(more).response.previous_response_id == last.response.id
    more.close()
    assert listener.asked[1] == [("user", "one"), ("assistant", "answer 1"), ("user", "two")]


@pytest.mark.parametrize("stream", [False, True])
def test_what_shall_not_be_kept_is_not(client, fake_server, stream):
    made = client.responses.create(model=GPT, input="hi", store=False, stream=stream)
    if stream:
        made = [*made][-1].response
    assert made.store is False
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(made.id)
    with pytest.raises(openai.BadRequestError) as refused:
        client.responses.create(model=GPT, input="more", previous_response_id=made.id)
    assert refused.value.code == "previous_response_not_found"
    assert refused.value.param == "previous_response_id"
    assert made.id in refused.value.message


def test_nothing_works_in_the_background(client):
    made = client.responses.create(model=GPT, input="hi")
    with pytest.raises(openai.BadRequestError, match="background") as refused:
        client.responses.cancel(made.id)
    assert refused.value.code == "unsupported_value"
    for asked in ({"stream": True}, {"starting_after": 1}):
        with pytest.raises(openai.BadRequestError) as refused:
            client.responses.retrieve(made.id, **asked)
        assert refused.value.param == next(iter(asked))


def test_no_id_leads_out_of_the_folder(client):
    for identity in ("..%2F..%2Fetc", "resp_%2e%2e", "resp_" + "g" * 24, "resp_0", "%00"):
        with pytest.raises(openai.NotFoundError):
            client.get(f"/responses/{identity}", cast_to=object)


def test_responses_outlive_a_restart_and_belong_to_one_key(tmp_path):
    own = configuration.Server(keys=("one", "two"), data=str(tmp_path))
    ids = []
    for _ in range(2):
        with running(Config(routes=FAKE, server=own), grpc=False) as server:
            base = f"{server.http}/v1"
            with (
                openai.OpenAI(base_url=base, api_key="one", max_retries=0) as one,
                openai.OpenAI(base_url=base, api_key="two", max_retries=0) as two,
            ):
                if not ids:
                    ids.append(one.responses.create(model=GPT, input="mine").id)
                assert one.responses.retrieve(ids[0]).id == ids[0]
                one.responses.create(model=GPT, input="hi", previous_response_id=ids[0])
                for theirs in (two.responses.retrieve, two.responses.delete):
                    with pytest.raises(openai.NotFoundError):
                        theirs(ids[0])
                with pytest.raises(openai.BadRequestError) as refused:
                    two.responses.create(model=GPT, input="hi", previous_response_id=ids[0])
                assert refused.value.code == "previous_response_not_found"


def test_an_answer_is_given_where_the_disk_refuses_it(tmp_path):
    (tmp_path / "openai").mkdir()
    (tmp_path / "openai" / "responses").write_text("in the way")
    own = configuration.Server(data=str(tmp_path))
    with (
        running(Config(routes=FAKE, server=own), grpc=False) as server,
        openai.OpenAI(base_url=f"{server.http}/v1", api_key="any", max_retries=0) as client,
    ):
        assert client.responses.create(model=GPT, input="hi").store is False
        with pytest.raises(openai.InternalServerError, match="written"):
            client.responses.create(model=GPT, input="hi", store=True)


def test_a_server_may_keep_nothing_of_anybodys(tmp_path):
    own = configuration.Server(data=str(tmp_path), store=False)
    with (
        running(Config(routes=FAKE, server=own), grpc=False) as server,
        openai.OpenAI(base_url=f"{server.http}/v1", api_key="any", max_retries=0) as client,
    ):
        made = client.responses.create(model=GPT, input="hi")
        assert made.store is False
        with pytest.raises(openai.NotFoundError):
            client.responses.retrieve(made.id)
        with pytest.raises(openai.BadRequestError) as refused:
            client.responses.create(model=GPT, input="hi", store=True)
        assert refused.value.param == "store"
    assert not (tmp_path / "openai" / "responses").exists()


def kept(number, created=None):
    response = wire.Response(
        id=f"resp_{number:024x}",
        created_at=int(time.time()) if created is None else created,
        model="m",
        status="completed",
        output=[],
    )
    return responses.Kept(response=response, items=[])


def test_the_oldest_go_where_there_are_too_many(tmp_path, monkeypatch):
    monkeypatch.setattr(responses, "MOST", 3)
    store = responses.Responses(tmp_path)
    for number in range(6):
        store.keep(kept(number), "me")
        (place,) = tmp_path.glob(f"*/resp_{number:024x}.json")
        os.utime(place, (time.time() - 100 + number,) * 2)
    store.keep(kept(9), "other")
    store.keep(kept(6), "me")
    left = sorted(place.stem[-1] for place in tmp_path.glob("*/*.json"))
    assert left == ["4", "5", "6", "9"]
    assert store.get(f"resp_{6:024x}", "me").response.id


def test_the_oldest_go_where_they_are_too_large(tmp_path, monkeypatch):
    size = len(msgspec.json.encode(kept(1)))
    monkeypatch.setattr(responses, "MOST_BYTES", 2 * size)
    store = responses.Responses(tmp_path)
    for number in range(1, 5):
        store.keep(kept(number), "me")
        (place,) = tmp_path.glob(f"*/resp_{number:024x}.json")
        os.utime(place, (time.time() - 100 + number,) * 2)
    assert len(list(tmp_path.glob("*/*"))) == 2


def test_what_is_too_old_is_gone(tmp_path):
    store = responses.Responses(tmp_path)
    store.keep(kept(0, created=int(time.time()) - responses.SECONDS - 1), "me")
    with pytest.raises(NotFoundError):
        store.get(f"resp_{0:024x}", "me")
    (place,) = tmp_path.glob("*/*.json")
    os.utime(place, (time.time() - responses.SECONDS - 1,) * 2)
    responses.Responses(tmp_path).keep(kept(1), "other")  # a server's first looks over all
    assert not place.exists()


def test_many_threads_keep_at_once(tmp_path, monkeypatch):
    monkeypatch.setattr(responses, "MOST", 50)
    store = responses.Responses(tmp_path)
    failed = []

    def work(first):
        try:
            for number in range(first, first + 40):
                store.keep(kept(number), "me")
        except Exception as error:
            failed.append(error)

    threads = [threading.Thread(target=work, args=(1000 * n,)) for n in range(4)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert failed == []
    assert 50 <= len(list(tmp_path.glob("*/*.json"))) <= 60

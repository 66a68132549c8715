"""Which requests are equal to the cache, and which results come back as they were."""

from __future__ import annotations

import functools
import io
import types
import typing
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as PILImage

from ogam.capabilities.base import CAPABILITIES, ModelRef, Request, Result
from ogam.capabilities.classification import ClassifyRequest, ClassifyResult
from ogam.capabilities.embedding import EmbedRequest, EmbedResult
from ogam.capabilities.speech_recognition import (
    Keyword,
    RecognitionOptions,
    TranscribeRequest,
    TranscribeResult,
)
from ogam.capabilities.speech_synthesis import SpeakRequest, SpeakResult, SpeechChunk
from ogam.capabilities.text_generation import (
    Choice,
    GenerateRequest,
    GenerateResult,
    Message,
    TextDelta,
)
from ogam.capabilities.translation import TranslateRequest, TranslateResult
from ogam.capabilities.vision import SeeRequest, SeeResult
from ogam.engines.fake import FakeEngine
from ogam.gateway.cache_keys import Ask, key, meaning
from ogam.gateway.cache_values import DamagedError, Kept, pack, pieces, unpack
from ogam.gateway.caller import Caller
from ogam.gateway.keys import Key
from ogam.gateway.trail import Trail
from ogam.media import Audio, Image
from ogam.routes import Route, Step

FAKE = FakeEngine(ModelRef(name="fake", engine="fake"))


def picture(shade: int) -> Image:
    buffer = io.BytesIO()
    PILImage.new("L", (4, 4), shade).save(buffer, "PNG")
    return Image(buffer.getvalue())


SOUNDS = (
    Audio.from_pcm(b"\1\0" * 80, 8000),
    Audio.from_pcm(b"\2\0" * 80, 8000),
    Audio(b"\1\0" * 80, encoding="pcm", sample_rate=8000),
    Audio(b"\1\0" * 80, encoding="pcm", sample_rate=16000),
    Audio(b"\1\0" * 80, encoding="mulaw", sample_rate=8000),
)
PICTURES = (picture(1), picture(2))
TEXTS = st.sampled_from(("one", "two", "둘", "one two"))
MANY = st.lists(TEXTS, min_size=1, max_size=3, unique=True).map(tuple)
# For each request and each of its fields what may stand there; None: only where it may be left out.
FIELDS: dict[type[Request], dict[str, st.SearchStrategy[Any]]] = {
    GenerateRequest: {
        "prompt": TEXTS,
        "max_tokens": st.sampled_from((None, 1, 2)),
        "max_length": st.sampled_from((None, 9)),
        "n": st.sampled_from((1, 2)),
        "temperature": st.sampled_from((0, 0.0, 0.5, 1, 1.0)),
        "top_k": st.sampled_from((None, 1)),
        "top_p": st.sampled_from((None, 0.5, 1)),
        "repetition_penalty": st.sampled_from((1.0, 1, 2)),
        "stop": st.sampled_from(((), ("a",), ("a", "b"), ("b", "a"))),
        "seed": st.sampled_from((None, 0, 1, -(2**63))),
    },
    SpeakRequest: {
        "text": TEXTS,
        "voice": st.sampled_from((None, "", "ada")),
        "language": st.sampled_from((None, "en", "ko")),
        "rate": st.sampled_from((1, 1.0, 1.5)),
        "pitch": st.sampled_from((1, 2.0)),
        "ssml": st.booleans(),
    },
    SeeRequest: {
        "image": st.sampled_from(PICTURES),
        "features": st.sampled_from(((), ("text",), ("text", "faces"))),
        "languages": st.sampled_from(((), ("en",))),
        "max_results": st.sampled_from((100, 1)),
        "aspect_ratios": st.sampled_from(((), (1,), (1.0,), (1.5,))),
    },
    TranscribeRequest: {
        "audio": st.sampled_from(SOUNDS),
        "options": st.builds(
            RecognitionOptions,
            language=st.sampled_from((None, "en")),
            alternatives=st.sampled_from((1, 2)),
            phrases=st.sampled_from(((), ("a",))),
            keywords=st.sampled_from(((), (Keyword(phrase="a"),), (Keyword(phrase="b"),))),
        ),
    },
    TranslateRequest: {
        "texts": MANY,
        "target": st.sampled_from(("ko", "de")),
        "source": st.sampled_from((None, "en")),
        "formality": st.sampled_from(("default", "more")),
        "context": st.sampled_from(("", "a letter")),
        "glossary": st.sampled_from(((), (("a", "b"),), (("b", "a"),))),
        "alternatives": st.sampled_from((1, 2)),
    },
    ClassifyRequest: {
        "texts": MANY,
        "labels": st.sampled_from(((), ("a", "b"), ("b", "a"))),
        "multi_label": st.sampled_from((False, True, 0, 1)),
    },
    EmbedRequest: {"texts": MANY, "dimensions": st.sampled_from((None, 1, 2))},
}
RESULTS: dict[str, type[Result]] = {
    "generate": GenerateResult,
    "speak": SpeakResult,
    "see": SeeResult,
    "transcribe": TranscribeResult,
    "translate": TranslateResult,
    "classify": ClassifyResult,
    "embed": EmbedResult,
}


def asked(
    request: Any,
    *models: str | Step,
    route: Route | None = None,
    by: str = "",
    capability: str = "generate",
) -> Ask:
    steps = [Step(model=one) if isinstance(one, str) else one for one in models or ("fake",)]
    who = Caller(key=Key(id=by, name=by)) if by else Caller()
    return Ask(Trail(who, capability, ""), route or Route(models=()), steps, request)  # type: ignore[arg-type]


def key_of(request: Any, *models: str | Step, **more: Any) -> str:
    return key(asked(request, *models, **more))


@pytest.mark.parametrize("kind", FIELDS, ids=lambda kind: kind.__name__)
def test_every_field_of_a_request_is_tried_below(kind: type[Request]):
    tried = set(FIELDS[kind]) | ({"messages"} if kind is GenerateRequest else set())
    assert tried == set(kind.__struct_fields__)


@pytest.mark.parametrize("kind", FIELDS, ids=lambda kind: kind.__name__)
@settings(max_examples=60)
@given(data=st.data())
def test_keys_are_equal_exactly_where_requests_are(kind: type[Request], data: st.DataObject):
    one = data.draw(st.fixed_dictionaries(FIELDS[kind]))
    changed = data.draw(st.sets(st.sampled_from(sorted(FIELDS[kind]))))
    other = {**one, **{name: data.draw(FIELDS[kind][name]) for name in sorted(changed)}}
    first, second = kind(**one), kind(**other)
    assert (key_of(first) == key_of(second)) == (first == second)


def test_messages_and_their_order_are_part_of_the_key():
    def said(*turns: tuple[str, str]) -> str:
        messages = tuple(Message(role=role, content=text) for role, text in turns)  # type: ignore[arg-type]
        return key_of(GenerateRequest(messages=messages))

    keys = {
        said(("user", "a")),
        said(("user", "b")),
        said(("system", "a")),
        said(("user", "a"), ("user", "b")),
        said(("user", "b"), ("user", "a")),
        said(("assistant", "a"), ("user", "b")),
    }
    assert len(keys) == 6


def test_a_field_that_is_added_with_a_default_leaves_old_keys_as_they_are():
    class Old(Request, frozen=True, kw_only=True):
        text: str

    class New(Request, frozen=True, kw_only=True):
        text: str
        tone: str = "plain"
        moods: tuple[str, ...] = msgspec.field(default_factory=tuple)

    assert key_of(Old(text="a")) == key_of(New(text="a"))
    assert key_of(New(text="a", tone="wild")) != key_of(New(text="a"))


def test_a_picture_is_its_bytes_wherever_it_was_read_from(tmp_path: Any):
    (tmp_path / "a.png").write_bytes(PICTURES[0].data)
    there = SeeRequest(image=Image(tmp_path / "a.png"))
    assert key_of(there) == key_of(SeeRequest(image=PICTURES[0]))


def test_channels_of_sound_without_a_header_are_part_of_the_key():
    one, two = (
        Audio(b"\1\0" * 80, encoding="pcm", sample_rate=8000, channels=channels)
        for channels in (1, 2)
    )
    assert key_of(TranscribeRequest(audio=one)) != key_of(TranscribeRequest(audio=two))


def test_capability_and_models_are_part_of_the_key():
    request = GenerateRequest(prompt="a")
    keys = {
        key_of(request, "a/x"),
        key_of(request, "a/y"),
        key_of(request, "a/x", "a/y"),
        key_of(request, "a/y", "a/x"),
        key_of(request, "a/x", capability="speak"),
    }
    assert len(keys) == 5


def test_models_that_share_requests_by_weight_share_their_answers():
    a, b = Step(model="a", weight=1), Step(model="b", weight=2)
    request = GenerateRequest(prompt="a")
    assert key_of(request, a, b, "c") == key_of(request, b, a, "c")
    assert key_of(request, "c", a, b) != key_of(request, a, b, "c")


def test_keys_of_callers_are_part_of_the_key_where_the_route_says_so():
    request = GenerateRequest(prompt="a")
    own = Route(models=(), cache="exact", cache_per_key=True)
    assert key_of(request, by="k1") == key_of(request, by="k2")
    assert key_of(request, by="k1", route=own) != key_of(request, by="k2", route=own)
    assert key_of(request, by="k1", route=own) == key_of(request, by="k1", route=own)


def test_a_broken_character_has_a_key_of_its_own():
    keys = {key_of(SpeakRequest(text="a", voice=voice)) for voice in ("\ud83d\ude00", "😀", "?")}
    assert len(keys) == 3


def test_what_may_be_near_is_the_last_thing_the_user_said_and_nothing_else():
    def scope(text: str, system: str = "Be kind.", **more: Any) -> str:
        turns = (Message(role="system", content=system), Message(role="user", content=text))
        found = meaning(asked(GenerateRequest(messages=turns, **more)), "encoder")
        assert found is not None
        assert found.text == text
        return found.scope

    assert scope("Where is it?") == scope("Where's that?")
    assert scope("Where is it?") != scope("Where is it?", system="Be rude.")
    assert scope("Where is it?") != scope("Where is it?", temperature=0)
    assert scope("What is 17 times 3?") != scope("What is 17 times 4?")
    found = meaning(asked(GenerateRequest(prompt="a")), "encoder")
    assert found is not None
    assert found != meaning(asked(GenerateRequest(prompt="a")), "another")


@pytest.mark.parametrize(
    "request_",
    [
        GenerateRequest(prompt="a" * 257),
        GenerateRequest(messages=(Message(role="assistant", content="a"),)),
        ClassifyRequest(texts=("a", "b")),
        TranslateRequest(texts=("a",), target="ko"),
        EmbedRequest(texts=("a",)),
        SpeakRequest(text="a"),
        SeeRequest(image=PICTURES[0]),
    ],
    ids=lambda one: type(one).__name__,
)
def test_nothing_is_near_to_what_has_no_stand_in(request_: Request):
    assert meaning(asked(request_), "encoder") is None


@functools.cache
def values(kind: Any) -> st.SearchStrategy[Any]:
    """Anything of a type as results use them."""
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is tuple:
        if arguments[-1] is Ellipsis:
            return st.lists(values(arguments[0]), max_size=2).map(tuple)
        return st.tuples(*map(values, arguments))
    if origin is Literal:
        return st.sampled_from(arguments)
    if origin in (Union, types.UnionType):
        return st.one_of(*map(values, arguments))
    if kind is Audio:
        return st.sampled_from((*SOUNDS, Audio.from_pcm(b"", 8000)))
    if kind is Image:
        return st.sampled_from(PICTURES)
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        fields = get_type_hints(kind)
        names = {name: values(fields[name]) for name in kind.__struct_fields__}
        return st.fixed_dictionaries(names).map(lambda given: kind(**given))
    plain: dict[Any, st.SearchStrategy[Any]] = {
        str: st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
        int: st.integers(-(2**63), 2**63 - 1),
        float: st.floats(allow_nan=False),
        bool: st.booleans(),
        bytes: st.binary(max_size=8),
        type(None): st.none(),
    }
    return plain[kind]


def same(one: Any, other: Any) -> bool:
    """Equal, and media in every field of theirs."""
    media = [(getattr(x, "image", None), getattr(x, "audio", None)) for x in (one, other)]
    slots = [
        [(slot, getattr(part, slot)) for part in both if part for slot in part.__slots__[1:]]
        for both in media
    ]
    return one == other and slots[0] == slots[1]


@pytest.mark.parametrize("capability", CAPABILITIES)
@settings(max_examples=40)
@given(data=st.data())
def test_a_result_comes_back_as_it_was(capability: typing.Any, data: st.DataObject):
    result = data.draw(values(RESULTS[capability]))
    request = SeeRequest(image=PICTURES[0])
    kept = unpack(pack(capability, request, Kept(at=7, result=result)), capability, request)
    assert kept.at == 7
    assert same(kept.result, result)


def test_the_requests_own_picture_is_not_kept_again():
    request = SeeRequest(image=PICTURES[0])
    data = pack("see", request, Kept(at=0, result=FAKE.see(request)))
    assert PICTURES[0].data not in data
    again = SeeRequest(image=Image(PICTURES[0].data))
    assert unpack(data, "see", again).result == FAKE.see(request)


@given(st.data())
def test_a_damaged_entry_is_told_from_a_whole_one(data: st.DataObject):
    request = EmbedRequest(texts=("a",))
    entry = bytearray(pack("embed", request, Kept(at=0, result=FAKE.embed(request))))
    at = data.draw(st.integers(0, len(entry) - 1))
    entry[at] ^= data.draw(st.integers(1, 255))
    for damaged in (bytes(entry), bytes(entry[:at]), bytes(entry) + b"\0"):
        with pytest.raises(DamagedError):
            unpack(damaged, "embed", request)


def test_an_entry_of_another_capability_is_none():
    request = EmbedRequest(texts=("a",))
    entry = pack("embed", request, Kept(at=0, result=FAKE.embed(request)))
    with pytest.raises(DamagedError):
        unpack(entry, "classify", request)


@given(st.lists(st.text(max_size=20), min_size=1, max_size=3))
def test_the_deltas_of_kept_text_are_that_text(texts: list[str]):
    choices = tuple(Choice(text=text) for text in texts)
    result = GenerateResult(
        engine="e", model="m", units=FAKE.embed(EmbedRequest(texts=("a",))).units, choices=choices
    )
    found = pieces(result)
    assert all(isinstance(one, TextDelta) and one.text for one in found)
    assert len(found) <= 4 * len(texts)
    for index, text in enumerate(texts):
        assert "".join(one.text for one in found if one.index == index) == text


def test_the_chunks_of_kept_speech_are_its_sound_with_every_word_once():
    result = FAKE.speak(SpeakRequest(text="one two three four five six seven"))
    found = pieces(result)
    assert all(isinstance(one, SpeechChunk) for one in found)
    assert len(found) > 2
    assert b"".join(one.pcm for one in found) == result.audio.pcm(channels=1).data
    assert tuple(word for one in found for word in one.words) == result.words
    ends = 0.0
    for one in found[:-1]:
        ends += len(one.pcm) / 2 / one.sample_rate
        assert all(word.start < ends for word in one.words)


def test_speech_without_samples_has_no_chunks():
    spoken = FAKE.speak(SpeakRequest(text="one"))
    assert pieces(msgspec.structs.replace(spoken, audio=Audio.from_pcm(b"", 8000))) == []

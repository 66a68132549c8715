"""Structured output: the form always holds, whatever the model says."""

from __future__ import annotations

import asyncio
import json
import math
from typing import Literal

import openai
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field

from ogam.capabilities.base import ModelRef, Units
from ogam.capabilities.text_generation import Choice, GenerateRequest, GenerateResult, Message
from ogam.engines.fake import FakeEngine
from ogam.errors import InvalidRequestError, TooLargeError, UnsupportedOptionError
from ogam.protocols.openai import structured
from ogam.protocols.openai.formats import FORMATS, formatted
from ogam.protocols.openai.schemas import MAX_VALUES, Form

GPT = "gpt-4o-mini"
HELLO = [{"role": "user", "content": "Ann is 30 years old."}]
REQUEST = GenerateRequest(messages=(Message(role="user", content="Ann is 30."),), seed=1)


def holds(value, schema, root):
    """Whether a value is what a schema of the subset asks for."""
    if "$ref" in schema:
        found = root
        for part in schema["$ref"].split("/")[1:]:
            found = found[part]
        return holds(value, found, root)
    if "anyOf" in schema:
        return any(holds(value, one, root) for one in schema["anyOf"])
    if "const" in schema or "enum" in schema:
        allowed = [json.dumps(one) for one in schema.get("enum", [schema.get("const")])]
        return json.dumps(value) in allowed
    kind = schema["type"]
    if isinstance(kind, list):
        return any(holds(value, {**schema, "type": one}, root) for one in kind)
    if kind == "object":
        return (
            isinstance(value, dict)
            and set(schema.get("required", ())) <= set(value) <= set(schema["properties"])
            and list(value) == [one for one in schema["properties"] if one in value]
            and all(holds(one, schema["properties"][name], root) for name, one in value.items())
        )
    if kind == "array":
        return (
            isinstance(value, list)
            and schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", math.inf)
            and all(holds(one, schema["items"], root) for one in value)
        )
    if kind in ("integer", "number"):
        return (
            type(value) in ((int,) if kind == "integer" else (int, float))
            and schema.get("minimum", -math.inf) <= value <= schema.get("maximum", math.inf)
            and schema.get("exclusiveMinimum", -math.inf) < value
            and value < schema.get("exclusiveMaximum", math.inf)
        )
    if kind == "string":
        name = schema.get("format")
        return isinstance(value, str) and (name is None or formatted(name, value) == value)
    return type(value) is {"boolean": bool, "null": type(None)}[kind]


class Saying:
    """An engine whose answers are given."""

    def __init__(self, answers):
        self.answers, self.asked = answers, []

    async def __call__(self, request):
        text = self.answers[len(self.asked) % len(self.answers)]
        self.asked.append(request)
        words = text.split(" ")
        kept = words[: request.max_tokens]
        return GenerateResult(
            engine="odd",
            model="odd",
            units=Units(input_tokens=2, output_tokens=len(kept)),
            choices=(
                Choice(text=" ".join(kept), finish_reason="stop" if kept == words else "length"),
            ),
        )


async def fake(request):
    return FakeEngine(ModelRef(engine="fake", name="fake")).generate(request)


def written(schema, ask, *, instructed=True, **options):
    """The result and the deltas."""
    request = GenerateRequest(messages=REQUEST.messages, **{"seed": 1, **options})
    form = Form(schema, param="response_format")

    async def run():
        return [one async for one in structured.write(form, request, ask, instructed=instructed)]

    *deltas, result = asyncio.run(run())
    for index, choice in enumerate(result.choices):
        assert "".join(one.text for one in deltas if one.index == index) == choice.text
    return result


def read(schema, *answers, **options):
    return json.loads(written(schema, Saying(answers), **options).text)


NAMES = st.text(st.characters(exclude_categories=("Cs",)), max_size=5)
CONSTANTS = st.none() | st.booleans() | st.integers(-5, 5) | st.text('ab"\\é', max_size=4)
BOUNDS = st.integers(-20, 20)


def _array(items):
    sizes = st.tuples(st.integers(0, 3), st.integers(0, 3))
    return st.builds(
        lambda one, ns: {"type": "array", "items": one, "minItems": min(ns), "maxItems": max(ns)},
        items,
        sizes,
    )


def _object(values):
    return st.dictionaries(NAMES, values, max_size=3).flatmap(
        lambda given: (
            st.lists(st.sampled_from(sorted(given)), unique=True).map(
                lambda required: {
                    "type": "object",
                    "properties": given,
                    "required": required,
                    "additionalProperties": False,
                }
            )
            if given
            else st.just({"type": "object", "properties": {}})
        )
    )


LEAVES = st.one_of(
    st.builds(lambda kind: {"type": kind}, st.sampled_from(("string", "boolean", "null"))),
    st.builds(lambda name: {"type": "string", "format": name}, st.sampled_from(sorted(FORMATS))),
    st.builds(
        lambda kind, low, more: {"type": kind, "minimum": low, "maximum": low + more},
        st.sampled_from(("integer", "number")),
        BOUNDS,
        st.integers(0, 5),
    ),
    st.builds(lambda low: {"type": "integer", "exclusiveMinimum": low / 2}, BOUNDS),
    st.builds(lambda high: {"type": "number", "exclusiveMaximum": high / 4}, BOUNDS),
    st.builds(lambda some: {"enum": some}, st.lists(CONSTANTS, min_size=1, max_size=4)),
    st.builds(lambda one: {"const": one}, CONSTANTS),
    st.just({"type": ["string", "null"]}),
    st.just({"anyOf": [{"$ref": "#/$defs/Tree"}, {"type": "null"}]}),
    st.just({"$ref": "#/$defs/Tree"}),
)
SCHEMAS = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        _array(inner),
        _object(inner),
        st.builds(lambda some: {"anyOf": some}, st.lists(inner, min_size=1, max_size=3)),
    ),
    max_leaves=6,
)
TREE = {
    "type": "object",
    "properties": {
        "value": {"type": "integer"},
        "next": {"anyOf": [{"$ref": "#/$defs/Tree"}, {"type": "null"}]},
        "twigs": {"type": "array", "items": {"$ref": "#/$defs/Tree"}},
    },
    "required": ["value", "next", "twigs"],
}
GARBAGE = st.one_of(
    st.text(max_size=20),
    st.text('{}[]",:\\\n 0123456789.-eEutrnfals', max_size=20),
    st.sampled_from(
        ('{"value"', "[", ",", "yes", "1e999", "-", "\\ud83d", '\\"', "null", "\ud83d")
    ),
)


@given(SCHEMAS, st.lists(GARBAGE, min_size=1, max_size=6), st.booleans())
def test_whatever_the_model_says_the_output_is_what_the_schema_asks_for(schema, said, instructed):
    schema = {**schema, "$defs": {"Tree": TREE}}
    result = written(schema, Saying(said), instructed=instructed)
    assert result.choices[0].finish_reason == "stop"
    assert holds(json.loads(result.text), schema, schema)
    result.text.encode()


@given(SCHEMAS, st.booleans())
def test_so_it_is_with_the_fake_engine(schema, instructed):
    schema = {**schema, "$defs": {"Tree": TREE}}
    value = json.loads(written(schema, fake, instructed=instructed).text)
    assert holds(value, schema, schema)


@given(SCHEMAS, st.integers(1, 6))
def test_the_limit_is_never_passed_and_what_it_cuts_begins_the_whole(schema, most):
    schema = {**schema, "$defs": {"Tree": TREE}}
    result = written(schema, fake, max_tokens=most)
    assert result.units.output_tokens <= most
    if result.choices[0].finish_reason == "stop":
        assert holds(json.loads(result.text), schema, schema)


def member(**schema):
    return {"type": "object", "properties": {"a": schema}, "required": ["a"]}


class TestValues:
    @pytest.mark.parametrize(
        ("said", "schema", "value"),
        [
            ('Ann", "age": 30', {"type": "string"}, "Ann"),
            ('"Ann \\"the\\" fox"', {"type": "string"}, 'Ann "the" fox'),
            ("a\\u00e9\\n", {"type": "string"}, "aé"),
            ("", {"type": "string"}, ""),
            ("She is 30 years old", {"type": "integer"}, 30),
            ("-2.5e1 or so", {"type": "number"}, -25),
            ("many", {"type": "integer", "minimum": 3}, 3),
            ("99", {"type": "number", "exclusiveMaximum": 5}, math.nextafter(5, 0)),
            ("True.", {"type": "boolean"}, True),
            ("it is false", {"type": "boolean"}, False),
            ("blue-green", {"enum": ["red", "blue", "blue-green"]}, "blue-green"),
            ("blues", {"enum": ["red", "blueish"]}, "blueish"),
            ("?", {"enum": ["red", "blue"]}, "red"),
            ("on 2024-02-30 or 2024-02-29", {"type": "string", "format": "date"}, "2024-02-29"),
            ("some day", {"type": "string", "format": "date"}, "1970-01-01"),
            ("null", {"anyOf": [{"type": "string"}, {"type": "null"}]}, None),
            ('"x"', {"anyOf": [{"type": "null"}, {"type": "string"}]}, "x"),
        ],
    )
    def test_what_fits_is_taken(self, said, schema, value):
        assert read(member(**schema), said) == {"a": value}

    def test_a_list_goes_on_while_the_model_says_so(self):
        schema = {"type": "array", "items": {"type": "integer"}}
        assert read(schema, "yes", "1", "yes", "2", "no") == [1, 2]
        assert read(schema, " 1", "1", ", 2", "2", "]", instructed=False) == [1, 2]
        assert read(schema, "]", instructed=False) == []

    def test_a_list_that_never_ends_is_ended(self):
        schema = {"type": "array", "items": {"type": "boolean"}}
        assert len(read(schema, "yes")) == structured.MAX_ITEMS
        assert len(read({**schema, "minItems": 9}, "no")) == 9

    def test_recursion_that_never_ends_is_ended(self):
        schema = {"$ref": "#/$defs/Tree", "$defs": {"Tree": TREE}}
        assert holds(read(schema, '{"value', ",", "yes"), schema, schema)

    def test_a_base_model_reads_the_json_so_far_and_an_instructed_one_what_is_wanted(self):
        for instructed in (True, False):
            ask = Saying(("Ann", "30"))
            schema = {
                "type": "object",
                "properties": {"n": {"type": "string"}, "age": {"type": "integer"}},
                "required": ["n", "age"],
            }
            assert json.loads(written(schema, ask, instructed=instructed).text)["age"] == 30
            last = ask.asked[-1]
            if instructed:
                assert '{"n": "Ann", "age": ' in last.messages[-1].content
            else:
                assert last.prompt == 'Ann is 30.\n{"n": "Ann", "age": '

    def test_a_text_that_reaches_the_limit_ends_in_the_middle(self):
        result = written(member(type="string"), Saying(("one two three",)), max_tokens=2)
        assert (result.text, result.choices[0].finish_reason) == ('{"a": "one two', "length")

    def test_a_full_context_ends_it_too_but_not_before_the_first_answer(self):
        class Full(Saying):
            async def __call__(self, request):
                if len(self.asked) == len(self.answers):
                    raise TooLargeError("Full.")
                return await super().__call__(request)

        schema = {"type": "array", "items": {"type": "integer"}, "minItems": 3}
        result = written(schema, Full(("1", "2")))
        assert (result.text, result.choices[0].finish_reason) == ("[1, 2, ", "length")
        with pytest.raises(TooLargeError):
            written(schema, Full(()))

    def test_usage_counts_every_question(self):
        ask = Saying(("3",))
        result = written({"type": "array", "items": {"type": "integer"}, "minItems": 2}, ask, n=2)
        assert result.units == Units(input_tokens=2 * len(ask.asked), output_tokens=len(ask.asked))
        assert len({one.seed for one in ask.asked}) == 2


class TestRefusals:
    @pytest.mark.parametrize(
        ("schema", "keyword"),
        [
            (member(type="string", pattern="a+"), "pattern"),
            (member(type="string", minLength=1), "minLength"),
            (member(type="integer", multipleOf=2), "multipleOf"),
            (member(type="string", format="uri"), "uri"),
            ({"type": "object", "patternProperties": {}}, "patternProperties"),
            ({"allOf": [{"type": "string"}]}, "allOf"),
            ({"oneOf": [{"type": "string"}]}, "oneOf"),
            (member(type="array", items={"type": "null"}, uniqueItems=True), "uniqueItems"),
        ],
    )
    def test_an_unknown_keyword_is_named(self, schema, keyword):
        with pytest.raises(UnsupportedOptionError, match=keyword):
            Form(schema, param="response_format")

    @pytest.mark.parametrize(
        "schema",
        [
            {},
            {"type": "thing"},
            {"type": "array"},
            {"enum": []},
            {"enum": [1], "type": "string"},
            {"type": "integer", "minimum": 3, "maximum": 2},
            {"type": "number", "minimum": "1"},
            {"type": "array", "items": {"type": "null"}, "minItems": -1},
            {"type": "array", "items": {"type": "null"}, "minItems": MAX_VALUES},
            {"type": "object", "properties": [], "required": []},
            {"type": "object", "properties": {}, "required": ["a"]},
            {"$ref": "#/$defs/none"},
            {"$ref": "https://example.org/schema"},
            {"$ref": "#"},
            member(**{"$ref": "#"}),
            {"anyOf": []},
            {"anyOf": [None]},
        ],
    )
    def test_a_wrong_schema_is_refused(self, schema):
        with pytest.raises(InvalidRequestError) as caught:
            Form(schema, param="response_format")
        assert caught.value.param == "response_format"

    def test_a_schema_that_nests_or_doubles_without_bound_is_refused(self):
        deep = {"type": "null"}
        for _ in range(200):
            deep = {"type": "array", "items": deep, "minItems": 1}
        doubling = {
            f"d{at}": {
                "type": "object",
                "properties": {one: {"$ref": f"#/$defs/d{at + 1}"} for one in "ab"},
                "required": ["a", "b"],
            }
            for at in range(40)
        }
        doubling["d40"] = {"type": "null"}
        for schema in (deep, {"$ref": "#/$defs/d0", "$defs": doubling}):
            with pytest.raises(InvalidRequestError):
                Form(schema, param="response_format")


class Address(BaseModel):
    street: str
    zip: int = Field(ge=1000, le=9999)


class Person(BaseModel):
    name: str
    age: int
    tall: bool
    mood: Literal["good", "bad"] | None
    homes: list[Address]
    friend: Person | None


@pytest.fixture(scope="module")
def client(fake_server):
    with openai.OpenAI(
        base_url=f"{fake_server.http}/v1", api_key=fake_server.key, max_retries=0
    ) as made:
        yield made


class TestThroughTheSdk:
    def test_chat_parses(self, client):
        chat = client.chat.completions.parse(
            model=GPT, messages=HELLO, response_format=Person, n=2, seed=3
        )
        assert all(isinstance(one.message.parsed, Person) for one in chat.choices)
        assert {one.finish_reason for one in chat.choices} == {"stop"}
        assert chat.usage.prompt_tokens > 4 and chat.usage.completion_tokens > 4
        assert chat.model == "fake"

    def test_the_stream_is_the_same_answer_as_it_grows(self, client):
        asked = {"model": GPT, "messages": HELLO, "response_format": Person, "seed": 5}
        whole = client.chat.completions.parse(**asked)
        with client.chat.completions.stream(
            **asked, stream_options={"include_usage": True}
        ) as stream:
            deltas = [one.delta for one in stream if one.type == "content.delta"]
            final = stream.get_final_completion()
        assert len(deltas) > 4
        assert final.choices[0].message.parsed == whole.choices[0].message.parsed
        assert final.usage == whole.usage

    def test_responses_parse_and_give_the_format_back(self, client):
        got = client.responses.parse(model=GPT, input="Ann is 30.", text_format=Person)
        assert isinstance(got.output_parsed, Person) and got.status == "completed"
        assert got.text.format.type == "json_schema" and got.text.format.name == "Person"
        with client.responses.stream(model=GPT, input="Ann.", text_format=Person) as stream:
            parts = [one.delta for one in stream if one.type == "response.output_text.delta"]
            final = stream.get_final_response()
        assert isinstance(final.output_parsed, Person) and "".join(parts) == final.output_text

    def test_json_mode_gives_an_object(self, client):
        chat = client.chat.completions.create(
            model=GPT, messages=HELLO, response_format={"type": "json_object"}
        )
        value = json.loads(chat.choices[0].message.content)
        assert value and all(isinstance(one, str) for one in value.values())
        got = client.responses.create(
            model=GPT, input="Ann.", text={"format": {"type": "json_object"}}
        )
        assert isinstance(json.loads(got.output_text), dict)

    def test_the_limit_is_the_vendors_error_in_the_sdk(self, client):
        with pytest.raises(openai.LengthFinishReasonError) as caught:
            client.chat.completions.parse(
                model=GPT, messages=HELLO, response_format=Person, max_tokens=3
            )
        assert caught.value.completion.usage.completion_tokens <= 3
        got = client.responses.create(
            model=GPT,
            input="Ann.",
            max_output_tokens=3,
            text={"format": {"type": "json_object"}},
        )
        assert got.status == "incomplete"

    @pytest.mark.parametrize(
        "given",
        [
            {"type": "xml"},
            {"type": "json_schema"},
            {"type": "json_schema", "json_schema": {"name": "a"}},
            {"type": "json_schema", "json_schema": {"name": "a b", "schema": {"type": "null"}}},
            "json",
        ],
    )
    def test_what_is_no_format_is_a_400(self, client, given):
        for stream in (False, True):
            with pytest.raises(openai.BadRequestError) as caught:
                client.chat.completions.create(
                    model=GPT, messages=HELLO, response_format=given, stream=stream
                )
            assert caught.value.param == "response_format"

    def test_an_unknown_keyword_and_stop_strings_are_a_400_that_names_them(self, client):
        schema = {"name": "a", "schema": {"type": "string", "pattern": "a"}}
        asked = {"model": GPT, "messages": HELLO}
        with pytest.raises(openai.BadRequestError, match="pattern") as caught:
            client.chat.completions.create(
                **asked, response_format={"type": "json_schema", "json_schema": schema}
            )
        assert caught.value.code == "unsupported_value"
        with pytest.raises(openai.BadRequestError, match="pattern") as caught:
            client.responses.create(
                model=GPT, input="a", text={"format": {"type": "json_schema", **schema}}
            )
        assert caught.value.param == "text.format"
        with pytest.raises(openai.BadRequestError) as caught:
            client.chat.completions.create(
                **asked, response_format={"type": "json_object"}, stop="a"
            )
        assert caught.value.param == "stop"

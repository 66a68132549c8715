"""The OpenAPI document holds every route, and everything it refers to."""

from __future__ import annotations

import re

import pytest

from ogam.server.run import protocols


@pytest.fixture(scope="module")
def document(fake):
    return fake.http.get("/openapi.json").json()


def every(value):
    """All objects inside ``value``."""
    if isinstance(value, dict):
        yield value
        value = list(value.values())
    if isinstance(value, list):
        for one in value:
            yield from every(one)


def test_every_route_is_there(document):
    assert re.fullmatch(r"3\.1\.\d", document["openapi"])
    for protocol in protocols():
        for route in protocol.routes:
            assert route.method.lower() in document["paths"][route.path]


def test_every_reference_leads_somewhere(document):
    known = {f"#/components/schemas/{name}" for name in document["components"]["schemas"]}
    used = {one["$ref"] for one in every(document) if isinstance(one.get("$ref"), str)}
    assert used
    assert used <= known


def test_names_are_as_the_specification_wants_them(document):
    assert all(re.fullmatch(r"[\w.-]+", name) for name in document["components"]["schemas"])
    operations = [one for path in document["paths"].values() for one in path.values()]
    ids = [one["operationId"] for one in operations]
    assert len(set(ids)) == len(ids)
    shapes = [re.sub(r"\{\w+\}", "{}", path) for path in document["paths"]]
    assert len(set(shapes)) == len(shapes)


def test_every_parameter_of_a_path_is_described(document):
    for path, methods in document["paths"].items():
        for operation in methods.values():
            in_path = [one for one in operation.get("parameters", []) if one["in"] == "path"]
            described = [one["name"] for one in in_path]
            assert described == re.findall(r"\{(\w+)\}", path)
            assert all(one["required"] for one in in_path)
            assert operation["summary"]
            assert operation["responses"]


def test_the_key_of_each_protocol_is_described(document):
    schemes = document["components"]["securitySchemes"]
    for path in document["paths"].values():
        for operation in path.values():
            for one in operation["security"]:
                assert set(one) <= set(schemes)

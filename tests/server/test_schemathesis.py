"""What /openapi.json says is what is answered: to data that fits it, and to data that does not."""

from __future__ import annotations

import base64
import io
import json
import wave
from functools import cache
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from PIL import Image
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi import checks

from ogam.server import accounts, openapi
from ogam.server.run import protocols

CHECKS = [
    not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_schema_conformance,
]
EXAMPLES = 2
BOUNDS = settings(
    max_examples=EXAMPLES,
    derandomize=True,
    database=None,
    deadline=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)
# What an answer needs, and no generator hits upon.
KNOWN = {
    "model": "gpt-4o-mini",
    "model_id": "eleven_multilingual_v2",
    "source_lang": "EN",
    "target_lang": "DE",
    "voice": "alloy",
}
GPT = {"model": "gpt-4o-mini"}
CHAT = {**GPT, "messages": [{"role": "user", "content": "hi"}]}
LINE = {
    "custom_id": "a",
    "method": "POST",
    "url": "/v1/responses",
    "body": {**GPT, "input": "hi"},
}
BATCH = json.dumps(LINE).encode()
PAIR = {"source_lang": "EN", "target_lang": "DE"}
DICTIONARY = {**PAIR, "entries": "a\tb", "entries_format": "tsv"}
GLOSSARY = {"name": "mine", "dictionaries": [DICTIONARY]}
VOICE = {"voice_id": "JBFqnCBsd6RMkjVDRZzb"}
PARENT = {"project": "p", "location": "global"}
V2 = "/v2/projects/{project}/locations/{location}"


def sound() -> bytes:
    """A tenth of a second of silence."""
    with io.BytesIO() as made:
        with wave.open(made, "wb") as out:
            out.setnchannels(1)
            out.setsampwidth(2)
            out.setframerate(16000)
            out.writeframes(bytes(3200))
        return made.getvalue()


def picture() -> str:
    """A small white picture."""
    with io.BytesIO() as made:
        Image.new("RGB", (40, 20), "white").save(made, "PNG")
        return base64.b64encode(made.getvalue()).decode()


ANNOTATED = {
    "requests": [{"image": {"content": picture()}, "features": [{"type": "LABEL_DETECTION"}]}]
}
HEARD = {
    "config": {"encoding": "LINEAR16", "sampleRateHertz": 16000, "languageCode": "en-US"},
    "audio": {"content": base64.b64encode(sound()).decode()},
}
HEARD_V2 = {
    "config": {"autoDecodingConfig": {}, "languageCodes": ["en-US"], "model": "long"},
    "content": base64.b64encode(sound()).decode(),
}
# Requests that are answered, in order: the method, the path and what is sent. What one makes is
# called by a name, under which those that follow find its reply.
ANSWERED: list[tuple[str, str, dict[str, Any]]] = [
    ("GET", "/v1/models/{id}", {"at": {"id": "fake"}}),
    (
        "POST",
        "/v1/chat/completions",
        {"body": {**GPT, "messages": [{"role": "user", "content": "hi"}]}},
    ),
    (
        "POST",
        "/v1/chat/completions",
        {"body": {**GPT, "messages": [{"role": "user", "content": "hi"}], "stream": True}},
    ),
    ("POST", "/v1/completions", {"body": {**GPT, "prompt": "hi"}}),
    ("POST", "/v1/completions", {"body": {**GPT, "prompt": "hi", "stream": True}}),
    ("POST", "/v1/embeddings", {"body": {**GPT, "input": ["hi", "ho"]}}),
    ("POST", "/v1/embeddings", {"body": {**GPT, "input": "hi", "encoding_format": "base64"}}),
    ("POST", "/v1/moderations", {"body": {**GPT, "input": "hi"}}),
    ("POST", "/v1/responses", {"body": {**GPT, "input": "hi"}, "makes": "response"}),
    ("POST", "/v1/responses", {"body": {**GPT, "input": "hi", "stream": True}}),
    ("GET", "/v1/responses/{id}", {"at": {"id": "response.id"}}),
    ("GET", "/v1/responses/{id}/input_items", {"at": {"id": "response.id"}, "query": {"limit": 1}}),
    ("DELETE", "/v1/responses/{id}", {"at": {"id": "response.id"}}),
    *(
        ("POST", "/v1/audio/speech", {"body": {**GPT, "input": "a", "voice": "alloy", **more}})
        for more in ({}, {"response_format": "wav"}, {"stream_format": "sse"})
    ),
    *(
        ("POST", path, {"form": {"file": sound(), "model": "whisper-1", "response_format": one}})
        for path in ("/v1/audio/transcriptions", "/v1/audio/translations")
        for one in ("json", "text", "srt", "vtt", "verbose_json")
    ),
    ("POST", "/v1/files", {"form": {"file": BATCH, "purpose": "batch"}, "makes": "file"}),
    ("GET", "/v1/files", {"query": {"limit": 1}}),
    ("GET", "/v1/files/{id}", {"at": {"id": "file.id"}}),
    ("GET", "/v1/files/{id}/content", {"at": {"id": "file.id"}}),
    (
        "POST",
        "/v1/uploads",
        {
            "body": {"bytes": 2, "filename": "a", "mime_type": "a/b", "purpose": "batch"},
            "makes": "upload",
        },
    ),
    (
        "POST",
        "/v1/uploads/{id}/parts",
        {"at": {"id": "upload.id"}, "form": {"data": b"ab"}, "makes": "part"},
    ),
    (
        "POST",
        "/v1/uploads/{id}/complete",
        {"at": {"id": "upload.id"}, "body": {"part_ids": ["part.id"]}},
    ),
    (
        "POST",
        "/v1/uploads",
        {
            "body": {"bytes": 2, "filename": "a", "mime_type": "a/b", "purpose": "batch"},
            "makes": "upload",
        },
    ),
    ("POST", "/v1/uploads/{id}/cancel", {"at": {"id": "upload.id"}}),
    (
        "POST",
        "/v1/batches",
        {
            "body": {
                "input_file_id": "file.id",
                "endpoint": "/v1/responses",
                "completion_window": "24h",
            },
            "makes": "batch",
        },
    ),
    ("GET", "/v1/batches", {"query": {"limit": 1}}),
    ("GET", "/v1/batches/{id}", {"at": {"id": "batch.id"}}),
    ("POST", "/v1/batches/{id}/cancel", {"at": {"id": "batch.id"}}),
    ("DELETE", "/v1/files/{id}", {"at": {"id": "file.id"}}),
    *(
        (
            "POST",
            f"/v1/text-to-speech/{{voice_id}}{path}",
            {"at": VOICE, "body": {"text": "a"}, **more},
        )
        for path in ("", "/with-timestamps", "/stream", "/stream/with-timestamps")
        for more in ({}, {"query": {"output_format": "pcm_16000"}})
    ),
    ("POST", "/v1/speech-to-text", {"form": {"file": sound(), "model_id": "scribe_v1"}}),
    ("GET", "/v2/voices", {"query": {"page_size": 1}}),
    ("GET", "/v1/voices/{voice_id}", {"at": VOICE}),
    ("GET", "/v1/voices/{voice_id}/settings", {"at": VOICE}),
    ("POST", "/v2/translate", {"body": {"text": ["hi"], "target_lang": "DE"}}),
    ("POST", "/v2/write/rephrase", {"body": {"text": ["hi"]}}),
    ("POST", "/v2/write/correct", {"body": {"text": ["hi"]}}),
    ("GET", "/v2/languages", {"query": {"type": "target"}}),
    ("POST", "/v2/glossaries", {"body": {"name": "mine", **DICTIONARY}, "makes": "old"}),
    ("GET", "/v2/glossaries", {}),
    ("GET", "/v2/glossaries/{glossary_id}", {"at": {"glossary_id": "old.glossary_id"}}),
    ("GET", "/v2/glossaries/{glossary_id}/entries", {"at": {"glossary_id": "old.glossary_id"}}),
    ("DELETE", "/v2/glossaries/{glossary_id}", {"at": {"glossary_id": "old.glossary_id"}}),
    ("POST", "/v3/glossaries", {"body": GLOSSARY, "makes": "new"}),
    *(
        (
            method,
            f"/v3/glossaries/{{glossary_id}}{path}",
            {"at": {"glossary_id": "new.glossary_id"}, **more},
        )
        for method, path, more in (
            ("GET", "", {}),
            ("PATCH", "", {"body": {"name": "other"}}),
            ("PUT", "/dictionaries", {"body": DICTIONARY}),
            ("GET", "/entries", {"query": PAIR}),
            ("DELETE", "/dictionaries", {"query": PAIR}),
        )
    ),
    ("POST", "/v3/glossaries", {"body": GLOSSARY, "makes": "new"}),
    ("DELETE", "/v3/glossaries/{glossary_id}", {"at": {"glossary_id": "new.glossary_id"}}),
    ("POST", "/v1/images:annotate", {"body": ANNOTATED}),
    ("POST", "/v1/speech:recognize", {"body": HEARD}),
    ("POST", "/v1/speech:longrunningrecognize", {"body": HEARD, "makes": "heard"}),
    ("GET", "/v1/operations/{id}", {"at": {"id": "heard.name"}}),
    ("DELETE", "/v1/operations/{id}", {"at": {"id": "heard.name"}}),
    (
        "POST",
        f"{V2}/recognizers/{{recognizer}}:recognize",
        {"at": {**PARENT, "recognizer": "_"}, "body": HEARD_V2},
    ),
]
DOCUMENT = openapi.document(protocols(), accounts.PATHS)
OPERATIONS = [
    (method.upper(), path) for path, methods in DOCUMENT["paths"].items() for method in methods
]


@cache
def schema():
    return schemathesis.openapi.from_dict(DOCUMENT)


@pytest.fixture(scope="module")
def session():
    with requests.Session() as made:
        yield made


def body_schema(operation: dict[str, Any]) -> dict[str, Any]:
    """The object that an operation takes, its reference followed."""
    content = operation.get("requestBody", {}).get("content", {})
    found = next((one["schema"] for one in content.values()), {})
    name = found.get("$ref", "").rpartition("/")[2]
    return DOCUMENT["components"]["schemas"][name] if name else found


def least(case, operation):
    """What must be given and no more, so that it is answered rather than refused."""
    required = body_schema(operation).get("required", ())
    if isinstance(case.body, dict):
        kept = {name: one for name, one in case.body.items() if name in required}
        case.body = {**kept, **{name: KNOWN[name] for name in required if name in KNOWN}}
    if case.query:
        case.query = {name: KNOWN.get(name, one) for name, one in case.query.items()}


def asked(operation: dict[str, Any]) -> bool:
    """Whether it takes anything that can be wrong; a part of a path is any text."""
    queries = [one for one in operation.get("parameters", ()) if one["in"] == "query"]
    return bool(queries or operation.get("requestBody"))


def test_the_document_is_the_one_that_is_served(fake):
    assert fake.http.get("/openapi.json").json() == DOCUMENT


@pytest.mark.parametrize(("method", "path"), OPERATIONS, ids=lambda one: one)
def test_the_answers_are_as_described(fake, session, method, path):
    described = DOCUMENT["paths"][path][method.lower()]
    operation = schema()[path][method]
    url = str(fake.http.base_url).rstrip("/")

    def send(case):
        answer = case.call(base_url=url, session=session, timeout=30)
        case.validate_response(answer, checks=CHECKS)

    @BOUNDS
    @given(case=operation.as_strategy(GenerationMode.POSITIVE))
    def fits(case):
        send(case)
        least(case, described)
        send(case)

    fits()
    if asked(described):

        @BOUNDS
        @given(case=operation.as_strategy(GenerationMode.NEGATIVE))
        def does_not_fit(case):
            send(case)

        does_not_fit()


def test_what_is_answered_is_as_described(fake, session):
    url = str(fake.http.base_url).rstrip("/")
    made: dict[str, Any] = {}

    def meant(value):
        if isinstance(value, dict):
            return {name: meant(one) for name, one in value.items()}
        if isinstance(value, list):
            return [meant(one) for one in value]
        name, _, field = value.partition(".") if isinstance(value, str) else ("", "", "")
        return made[name][field] if name in made else value

    for method, path, what in ANSWERED:
        form = what.get("form")
        body = {"body": form or meant(what["body"])} if form or "body" in what else {}
        case = schema()[path][method].Case(
            path_parameters=meant(what.get("at", {})),
            query=what.get("query", {}),
            media_type="multipart/form-data" if form else "application/json",
            **body,
        )
        answer = case.call(base_url=url, session=session, timeout=30)
        assert answer.status_code < 300, (method, path, what, answer.text)
        case.validate_response(answer, checks=CHECKS)
        if "makes" in what:
            made[what["makes"]] = answer.json()

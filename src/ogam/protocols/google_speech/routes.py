"""What Google Cloud Speech-to-Text's SDK asks for over HTTP, answered; versions 1 and 2."""

from __future__ import annotations

import asyncio
from typing import Any, TypeVar

from starlette.responses import Response

from ogam.errors import InvalidRequestError
from ogam.protocols.google import errors, protojson
from ogam.protocols.google.operations import Operation
from ogam.protocols.google.operations import routes as operation_routes
from ogam.protocols.google_speech import (
    convert,
    convert_v2,
    jobs,
    passing,
    recognizers,
    wire,
    wire_v2,
)
from ogam.protocols.google_speech.recognizing import MAX_BYTES, Recognized, content, recognize
from ogam.protocols.serving import Call, Protocol, Route, reply

T = TypeVar("T")
_V1 = "https://cloud.google.com/speech-to-text/docs/reference/rest/v1"
_V2 = "https://cloud.google.com/speech-to-text/v2/docs/reference/rest/v2/projects.locations"
# 10 MB of sound in base64, and the configuration beside it.
_MAX_BODY = MAX_BYTES * 4 // 3 + 1024 * 1024
_PLACE = "/v2/projects/{project}/locations/{location}"


async def recognize_v1(call: Call) -> Response:
    """Recognise up to a minute."""
    data = await _data(call)
    if (passed := await passing.recording(call, data, passing.RECOGNIZE[0])) is not None:
        return passed
    body = await _read(data, wire.RecognizeRequest)
    asked, audio = convert.asked(body.config), body.audio or wire.RecognitionAudio()
    recording = await content(call, audio.content, audio.uri)
    found = await call.while_there(recognize(call, asked, recording))
    return _reply(jobs.v1_response(found), found)


async def recognize_later(call: Call) -> Response:
    """Begin to recognise up to 480 minutes."""
    data = await _data(call)
    if (passed := await passing.recording(call, data, passing.BEGIN[0])) is not None:
        return passed
    body = await _read(data, wire.LongRunningRecognizeRequest)
    return reply(await jobs.long_running(call, body))


async def recognize_v2(call: Call) -> Response:
    """Recognise up to a minute."""
    data = await _data(call)
    if (passed := await passing.recording(call, data, passing.RECOGNIZE[1])) is not None:
        return passed
    body = await _read(data, wire_v2.RecognizeRequest)
    recognizers.parent_of(_recognizer(call))
    asked = convert_v2.asked(body.config)
    recording = await content(call, body.content, body.uri)
    found = await call.while_there(recognize(call, asked, recording, version=2))
    return _reply(jobs.v2_response(found), found)


async def batch(call: Call) -> Response:
    """Begin to recognise files."""
    data = await _data(call)
    if (passed := await passing.recording(call, data, passing.BEGIN[1])) is not None:
        return passed
    body = await _read(data, wire_v2.BatchRecognizeRequest)
    body.recognizer = _recognizer(call)
    return reply(await jobs.batch(call, body, recognizers.parent_of(body.recognizer)))


async def get_recognizer(call: Call) -> Response:
    """Tell about a recogniser."""
    return reply(recognizers.get(_recognizer(call)))


async def list_recognizers(call: Call) -> Response:
    """Tell which there are."""
    return reply(recognizers.listed(_recognizer(call).partition("/recognizers")[0]))


async def _read(data: bytes, kind: type[T]) -> T:
    return await asyncio.to_thread(protojson.parse, data, kind)


async def _data(call: Call) -> bytes:
    said = call.request.headers.get("content-length", "0")
    data = b"" if said.isdecimal() and int(said) > _MAX_BODY else await call.request.body()
    if (not data and said != "0") or len(data) > _MAX_BODY:
        raise InvalidRequestError(
            f"Request payload size exceeds the limit: {MAX_BYTES} bytes.",
            hint="Longer recordings go into gs:// and are named by their uri.",
        )
    return data


def _recognizer(call: Call) -> str:
    own = call.params
    name = f"projects/{own['project']}/locations/{own['location']}/recognizers"
    return f"{name}/{own['recognizer']}" if "recognizer" in own else name


def _reply(value: Any, found: Recognized) -> Response:
    return reply(value, found.transcripts[0])


def _route(
    method: str, path: str, handler: Any, page: str, *, body: Any = None, answer: Any = None
) -> Route:
    return Route(
        method=method,
        path=path,
        handler=handler,
        summary=handler.__doc__,
        page=page,
        body=body,
        reply=answer,
    )


PROTOCOL = Protocol(
    name="google_speech",
    routes=(
        _route(
            "POST",
            "/v1/speech:recognize",
            recognize_v1,
            f"{_V1}/speech/recognize",
            body=wire.RecognizeRequest,
            answer=wire.RecognizeResponse,
        ),
        _route(
            "POST",
            "/v1/speech:longrunningrecognize",
            recognize_later,
            f"{_V1}/speech/longrunningrecognize",
            body=wire.LongRunningRecognizeRequest,
            answer=Operation,
        ),
        _route(
            "POST",
            f"{_PLACE}/recognizers/{{recognizer}}:recognize",
            recognize_v2,
            f"{_V2}.recognizers/recognize",
            body=wire_v2.RecognizeRequest,
            answer=wire_v2.RecognizeResponse,
        ),
        _route(
            "POST",
            f"{_PLACE}/recognizers/{{recognizer}}:batchRecognize",
            batch,
            f"{_V2}.recognizers/batchRecognize",
            body=wire_v2.BatchRecognizeRequest,
            answer=Operation,
        ),
        _route(
            "GET",
            f"{_PLACE}/recognizers/{{recognizer}}",
            get_recognizer,
            f"{_V2}.recognizers/get",
            answer=wire_v2.Recognizer,
        ),
        _route(
            "GET",
            f"{_PLACE}/recognizers",
            list_recognizers,
            f"{_V2}.recognizers/list",
            answer=wire_v2.ListRecognizersResponse,
        ),
        *operation_routes("/v1", _PLACE),
    ),
    key=protojson.key,
    failure=errors.failure,
    speaks=protojson.speaks,
    # https://cloud.google.com/speech-to-text/v2/docs/transcription-model
    vendor_names=(
        *("default", "latest_*", "long", "short", "video", "telephony*", "phone_call"),
        *("command_and_search", "medical_*", "chirp*", "usm*"),
    ),
)

"""Speech to text."""

from __future__ import annotations

import asyncio

from starlette.datastructures import UploadFile
from starlette.responses import Response

from ogam.capabilities.speech_recognition import TranscribeRequest, TranscribeResult
from ogam.errors import InvalidRequestError
from ogam.protocols.elevenlabs import convert_listening, passing, wire_listening
from ogam.protocols.elevenlabs.errors import ShapeError, shape
from ogam.protocols.serving import Call, Route, reply

_PAGE = "https://elevenlabs.io/docs/api-reference/speech-to-text/convert"


async def transcribe(call: Call) -> Response:
    """A recording as text, its words with their times."""
    passed = await passing.recording(call)
    if passed is not None:
        return passed
    try:
        parts = await call.form()
    except InvalidRequestError as error:
        raise shape(error) from None
    try:
        every = parts.multi_items()
        asked = convert_listening.form([(name, one) for name, one in every if isinstance(one, str)])
        options = convert_listening.options(asked)
        call.model(asked.model_id)  # an error before anything is read
        file = parts.get("file")
        if not isinstance(file, UploadFile):
            raise ShapeError(
                "file is missing.", hint="Send a recording, with a file name.", param="file"
            )
        data = await file.read()
    finally:
        await parts.close()
    audio = await asyncio.to_thread(convert_listening.audio, data, asked)
    request = TranscribeRequest(audio=audio, options=options)
    # Patient, because the SDK answers a 429 by sending its form again without its fields.
    result: TranscribeResult = await call.answer(
        "transcribe", request, TranscribeResult, asked.model_id, patient=True
    )
    return reply(await asyncio.to_thread(convert_listening.transcript, result, asked), result)


ROUTES = (
    Route(
        method="POST",
        path="/v1/speech-to-text",
        handler=transcribe,
        summary="Transcribe a recording.",
        page=_PAGE,
        form=wire_listening.TranscribeForm,
        file="file",
        reply=wire_listening.Transcript,
    ),
)

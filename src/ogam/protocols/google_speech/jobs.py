"""Work that goes on after the reply: version 1's long-running recognition, version 2's batches.

https://cloud.google.com/speech-to-text/docs/async-recognize
https://cloud.google.com/speech-to-text/v2/docs/batch-recognize
"""

from __future__ import annotations

import asyncio
import time
from typing import Any

import msgspec

from ogam.capabilities import subtitles
from ogam.errors import InvalidRequestError, OgamError
from ogam.protocols.google import errors, protojson
from ogam.protocols.google.operations import Operation, store
from ogam.protocols.google.storage import Storage
from ogam.protocols.google_speech import convert, convert_v2, wire, wire_v2
from ogam.protocols.google_speech.recognizing import (
    Asker,
    Recognized,
    content,
    recognize,
    request_id,
)

_V1 = "type.googleapis.com/google.cloud.speech.v1"
_V2 = "type.googleapis.com/google.cloud.speech.v2"
_MAX_FILES = 15  # https://cloud.google.com/speech-to-text/v2/quotas


def v1_response(found: Recognized, kind: type[Any] = wire.RecognizeResponse) -> Any:
    """The reply of version 1, which writes languages in small letters."""
    for one in found.results:
        one.language_code = one.language_code.lower()
    return kind(
        results=found.results,
        total_billed_time=protojson.duration(found.billed),
        request_id=str(request_id()),
    )


def v2_response(found: Recognized) -> wire_v2.RecognizeResponse:
    """The reply of version 2."""
    return wire_v2.RecognizeResponse(
        results=[convert_v2.result(one) for one in found.results],
        metadata=convert_v2.metadata(str(request_id()), found.billed),
    )


async def long_running(asker: Asker, body: wire.LongRunningRecognizeRequest) -> Operation:
    """Begin to recognise a recording of up to 480 minutes."""
    asked = convert.asked(body.config)
    asker.model(asked.model)
    audio = body.audio or wire.RecognitionAudio()
    data = await content(asker, audio.content, audio.uri)
    output = body.output_config
    if output is not None:
        Storage(asker.gateway.config).check(output.gcs_uri)
    began = protojson.timestamp(time.time())
    metadata: dict[str, Any] = {
        "@type": f"{_V1}.LongRunningRecognizeMetadata",
        "startTime": began,
        "lastUpdateTime": began,
    }
    if audio.uri:
        metadata["uri"] = audio.uri

    async def work(operation: Operation) -> dict[str, Any]:
        found = await recognize(asker, asked, data, long=True)
        answer = v1_response(found, wire.LongRunningRecognizeResponse)
        if output is not None:
            answer.output_config = output
            await _write(asker, output.gcs_uri, msgspec.json.encode(answer))
        now = protojson.timestamp(time.time())
        operation.metadata |= {"progressPercent": 100, "lastUpdateTime": now}
        return {
            "@type": f"{_V1}.LongRunningRecognizeResponse",
            **msgspec.to_builtins(answer),
        }

    return await store(asker.gateway).start("", _owner(asker), metadata, work)


async def batch(asker: Asker, body: wire_v2.BatchRecognizeRequest, parent: str) -> Operation:
    """Begin to recognise recordings in Storage; a file that fails does not stop the others."""
    output = body.recognition_output_config or wire_v2.RecognitionOutputConfig()
    folder = output.gcs_output_config.uri if output.gcs_output_config else ""
    if not folder and output.inline_response_config is None:
        raise InvalidRequestError(
            "Invalid recognition_output_config: not set.",
            hint="Set inlineResponseConfig or gcsOutputConfig.uri.",
            param="recognitionOutputConfig",
        )
    if not 1 <= len(body.files) <= _MAX_FILES or not all(one.uri for one in body.files):
        raise InvalidRequestError(
            f"From 1 to {_MAX_FILES} files must be given, each by its uri.", param="files"
        )
    if folder:
        Storage(asker.gateway.config).check(f"{folder.rstrip('/')}/")
    asked = [convert_v2.asked(one.config or body.config) for one in body.files]
    for one in asked:
        asker.model(one.model)
    began = protojson.timestamp(time.time())
    metadata: dict[str, Any] = {
        "@type": f"{_V2}.OperationMetadata",
        "createTime": began,
        "updateTime": began,
        "resource": body.recognizer,
        "method": "google.cloud.speech.v2.Speech.BatchRecognize",
    }

    async def work(operation: Operation) -> dict[str, Any]:
        results: dict[str, wire_v2.BatchFileResult] = {}
        billed = 0
        for done, (file, config) in enumerate(zip(body.files, asked, strict=True), 1):
            try:
                data = await content(asker, b"", file.uri)
                found = await recognize(asker, config, data, version=2, long=True)
                billed += found.billed
                results[file.uri] = await _file_result(asker, file.uri, folder, output, found)
            except OgamError as error:
                results[file.uri] = wire_v2.BatchFileResult(error=errors.status(error))
            operation.metadata |= {
                "progressPercent": 100 * done // len(body.files),
                "updateTime": protojson.timestamp(time.time()),
            }
        answer = wire_v2.BatchRecognizeResponse(
            results=results, total_billed_duration=protojson.duration(billed)
        )
        return {"@type": f"{_V2}.BatchRecognizeResponse", **msgspec.to_builtins(answer)}

    return await store(asker.gateway).start(f"{parent}/operations/", _owner(asker), metadata, work)


async def _file_result(
    asker: Asker,
    uri: str,
    folder: str,
    output: wire_v2.RecognitionOutputConfig,
    found: Recognized,
) -> wire_v2.BatchFileResult:
    formats = output.output_format_config or wire_v2.OutputFormatConfig(native={})
    transcript = v2_response(found)
    # Captions have no channels: several are those of the first.
    vtt = subtitles.vtt(found.transcripts[0]) if formats.vtt is not None else ""
    srt = subtitles.srt(found.transcripts[0]) if formats.srt is not None else ""
    told = wire_v2.BatchFileResult(metadata=transcript.metadata)
    if not folder:
        told.inline_result = wire_v2.InlineResult(
            transcript=transcript, vtt_captions=vtt, srt_captions=srt
        )
        told.transcript = transcript
        return told
    name = uri.rpartition("/")[2].rpartition(".")[0] or "audio"
    stem = f"{folder.rstrip('/')}/{name}_transcript_{transcript.metadata.request_id}"
    written = wire_v2.CloudStorageResult()
    if formats.native is not None or not (vtt or srt):
        written.uri = told.uri = f"{stem}.json"
        await _write(asker, written.uri, msgspec.json.encode(transcript))
    if vtt:
        written.vtt_format_uri = f"{stem}.vtt"
        await _write(asker, written.vtt_format_uri, vtt.encode())
    if srt:
        written.srt_format_uri = f"{stem}.srt"
        await _write(asker, written.srt_format_uri, srt.encode())
    told.cloud_storage_result = written
    return told


async def _write(asker: Asker, uri: str, data: bytes) -> None:
    await asyncio.to_thread(Storage(asker.gateway.config).write, uri, data)


def _owner(asker: Asker) -> str:
    return asker.key.id if asker.key else ""

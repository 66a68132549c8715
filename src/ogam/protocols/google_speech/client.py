"""Google Speech-to-Text called: recordings over REST, live sound over gRPC (``client_stream``).

The model's name says the version: ``google_speech/v2/long`` is version 2's model ``long``,
``google_speech/latest_long`` version 1's, and ``google_speech`` alone is version 1 with the model
that Google chooses.

https://cloud.google.com/speech-to-text/docs/reference/rest/v1/speech
https://cloud.google.com/speech-to-text/v2/docs/reference/rest/v2/projects.locations.recognizers
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import ClassVar, NamedTuple

import msgspec

from ogam.capabilities.base import Capability, ModelRef, Units
from ogam.capabilities.speech_recognition import (
    PartialTranscript,
    RecognitionOptions,
    Segment,
    TranscribeRequest,
    TranscribeResult,
)
from ogam.errors import InvalidMediaError, InvalidRequestError, VendorError
from ogam.media import Audio
from ogam.net import Client
from ogam.protocols.google import client_errors, protojson
from ogam.protocols.google.client_api import MAX_JSON, Api
from ogam.protocols.google.wire import Operation
from ogam.protocols.google_speech import client_stream, convert, convert_v2, cutting, wire, wire_v2
from ogam.protocols.google_speech.client_wishes import RATE, Model, asked, heard, text_of
from ogam.vendors import Vendor

# https://cloud.google.com/speech-to-text/quotas
MAX_SECONDS = 60.0
# Seconds between two looks at an operation: the first, the longest, and how they grow.
_FIRST_LOOK, _LAST_LOOK, _GROWTH = 1.0, 15.0, 1.5
# Parts of one recording that are recognised at one time.
_AT_ONCE = 4


class _Heard(NamedTuple):
    """What was answered for sound that begins ``start`` seconds into the recording."""

    start: float
    seconds: float
    results: Sequence[wire.SpeechRecognitionResult]
    billed: str


class GoogleSpeechEngine:
    """Hears by Google Speech-to-Text; one channel, 16 kHz, is what is sent and billed.

    A minute goes in one call. Of longer ones version 1 is asked to take them as an operation;
    where it refuses (Google itself does, of sound that is not in its storage), and in version
    2, they go in parts that are cut where it is quiet.
    """

    capabilities: ClassVar[frozenset[Capability]] = frozenset({"transcribe"})
    requires: ClassVar[tuple[str, ...]] = ()
    extra: ClassVar[str] = ""
    vendor_engine: ClassVar[bool] = True

    def __init__(self, ref: ModelRef, vendor: Vendor, http: Client) -> None:
        self._ref, self._model, self._api = ref, Model.of(ref.model, vendor.url), Api(vendor, http)
        self.raw = self._api

    def close(self) -> None:
        """End what it connected; a stream's connection ends with the stream."""
        self._api.close()

    async def transcribe(self, request: TranscribeRequest) -> TranscribeResult:
        """Transcribe a whole recording."""
        wanted = asked(self._model, request.options, "FLAC")
        pcm = await asyncio.to_thread(_samples, request.audio)
        seconds = len(pcm) / (2 * RATE)
        found: list[_Heard] | None = None
        if seconds > MAX_SECONDS:
            if self._model.version == 1:
                found = await self._operation(wanted, pcm, seconds)
            found = found or await self._parts(wanted, pcm)
        else:
            found = [await self._recognize(wanted, pcm, 0.0)]
        return self._result(request.options, found, seconds)

    def transcribe_stream(
        self, pcm: Iterator[bytes], options: RecognitionOptions
    ) -> AsyncIterator[PartialTranscript | TranscribeResult]:
        """Transcribe as it is said, for at most the five minutes that Google takes."""
        return client_stream.listen(self._ref, self._model, self._api, pcm, options)

    async def _recognize(self, wanted: convert.Asked, pcm: bytes, start: float) -> _Heard:
        seconds = len(pcm) / (2 * RATE)
        data = await asyncio.to_thread(_flac, pcm)
        if self._model.version == 2:
            name = self._model.recognizer(await self._api.auth.project())
            body = wire_v2.RecognizeRequest(config=convert_v2.config(wanted), content=data)
            answer = await self._api.post(f"/v2/{name}:recognize", body, wire_v2.RecognizeResponse)
            results = [convert_v2.result_of(one) for one in answer.results]
            return _Heard(start, seconds, results, answer.metadata.total_billed_duration)
        audio = wire.RecognitionAudio(content=data)
        body = wire.RecognizeRequest(config=convert.config(wanted), audio=audio)
        answer = await self._api.post("/v1/speech:recognize", body, wire.RecognizeResponse)
        return _Heard(start, seconds, answer.results, answer.total_billed_time)

    async def _parts(self, wanted: convert.Asked, pcm: bytes) -> list[_Heard]:
        slots = asyncio.Semaphore(_AT_ONCE)
        tasks: list[asyncio.Task[_Heard]] = []

        async def one(part: bytes, start: float) -> _Heard:
            async with slots:
                return await self._recognize(wanted, part, start)

        start = 0.0
        for part in await asyncio.to_thread(cutting.parts, pcm, RATE):
            tasks.append(asyncio.create_task(one(part, start)))
            start += len(part) / (2 * RATE)
        try:
            return await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()

    async def _operation(
        self, wanted: convert.Asked, pcm: bytes, seconds: float
    ) -> list[_Heard] | None:
        """Have it done as an operation; None where that is refused or too large, unbilled."""
        data = await asyncio.to_thread(_flac, pcm)
        if len(data) * 4 // 3 > MAX_JSON - 65_536:
            return None
        audio = wire.RecognitionAudio(content=data)
        body = wire.LongRunningRecognizeRequest(config=convert.config(wanted), audio=audio)
        try:
            began = await self._api.post("/v1/speech:longrunningrecognize", body, Operation)
        except InvalidRequestError:
            return None
        operation = await self._finished(began, seconds)
        if operation.error:
            raise client_errors.of_inner(self._api.vendor.name, operation.error)
        try:
            answer = protojson.taken(operation.response or {}, wire.LongRunningRecognizeResponse)
        except msgspec.ValidationError as error:
            raise self._api.odd(str(error)) from None
        if answer.output_error:
            raise client_errors.of_inner(self._api.vendor.name, answer.output_error)
        return [_Heard(0.0, seconds, answer.results, answer.total_billed_time)]

    async def _finished(self, operation: Operation, seconds: float) -> Operation:
        """Look at an operation until it is done, less and less often.

        VendorError once it takes as long as the recording and an attempt's time on top.
        """
        path = f"/v1/operations/{operation.name}"
        pause, longest = _FIRST_LOOK, seconds + self._api.vendor.timeout
        try:
            async with asyncio.timeout(longest):
                while not operation.done:
                    await asyncio.sleep(pause)
                    pause = min(pause * _GROWTH, _LAST_LOOK)
                    operation = await self._look(path) or operation
        except TimeoutError:
            raise VendorError(
                f"{self._api.vendor.name} did not finish within {longest:.0f} s."
            ) from None
        return operation

    async def _look(self, path: str) -> Operation | None:
        """The operation as it stands; None where the vendor cannot be asked for the moment."""
        try:
            return await self._api.get(path, Operation)
        except VendorError as error:
            # The work goes on and will be billed, whether it can be looked at or not.
            if error.status in (None, 429) or (error.status or 0) >= 500:
                return None
            error.sent = True
            raise

    def _result(
        self, options: RecognitionOptions, found: Sequence[_Heard], seconds: float
    ) -> TranscribeResult:
        segments: list[Segment] = []
        try:
            for one in found:
                segments += heard(options, one.results, one.start)
            milliseconds = sum(_billed(one) for one in found)
        except InvalidRequestError as error:  # a time that is none
            raise self._api.odd(error.message) from None
        codes = (one.language_code for each in found for one in each.results)
        code = next((code for code in codes if code), "")
        return TranscribeResult(
            engine=self._ref.engine,
            model=self._ref.name,
            units=Units(audio_ms=milliseconds),
            text=text_of(segments),
            segments=tuple(segments),
            duration=seconds,
            language=convert.spelled(code) if code else options.language,
        )


def _samples(audio: Audio) -> bytes:
    pcm = audio.pcm(RATE, 1).data
    if not pcm:
        raise InvalidMediaError("The audio holds 0 seconds of sound.")
    return pcm


def _flac(pcm: bytes) -> bytes:
    """Half the bytes of the samples, and the same samples."""
    return Audio.from_pcm(pcm, RATE).encode("flac").data


def _billed(one: _Heard) -> int:
    """Milliseconds; those that Google tells, else what it says it rounds to."""
    if one.billed:
        return math.ceil(protojson.seconds(one.billed, "totalBilledTime") * 1000)
    return convert.billed(one.seconds, 1) * 1000

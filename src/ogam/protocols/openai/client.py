"""OpenAI, and every server that speaks its protocol, as an engine.

Ollama, vLLM and llama.cpp's server are a vendor's row with another address. Such a server is told
from OpenAI by its host (:func:`ogam.protocols.openai.client_api.is_own`); it gets ``max_tokens``
instead of ``max_completion_tokens``, it may get ``top_k`` and ``repetition_penalty``, and it is
read leniently. Knows no price, no budget and no route.

https://developers.openai.com/api/reference
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable, Iterable
from contextlib import aclosing
from typing import ClassVar

from ogam.capabilities.base import Capability, ModelRef
from ogam.capabilities.classification import ClassifyRequest, ClassifyResult
from ogam.capabilities.embedding import EmbedRequest, EmbedResult
from ogam.capabilities.speech_recognition import (
    PartialTranscript,
    RecognitionOptions,
    TranscribeRequest,
    TranscribeResult,
)
from ogam.capabilities.speech_synthesis import SpeakRequest, SpeakResult, SpeechChunk, Voice
from ogam.capabilities.text_generation import GenerateRequest, GenerateResult, TextDelta
from ogam.errors import VendorError
from ogam.net import Client, Headers
from ogam.protocols.forwarding_client import Raw
from ogam.protocols.openai import client_audio, client_text
from ogam.protocols.openai.client_api import Api, is_own
from ogam.vendors import Vendor

# What a model of OpenAI's does, by a part of its name; the first that fits, else it writes.
_WRITES: frozenset[Capability] = frozenset(("generate",))
_HEARS: frozenset[Capability] = frozenset(("transcribe",))
_BY_NAME: tuple[tuple[str, frozenset[Capability]], ...] = (
    ("moderation", frozenset(("classify",))),
    ("embedding", frozenset(("embed",))),
    ("transcribe", _HEARS),
    ("whisper", _HEARS),
    ("tts", frozenset(("speak",))),
)
_ALL: frozenset[Capability] = frozenset(("generate", "embed", "speak", "transcribe", "classify"))


def capabilities_of(model: str, url: str) -> frozenset[Capability]:
    """What a model can do: OpenAI's by its name, another server's all, since names tell nothing."""
    if not is_own(url) or not model:
        return _ALL
    return next((one for part, one in _BY_NAME if part in model), _WRITES)


class OpenAIEngine:
    """One model of a vendor that speaks OpenAI's protocol. ``http`` stays its giver's to close.

    The class lists all capabilities, an object those of its model (:func:`capabilities_of`).
    VendorError where the vendor fails or cannot be reached; what it finds wrong in a request is
    raised as InvalidRequestError, UnknownModelError and their like, in its own words.
    """

    capabilities: ClassVar[frozenset[Capability]] = _ALL
    requires: ClassVar[tuple[str, ...]] = ()
    extra: ClassVar[str] = ""
    vendor_engine: ClassVar[bool] = True

    def __init__(self, ref: ModelRef, vendor: Vendor, http: Client) -> None:
        self._api = Api(ref, vendor, http)
        # The way of bodies that go through unchanged.
        self.raw = Raw(http, vendor, self._api.headers, self._check)
        self.capabilities = capabilities_of(ref.model, vendor.url)  # pyright: ignore[reportAttributeAccessIssue]

    @property
    def own(self) -> bool:
        """Whether it is OpenAI itself."""
        return self._api.own

    def close(self) -> None:
        """Nothing of its own to let go of."""

    async def generate(self, request: GenerateRequest) -> GenerateResult:
        """Answer, whole. UnsupportedOptionError for what the vendor's chat cannot express."""
        return await client_text.generate(self._api, request)

    def generate_stream(
        self, request: GenerateRequest
    ) -> AsyncGenerator[TextDelta | GenerateResult]:
        """Answer as the text comes. Closed early, the vendor is told by the connection's end."""
        return client_text.generate_stream(self._api, request)

    async def embed(self, request: EmbedRequest) -> EmbedResult:
        """A vector of length 1 for each text."""
        return await client_text.embed(self._api, request)

    async def classify(self, request: ClassifyRequest) -> ClassifyResult:
        """Which harmful category each text falls under, by a moderation model."""
        return await client_text.classify(self._api, request)

    async def voices(self) -> tuple[Voice, ...]:
        """OpenAI's voices; none for another server, whose names the protocol cannot ask for."""
        return client_audio.voices(self._api)

    async def speak(self, request: SpeakRequest) -> SpeakResult:
        """Say the whole text."""
        async with aclosing(client_audio.speak_stream(self._api, request)) as pieces:
            async for piece in pieces:
                if isinstance(piece, SpeakResult):
                    return piece
        raise AssertionError("the stream ends in a result or an error")

    def speak_stream(self, request: SpeakRequest) -> AsyncGenerator[SpeechChunk | SpeakResult]:
        """Say the text as its sound comes."""
        return client_audio.speak_stream(self._api, request)

    async def transcribe(self, request: TranscribeRequest) -> TranscribeResult:
        """Write down a whole recording; with the times of words where the model tells them."""
        return await client_audio.transcribe(self._api, request)

    def transcribe_stream(
        self, pcm: Iterable[bytes] | AsyncIterable[bytes], options: RecognitionOptions
    ) -> AsyncGenerator[PartialTranscript | TranscribeResult]:
        """Write down live sound, once it has ended: the protocol takes whole recordings."""
        return client_audio.transcribe_stream(self._api, pcm, options)

    def _check(self, status: int, headers: Headers, body: bytes) -> None:
        failure = self._api.failure(status, headers, body)
        if isinstance(failure, VendorError):
            raise failure

"""The most that a request can be billed for, known before it is sent. Pure; knows no ledger.

Each bound is one that holds whatever the vendor answers:

- *tokens in*: a byte-level tokenizer (OpenAI's, Llama 3's, Qwen's) joins bytes and never splits
  one, so a text has at most as many tokens as bytes in UTF-8; what a vendor sets around a
  message is allowed for. A tokenizer that rewrites the text first (NFKC) may break this.
- *tokens out*: the maximum that the request names, for each sequence. What a model thinks before
  it answers is within it.
- *characters*, *seconds*, *pictures*: those of the request, counted as the vendor counts.

Where none holds the answer says so, and what to do. Bodies that go on as they came are
:mod:`ogam.protocols.openai.bodies`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

from ogam.capabilities.base import Capability, Units, Value
from ogam.capabilities.classification import ClassifyRequest
from ogam.capabilities.embedding import EmbedRequest
from ogam.capabilities.speech_recognition import TranscribeRequest
from ogam.capabilities.speech_synthesis import SpeakRequest
from ogam.capabilities.text_generation import GenerateRequest
from ogam.capabilities.translation import TranslateRequest
from ogam.capabilities.vision import FEATURES, SeeRequest
from ogam.gateway.billing import Billing, Price
from ogam.media import Audio, codec, wav

# OpenAI sets 3 tokens around a message and 3 before the answer.
# https://developers.openai.com/cookbook/examples/how_to_count_tokens_with_tiktoken
# Others set more: special tokens, a sentence of their own. No vendor promises a number.
PER_REQUEST, PER_MESSAGE, PER_TEXT = 128, 16, 8
# Decoders differ by the silence an encoder puts before and after: MP3 2 frames, AAC 2112 samples,
# Opus 80 ms. A second is above all of them.
_CODED_MS = 1000


class Unprovable(Value, frozen=True, kw_only=True):
    """No bound holds: why, and what to do about it. Each is one line."""

    reason: str
    hint: str = ""


def bound(capability: Capability, request: Any, price: Price) -> Billing | None:
    """The most that ``request`` is billed for, None where nothing can be proven."""
    found = prove(capability, request, price)
    return found if isinstance(found, Billing) else None


def prove(capability: Capability, request: Any, price: Price) -> Billing | Unprovable:
    """As :func:`bound`, and where nothing can be proven, why. Decodes sound to know its length."""
    if price.bills == "nothing":
        return Billing()
    for option in price.unbounded:
        if _asked(request, option):
            return Unprovable(
                reason=f"What {option} cost extra is not known.",
                hint=f"Leave {option} out, or put a row with unbounded = [] into [[prices]].",
            )
    if isinstance(request, GenerateRequest) and price.bills == "tokens":
        return _generated(request)
    if isinstance(request, EmbedRequest | ClassifyRequest) and price.bills == "tokens":
        return _read(request, price)
    if isinstance(request, TranslateRequest) and price.bills == "characters":
        # Code points, as DeepL counts; for one target.
        return _characters(sum(map(len, request.texts)) * request.alternatives)
    if isinstance(request, SpeakRequest) and price.bills == "characters":
        # UTF-16 units: no vendor of speech says which characters it counts, and none has more.
        # Tags of SSML are written anew by a client, some a quarter longer.
        count = len(request.text.encode("utf-16-le")) // 2
        return _characters(2 * count if request.ssml else count)
    if isinstance(request, TranscribeRequest):
        return _heard(request, price)
    if isinstance(request, SeeRequest) and price.bills == "features":
        return _seen(request.features, price)
    return Unprovable(
        reason=f"A price by {price.bills} says nothing about a request to {capability}.",
        hint="Put a row that does into [[prices]] of ogam.toml.",
    )


def document_bound(kind: str, price: Price, characters: int | None = None) -> Billing | Unprovable:
    """The most that a file to translate is billed for. ``kind`` is its ending, as in ``docx``.

    ``characters``: all there are in the file, tags and all, where it is plain text. None: as many
    as the vendor takes in a file.
    """
    if price.bills == "nothing":
        return Billing()
    limits = price.documents
    most = characters if characters is not None else limits.maximum if limits else None
    if price.bills != "characters" or most is None:
        return Unprovable(
            reason=f"How many characters a .{kind} file is billed for is not known.",
            hint="Give documents = { … } in a row of [[prices]], with a maximum.",
        )
    least = limits.minimum if limits and kind.lower().lstrip(".") in limits.kinds else 0
    return _characters(max(most, least))


def characters_bound(count: int, price: Price) -> Billing | Unprovable:
    """The most that ``count`` characters of text are billed for."""
    if price.bills not in ("nothing", "characters"):
        return Unprovable(
            reason=f"A price by {price.bills} says nothing about characters.",
            hint="Put a row that does into [[prices]] of ogam.toml.",
        )
    return _characters(count) if price.bills == "characters" else Billing()


def seconds_bound(seconds: float, price: Price) -> Billing | Unprovable:
    """The most that so many seconds of sound are billed for, of all channels together."""
    if price.bills == "nothing":
        return Billing()
    if price.bills != "audio":
        return Unprovable(
            reason="How long the sound will be is not known, and it is not billed by time.",
            hint="Send a whole recording, or put a row by time into [[prices]].",
        )
    return Billing(units=Units(audio_ms=price.billed_ms(math.ceil(1000 * seconds))))


def features_bound(features: Sequence[str], price: Price) -> Billing | Unprovable:
    """The most that ``features`` are billed for, each named once for every picture it is of."""
    if price.bills == "nothing":
        return Billing()
    if price.bills != "features":
        return Unprovable(
            reason=f"A price by {price.bills} says nothing about pictures.",
            hint="Put a row that does into [[prices]] of ogam.toml.",
        )
    unknown = next((one for one in features if one not in price.features), None)
    if unknown is not None:
        return Unprovable(
            reason=f"What the vendor charges for {unknown[:60]} is not known.",
            hint=f"Its prices are for {', '.join(price.features)}.",
        )
    return Billing(units=Units(image_features=len(features)), features=tuple(features))


def text_bytes(texts: Sequence[str]) -> int:
    """Bytes in UTF-8: the most tokens a byte-level tokenizer can make of the texts."""
    return sum(len(text.encode()) for text in texts)


def _asked(request: Any, option: str) -> bool:
    return bool(getattr(request, option, None) or getattr(_options(request), option, None))


def _options(request: Any) -> Any:
    return getattr(request, "options", None)


def _characters(count: int) -> Billing:
    return Billing(units=Units(characters=count))


def _generated(request: GenerateRequest) -> Billing | Unprovable:
    if request.max_tokens is None:
        return Unprovable(
            reason="The request names no maximum of tokens to write.", hint="Give max_tokens."
        )
    texts = [message.content for message in request.messages] or [request.prompt]
    framing = PER_REQUEST + PER_MESSAGE * len(texts)
    return Billing(
        units=Units(
            input_tokens=text_bytes(texts) + framing,
            output_tokens=request.n * request.max_tokens,
        )
    )


def _read(request: EmbedRequest | ClassifyRequest, price: Price) -> Billing | Unprovable:
    labels: tuple[str, ...] = ()
    if isinstance(request, ClassifyRequest):
        labels = request.labels
        if price.output:
            return Unprovable(
                reason="How many tokens the model writes to classify a text is not known.",
                hint="Name a model that labels without writing, or generate with max_tokens.",
            )
    # Labels may be read again with each text.
    count = len(request.texts)
    tokens = text_bytes(request.texts) + count * text_bytes(labels)
    return Billing(
        units=Units(input_tokens=tokens + PER_TEXT * count * (1 + len(labels)) + PER_REQUEST)
    )


def _heard(request: TranscribeRequest, price: Price) -> Billing | Unprovable:
    if price.bills == "audio":
        milliseconds, channels = _length(request.audio)
        billed = price.billed_ms(milliseconds)
        return Billing(units=Units(audio_ms=billed * (channels if price.per_channel else 1)))
    if price.bills != "tokens" or price.audio_tokens_per_second is None or not price.output_limit:
        return Unprovable(
            reason="How many tokens the vendor makes of sound is not published.",
            hint="Use a model that is billed by time, or put a row with "
            "audio_tokens_per_second and output_limit into [[prices]].",
        )
    seconds = -(-_length(request.audio)[0] // 1000)
    prompt = text_bytes(request.options.phrases) + PER_TEXT * len(request.options.phrases)
    tokens = seconds * price.audio_tokens_per_second + prompt + PER_REQUEST
    return Billing(units=Units(input_tokens=tokens, output_tokens=price.output_limit))


def _length(audio: Audio) -> tuple[int, int]:
    """Milliseconds, rounded up, and channels, two at most where it has to be decoded."""
    if audio.encoding == "pcm" and audio.sample_rate:
        return _milliseconds(len(audio.data), audio.channels, audio.sample_rate), audio.channels
    head = wav.header(audio.data) if audio.encoding is None else None
    if head is not None and head.is_pcm16:
        size = head.stop - head.start
        return _milliseconds(size, head.channels, head.sample_rate), head.channels
    seconds, channels = Fraction(), 1
    # Block by block: an hour of stereo is 600 MB.
    for block, rate, channels in codec.decode(
        audio.data,
        audio.name,
        raw=audio.encoding,
        raw_rate=audio.sample_rate or 0,
        raw_channels=audio.channels,
    ):
        seconds += Fraction(len(block), 2 * channels * rate)
    return math.ceil(1000 * seconds) + (0 if audio.encoding else _CODED_MS), channels


def _milliseconds(size: int, channels: int, rate: int) -> int:
    """Of ``size`` bytes of 16-bit samples."""
    return -(-size * 1000 // (2 * channels * rate))


def _seen(features: Sequence[str], price: Price) -> Billing | Unprovable:
    if features:
        return features_bound(tuple(dict.fromkeys(features)), price)
    # Of those that are not named, each may be the dearest.
    every = [one for one in FEATURES if one in price.features]
    return Billing(units=Units(image_features=len(every)))

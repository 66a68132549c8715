"""Wrong, odd and hostile gRPC calls, drawn from Google's own message types. Knows no server.

Call ``n`` of a seed is always the same.
"""

from __future__ import annotations

import random
from typing import Any, NamedTuple

from _hostile import flipped, some_media
from google.cloud.speech_v1 import types as speech_v1
from google.cloud.speech_v2 import types as speech_v2
from google.cloud.vision_v1 import types as vision_v1
from google.longrunning import operations_pb2
from google.protobuf.descriptor import FieldDescriptor as Field

_V1, _V2 = "/google.cloud.speech.v1.Speech/", "/google.cloud.speech.v2.Speech/"
_VISION, _OPERATIONS = "/google.cloud.vision.v1.ImageAnnotator/", "/google.longrunning.Operations/"
# method -> the message it takes
UNARY: dict[str, Any] = {
    f"{_V1}Recognize": speech_v1.RecognizeRequest.pb(),
    f"{_V1}LongRunningRecognize": speech_v1.LongRunningRecognizeRequest.pb(),
    f"{_V2}Recognize": speech_v2.RecognizeRequest.pb(),
    f"{_V2}BatchRecognize": speech_v2.BatchRecognizeRequest.pb(),
    f"{_V2}GetRecognizer": speech_v2.GetRecognizerRequest.pb(),
    f"{_V2}ListRecognizers": speech_v2.ListRecognizersRequest.pb(),
    f"{_VISION}BatchAnnotateImages": vision_v1.BatchAnnotateImagesRequest.pb(),
    f"{_VISION}BatchAnnotateFiles": vision_v1.BatchAnnotateFilesRequest.pb(),
    f"{_VISION}AsyncBatchAnnotateImages": vision_v1.AsyncBatchAnnotateImagesRequest.pb(),
    f"{_VISION}AsyncBatchAnnotateFiles": vision_v1.AsyncBatchAnnotateFilesRequest.pb(),
    f"{_OPERATIONS}GetOperation": operations_pb2.GetOperationRequest,
    f"{_OPERATIONS}WaitOperation": operations_pb2.WaitOperationRequest,
    f"{_OPERATIONS}ListOperations": operations_pb2.ListOperationsRequest,
    f"{_OPERATIONS}CancelOperation": operations_pb2.CancelOperationRequest,
    f"{_OPERATIONS}DeleteOperation": operations_pb2.DeleteOperationRequest,
}
STREAMS: dict[str, Any] = {
    f"{_V1}StreamingRecognize": speech_v1.StreamingRecognizeRequest.pb(),
    f"{_V2}StreamingRecognize": speech_v2.StreamingRecognizeRequest.pb(),
}
_NUMBERS = (0, 1, -1, 2, 7, 8000, 16_000, 2**31 - 1, -(2**31), 2**63 - 1, -(2**63))
_RANGES = {
    Field.TYPE_INT32: (-(2**31), 2**31),
    Field.TYPE_UINT32: (0, 2**32),
    Field.TYPE_UINT64: (0, 2**64),
}
_FLOATS = (0.0, 1.0, -1.0, 1e30, -1e30, float("nan"), float("inf"), 1e-40)
_TEXTS = (
    *("", "en-US", "ko-KR", "xx", "auto", "latest_long", "builtin/latest", "fake", "\0", "한국어"),
    *("gs://bucket/object", "gs://../../etc/passwd", "gs://b", "http://127.0.0.1:1/", "file:///"),
    *("projects/p/locations/global/recognizers/_", "projects/p/locations/l", "projects/../x"),
    *("projects/p/operations/" + "0" * 32, "0" * 32, "../" * 40, "operations/", "${class}"),
    *("audio/wav", "application/pdf", "image/tiff", "x" * 300, "\u202e" * 50, "%s%n{}", "-1.5s"),
)
# What lets a request come through to the engine, for most of them.
_LIKELY: dict[str, tuple[Any, ...]] = {
    "language_code": ("en-US",),
    "language_codes": ("en-US",),
    "recognizer": ("projects/p/locations/global/recognizers/_",),
    "encoding": (0, 1, 2, 3, 6),
    "sample_rate_hertz": (0, 16_000, 8000),
    "audio_channel_count": (0, 1, 2),
    "max_alternatives": (0, 1, 5),
    "enable_separate_recognition_per_channel": (False,),
    "model": ("",),
    "uri": ("",),
}
_DEEP = 6


class Call(NamedTuple):
    """One call. ``messages`` are sent one after the other; ``pause`` is the time between them.

    After ``leaves`` messages the client cancels; None: it waits for the end.
    """

    kind: str
    method: str
    messages: tuple[bytes, ...]
    stream: bool
    metadata: tuple[tuple[str, str | bytes], ...] = ()
    leaves: int | None = None
    pause: float = 0.0


def call(seed: int, number: int) -> Call:
    """Call ``number`` of this seed."""
    draw = random.Random(f"{seed}/{number}")
    stream = draw.random() < 0.35
    method, kind = draw.choice(sorted((STREAMS if stream else UNARY).items()))
    made = _stream(draw, method, kind) if stream else _unary(draw, method, kind)
    odd = draw.random()
    if odd < 0.03:
        made = made._replace(kind="no such method", method=_odd_method(draw, made.method))
    elif odd < 0.06:
        made = made._replace(kind="odd metadata", metadata=_metadata(draw))
    elif odd < 0.08:
        made = made._replace(kind="other shape", stream=not made.stream)
    return made


def _unary(draw: random.Random, method: str, kind: Any) -> Call:
    data = filled(draw, kind)
    name = "valid shape"
    if draw.random() < 0.6:
        name, data = _spoilt(draw, data)
    leaves = 1 if draw.random() < 0.05 else None
    return Call("cancelled" if leaves else name, method, (data,), False, leaves=leaves)


def _stream(draw: random.Random, method: str, kind: Any) -> Call:
    version = 1 if ".v1." in method else 2
    config, audio = _config(draw, kind, version), "audio_content" if version == 1 else "audio"

    def sound(size: int) -> bytes:
        return kind(**{audio: draw.randbytes(size)}).SerializeToString()

    chunks = tuple(sound(draw.choice((0, 1, 640, 3201, 12_800))) for _ in range(draw.randrange(6)))
    shapes: dict[str, tuple[bytes, ...]] = {
        "whole": (config, *chunks),
        "media": (config, kind(**{audio: some_media(draw)}).SerializeToString()),
        "sound first": (*chunks, config),
        "two configurations": (config, *chunks, config, *chunks),
        "nothing": (),
        "configuration only": (config,),
        "sound only": chunks,
        "garbage first": (draw.randbytes(40), config),
        "garbage later": (config, *chunks, _spoilt(draw, config)[1], *chunks),
        "any messages": tuple(filled(draw, kind) for _ in range(draw.randrange(5))),
        # Loud noise takes PocketSphinx longer than it lasts; silence does not.
        "much at once": (config, kind(**{audio: bytes(1_000_000)}).SerializeToString()),
        "very many": (config, *(sound(2) for _ in range(300))),
        "above gRPC's own limit": (config, sound(5_000_000)),
    }
    name = draw.choice(list(shapes))
    messages = shapes[name]
    leaves = draw.randrange(len(messages) + 1) if draw.random() < 0.25 else None
    if name.startswith("above"):
        leaves = 2  # recognising two and a half minutes of noise takes minutes
    pause = 0.02 if draw.random() < 0.05 and len(messages) < 20 else 0.0
    name = f"stream: {name}" if leaves is None else "stream: cancelled"
    return Call(name, method, messages, True, leaves=leaves, pause=pause)


def _config(draw: random.Random, kind: Any, version: int) -> bytes:
    message = kind()
    if draw.random() < 0.3:
        return filled(draw, kind)
    streaming = message.streaming_config
    streaming_features: Any = streaming if version == 1 else streaming.streaming_features
    streaming_features.interim_results = draw.random() < 0.5
    if version == 1:
        streaming.single_utterance = draw.random() < 0.2
        streaming.config.language_code = "en-US"
        streaming.config.encoding, streaming.config.sample_rate_hertz = 1, 16_000
    else:
        message.recognizer = "projects/p/locations/global/recognizers/_"
        streaming.config.language_codes.append("en-US")
        explicit = streaming.config.explicit_decoding_config
        explicit.encoding, explicit.sample_rate_hertz, explicit.audio_channel_count = 1, 16_000, 1
    return message.SerializeToString()


def filled(draw: random.Random, kind: Any) -> bytes:
    """A message of ``kind`` with fields drawn at random."""
    message = kind()
    _fill(draw, message, 0)
    return message.SerializeToString()


def _fill(draw: random.Random, message: Any, depth: int) -> None:
    for field in message.DESCRIPTOR.fields:
        if draw.random() < 0.35 or depth > _DEEP:
            continue
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            continue
        count = draw.choice((1, 1, 2, 5)) if field.is_repeated else 1
        for _ in range(count):
            if field.message_type is not None:
                inner = getattr(message, field.name)
                inner = inner.add() if field.is_repeated else inner
                inner.SetInParent()
                _fill(draw, inner, depth + 1)
            elif field.is_repeated:
                getattr(message, field.name).append(_value(draw, field))
            else:
                setattr(message, field.name, _value(draw, field))


def _value(draw: random.Random, field: Any) -> Any:
    likely = _LIKELY.get(field.name)
    if likely is not None and draw.random() < 0.8:
        value = draw.choice(likely)
        return str(value) if field.type == Field.TYPE_STRING else value
    if field.type == Field.TYPE_BOOL:
        return draw.random() < 0.5
    if field.type == Field.TYPE_STRING:
        return draw.choice(_TEXTS)
    if field.type == Field.TYPE_BYTES:
        return some_media(draw)
    if field.type == Field.TYPE_ENUM:
        known = [one.number for one in field.enum_type.values]
        return draw.choice((*known, *known, 99, -1, 2**31 - 1))
    if field.type in (Field.TYPE_FLOAT, Field.TYPE_DOUBLE):
        return draw.choice(_FLOATS)
    low, high = _RANGES.get(field.type, (-(2**63), 2**63))
    return draw.choice([one for one in _NUMBERS if low <= one < high])


def _spoilt(draw: random.Random, data: bytes) -> tuple[str, bytes]:
    """``data`` with something wrong, and what that is."""
    nested = b""
    for _ in range(draw.choice((10, 200, 2000))):
        nested = b"\x0a" + _varint(len(nested)) + nested
    spoiled = {
        "cut short": lambda: data[: draw.randrange(len(data) + 1)],
        "random bytes": lambda: draw.randbytes(draw.randrange(600)),
        "flipped bits": lambda: flipped(draw, data) if data else b"\x08",
        "twice": lambda: data + data,
        "unknown fields": lambda: data + b"\xfa\x7f\x03abc" + b"\x98\x96\x01\x05",
        "wrong wire type": lambda: b"\x08" + _varint(draw.choice(_NUMBERS) % 2**64) + data,
        "a length too long": lambda: b"\x0a" + _varint(draw.choice((100, 2**31, 2**63))) + data,
        "an endless number": lambda: b"\x08" + b"\xff" * 40,
        "no UTF-8": lambda: b"\x0a\x04\xff\xfe\xc0\x80" + data,
        "deep": lambda: nested,
        "other message": lambda: filled(draw, draw.choice([*UNARY.values(), *STREAMS.values()])),
        "nothing": lambda: b"",
        "zeros": lambda: bytes(draw.randrange(1, 50)),
        "end of a group": lambda: data + b"\x0c",
    }
    name = draw.choice(list(spoiled))
    return name, spoiled[name]()


def _varint(value: int) -> bytes:
    found = bytearray()
    while value > 0x7F:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes((*found, value))


def _odd_method(draw: random.Random, method: str) -> str:
    return draw.choice(
        (
            f"{method}s",
            "/",
            "/a/b",
            "/google.cloud.speech.v1.Speech/",
            f"/{'x' * 5000}/y",
            method[1:],
        )
    )


def _metadata(draw: random.Random) -> tuple[tuple[str, str | bytes], ...]:
    return draw.choice(
        (
            (("x-goog-api-key", ""),),
            (("x-goog-api-key", "x" * 4000),),
            (("authorization", "Bearer"), ("authorization", "Basic eA==")),
            (("authorization", "Bearer " + "y" * 500),),
            (("x-bin", draw.randbytes(50)), ("grpc-status-details-bin", b"\xff")),
            tuple((f"x-{at}", "z") for at in range(100)),
        )
    )

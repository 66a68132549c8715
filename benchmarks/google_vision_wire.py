"""Google Vision's wire: JSON and gRPC against Google's own JSON of a protocol buffer.

A picture of 5 MB comes in, and the value of a page of 3,000 symbols goes out (Google's starts
from its own message, or from our JSON); medians of five.
"""

from __future__ import annotations

import base64
import json
import statistics
import time
from collections.abc import Callable
from typing import Any

import msgspec
from google.cloud.vision_v1 import types
from google.protobuf import json_format

from ogam.capabilities import vision
from ogam.protocols.google import grpc, protojson
from ogam.protocols.google_vision import convert_text, wire

_SYMBOLS_A_WORD, _WORDS = 6, 500


def main() -> None:
    """Print one line a case: ours, Google's, and how many times as fast ours is."""
    data = bytes(range(256)) * (5_000_000 // 256)
    body = {"requests": [{"image": {"content": base64.b64encode(data).decode()}}]}
    text = json.dumps(body).encode()
    kind = types.BatchAnnotateImagesRequest.pb()
    message = json_format.Parse(text, kind()).SerializeToString()
    ours = wire.BatchAnnotateImagesRequest
    document = _document()
    made = convert_text.text(document)
    answer = types.TextAnnotation.pb()
    google = answer(**grpc.fields(made))
    rows: list[tuple[str, Callable[[], Any], Callable[[], Any]]] = [
        (
            "5 MB in, JSON",
            lambda: protojson.parse(text, ours),
            lambda: json_format.Parse(text, kind()),
        ),
        (
            "5 MB in, gRPC",
            lambda: protojson.convert(grpc.from_message(kind.FromString(message)), ours),
            lambda: json_format.MessageToDict(kind.FromString(message)),
        ),
        (
            "3,000 symbols out, JSON",
            lambda: msgspec.json.encode(convert_text.text(document)),
            lambda: json_format.MessageToJson(google),
        ),
        (
            "3,000 symbols out, gRPC",
            lambda: answer(**grpc.fields(convert_text.text(document))).SerializeToString(),
            lambda: json_format.Parse(msgspec.json.encode(made), answer()).SerializeToString(),
        ),
    ]
    for name, own, peer in rows:
        mine, theirs = _median(own), _median(peer)
        print(f"{name:42} {mine * 1000:8.1f} ms {theirs * 1000:8.1f} ms {theirs / mine:6.1f} x")


def _median(work: Callable[[], Any]) -> float:
    found: list[float] = []
    for _ in range(5):
        started = time.perf_counter()
        work()
        found.append(time.perf_counter() - started)
    return statistics.median(found)


def _document() -> vision.DocumentText:
    box = vision.Polygon.box(10.0, 20.0, 30.0, 40.0)
    symbol = vision.Symbol(text="a", polygon=box, confidence=0.987654)
    last = vision.Symbol(text="a", polygon=box, confidence=0.987654, break_after="space")
    every = (symbol,) * (_SYMBOLS_A_WORD - 1)
    word = vision.TextWord(symbols=(*every, last), polygon=box, confidence=0.987654)
    paragraph = vision.Paragraph(words=(word,) * _WORDS, polygon=box, confidence=0.987654)
    block = vision.Block(paragraphs=(paragraph,), polygon=box, confidence=0.987654)
    page = vision.Page(width=1000, height=1000, blocks=(block,), languages=("en",))
    return vision.DocumentText(text="aaaaaa " * _WORDS, pages=(page,))


if __name__ == "__main__":
    main()

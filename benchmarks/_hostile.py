"""Wrong, odd and hostile requests, drawn from an OpenAPI document. Knows no server.

Request ``n`` of a seed is always the same but for the names of things made on the way.
"""

from __future__ import annotations

import base64
import io
import json
import random
import re
import struct
import wave
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple
from urllib.parse import quote

DEEP = 20_000


class Operation(NamedTuple):
    """One thing the server answers, with the JSON schemas of its bodies, where it takes any."""

    protocol: str
    method: str
    path: str
    json: dict[str, Any] | None
    form: dict[str, Any] | None


class Asked(NamedTuple):
    """One request: its bytes in the parts they are sent in, and what is to be awaited.

    ``whole`` is whether a reply is owed; where not, the client leaves after a moment.
    """

    protocol: str
    kind: str
    parts: tuple[bytes, ...]
    whole: bool = True


class Fuzzer:
    """Requests drawn from an OpenAPI document. ``address`` is host:port of the server."""

    def __init__(self, document: dict[str, Any], seed: int, address: str) -> None:
        self._schemas = document["components"]["schemas"]
        self._seed, self._host = seed, address.encode()
        self._operations = [
            Operation(operation["tags"][0], method.upper(), path, *_bodies(operation))
            for path, methods in sorted(document["paths"].items())
            for method, operation in sorted(methods.items())
        ]
        # Names of things the server made: the next requests use some of them.
        self.made: deque[str] = deque(["none-such"], 200)

    def request(self, number: int) -> Asked:
        """Request ``number`` of this seed."""
        draw = random.Random(f"{self._seed}/{number}")
        about = draw.choice(self._operations)
        kinds: list[tuple[int, Callable[..., Asked]]] = [
            (50, self._shaped),
            (12, self._no_json),
            (12, self._form),
            (8, self._path),
            (5, self._method),
            (8, self._headers),
            (3, self._length),
            (2, self._socket),
        ]
        make = draw.choices([one for _, one in kinds], [weight for weight, _ in kinds])[0]
        return make(draw, about)

    def _shaped(self, draw: random.Random, about: Operation) -> Asked:
        if about.form is not None:
            return self._form(draw, about)
        value = self._value(draw, about.json, 0) if about.json else None
        kind = "valid shape"
        if value is not None and draw.random() < 0.75:
            kind = "one thing wrong"
            value = _spoilt(draw, value)
        body = _json(value) if value is not None else b""
        target = self._target(draw, about.path)
        return Asked(
            about.protocol, kind, (self._head(about.method, target, about.protocol, body), body)
        )

    def _no_json(self, draw: random.Random, about: Operation) -> Asked:
        body = _json(self._value(draw, about.json or {}, 0))
        spoil: list[Callable[[], bytes]] = [
            lambda: body[: draw.randrange(len(body) + 1)],
            lambda: draw.randbytes(draw.randrange(2000)),
            lambda: b"\xef\xbb\xbf" + body,
            lambda: body.decode(errors="replace").encode("utf-16"),
            lambda: b"[" * DEEP,
            lambda: b'{"a":' * DEEP,
            lambda: b"[" * DEEP + b"]" * DEEP,
            lambda: flipped(draw, body),
            lambda: body + body,
            lambda: b"null",
            lambda: b'"' + b"x" * 100_000 + b'"',
            lambda: b"9" * 50_000,
            lambda: b"\x00" * 10,
            lambda: b"",
        ]
        wrong = draw.choice(spoil)()
        method = about.method if about.method in ("POST", "PUT", "PATCH") else "POST"
        media = draw.choice(
            (
                "application/json",
                "application/json",
                "text/plain",
                "application/x-protobuf",
                "",
                "/",
            )
        )
        head = self._head(method, self._target(draw, about.path), about.protocol, wrong, media)
        return Asked(about.protocol, "no JSON", (head, wrong))

    def _form(self, draw: random.Random, about: Operation) -> Asked:
        value = self._value(draw, about.form or about.json or {}, 0)
        fields = value if isinstance(value, dict) else {"a": value}
        boundary = draw.choice((b"xyz", b"-" * 60, b"a b", b"x" * 300, b"\xc3\xa9"))
        parts = [
            b'Content-Disposition: form-data; name="' + name.encode(errors="replace") + b'"'
            b"\r\n\r\n"
            + (one if isinstance(one, str) else json.dumps(one)).encode(errors="replace")
            for name, one in fields.items()
            if name not in ("file", "audio", "data")
        ]
        name = draw.choice((b"file", b"file", b"file", b"audio", b"data", b"", b"file[]"))
        named = draw.choice(
            (
                b"a.wav",
                b"a.txt",
                b"a.docx",
                b"../../etc/passwd",
                b"",
                b"a.jsonl",
                b"\x00\xff",
                b"a.html",
            )
        )
        parts.append(
            b'Content-Disposition: form-data; name="' + name + b'"; filename="' + named + b'"\r\n'
            b"Content-Type: application/octet-stream\r\n\r\n" + some_media(draw)
        )
        if draw.random() < 0.15:
            parts += parts * draw.choice((1, 400))
        if draw.random() < 0.15:
            parts.append(draw.choice((b"", b"\r\n", b"x: y", b": \r\n\r\n", b"a" * 20_000)))
        draw.shuffle(parts)
        body = b"".join(b"--" + boundary + b"\r\n" + part + b"\r\n" for part in parts)
        body += b"--" + boundary + b"--\r\n"
        media = "multipart/form-data; boundary=" + boundary.decode("latin-1")
        kind = draw.random()
        if kind < 0.2:
            body = body[: draw.randrange(len(body))]
        elif kind < 0.3:
            media = draw.choice(
                ("multipart/form-data", "multipart/form-data; boundary=", "multipart/")
            )
        elif kind < 0.4:
            media = "multipart/form-data; boundary=other"
        elif kind < 0.5:
            body = flipped(draw, body)
        elif kind < 0.6:
            media = "application/x-www-form-urlencoded"
            body = draw.choice((b"a=%ff&%00=%zz&", b"&" * 5000, b"=" * 99, b"text=hi&text=ho")) * 3
        method = about.method if about.method in ("POST", "PUT", "PATCH") else "POST"
        head = self._head(method, self._target(draw, about.path), about.protocol, body, media)
        return Asked(about.protocol, "form", (head, body))

    def _path(self, draw: random.Random, about: Operation) -> Asked:
        tricks = (
            "%2e%2e", "..", "%2F", "%00", "%", "%zz", "%ff%fe", "//", ";a=b", "%0d%0aX: y", "\\",
            "é", "a" * 3000, "a" * 70_000, "%25%32%65", "?", "#", "*", "{id}", ":cancel", "~root",
            "..%2f..%2f..%2fetc%2fpasswd", "%ed%a0%80", "/./", "http://127.0.0.1/",
        )  # fmt: skip
        trick = draw.choice(tricks)
        target = self._target(draw, about.path)
        ways: list[Callable[[], str]] = [
            lambda: re.sub(r"\{\w+\}", lambda _: trick, about.path),
            lambda: target + trick,
            lambda: target + "/" + trick,
            lambda: "/" + trick + target,
            lambda: trick,
            lambda: target.replace("/", "//"),
            target.upper,
            lambda: _slotted(draw, target, trick),
        ]
        odd = draw.choice(ways)() or "/"
        head = self._head(about.method, odd, about.protocol, b"{}")
        return Asked(about.protocol, "path", (head, b"{}"))

    def _method(self, draw: random.Random, about: Operation) -> Asked:
        odd = draw.choice(
            ("HEAD", "OPTIONS", "TRACE", "CONNECT", "PUT", "PATCH", "DELETE", "BREW", "get",
             "GET\x00", "", "P" * 5000, "PRI", "GET", "POST", "PROPFIND", "É")
        )  # fmt: skip
        body = draw.choice((b"", b"{}"))
        head = self._head(odd, self._target(draw, about.path), about.protocol, body)
        return Asked(about.protocol, "method", (head, body))

    def _headers(self, draw: random.Random, about: Operation) -> Asked:
        odd = draw.choice(
            (
                [b"x: " + b"y" * 100_000],
                [b"x%d: y" % index for index in range(500)],
                [b"content-length: 5", b"content-length: 7"],
                [b"transfer-encoding: chunked"],
                [b"transfer-encoding: gzip, chunked"],
                [b"host: evil.example"],
                [b"host: "],
                [b"host: [::1"],
                [b"origin: http://evil.example"],
                [b"origin: http://[::1"],
                [b"origin: null"],
                [b"authorization: Bearer \xff\xfe"],
                [b"authorization: " + b"x" * 20_000],
                [b"authorization: Bearer"],
                [b"authorization: DeepL-Auth-Key"],
                [b"authorization: Basic !!!"],
                [b"xi-api-key: \xe9\x00"],
                [b"xi-api-key: x", b"authorization: Bearer y"],
                [b"x-goog-api-key: "],
                [b"user-agent: elevenlabs/\xff"],
                [b"no colon here"],
                [b": nameless"],
                [b" folded: x"],
                [b"x: a\rb"],
                [b"\x00: x"],
                [b"expect: 100-continue"],
                [b"expect: 200-maybe"],
                [b"range: bytes=0-1,5-9,-1"],
                [b"accept: \xff/\xff"],
                [b"accept: text/tab-separated-values"],
                [b"accept-encoding: gzip;q=zz"],
                [b"content-encoding: gzip"],
                [b"content-type: application/json; charset=utf-7"],
                [b"content-type: \xff\xfe"],
                [b"cookie: " + b"a=b; " * 2000],
                [b"upgrade: h2c", b"connection: upgrade, http2-settings", b"http2-settings: AAA"],
                [b"upgrade: websocket", b"connection: upgrade"],
                [b"idempotency-key: " + b"k" * 5000],
            )
        )
        body = _json(self._value(draw, about.json or {}, 0))
        head = self._head(about.method, self._target(draw, about.path), about.protocol, body)
        names = {one.split(b":")[0] for one in odd} & {b"host", b"content-type"}
        lines = [one for one in head.split(b"\r\n")[:-2] if one.split(b":")[0] not in names]
        head = b"\r\n".join([lines[0], *odd, *lines[1:], b"", b""])
        chunked = any(one.startswith(b"transfer-encoding") for one in odd)
        if chunked and draw.random() < 0.7:
            body = draw.choice(
                (b"2\r\n{}\r\n0\r\n\r\n", b"zz\r\n", b"-1\r\n{}", b"f" * 40 + b"\r\n")
            )
            head = re.sub(rb"content-length: \d+\r\n", b"", head)
            return Asked(
                about.protocol, "headers", (head, body), whole=body.startswith((b"2", b"z", b"-"))
            )
        broken = chunked or b"\r\ncontent-length: 7" in head
        return Asked(about.protocol, "headers", (head, body), whole=not broken)

    def _length(self, draw: random.Random, about: Operation) -> Asked:
        body = _json(self._value(draw, about.json or {}, 0))
        head = self._head("POST", self._target(draw, about.path), about.protocol, body)
        if draw.random() < 0.3:  # slow, but whole
            step = max(1, len(body) // 4)
            parts = tuple(body[at : at + step] for at in range(0, len(body), step))
            return Asked(about.protocol, "slow body", (head, *parts))
        length = draw.choice(
            (b"500", b"99999999999", b"-1", b"1e9", b"9" * 400, b"0x10", b"+5", b"")
        )
        head = re.sub(rb"content-length: \d+", b"content-length: " + length, head)
        cut = body[: draw.randrange(400)]
        return Asked(about.protocol, "body that never comes", (head, cut), whole=False)

    def _socket(self, draw: random.Random, _: Operation) -> Asked:
        voice = draw.choice(("ada", "none", "%00", "..", self._made(draw)))
        target = f"/v1/text-to-speech/{quote(voice)}/stream-input?output_format=" + draw.choice(
            ("pcm_16000", "mp3_44100_128", "x", "%ff")
        )
        head = (
            b"GET " + target.encode() + b" HTTP/1.1\r\nhost: " + self._host + b"\r\n"
            b"upgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-version: 13\r\n"
            b"sec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
        )
        texts = (
            b'{"text":" "}', b'{"text":"hello there "}', b'{"text":""}', b"[]", b"null", b"{", b"",
            b"\xff", b'{"text":5}', b'{"text":" ","voice_settings":{"speed":1e999}}', b"[" * 5000,
            b'{"text":"x","flush":true}', b'{"text":"\\ud800 "}',
            b'{"text":"a","generation_config":7}',
        )  # fmt: skip
        frames = [
            _frame(draw, draw.choice((1, 1, 1, 1, 2, 8, 9, 10, 3, 15)), draw.choice(texts))
            for _ in range(draw.randrange(1, 7))
        ]
        if draw.random() < 0.3:
            frames.append(draw.randbytes(50))
        # A socket stays open as long as both like: the client leaves.
        return Asked("elevenlabs", "socket", (head, *frames), whole=False)

    def _made(self, draw: random.Random) -> str:
        return draw.choice(self.made)

    def _target(self, draw: random.Random, path: str) -> str:
        def filled(_: Any) -> str:
            own = draw.choice(("fake", "ada", "p", "global", "_", "x" * 300, "0", self._made(draw)))
            return quote(own if draw.random() < 0.6 else self._made(draw), safe="")

        target = re.sub(r"\{\w+\}", filled, path)
        if draw.random() < 0.3:
            odd = ("", "0", "-1", "1e9", "9" * 40, "null", "true", "%00", "%ff", "a,b", "x" * 500)
            values = (
                *odd,
                "EN",
                "DE",
                "pcm_16000",
                "wav_8000",
                "ulaw_8000",
                "mp3_44100_128",
                "json",
            )
            names = (
                "output_format", "optimize_streaming_latency", "enable_logging", "limit", "after",
                "order", "purpose", "page_size", "pageSize", "pageToken", "filter", "type", "key",
                "source_lang", "target_lang", "$alt", "alt", "search", "sort", "updateMask", "%ff",
                "",
            )  # fmt: skip
            pairs = (
                f"{draw.choice(names)}={draw.choice(values)}" for _ in range(draw.randrange(1, 5))
            )
            target += "?" + "&".join(pairs)
        return target

    def _head(
        self,
        method: str,
        target: str,
        protocol: str,
        body: bytes,
        media: str = "application/json",
    ) -> bytes:
        key = {
            "openai": b"authorization: Bearer any",
            "elevenlabs": b"xi-api-key: any",
            "deepl": b"authorization: DeepL-Auth-Key any",
        }.get(protocol, b"x-goog-api-client: gl-python/3.11")
        lines = [
            method.encode() + b" " + target.encode(errors="replace") + b" HTTP/1.1",
            b"host: " + self._host,
            b"connection: close",
            key,
            b"content-type: " + media.encode("latin-1"),
            b"content-length: %d" % len(body),
        ]
        return b"\r\n".join([*lines, b"", b""])

    def _value(self, draw: random.Random, schema: dict[str, Any], depth: int) -> Any:
        if "$ref" in schema:
            schema = self._schemas[schema["$ref"].rpartition("/")[2]]
        if "enum" in schema:
            return draw.choice(schema["enum"])
        if "const" in schema:
            return schema["const"]
        for word in ("anyOf", "oneOf"):
            if word in schema:
                return self._value(draw, draw.choice(schema[word]), depth + 1)
        kind = schema.get("type")
        kind = draw.choice(kind) if isinstance(kind, list) else kind
        if kind == "object":
            own = schema.get("properties", {})
            wanted = set(schema.get("required", ()))
            return {
                name: self._value(draw, one, depth + 1)
                for name, one in own.items()
                if name in wanted or draw.random() < (0.35 if depth < 4 else 0.05)
            }
        if kind == "array":
            items = schema.get("items") or {}
            return [self._value(draw, items, depth + 1) for _ in range(draw.randrange(1, 3))]
        if kind == "integer":
            return draw.choice((0, 1, 2, 3, 7, 16, 8000, 16000))
        if kind == "number":
            return draw.choice((0, 0.5, 1, 1.5))
        if kind == "boolean":
            return draw.random() < 0.5
        if kind == "null":
            return None
        return self._text(draw)

    def _text(self, draw: random.Random) -> str:
        words = (
            "fake", "ada", "EN", "DE", "EN-US", "en", "ko", "Hello, world.", "gpt-4o-mini", "user",
            "whisper-1", "alloy", "wav", "mp3", "pcm", "json", "text", "batch", "24h", "1s",
            "/v1/embeddings", "a\tb", "안녕하세요 세계", "xml", "<p>Hi <b>you</b></p>", "gs://a/b.png",
            "http://127.0.0.1:1/x.png", "file:///etc/passwd", "data:image/png;base64,AAAA",
            "text-embedding-3-small", "LINEAR16", "en-US", "One two three. " * 20,
        )  # fmt: skip
        kind = draw.random()
        if kind < 0.15:
            return base64.b64encode(some_media(draw)).decode()
        return self._made(draw) if kind < 0.25 else draw.choice(words)


def _spoilt(draw: random.Random, value: Any) -> Any:
    """``value`` with one thing in it replaced by what does not belong there."""
    odd: tuple[Any, ...] = (
        None, True, False, 0, -1, 2**31, 2**63, 2**64, -(2**63) - 1, 10**400, 1e308, -0.0, 1e-320,
        Raw("NaN"), Raw("Infinity"), Raw("-Infinity"), Raw("1e400"), Raw("-1e999"), Raw("0123"),
        Raw("1" * 6000), Raw('"\\ud800"'), Raw('"\\udc00\\ud800x"'), Raw('"\xff"'), Raw("[" * 3000),
        Raw("[" * 900 + "]" * 900), Raw('{"a":' * 300 + "1" + "}" * 300), "", " ", "\x00", "\u202e",
        "a" * 50_000, "😀" * 3000, "\n" * 100, [], {}, [[]], [None], [""], [0] * 3000, ["x"] * 3000,
        {"": ""}, {"type": "x"}, "null", "-1", "1e400", "../../etc/passwd", "%s%n", "{}", "/", "=",
        "AAAA", "data:,", "data:image/png;base64,", "gs://", "http://", "http://[", "auto", "DE",
        "<" * 2000, "&#xD800;", "<a>" * 1500, "\ufffe", "0x10", "١٢", 3.5, -3.5, 100, 1000,
    )  # fmt: skip
    places = list(_places(value))
    if not places or draw.random() < 0.03:
        return draw.choice(odd)
    holder, key = draw.choice(places)
    kind = draw.random()
    if kind < 0.08 and isinstance(holder, dict):
        del holder[key]
    elif kind < 0.14 and isinstance(holder, dict):
        holder[draw.choice(("unknown", "", "__class__", "n" * 5000, "stream", "n", "\x00"))] = (
            draw.choice(odd)
        )
    elif kind < 0.2:
        holder[key] = [holder[key]]
    elif kind < 0.24:
        holder[key] = {"a": holder[key]}
    else:
        holder[key] = draw.choice(odd)
    return value


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    if isinstance(value, dict | list):
        for key, one in value.items() if isinstance(value, dict) else enumerate(value):
            yield value, key
            yield from _places(one)


def _bodies(operation: dict[str, Any]) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
    content = operation.get("requestBody", {}).get("content", {})
    json_, form = (content.get(one, {}) for one in ("application/json", "multipart/form-data"))
    return json_.get("schema"), form.get("schema")


class Raw(str):
    """Put into JSON as it stands."""

    __slots__ = ()


def _json(value: Any) -> bytes:
    if isinstance(value, Raw):
        return value.encode("latin-1")
    if isinstance(value, dict):
        inner = (_json(str(key)) + b":" + _json(one) for key, one in value.items())
        return b"{" + b",".join(inner) + b"}"
    if isinstance(value, list):
        return b"[" + b",".join(map(_json, value)) + b"]"
    if isinstance(value, int) and not isinstance(value, bool) and value > 10**300:
        return b"1" + b"0" * 400
    return json.dumps(value, ensure_ascii=False).encode(errors="replace")


def flipped(draw: random.Random, data: bytes) -> bytes:
    changed = bytearray(data)
    for _ in range(min(len(changed), draw.randrange(1, 8))):
        changed[draw.randrange(len(changed))] = draw.randrange(256)
    return bytes(changed)


def _slotted(draw: random.Random, text: str, what: str) -> str:
    at = draw.randrange(1, len(text) + 1)
    return text[:at] + what + text[at:]


def _frame(draw: random.Random, code: int, data: bytes) -> bytes:
    mask = draw.randbytes(4)
    hidden = bytes(one ^ mask[index % 4] for index, one in enumerate(data))
    size = bytes([0x80 | len(data)]) if len(data) < 126 else b"\xfe" + struct.pack(">H", len(data))
    return bytes([0x80 | code]) + size + mask + hidden


PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


def sound() -> bytes:
    made = io.BytesIO()
    with wave.open(made, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(bytes(1600))
    return made.getvalue()


_WAV = sound()


def some_media(draw: random.Random) -> bytes:
    """A recording, a picture, a document, or what only begins like one."""
    heads = (
        b"%PDF-1.4\n", b"PK\x03\x04", b"GIF89a", b"\xff\xd8\xff\xe0", b"ID3", b"OggS", b"fLaC",
        b"RIFF\xff\xff\xff\xffWAVEfmt ", b"RIFF\x10\0\0\0WEBP", b"II*\0", b"MM\0*",
        b"\0\0\0\x18ftyp",
        b"<svg xmlns='http://www.w3.org/2000/svg'/>", b"BM", b"\x1a\x45\xdf\xa3", b"{}\n", b"",
        b'{"custom_id":"a","method":"POST","url":"/v1/embeddings","body":{"model":"fake","input":"x"}}',
    )  # fmt: skip
    kind = draw.random()
    if kind < 0.2:
        return _WAV
    if kind < 0.4:
        return PNG
    if kind < 0.6:
        return flipped(draw, draw.choice((_WAV, PNG)))
    if kind < 0.7:
        whole = draw.choice((_WAV, PNG))
        return whole[: draw.randrange(len(whole))]
    if kind < 0.75:
        # A picture that says it has 60,000 x 60,000 pixels.
        return PNG[:16] + struct.pack(">II", 60_000, 60_000) + PNG[24:]
    return draw.choice(heads) + draw.randbytes(draw.randrange(400))

"""Many clients on all protocols for a long time: right answers, no failures, flat memory.

    python benchmarks/soak.py [--seconds 600] [--clients 32]

Each client sends one request after the other, drawn at random: OpenAI, ElevenLabs, DeepL, Google
Vision and Google Speech, whole and streamed, some through OpenAI's own SDK. Every reply must equal
the one given to the same request alone, but for times and names made anew; a refusal that says it
is overload (429) is counted by itself. Every route leads to what ships. Two of the clients are
OpenAI's own SDK, three speak gRPC: pictures, speech, and speech as it is said.

Memory is what the server and its children hold. Exit with 1 where anything differed or failed, or
where it grew by more than 5 % after the first minute (the first third of a shorter run).
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import random
import re
import statistics
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

from _hostile import PNG, sound
from _server import STARTERS, Started, memory, server

ROUTES = {
    **STARTERS,
    "see": "opencv",
    "generate": "starter/write",
    "translate": "starter/translate",
    "transcribe": "pocketsphinx",
}
_HEAR = "/google.cloud.speech.v1.Speech"
SAMPLE = Path(__file__).parents[1] / "samples" / "speech" / "LJ001-0008.flac"
BOUNDARY = "a-boundary"
# What is made anew for each reply.
ANEW = re.compile(
    rb'"(?:id|created|created_at|item_id|request_id|requestId|completed_at)":\s?(?:"[^"]*"|\d+)'
)


class Asked(NamedTuple):
    """One request of the mix."""

    name: str
    method: str
    path: str
    headers: dict[str, str]
    body: bytes = b""


def _json(name: str, path: str, body: Any, **headers: str) -> Asked:
    own = {"content-type": "application/json", **headers}
    return Asked(name, "POST", path, own, json.dumps(body).encode())


def _form(name: str, path: str, fields: dict[str, str], file: bytes, **headers: str) -> Asked:
    parts = [
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{key}"\r\n\r\n{value}\r\n'.encode()
        for key, value in fields.items()
    ]
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\n'
    body = b"".join(parts) + head.encode() + file + f"\r\n--{BOUNDARY}--\r\n".encode()
    kind = f"multipart/form-data; boundary={BOUNDARY}"
    return Asked(name, "POST", path, {"content-type": kind, **headers}, body)


def mix() -> list[Asked]:
    """The requests, several of each kind."""
    xi, deepl = {"xi-api-key": "any"}, {"authorization": "DeepL-Auth-Key any"}
    wav = sound()
    image = {"content": base64.b64encode(PNG).decode()}
    speech = {"content": base64.b64encode(wav).decode()}
    every = [
        Asked("openai models", "GET", "/v1/models", {}),
        Asked("elevenlabs voices", "GET", "/v1/voices", xi),
        Asked("deepl languages", "GET", "/v2/languages?type=target", deepl),
        _form("openai transcription", "/v1/audio/transcriptions", {"model": "whisper-1"}, wav),
        _form("elevenlabs listening", "/v1/speech-to-text", {"model_id": "scribe_v1"}, wav, **xi),
        _json(
            "vision",
            "/v1/images:annotate",
            {"requests": [{"image": image, "features": [{"type": "IMAGE_PROPERTIES"}]}]},
        ),
        _json(
            "speech",
            "/v1/speech:recognize",
            {"config": {"languageCode": "en-US"}, "audio": speech},
        ),
    ]
    for n in range(8):
        text = f"Number {n} went to the river and came back. " * (1 + n % 3)
        chat = {"model": "gpt-4o", "messages": [{"role": "user", "content": text}], "seed": n}
        every += [
            _json("openai chat", "/v1/chat/completions", chat),
            _json("openai chat, streamed", "/v1/chat/completions", {**chat, "stream": True}),
            _json(
                "openai embedding",
                "/v1/embeddings",
                {"model": "text-embedding-3-small", "input": text},
            ),
            _json("openai moderation", "/v1/moderations", {"input": text}),
            _json(
                "openai speech",
                "/v1/audio/speech",
                {"model": "tts-1", "voice": "alloy", "input": text, "response_format": "pcm"},
            ),
            _json(
                "elevenlabs speech, streamed",
                "/v1/text-to-speech/en-gb/stream?output_format=pcm_16000",
                {"text": text},
                **xi,
            ),
            _json(
                "deepl translation",
                "/v2/translate",
                {"text": [text], "target_lang": "DE"},
                **deepl,
            ),
        ]
    return every


class Connection:
    """One kept connection."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._pair: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def send(self, asked: Asked) -> tuple[int, bytes]:
        """The status and the body."""
        if self._pair is None:
            self._pair = await asyncio.open_connection("127.0.0.1", self._port, limit=1 << 22)
        reader, writer = self._pair
        lines = [f"{asked.method} {asked.path} HTTP/1.1", "host: 127.0.0.1"]
        lines += [f"{name}: {value}" for name, value in asked.headers.items()]
        lines += [f"content-length: {len(asked.body)}", "", ""]
        writer.write("\r\n".join(lines).encode() + asked.body)
        head = await reader.readuntil(b"\r\n\r\n")
        status = int(head[9:12])
        length = re.search(rb"(?i)content-length: (\d+)", head)
        if length:
            return status, await reader.readexactly(int(length[1]))
        body = b""
        while size := int(await reader.readline(), 16):
            body += await reader.readexactly(size)
            await reader.readexactly(2)
        await reader.readexactly(2)
        return status, body

    def close(self) -> None:
        """Let go."""
        if self._pair is not None:
            self._pair[1].close()


def same(asked: Asked, got: bytes, alone: bytes) -> bool:
    """Whether two replies say the same; vectors as near as sums in another order come."""
    got, alone = ANEW.sub(b"", got), ANEW.sub(b"", alone)
    if got == alone:
        return True
    if asked.name not in ("openai embedding", "openai moderation"):
        return False
    return _near(_numbers(got), _numbers(alone))


def _numbers(body: bytes) -> list[float]:
    return [float(one) for one in re.findall(rb"-?\d+\.\d+(?:e-?\d+)?", body)]


def _near(one: list[float], other: list[float]) -> bool:
    # An encoder of 8-bit weights gives cosines of 0.99999 beside others; so much in one number.
    return len(one) == len(other) and all(
        abs(a - b) < 0.01 for a, b in zip(one, other, strict=True)
    )


def _rpcs() -> list[tuple[str, str, list[bytes], Any]]:
    """Calls by gRPC: a name, the method, its messages, and how what came back is read."""
    from google.cloud import speech_v1 as speech
    from google.cloud import vision_v1 as vision

    from ogam import Audio

    config = speech.RecognitionConfig(
        language_code="en-US", encoding="LINEAR16", sample_rate_hertz=16_000
    )
    pcm = b"".join(Audio(str(SAMPLE)).blocks(16_000, 1))
    picture = vision.BatchAnnotateImagesRequest(
        requests=[{"image": {"content": PNG}, "features": [{"type_": "IMAGE_PROPERTIES"}]}]
    )
    asked = speech.RecognizeRequest(config=config, audio={"content": pcm})
    begin = speech.StreamingRecognizeRequest(streaming_config={"config": config})
    parts = [pcm[at : at + 16_000] for at in range(0, len(pcm), 16_000)]
    sound = [speech.StreamingRecognizeRequest(audio_content=part) for part in parts]

    def seen(replies: list[bytes]) -> Any:
        return vision.BatchAnnotateImagesResponse.deserialize(replies[0]).responses[0]

    def heard(replies: list[bytes]) -> Any:
        answer = speech.RecognizeResponse.deserialize(replies[0])
        return [one.alternatives[0].transcript for one in answer.results]

    def said(replies: list[bytes]) -> Any:
        found = [speech.StreamingRecognizeResponse.deserialize(one) for one in replies]
        ended = [one for answer in found for one in answer.results if one.is_final]
        return [one.alternatives[0].transcript for one in ended]

    stream = [type(begin).serialize(begin), *(type(one).serialize(one) for one in sound)]
    see = "/google.cloud.vision.v1.ImageAnnotator/BatchAnnotateImages"
    return [
        ("vision, gRPC", see, [type(picture).serialize(picture)], seen),
        ("speech, gRPC", f"{_HEAR}/Recognize", [type(asked).serialize(asked)], heard),
        ("speech as it is said, gRPC", f"{_HEAR}/StreamingRecognize", stream, said),
    ]


class Soak:
    """The clients and what they found."""

    def __init__(self, own: Started, seconds: float) -> None:
        self.port, self.grpc, self.pid = own.port, own.grpc, own.pid
        self.every = mix()
        self.alone: list[bytes] = []
        self.counts: Counter[str] = Counter()
        self.seconds: dict[str, list[float]] = {}
        self.refused = 0
        self.wrong: list[str] = []
        self.memory: list[tuple[float, int]] = []
        self._length = seconds
        self._end = 0.0

    async def run(self, clients: int) -> None:
        """Ask each alone, then all together."""
        connection = Connection(self.port)
        for asked in self.every:
            status, body = await connection.send(asked)
            if status != 200:
                sys.exit(f"{asked.name}, alone: {status} {body[:300]!r}")
            self.alone.append(body)
        connection.close()
        self._end = time.monotonic() + self._length
        await asyncio.gather(
            self._watch(),
            *(self._client(number) for number in range(clients - 5)),
            *self._sdks(),
            *(self._rpcs(*one) for one in _rpcs()),
        )

    async def _client(self, number: int) -> None:
        draw = random.Random(number)
        connection = Connection(self.port)
        while time.monotonic() < self._end:
            place = draw.randrange(len(self.every))
            asked = self.every[place]
            began = time.perf_counter()
            try:
                status, body = await connection.send(asked)
            except (OSError, asyncio.IncompleteReadError, ValueError) as error:
                self.wrong.append(f"{asked.name}: {error!r}")
                connection.close()
                connection = Connection(self.port)
                continue
            self.counts[asked.name] += 1
            self.seconds.setdefault(asked.name, []).append(time.perf_counter() - began)
            if status == 429:
                self.refused += 1
            elif status != 200:
                self.wrong.append(f"{asked.name}: {status} {body[:200]!r}")
            elif not same(asked, body, self.alone[place]):
                self.wrong.append(f"{asked.name} differs: {body[:200]!r}")
            if draw.random() < 0.02:  # people come and go
                connection.close()
                connection = Connection(self.port)
        connection.close()

    def _sdks(self) -> list[Any]:
        async def one() -> None:
            import openai

            base = f"http://127.0.0.1:{self.port}/v1"
            async with openai.AsyncOpenAI(base_url=base, api_key="any", max_retries=0) as client:
                message: Any = {"role": "user", "content": "The same each time."}
                first = None
                while time.monotonic() < self._end:
                    try:
                        said = await client.chat.completions.create(
                            model="gpt-4o", messages=[message], seed=1
                        )
                    except openai.RateLimitError:
                        self.refused += 1
                        continue
                    except openai.OpenAIError as error:
                        self.wrong.append(f"SDK: {error!r}")
                        continue
                    text = said.choices[0].message.content
                    first = first or text
                    self.counts["openai SDK"] += 1
                    if text != first:
                        self.wrong.append(f"SDK differs: {text!r}")

        return [one(), one()]

    async def _rpcs(self, name: str, method: str, messages: list[bytes], read: Any) -> None:
        import grpc

        async with grpc.aio.insecure_channel(f"127.0.0.1:{self.grpc}") as channel:
            first = None
            while time.monotonic() < self._end:
                try:
                    if len(messages) == 1:
                        said = read([await channel.unary_unary(method)(messages[0])])
                    else:
                        begun = channel.stream_stream(method)(iter(messages))
                        said = read([one async for one in begun])
                except grpc.aio.AioRpcError as error:
                    if error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED:
                        self.refused += 1
                    else:
                        self.wrong.append(f"{name}: {error.code()} {error.details()}")
                    continue
                first = first or said
                self.counts[name] += 1
                if not said or said != first:
                    self.wrong.append(f"{name} differs: {said!r}, not {first!r}")

    async def _watch(self) -> None:
        started = time.monotonic()
        while time.monotonic() < self._end:
            self.memory.append((time.monotonic() - started, memory(self.pid)))
            if len(self.memory) % 15 == 0:
                print(
                    f"  {self.memory[-1][0]:.0f} s: {sum(self.counts.values()):,} replies, "
                    f"{self.memory[-1][1] / 1e6:.1f} MB, wrong {len(self.wrong)}",
                    flush=True,
                )
            await asyncio.sleep(1)


def main() -> None:
    """Soak a server of its own and print what came of it."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--clients", type=int, default=32)
    asked = parser.parse_args()
    with server(routes=ROUTES, grpc=True) as own:
        soak = Soak(own, asked.seconds)
        asyncio.run(soak.run(asked.clients))
        alive, told = own.alive(), own.errors().count("Traceback (most")
    for name, count in sorted(soak.counts.items()):
        median = statistics.median(soak.seconds.get(name, [0.0]))
        print(f"{name:<30}{count:>8,} replies{1000 * median:>10.1f} ms")
    warm = min(60.0, asked.seconds / 3)
    after = [size for at, size in soak.memory if at >= warm]
    part = len(after) // 5 + 1
    early, late = statistics.median(after[:part]), statistics.median(after[-part:])
    grown = late / early - 1
    print(f"\n{sum(soak.counts.values()):,} replies, {soak.refused} refused as overload")
    print(f"memory {early / 1e6:.1f} MB -> {late / 1e6:.1f} MB ({100 * grown:+.1f} %)")
    print(f"alive: {alive}; tracebacks: {told}; wrong or failed: {len(soak.wrong)}")
    for one in soak.wrong[:10]:
        print(f"  {one}")
    if soak.wrong or told or not alive or grown > 0.05:
        sys.exit(1)


if __name__ == "__main__":
    main()

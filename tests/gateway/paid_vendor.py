"""A vendor of all five protocols in a process of its own, that bills and often fails.

``python paid_vendor.py BILLS SEED`` prints its port. Each call that it bills is a line of BILLS:
the vendor, the most it could have been (tokens to write, else the units) and what it came to.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import random
import sys
from typing import Any

PROMPT_TOKENS = 4


def heard_seconds(data: bytes, rate: int) -> int:
    """Whole seconds of 16-bit samples, or by FLAC's STREAMINFO (RFC 9639, section 8.2)."""
    if not data.startswith(b"fLaC"):
        return -(-len(data) // (2 * rate))
    field = int.from_bytes(data[18:26], "big")
    rate, samples = field >> 44, field & (2**36 - 1)
    return -(-samples // rate)


def priced(path: str, body: dict[str, Any], chance: random.Random) -> tuple[str, int, int, Any]:
    """Vendor, most units, units, answer."""
    if "chat/completions" in path:
        most = body.get("max_tokens") or body["max_completion_tokens"]
        wrote = chance.randint(1, most)
        message = {"role": "assistant", "content": "Yes."}
        usage = {"prompt_tokens": PROMPT_TOKENS, "completion_tokens": wrote}
        return "openai", most, wrote, {
            "id": "c",
            "object": "chat.completion",
            "created": 1,
            "model": body["model"],
            "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
            "usage": {**usage, "total_tokens": PROMPT_TOKENS + wrote},
        }  # fmt: skip
    if "text-to-speech" in path:
        count = len(body["text"])
        return "elevenlabs", count, count, bytes(1000)
    if "translate" in path:
        count = sum(map(len, body["text"]))
        said = [{"text": "Ja.", "detected_source_language": "EN"} for _ in body["text"]]
        return "deepl", count, count, {"translations": said}
    if "images:annotate" in path:
        count = sum(len(one["features"]) for one in body["requests"])
        seen = {"labelAnnotations": [{"mid": "", "description": "Sky", "score": 0.9}]}
        return "google_vision", count, count, {"responses": [seen for _ in body["requests"]]}
    sound = base64.b64decode(body["audio"]["content"])
    seconds = heard_seconds(sound, body["config"].get("sampleRateHertz", 0))
    heard = {"alternatives": [{"transcript": "yes", "confidence": 0.9}]}
    return "google_speech", seconds, seconds, {
        "results": [heard],
        "totalBilledTime": f"{seconds}s",
    }  # fmt: skip


async def main(bills: str, seed: int) -> None:
    chance = random.Random(seed)
    file = os.open(bills, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def reply(writer: asyncio.StreamWriter, status: int, said: Any, *headers: str) -> None:
        data = said if isinstance(said, bytes) else json.dumps(said).encode()
        kind = "audio/mpeg" if isinstance(said, bytes) else "application/json"
        fields = [f"HTTP/1.1 {status} X", f"content-type: {kind}", f"content-length: {len(data)}"]
        writer.write("\r\n".join([*fields, *headers, "", ""]).encode() + data)

    async def one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        length = int(head.lower().partition("content-length: ")[2].split("\r\n")[0])
        body = json.loads(await reader.readexactly(length))
        name, most, units, answer = priced(head.split()[1], body, chance)
        await asyncio.sleep(chance.random() * 0.2)
        end = chance.random()
        if end < 0.06:
            reply(writer, 429, {"error": {"message": "no"}, "message": "no"}, "retry-after: 0")
            return True
        if end > 0.1:  # else it fails unbilled
            os.write(file, f"{name} {most} {units}\n".encode())
        if end < 0.14:
            reply(writer, 500, {"error": {"message": "no"}, "message": "no"})
            return True
        if end < 0.18:
            return False  # says nothing
        await asyncio.sleep(chance.random() * 0.2)
        reply(writer, 200, answer, *([f"character-cost: {units}"] * (name == "elevenlabs")))
        return True

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await one(reader, writer):
                await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, limit=2**24)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))

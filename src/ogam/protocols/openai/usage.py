"""What a reply says it used, found in its raw bytes: for bodies that go through unchanged.

Chat, completions, responses, embeddings and transcriptions. Pure; looks for the word before it
parses anything, since most events of a stream have no usage.
"""

from __future__ import annotations

import re

import msgspec

from ogam.capabilities.base import Units
from ogam.protocols.openai import convert_replies
from ogam.protocols.openai.wire_replies import Usage

# Quotes inside a JSON text are escaped, so this is never found in what a model wrote.
_WORD = b'"usage"'
# OpenAI's streams write null for it in every event but the last.
_TOLD = re.compile(rb'"usage"\s*:\s*(?!null|\s)')
_BLANK = re.compile(rb"\r?\n\r?\n")
# An event beyond this is let go unread; the largest known carry a picture of some megabytes.
_MOST = 64 * 1024 * 1024


class _Inner(msgspec.Struct):
    usage: Usage | None = None


class _Body(msgspec.Struct):
    """``response`` holds it in the events of the responses' streams."""

    usage: Usage | None = None
    response: _Inner | None = None


class _Last(msgspec.Struct):
    choices: list[msgspec.Raw] | None = None


_decoder = msgspec.json.Decoder(_Body, strict=False)
_last = msgspec.json.Decoder(_Last)


def usage_of(body: bytes) -> Units | None:
    """The units in a whole JSON reply, or in one event; None where it tells none."""
    if _WORD not in body:
        return None
    try:
        found = _decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    said = found.usage or (found.response and found.response.usage)
    return convert_replies.told(said) if said else None


def only_usage(event: bytes) -> bool:
    """Whether an event of a stream is the one that ``include_usage`` adds at its end."""
    if not _TOLD.search(event):
        return False
    try:
        found = _last.decode(event.partition(b"data:")[2])
    except (msgspec.DecodeError, UnicodeDecodeError):
        return False
    return found.choices == []


class UsageTap:
    """Reads along with a stream of server-sent events, fed as its bytes come, cut anywhere.

    ``usage`` is what the last event that told any told; None until then.
    """

    def __init__(self) -> None:
        self.usage: Units | None = None
        self._rest = bytearray()

    def feed(self, chunk: bytes) -> None:
        """Read the next bytes."""
        rest = self._rest
        if not rest and chunk.endswith(b"\n\n") and not _TOLD.search(chunk):
            return  # whole events, as they come most of the time
        # The blank line may lie on the seam; \r\n\r\n is the longest.
        fresh = max(0, len(rest) - 3)
        rest += chunk
        end = max(rest.rfind(b"\n\n", fresh), rest.rfind(b"\n\r\n", fresh))
        if end < 0:
            if len(rest) > _MOST:
                # What is left of it begins with no "data:", and is passed over.
                del rest[:-3]
            return
        whole = bytes(rest[:end])
        del rest[: end + (3 if rest.startswith(b"\r", end + 1) else 2)]
        if _WORD not in whole or not _TOLD.search(whole):
            return
        for event in _BLANK.split(whole):
            if _TOLD.search(event):
                data = (line[5:] for line in event.splitlines() if line.startswith(b"data:"))
                self.usage = usage_of(b"\n".join(data)) or self.usage

"""A batch's lines: read, checked, counted. Knows no work and no state but the files it reads."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import msgspec

from ogam.protocols.openai import wire_batches as wire

# The vendor's bound, and how many mistakes are told.
MAX_LINES = 50_000
_TOLD = 100
_decoder = msgspec.json.Decoder(wire.Line)
_results = msgspec.json.Decoder(wire.LineResult)


def lines(source: BinaryIO) -> Iterator[wire.Line]:
    """The lines of an input that was found valid."""
    for raw in source:
        if raw.strip():
            yield _decoder.decode(raw)


def validate(path: Path, endpoint: str) -> tuple[int, list[wire.LineError]]:
    """How many lines there are, and what is wrong with them: nothing, or the first hundred."""
    wrong: list[wire.LineError] = []
    seen: set[str] = set()
    total = 0
    with path.open("rb") as source:
        for number, raw in enumerate(source, 1):
            if not raw.strip():
                continue
            total += 1
            if total > MAX_LINES:
                said = f"A batch has at most {MAX_LINES:,} lines."
                return total, [*wrong, wire.LineError(code="too_many_lines", message=said)]
            error = _mistake(raw, endpoint, seen)
            if error is not None and len(wrong) < _TOLD:
                error.line = number
                wrong.append(error)
    if not total:
        wrong.append(wire.LineError(code="empty_file", message="The input file is empty."))
    return total, wrong


def _mistake(raw: bytes, endpoint: str, seen: set[str]) -> wire.LineError | None:
    try:
        line = _decoder.decode(raw)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        said = f"This line is not a request: {error}."
        return wire.LineError(code="invalid_json_line", message=said)
    if line.custom_id in seen:
        said = f"The custom_id {line.custom_id[:80]!r} stands here twice."
        return wire.LineError(code="duplicate_custom_id", message=said, param="custom_id")
    seen.add(line.custom_id)
    if line.url != endpoint:
        said = f"The url {line.url[:80]!r} is not the batch's endpoint."
        return wire.LineError(code="mismatched_endpoint", message=said, param="url")
    if not bytes(line.body).startswith(b"{"):
        return wire.LineError(code="invalid_body", message="body is no object.", param="body")
    return None


def whole_lines(log: Path) -> Iterator[wire.LineResult]:
    """The results in a log, which loses what a dying server left of its last line."""
    whole = 0
    with log.open("r+b") as source:
        for raw in source:
            if not raw.endswith(b"\n"):
                break
            try:
                result = _results.decode(raw)
            except (msgspec.MsgspecError, UnicodeDecodeError):
                break
            whole += len(raw)
            yield result
        source.truncate(whole)


def succeeded(result: wire.LineResult) -> bool:
    """Whether it belongs into the output file rather than the error file."""
    return result.response is not None and result.response.status_code < 400


def count(batch: wire.Batch, result: wire.LineResult) -> None:
    """Add a finished line to the batch's counts and usage."""
    if result.response is None or not succeeded(result):
        batch.request_counts.failed += 1
        return
    batch.request_counts.completed += 1
    used = msgspec.json.decode(result.response.body, type=wire.Answered).usage
    if used and batch.usage is not None:
        # Chat and completions say prompt and completion, responses say input and output.
        batch.usage.input_tokens += used.get("prompt_tokens", used.get("input_tokens", 0))
        batch.usage.output_tokens += used.get("completion_tokens", used.get("output_tokens", 0))
        batch.usage.total_tokens += used.get("total_tokens", 0)

"""Server-sent events: a stream of bytes into (event name, data).

https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation
Fields other than ``event`` and ``data`` are for browsers that connect again; they are passed over.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable

from ogam.errors import VendorError

_BOM = b"\xef\xbb\xbf"


async def events(
    chunks: AsyncIterable[bytes], *, max_bytes: int = 64_000_000
) -> AsyncGenerator[tuple[str, bytes], None]:
    """Every whole event of ``chunks``: its name (``message`` where it has none) and its data.

    An event that the end cuts off is dropped, as the standard says. VendorError for one of more
    than ``max_bytes``.
    """
    name, data, held = "", list[bytes](), 0
    # A line that a chunk began is put together once its end is there, however many it spans.
    begun, first, after_return = list[bytes](), True, False
    async for chunk in chunks:
        lines = chunk.splitlines(keepends=True)  # of bytes: at \n, \r and \r\n alone
        if after_return and lines and lines[0] == b"\n":
            del lines[0]  # the other half of a \r\n
        after_return = chunk.endswith(b"\r") if chunk else after_return
        for piece in lines:
            held += len(piece)
            if not piece.endswith((b"\n", b"\r")):
                begun.append(piece)
                continue
            line = b"".join((*begun, piece)).rstrip(b"\r\n")
            begun.clear()
            if first:
                line, first = line.removeprefix(_BOM), False
            if not line:
                if data:
                    yield name or "message", b"\n".join(data)
                name, data, held = "", [], 0
                continue
            field, _, value = line.partition(b":")
            if field == b"data":
                data.append(value.removeprefix(b" "))
            elif field == b"event":
                name = value.removeprefix(b" ").decode("utf-8", "replace")
        if held > max_bytes:
            raise VendorError(f"An event of the stream is over {max_bytes:,} bytes.")

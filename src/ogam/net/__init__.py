"""The one seam to HTTP going out.

``Client`` is one origin with pooled connections; ``sse`` reads a stream of events and ``forms``
writes multipart bodies. Knows no vendor: keys, statuses and what a body means are the caller's.

Nothing is ever sent twice, because whatever is sent twice may be billed twice. Every failure is
a :class:`~ogam.errors.VendorError` whose ``sent`` tells whether the request may have left.
"""

from __future__ import annotations

from ogam.net import forms, sse
from ogam.net.client import Client, Reply, Streamed
from ogam.net.headers import Headers

__all__ = ["Client", "Headers", "Reply", "Streamed", "forms", "sse"]

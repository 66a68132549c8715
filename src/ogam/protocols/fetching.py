"""Fetches what a client names by URL, where the configuration allows it, and nowhere else.

``[server] fetch`` lists patterns; none: nothing is fetched. A name is resolved once, every
address it has must be public, and the connection goes to the address that was checked, so
a name cannot change its mind in between. Each redirect is checked anew. Knows no protocol.
"""

from __future__ import annotations

import fnmatch
import http.client
import ipaddress
import socket
import ssl
import time
from collections.abc import Callable, Sequence
from urllib.parse import SplitResult, quote, urljoin, urlsplit

from ogam.errors import FetchError, InvalidRequestError, TooLargeError, UnsupportedOptionError

# Seconds for all of it, and for one step of it.
_SECONDS, _STEP = 20.0, 5.0
_REDIRECTS = 4
_AGENT = "ogam"

# A host's addresses; a test gives its own.
Resolve = Callable[[str, int], Sequence[str]]


def fetch(
    url: str,
    allowed: Sequence[str],
    most: int,
    *,
    resolve: Resolve | None = None,
    public: Callable[[str], bool] | None = None,
) -> bytes:
    """The bytes behind ``url``, at most ``most`` of them. Blocking, 20 s at the longest.

    UnsupportedOptionError where it may not be fetched, FetchError where it cannot be,
    TooLargeError where it has more, InvalidRequestError where it is no URL.
    """
    deadline = time.monotonic() + _SECONDS
    for _ in range(_REDIRECTS + 1):
        parts = _checked(url, allowed)
        addresses = list((resolve or _addresses)(parts.hostname or "", _port(parts)))
        if not addresses or not all(map(public or is_public, addresses)):
            raise UnsupportedOptionError(
                f"{parts.hostname} is not a public address.",
                hint="Only public ones are fetched; send the content instead.",
                param="url",
            )
        try:
            found = _get(parts, addresses[0], most, deadline)
        except (OSError, http.client.HTTPException) as error:
            why = error.strerror if isinstance(error, OSError) and error.strerror else ""
            raise FetchError(
                f"{url[:200]} cannot be fetched: {why or type(error).__name__}."
            ) from None
        if isinstance(found, bytes):
            return found
        url = urljoin(url, found)
    raise FetchError(f"{url[:200]} cannot be fetched: too many redirects.")


def is_public(address: str) -> bool:
    """Whether an IP address belongs to the open Internet, also when it is wrapped in IPv6."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(found, ipaddress.IPv6Address):
        inner = found.ipv4_mapped or found.sixtofour or (found.teredo and found.teredo[1])
        if found in _NAT64:
            inner = ipaddress.IPv4Address(int(found) & 0xFFFFFFFF)
        if inner:
            found = inner
    return found.is_global and not found.is_multicast


_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")


def matches(url: str, pattern: str) -> bool:
    """Whether ``pattern``, such as ``https://*.example.org/photos/*``, allows ``url``.

    Scheme, host with port, and path are compared each for itself, so that no pattern of one
    host lets another in. ``*`` alone allows all.
    """
    if pattern == "*":
        return True
    own, other = urlsplit(pattern), urlsplit(url)
    return (
        own.scheme.lower() == other.scheme.lower()
        and fnmatch.fnmatchcase(other.netloc.lower(), own.netloc.lower())
        and fnmatch.fnmatchcase(other.path or "/", own.path or "/*")
    )


def _checked(url: str, allowed: Sequence[str]) -> SplitResult:
    try:
        parts = urlsplit(url)
        known = parts.hostname and (parts.port or True) and parts.username is None
    except ValueError:
        raise InvalidRequestError(f"{url[:200]!r} is not a URL.") from None
    if parts.scheme not in ("http", "https") or not known:
        raise InvalidRequestError(
            f"{url[:200]!r} cannot be fetched.", hint="Write http:// or https://, and a host."
        )
    if not any(matches(url, pattern) for pattern in allowed):
        raise UnsupportedOptionError(
            f"{url[:200]} may not be fetched here.",
            hint='Send the content instead, or allow it in ogam.toml: [server] fetch = ["…"].',
            param="url",
        )
    return parts


def _port(parts: SplitResult) -> int:
    return parts.port or (443 if parts.scheme == "https" else 80)


def _addresses(host: str, port: int) -> list[str]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise FetchError(f"There is no host {host[:200]!r}.") from None
    return [str(one[4][0]) for one in found]


class _Pinned(http.client.HTTPConnection):
    """Connects to an address, whatever its host's name would lead to now."""

    def __init__(self, parts: SplitResult, address: str) -> None:
        super().__init__(parts.hostname or "", _port(parts), timeout=_STEP)
        self._address, self._secure = address, parts.scheme == "https"
        # What http.client leaves out of the Host header.
        self.default_port = 443 if self._secure else 80

    def connect(self) -> None:
        plain = socket.create_connection((self._address, self.port), _STEP)
        self.sock = plain
        if self._secure:
            self.sock = ssl.create_default_context().wrap_socket(plain, server_hostname=self.host)


def _get(parts: SplitResult, address: str, most: int, deadline: float) -> bytes | str:
    """The body, or the place that a redirect leads to."""
    path = quote(parts.path or "/", safe="/%:@!$&'()*+,;=~-._")
    query = quote(parts.query, safe="/%:@!$&'()*+,;=~-._?")
    connection = _Pinned(parts, address)
    try:
        connection.request(
            "GET", f"{path}?{query}" if query else path, headers={"User-Agent": _AGENT}
        )
        answer = connection.getresponse()
        place = answer.headers.get("Location")
        if answer.status in (301, 302, 303, 307, 308) and place:
            return place
        if answer.status != 200:
            raise FetchError(f"{parts.hostname} answered {answer.status}.")
        pieces: list[bytes] = []
        size = 0
        # read1 returns what is there, so that a slow sender meets the deadline too.
        while piece := answer.read1(65536):
            size += len(piece)
            if size > most:
                raise TooLargeError(f"{parts.hostname} sends more than {most:,} bytes.")
            if time.monotonic() > deadline:
                raise FetchError(f"{parts.hostname} did not send all in {_SECONDS:g} s.")
            pieces.append(piece)
        return b"".join(pieces)
    finally:
        connection.close()

"""The proxy that HTTPS_PROXY, HTTP_PROXY and NO_PROXY name for an origin."""

from __future__ import annotations

import base64
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

import msgspec

from ogam.errors import ConfigurationError


class Proxy(msgspec.Struct, frozen=True):
    """Where it listens, and the header field that shows who we are (empty, or one line)."""

    host: str
    port: int
    authorization: bytes = b""


def find(scheme: str, host: str, port: int) -> Proxy | None:
    """The proxy for an origin, as the environment (or the system's settings) have it now.

    ConfigurationError for one that is not reached by http://.
    """
    found = getproxies()
    url = found.get(scheme) or found.get("all")
    if not url or proxy_bypass(f"{host}:{port}"):
        return None
    parts = urlsplit(url if "://" in url else f"http://{url}")
    try:
        where = parts.hostname, parts.port or 80
    except ValueError:
        where = None, 0
    if parts.scheme != "http" or not where[0]:
        raise ConfigurationError(
            f"The proxy for {scheme}:// is not one of http://host:port.",
            hint=f"Mend {scheme.upper()}_PROXY, or name {host} in NO_PROXY.",
        )
    authorization = b""
    if parts.username is not None:
        who = f"{unquote(parts.username)}:{unquote(parts.password or '')}".encode()
        authorization = b"proxy-authorization: Basic %b\r\n" % base64.b64encode(who)
    return Proxy(where[0], where[1], authorization)

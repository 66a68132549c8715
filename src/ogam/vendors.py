"""The vendors that may be called: where each is, what it speaks, and where its key comes from.

A vendor that speaks one of the five protocols is a row: the built-in ones below, and those of
``[vendors.NAME]`` in ogam.toml. Knows no HTTP and no engine.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Literal

import msgspec

from ogam.errors import ConfigurationError

# A vendor's own sentence, at most so long, in a message.
_MOST_TOLD = 300
Speaks = Literal["openai", "elevenlabs", "deepl", "google_vision", "google_speech"]


class Vendor(msgspec.Struct, frozen=True, kw_only=True):
    """One vendor, ready to be called.

    ``url`` has no slash at its end. ``key`` is empty where none is known. Google's vendors only:
    ``credentials`` is a service account's JSON file, ``project`` the project where that does not
    tell it, ``grpc_url`` where gRPC is, if not where ``url`` is, and ``buckets`` are patterns
    (fnmatch) of those in Cloud Storage that clients may have it read and write. ``timeout``
    bounds one attempt and ``connect_timeout`` its connection, in seconds. A ``free`` vendor bills
    nothing.
    """

    name: str
    protocol: Speaks
    url: str
    key: str = ""
    credentials: str = ""
    project: str = ""
    grpc_url: str = ""
    buckets: tuple[str, ...] = ()
    headers: Mapping[str, str] = {}
    timeout: float = 60.0
    connect_timeout: float = 5.0
    connections: int = 100
    free: bool = False

    def reads(self, uri: str) -> bool:
        """Whether ``uri`` lies in one of its buckets."""
        kind, _, path = uri.partition("://")
        bucket = path.partition("/")[0]
        return kind == "gs" and any(fnmatchcase(bucket, one) for one in self.buckets)

    def told(self, words: str) -> str:
        """The vendor's own words as they may be shown: short, without the key that some repeat."""
        return (words.replace(self.key, "***") if self.key else words)[:_MOST_TOLD]


class VendorSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[vendors.NAME]``: what differs from the built-in row, or all of a vendor of one's own.

    ``key_env`` names the variable that holds the key, so that it need not stand in the file.
    """

    protocol: Speaks | None = None
    url: str | None = None
    key: str = ""
    key_env: str = ""
    credentials: str = ""
    project: str = ""
    grpc_url: str = ""
    buckets: tuple[str, ...] = ()
    headers: dict[str, str] = {}
    timeout: float = 60.0
    connect_timeout: float = 5.0
    connections: int = 100
    free: bool = False


class _BuiltIn(msgspec.Struct, frozen=True):
    protocol: Speaks
    url: str
    url_env: str
    key_env: str


# Each vendor's own SDK reads the same variables.
BUILT_IN: dict[str, _BuiltIn] = {
    "openai": _BuiltIn("openai", "https://api.openai.com/v1", "OPENAI_BASE_URL", "OPENAI_API_KEY"),
    "elevenlabs": _BuiltIn("elevenlabs", "https://api.elevenlabs.io", "", "ELEVENLABS_API_KEY"),
    "deepl": _BuiltIn("deepl", "https://api.deepl.com", "DEEPL_SERVER_URL", "DEEPL_AUTH_KEY"),
    "google_vision": _BuiltIn(
        "google_vision", "https://vision.googleapis.com", "", "GOOGLE_VISION_API_KEY"
    ),
    "google_speech": _BuiltIn(
        "google_speech", "https://speech.googleapis.com", "", "GOOGLE_SPEECH_API_KEY"
    ),
}
# Keys of DeepL's free plan end so, and are known at another address.
# https://developers.deepl.com/docs/getting-started/auth
_DEEPL_FREE, _DEEPL_FREE_URL = ":fx", "https://api-free.deepl.com"


def found(
    settings: Mapping[str, VendorSettings], environ: Mapping[str, str] | None = None
) -> dict[str, Vendor]:
    """Every vendor there is. ConfigurationError for a row that lacks its protocol or address."""
    environ = os.environ if environ is None else environ
    names = dict.fromkeys((*BUILT_IN, *settings))
    return {name: _vendor(name, settings.get(name, VendorSettings()), environ) for name in names}


def _vendor(name: str, row: VendorSettings, environ: Mapping[str, str]) -> Vendor:
    built_in = BUILT_IN.get(name)
    protocol = row.protocol or (built_in.protocol if built_in else None)
    key = row.key or environ.get(row.key_env or (built_in.key_env if built_in else ""), "")
    url = row.url or (built_in and (environ.get(built_in.url_env) or built_in.url))
    if protocol is None or not url:
        raise ConfigurationError(
            f"[vendors.{name}] lacks its {'url' if protocol else 'protocol'}.",
            hint='For what speaks OpenAI\'s: protocol = "openai", url = "http://localhost:11434/v1".',
        )
    if not url.startswith(("http://", "https://")):
        raise ConfigurationError(
            f"The url of [vendors.{name}] must begin with https:// or http://."
        )
    if row.key_env and not key:
        raise ConfigurationError(f"[vendors.{name}] names the variable {row.key_env}: it is empty.")
    if protocol == "deepl" and built_in and url == built_in.url and key.endswith(_DEEPL_FREE):
        url = _DEEPL_FREE_URL
    credentials = row.credentials
    if not credentials and not key and protocol in ("google_vision", "google_speech"):
        credentials = environ.get("GOOGLE_APPLICATION_CREDENTIALS", "")
    return Vendor(
        name=name,
        protocol=protocol,
        url=url.rstrip("/"),
        key=key,
        credentials=credentials,
        project=row.project or environ.get("GOOGLE_CLOUD_PROJECT", ""),
        grpc_url=row.grpc_url,
        buckets=row.buckets,
        headers=row.headers,
        timeout=row.timeout,
        connect_timeout=row.connect_timeout,
        connections=row.connections,
        free=row.free,
    )

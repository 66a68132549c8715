"""Who may call: Ogam's own keys. Knows no protocol; each finds its key in its own place."""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from ogam.errors import AuthenticationError, ConfigurationError, OutputError
from ogam.media import files

_HASHED = "sha256:"
_FILE = "key.sha256"


class Key(msgspec.Struct, frozen=True, kw_only=True):
    """A key that was shown and is known. ``id`` may be logged, the key may not."""

    id: str
    name: str = ""


class First(NamedTuple):
    """The key that a server made for itself. ``key`` is there only where it was made just now;
    ``hashed`` is what stays, in ``file``.
    """

    hashed: str
    file: Path
    key: str | None


ANYONE = Key(id="")


class Keys:
    """The keys in force. Without any, everyone may call, whatever key they show.

    Each of ``accepted`` is a key, or ``sha256:HEX`` of one. ConfigurationError for one that
    nobody could show.
    """

    def __init__(self, accepted: Sequence[str]) -> None:
        self._hashes = [_kept(one) for one in accepted]

    def __bool__(self) -> bool:
        """Whether a key is asked for."""
        return bool(self._hashes)

    def check(self, shown: str | None) -> Key:
        """The key behind ``shown``; AuthenticationError where there is none."""
        if not self._hashes:
            return ANYONE
        if not shown:
            raise AuthenticationError(
                "No API key was given.", hint="Send the key this server was started with."
            )
        # What is shown is always hashed: whoever read a hash has not read the key.
        digest = hash_key(shown)
        # Every hash is compared, each in constant time.
        found = [one for one in self._hashes if hmac.compare_digest(one, digest)]
        if not found:
            raise AuthenticationError(
                "The API key is not known here.", hint="Send the key this server was started with."
            )
        return Key(id=digest[:12])


def hash_key(key: str) -> str:
    """SHA-256 in hex: how a key is kept. Without salt and fast, as every request asks: the keys
    made here have 256 random bits, and nobody guesses those.
    """
    return hashlib.sha256(key.encode(errors="surrogateescape")).hexdigest()


def first_key(folder: Path) -> First:
    """The key of a server that listens beyond this machine and was given none.

    Made once, 256 random bits; only its hash is kept in ``folder``, readable by its owner.
    """
    file = folder / _FILE
    try:
        hashed = file.read_text(encoding="ascii").strip()
    except FileNotFoundError:
        key = secrets.token_urlsafe(32)
        hashed = _HASHED + hash_key(key)
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(f"{folder} cannot be made: {error.strerror}.") from None
        with files.replacing(file) as temporary:
            os.chmod(temporary, 0o600)
            temporary.write_text(hashed + "\n", encoding="ascii")
        return First(hashed, file, key)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{file} cannot be read: {error}.") from None
    if not re.fullmatch(_HASHED + "[0-9a-f]{64}", hashed):
        raise ConfigurationError(
            f"{file} holds no hash of a key.", hint="Remove it, and a new key is made."
        )
    return First(hashed, file, None)


def _kept(key: str) -> str:
    if key.startswith(_HASHED):
        hashed = key.removeprefix(_HASHED).lower()
        if not re.fullmatch("[0-9a-f]{64}", hashed):
            raise ConfigurationError(
                "A key in server.keys is no SHA-256 hash.",
                hint="After sha256: stand 64 hexadecimal digits: printf KEY | sha256sum",
            )
        return hashed
    if not re.fullmatch("[!-~]+", key):
        raise ConfigurationError(
            "A key is empty or holds what no HTTP header can carry.",
            hint="Use letters, digits and signs of ASCII, without spaces.",
        )
    return hash_key(key)

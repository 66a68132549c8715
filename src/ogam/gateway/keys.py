"""Who may call: Ogam's own keys, of the configuration and of the ledger.

Knows no protocol: each finds its key in its own place. What is shown is hashed, and hashes are
looked up in memory: no request waits for a database, and whoever measures how long a look-up
takes learns nothing of a key. The ledger's keys are read again every second, so that one which is
revoked is refused within about that time, by every process; while the ledger does not answer, the
keys last read stay in force.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
import re
import secrets
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from ogam.errors import AuthenticationError, ConfigurationError, OutputError, OverloadedError
from ogam.gateway import policy as policies
from ogam.gateway.policy import Policy
from ogam.media import files

if TYPE_CHECKING:
    from ogam.gateway.ledger import Ledger, StoredKey

_log = logging.getLogger("ogam.server")
_HASHED = "sha256:"
_FILE = "key.sha256"
_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
# Seconds between two looks at the ledger's keys.
_EVERY = 1.0
# Between a key's id and a number: a secret that the key had before it was rotated.
BEFORE = "~"
_WHICH = "Send one that ogam keys create has shown, or one that this server was started with."


class Key(msgspec.Struct, frozen=True, kw_only=True):
    """A key that was shown and is known. ``id`` may be logged, the key may not."""

    id: str
    name: str = ""
    policy: Policy = Policy()


class First(NamedTuple):
    """The key that a server made for itself. ``key`` is there only where it was made just now;
    ``hashed`` is what stays, in ``file``.
    """

    hashed: str
    file: Path
    key: str | None


class _Known(NamedTuple):
    """A key and its ends, in milliseconds since 1970. ``wrong``: why it cannot be used at all."""

    key: Key
    expires: int | None = None
    revoked: int | None = None
    replaced: bool = False
    wrong: str = ""


ANYONE = Key(id="")


class Keys:
    """The keys in force. Where there is none at all, everyone may call, whatever they show.

    Each of ``accepted`` is a key, or ``sha256:HEX`` of one. ConfigurationError for one that
    nobody could show.
    """

    def __init__(self, accepted: Sequence[str] = ()) -> None:
        hashes = [_kept(one) for one in accepted]
        self._own = {one: _Known(Key(id=one[:12])) for one in hashes}
        # Both are replaced as a whole, and never changed.
        self._by_hash: Mapping[str, _Known] = self._own
        self._by_id: Mapping[str, _Known] = {one.key.id: one for one in self._own.values()}
        self._unread = False
        self._mark: object = None
        self._failing = False
        self._following: asyncio.Task[None] | None = None

    def __bool__(self) -> bool:
        """Whether a key is asked for."""
        return self._unread or bool(self._by_hash)

    def check(self, shown: str | None, protocol: str = "") -> Key:
        """The key behind ``shown``.

        AuthenticationError where there is none, or none any more; ForbiddenError where it is not
        for ``protocol``.
        """
        if not self:
            return ANYONE
        if not shown:
            raise AuthenticationError("No API key was given.", hint=_WHICH)
        found = self._by_hash.get(hash_key(shown))
        if found is None and self._unread:
            raise OverloadedError(
                "The keys cannot be read, as the ledger does not answer.",
                hint="Keys of the configuration are known all the same.",
            )
        if found is None:
            raise AuthenticationError("The API key is not known here.", hint=_WHICH)
        key = _valid(found)
        key.policy.check_protocol(protocol)
        return key

    def has(self, identity: str) -> bool:
        """Whether there is a key of that id."""
        return identity in self._by_id

    def configured(self, key: Key) -> bool:
        """Whether the key is one of the configuration's."""
        return any(one.key is key for one in self._own.values())

    def ids(self) -> Sequence[str]:
        """The ids of all keys."""
        return tuple(self._by_id)

    def now(self, key: Key) -> Key:
        """A key that was let in before, as it stands now. AuthenticationError as above."""
        found = self._by_id.get(key.id)
        return key if found is None else _valid(found)

    async def open(self, ledger: Ledger) -> None:
        """Read the ledger's keys, and again every second until ``close``.

        Where they cannot be read now, only the configuration's are let in until they can.
        """
        self._unread = True
        await self._read(ledger)
        self._following = asyncio.create_task(self._follow(ledger))

    async def close(self) -> None:
        """Look no more."""
        if self._following is not None:
            self._following.cancel()
            with suppress(asyncio.CancelledError):
                await self._following
            self._following = None

    def take(self, found: Iterable[StoredKey]) -> None:
        """From now on these are the ledger's keys."""
        by_hash, by_id = dict(self._own), {one.key.id: one for one in self._own.values()}
        for stored in found:
            own, before, _ = stored.id.partition(BEFORE)
            wrong, policy = "", Policy()
            try:
                policy = policies.stored(stored.allowed, stored.limits)
            except msgspec.ValidationError as error:
                # To take it for a key without limits would be worse.
                wrong = f"its policy cannot be read ({error})"
            by_hash[stored.hash] = known = _Known(
                Key(id=own, name=stored.name, policy=policy),
                stored.expires,
                stored.revoked,
                bool(before),
                wrong,
            )
            if not before:
                by_id[own] = known
        self._by_hash, self._by_id, self._unread = by_hash, by_id, False

    async def _follow(self, ledger: Ledger) -> None:
        while True:
            await asyncio.sleep(_EVERY)
            await self._read(ledger)

    async def _read(self, ledger: Ledger) -> None:
        try:
            mark = await ledger.keys_mark()
            if self._unread or mark != self._mark:
                self.take(await ledger.keys())
                self._mark = mark
            self._failing = False
        except Exception as error:
            if not self._failing:
                _log.error("the keys cannot be read again, the last stay in force: %s", error)
            self._failing = True


def new_key() -> str:
    """A key nobody can guess: ``ogam_`` and 256 random bits in letters and digits, which every
    SDK takes and no header, shell or URL changes.
    """
    number, digits = secrets.randbits(256), ""
    for _ in range(43):  # 62**43 is above 2**256
        number, digit = divmod(number, 62)
        digits += _DIGITS[digit]
    return f"ogam_{digits}"


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


def _valid(known: _Known) -> Key:
    """The key, where it has not ended."""
    key = known.key
    why = ""
    if known.wrong:
        why = f"cannot be used: {known.wrong}"
    elif known.revoked is not None and known.revoked <= _now():
        why = "was revoked"
    elif known.expires is not None and known.expires <= _now():
        why = "expired" + (": a new one took its place" if known.replaced else "")
    if why:
        raise AuthenticationError(
            f"The API key {key.name or key.id!r} {why}.", hint="Ask who gave it to you for another."
        )
    return key


def _now() -> int:
    return time.time_ns() // 1_000_000


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

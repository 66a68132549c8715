"""Keys: known by their hash, and by nothing else; those of the ledger, as it changes."""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ogam.errors import (
    AuthenticationError,
    ConfigurationError,
    ForbiddenError,
    InvalidRequestError,
    OverloadedError,
)
from ogam.gateway import keys as module
from ogam.gateway.keys import Keys, first_key, hash_key, new_key
from ogam.gateway.ledger import Ledger, StoredKey
from ogam.gateway.policy import Policy

HASH = hashlib.sha256(b"secret").hexdigest()


def test_a_key_is_known_as_it_is_and_by_its_hash():
    for accepted in ("secret", f"sha256:{HASH}", f"sha256:{HASH.upper()}"):
        assert Keys(["other", accepted]).check("secret").id == HASH[:12]


@given(st.text())
def test_nothing_but_the_key_is_let_in(shown):
    with pytest.raises(AuthenticationError):
        Keys(["a key of mine".replace(" ", "-")]).check(shown)


def test_a_hash_that_leaked_is_not_a_key():
    with pytest.raises(AuthenticationError):
        Keys(["secret"]).check(f"sha256:{HASH}")


def test_without_keys_everyone_may_call():
    assert Keys([]).check(None).id == Keys([]).check("whatever").id == ""
    assert not Keys([])
    assert Keys(["secret"])


@pytest.mark.parametrize("wrong", ["", " ", "two words", "sha256:", "sha256:xyz", "열쇠"])
def test_a_key_that_nobody_could_show_is_refused(wrong):
    with pytest.raises(ConfigurationError):
        Keys([wrong])


def test_the_first_key_is_made_once_and_only_its_hash_is_kept(tmp_path: Path):
    made = first_key(tmp_path / "new")
    assert made.key is not None
    assert made.key.encode() not in made.file.read_bytes()
    assert made.file.stat().st_mode & 0o777 == 0o600
    again = first_key(tmp_path / "new")
    assert (again.key, again.hashed) == (None, made.hashed)
    assert Keys([again.hashed]).check(made.key)
    made.file.unlink()
    assert first_key(tmp_path / "new").key not in (None, made.key)


def test_a_spoilt_file_is_refused_and_not_overwritten(tmp_path: Path):
    (tmp_path / "key.sha256").write_text("sha256:oops")
    with pytest.raises(ConfigurationError, match="holds no hash"):
        first_key(tmp_path)
    assert (tmp_path / "key.sha256").read_text() == "sha256:oops"


def stored(secret: str, **more) -> StoredKey:
    made = {"id": "k", "name": "team", "hash": hash_key(secret), "created": 1}
    return StoredKey(**{**made, **more})


def test_a_new_key_has_256_bits_and_no_sign_that_anything_changes():
    every = [new_key() for _ in range(2000)]
    assert all(re.fullmatch("ogam_[0-9A-Za-z]{43}", one) for one in every)
    assert len(set(every)) == len(every)
    # 62 signs are used alike, but for the last, which holds what is left of 256 bits.
    assert {one[-2] for one in every} == set(module._DIGITS)


def test_a_key_of_the_ledger_brings_its_name_and_policy():
    keys = Keys(["own"])
    policy = Policy(capabilities=("see",), protocols=("openai",), concurrent=2)
    keys.take([stored("s", limits=policy.limits, allowed=policy.allowed)])
    found = keys.check("s", "openai")
    assert (found.id, found.name, found.policy) == ("k", "team", policy)
    assert keys.check("own").id == hash_key("own")[:12]
    with pytest.raises(ForbiddenError):
        keys.check("s", "deepl")


def test_a_policy_that_cannot_be_read_lets_nobody_in():
    keys = Keys()
    keys.take([stored("s", limits={"wishes_per_minute": 3})])
    with pytest.raises(AuthenticationError, match="cannot be read"):
        keys.check("s")


def test_a_key_says_whether_it_expired_or_was_revoked():
    now = int(time.time() * 1000)
    keys = Keys()
    keys.take([stored("s", expires=now - 1), stored("t", id="t", revoked=now - 1)])
    with pytest.raises(AuthenticationError, match="'team' expired"):
        keys.check("s")
    with pytest.raises(AuthenticationError, match="'team' was revoked"):
        keys.check("t")
    keys.take([stored("s", expires=now + 10**6)])
    assert keys.check("s")


def test_when_all_keys_are_revoked_a_key_is_still_asked_for():
    keys = Keys()
    keys.take([stored("s", revoked=1)])
    assert keys
    with pytest.raises(AuthenticationError):
        keys.check(None)


@pytest.fixture
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_EVERY", 0.01)


async def until(work) -> None:
    end = time.monotonic() + 20
    while not work():
        assert time.monotonic() < end
        await asyncio.sleep(0.01)


def allowed(keys: Keys, secret: str) -> bool:
    try:
        keys.check(secret)
    except AuthenticationError:
        return False
    return True


@pytest.mark.usefixtures("often")
def test_what_changes_in_the_ledger_is_followed_by_every_process(tmp_path: Path):
    async def main() -> None:
        ledger, other = Ledger(tmp_path / "l.sqlite"), Ledger(tmp_path / "l.sqlite")
        await ledger.open()
        await other.open()
        keys = Keys()
        await keys.open(ledger)
        assert not keys
        await other.add_key(stored("first"))
        await until(lambda: bool(keys))
        assert keys.check("first").id == "k"

        soon = int(time.time() * 1000) + 10**6
        await other.rotate_key("k", hash_key("second"), soon)
        await until(lambda: allowed(keys, "second"))
        assert keys.check("first").id == keys.check("second").id == "k"
        # The last one's grace is over, and the one's before goes on.
        await other.rotate_key("k", hash_key("third"), int(time.time() * 1000))
        await until(lambda: allowed(keys, "third"))
        with pytest.raises(AuthenticationError, match="expired: a new one took its place"):
            keys.check("second")
        assert allowed(keys, "first")

        await other.revoke_key("k")
        await until(lambda: not allowed(keys, "third"))
        assert not allowed(keys, "first")
        with pytest.raises(InvalidRequestError, match="revoked"):
            await other.rotate_key("k", hash_key("fourth"), soon)
        await keys.close()
        await ledger.close()
        await other.close()

    asyncio.run(main())


@pytest.mark.usefixtures("often")
def test_while_the_ledger_is_gone_the_keys_last_read_stay_in_force(tmp_path: Path, caplog):
    async def main() -> None:
        place = tmp_path / "l.sqlite"
        ledger = Ledger(place)
        await ledger.open()
        await ledger.add_key(stored("s"))
        keys = Keys()
        await keys.open(ledger)
        os.rename(place, tmp_path / "away")
        await until(lambda: "stay in force" in caplog.text)
        assert allowed(keys, "s")
        assert not allowed(keys, "other")
        os.rename(tmp_path / "away", place)
        await ledger.revoke_key("k")
        await until(lambda: not allowed(keys, "s"))
        assert caplog.text.count("stay in force") == 1
        await keys.close()
        await ledger.close()

    asyncio.run(main())


@pytest.mark.usefixtures("often")
def test_keys_that_were_never_read_let_in_those_of_the_configuration_alone(tmp_path: Path):
    async def main() -> None:
        place = tmp_path / "l.sqlite"
        ledger = Ledger(place)
        await ledger.open()
        os.rename(place, tmp_path / "away")
        keys = Keys(["own"])
        await keys.open(ledger)
        assert allowed(keys, "own")
        with pytest.raises(OverloadedError):
            keys.check("s")
        with pytest.raises(AuthenticationError):
            keys.check(None)
        os.rename(tmp_path / "away", place)
        await ledger.add_key(stored("s"))
        await until(lambda: not keys._unread and allowed(keys, "s"))
        await keys.close()
        await ledger.close()

    asyncio.run(main())

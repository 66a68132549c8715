"""Keys: known by their hash, and by nothing else."""

from __future__ import annotations

import hashlib
import hmac
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ogam.errors import AuthenticationError, ConfigurationError
from ogam.gateway.keys import Keys, first_key, hash_key

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


def test_every_hash_is_compared_in_constant_time(monkeypatch):
    compared = []

    def compare(one, other):
        compared.append(one)
        return one == other

    monkeypatch.setattr(hmac, "compare_digest", compare)
    Keys(["secret", "second", "third"]).check("secret")
    assert compared == [hash_key(one) for one in ("secret", "second", "third")]


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

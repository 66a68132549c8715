"""Results are written whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ogam.errors import OutputError
from ogam.media import files


def test_a_failure_half_way_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "x.wav"
    target.write_bytes(b"old")
    with pytest.raises(KeyboardInterrupt), files.replacing(target) as temporary:
        temporary.write_bytes(b"half")
        raise KeyboardInterrupt
    assert target.read_bytes() == b"old"
    assert [one.name for one in tmp_path.iterdir()] == ["x.wav"]


def test_a_new_file_is_readable_as_any_other(tmp_path: Path) -> None:
    files.write(tmp_path / "x", b"1")
    plain = tmp_path / "y"
    plain.write_bytes(b"1")
    assert (tmp_path / "x").stat().st_mode == plain.stat().st_mode


def test_a_file_that_is_replaced_keeps_who_may_read_it(tmp_path: Path) -> None:
    secret = tmp_path / "x"
    secret.write_bytes(b"old")
    secret.chmod(0o600)
    files.write(secret, b"new")
    assert (secret.read_bytes(), secret.stat().st_mode & 0o777) == (b"new", 0o600)


def test_a_missing_folder_says_how_to_make_it(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="mkdir"):
        files.write(tmp_path / "no" / "x", b"1")


def test_a_folder_is_no_place_for_a_file(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="folder"):
        files.write(tmp_path, b"1")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
def test_a_full_disk_is_one_line() -> None:
    with pytest.raises(OutputError, match="No space left") as caught:
        files.write("/dev/full", b"1" * 100_000)
    assert "\n" not in str(caught.value)


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may write everywhere")
def test_no_permission_is_one_line(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(OutputError, match="Permission denied"):
        files.write(tmp_path / "x", b"1")

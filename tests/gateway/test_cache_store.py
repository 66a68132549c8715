"""Entries on disk: within their limit, whole or not there, for several processes at once."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from ogam.errors import OutputError
from ogam.gateway.cache_semantic import Nearest
from ogam.gateway.cache_store import Store

BLOCK = 4096
# Writes and reads entries that tell their own key, for ever or so many times.
WRITER = """
import hashlib, itertools, sys
from pathlib import Path
from ogam.gateway.cache_store import Store

store = Store(Path(sys.argv[1]), int(sys.argv[2]))
size, first, most = int(sys.argv[3]), int(sys.argv[4]), int(sys.argv[5])
print("begun", flush=True)
for number in itertools.count(first):
    if number == first + most:
        break
    key = hashlib.sha256(str(number % 60).encode()).hexdigest()
    found = store.read(key)
    assert found is None or found == key.encode() * (size // 64), "another entry's bytes, or half"
    store.write(key, key.encode() * (size // 64))
"""


def key_of(number: int) -> str:
    return hashlib.sha256(str(number).encode()).hexdigest()


def writer(folder: Path, limit: int, size: int, first: int, most: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", WRITER, str(folder), *map(str, (limit, size, first, most))],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def files_in(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def test_what_was_written_is_read_until_it_is_removed(tmp_path: Path):
    store = Store(tmp_path, 1_000_000)
    assert store.read(key_of(1)) is None
    store.write(key_of(1), b"one")
    assert store.read(key_of(1)) == b"one"
    store.write(key_of(1), b"two")
    assert Store(tmp_path, 1_000_000).read(key_of(1)) == b"two"
    store.remove(key_of(1))
    store.remove(key_of(1))
    assert store.read(key_of(1)) is None


def test_the_least_recently_used_goes_when_there_is_too_much(tmp_path: Path):
    store = Store(tmp_path, 20 * BLOCK)
    for number in range(17):
        store.write(key_of(number), b"x")
        os.utime(store.path(key_of(number)), (number, number))
    store.touch(key_of(0))
    for number in range(17, 22):
        store.write(key_of(number), b"x")
    there = {number for number in range(22) if store.read(key_of(number)) is not None}
    assert {0, 17, 18, 19, 20, 21} <= there
    assert not {1, 2, 3} & there
    assert store.measure()[1] <= 20 * BLOCK


def test_sizes_are_what_the_disk_gives(tmp_path: Path):
    store = Store(tmp_path, 1_000_000)
    store.write(key_of(1), b"x")
    store.write(key_of(2), b"x" * (BLOCK + 1))
    assert store.measure() == (2, 3 * BLOCK)


def test_what_would_fill_all_the_room_is_not_kept(tmp_path: Path):
    store = Store(tmp_path, 10 * BLOCK)
    store.write(key_of(1), b"x")
    store.write(key_of(2), b"x" * 9 * BLOCK)
    assert store.read(key_of(1)) == b"x"
    assert store.read(key_of(2)) is None


def test_other_files_in_the_folder_are_left_alone(tmp_path: Path):
    places = ("thesis.txt", "ab/thesis.txt", "near/thesis.txt")
    others = [tmp_path / place for place in places]
    for path in others:
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"x" * 100 * BLOCK)
        os.utime(path, (0, 0))
    store = Store(tmp_path, 10 * BLOCK)
    for number in range(40):
        store.write(key_of(number), b"x")
    assert all(path.exists() for path in others)
    assert store.measure()[1] <= 10 * BLOCK


def test_nobody_else_may_read_a_folder_that_the_store_made(tmp_path: Path):
    store = Store(tmp_path / "cache", 1_000_000)
    store.write(key_of(1), b"x")
    assert (tmp_path / "cache").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("key", ["../../secret", "a" * 63, "A" * 64, "/" * 64, ""])
def test_only_a_hash_becomes_a_path(tmp_path: Path, key: str):
    with pytest.raises(AssertionError):
        Store(tmp_path, 1).path(key)


def test_a_disk_that_refuses_says_so_in_a_line(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be made"):
        Store(tmp_path / "file", 1_000_000).write(key_of(1), b"x")


def test_two_processes_on_one_folder_stay_within_the_limit(tmp_path: Path):
    limit = 40 * BLOCK
    both = [writer(tmp_path, limit, 4 * 1024, first, 120) for first in (0, 31)]
    told = [one.communicate(timeout=60)[1] for one in both]
    assert [one.returncode for one in both] == [0, 0], told
    store = Store(tmp_path, limit)
    count, size = store.measure()
    assert 0 < size <= limit
    assert count == len(files_in(tmp_path))  # no half-written file is left


def test_a_process_killed_while_it_writes_leaves_whole_entries(tmp_path: Path):
    size = 4 * 1024 * 1024
    for _ in range(3):
        one = writer(tmp_path, 10**9, size, 0, 10**6)
        assert one.stdout is not None
        one.stdout.readline()
        deadline = time.monotonic() + 30
        while not files_in(tmp_path) and time.monotonic() < deadline:
            time.sleep(0.001)
        one.send_signal(signal.SIGKILL)
        one.communicate()
    store = Store(tmp_path, 10**9)
    keys = [key_of(number) for number in range(60)]
    whole = [key for key in keys if store.read(key) is not None]
    assert all(store.read(key) == key.encode() * (size // 64) for key in whole)
    # What it left of the file it was writing counts for nothing and goes in time.
    left = tmp_path / keys[0][:2] / ".half.tmp"
    left.parent.mkdir(exist_ok=True)
    left.write_bytes(b"x")
    for path in files_in(tmp_path):
        if path.name.startswith("."):
            os.utime(path, (0, 0))
    assert store.measure()[0] == len(whole)
    assert len(files_in(tmp_path)) == len(whole)


def unit(*numbers: float) -> bytes:
    row = np.array(numbers, "<f4")
    return (row / np.linalg.norm(row)).tobytes()


SCOPE = key_of(-1)


def test_the_nearest_come_first_and_only_those_near_enough(tmp_path: Path):
    nearest = Nearest(Store(tmp_path, 1_000_000))
    for number, vector in enumerate([unit(1, 0), unit(1, 0.1), unit(1, 0.5), unit(0, 1)]):
        nearest.add(SCOPE, key_of(number), vector)
    found = nearest.find(SCOPE, unit(1, 0.09), 0.9)
    assert [one.key for one in found] == [key_of(1), key_of(0), key_of(2)]
    assert found[0].cosine == pytest.approx(1, abs=1e-3)
    assert nearest.find(SCOPE, unit(-1, 0), 0.9) == []
    assert nearest.find(key_of(-2), unit(1, 0), 0.9) == []


def test_what_another_process_adds_or_removes_is_seen(tmp_path: Path):
    here, there = (Nearest(Store(tmp_path, 1_000_000), fresh_seconds=0) for _ in range(2))
    for number in range(5):
        there.add(SCOPE, key_of(number), unit(1, number))
        assert len(here.find(SCOPE, unit(1, 2), -1)) == number + 1
    there.remove(SCOPE, key_of(2))
    assert key_of(2) not in [one.key for one in here.find(SCOPE, unit(1, 2), -1)]


def test_of_too_many_vectors_the_oldest_go(tmp_path: Path):
    store = Store(tmp_path, 1_000_000)
    nearest = Nearest(store, most=3)
    for number in range(5):
        nearest.add(SCOPE, key_of(number), unit(1, number))
        os.utime(store.path(key_of(number), SCOPE), (number, number))
    found = {one.key for one in nearest.find(SCOPE, unit(1, 1), -1)}
    assert found == {key_of(number) for number in (2, 3, 4)}
    assert store.measure()[0] == 3


def test_a_damaged_vector_is_forgotten(tmp_path: Path):
    store = Store(tmp_path, 1_000_000)
    for number, data in enumerate([b"", b"abc", unit(1, 0) * 2, bytes(8), b"\xff" * 8]):
        store.write(key_of(number), data, SCOPE)
    nearest = Nearest(store)
    nearest.add(SCOPE, key_of(9), unit(1, 0))
    assert [one.key for one in nearest.find(SCOPE, unit(1, 0), -1)] == [key_of(9)]
    assert store.measure()[0] == 1


def test_what_is_added_and_removed_here_is_seen_at_once(tmp_path: Path):
    nearest = Nearest(Store(tmp_path, 1_000_000), fresh_seconds=1e9)
    for number in range(200):
        nearest.find(SCOPE, unit(1, 0), 0)
        nearest.add(SCOPE, key_of(number), unit(1, number))
    nearest.remove(SCOPE, key_of(7))
    found = nearest.find(SCOPE, unit(1, 7), 0)
    assert {one.key for one in found[:2]} == {key_of(6), key_of(8)}

"""`ogam lock` in the shell: what it writes, refuses and compares. No index is asked."""

from __future__ import annotations

import json
from pathlib import Path

import pytest


@pytest.fixture
def locked(ogam):
    """A lock of a few packages in this folder."""
    done = ogam("lock", "--offline", "--for", "rich", "--seed", "story=7")
    assert done.code == 0, done.err
    return done


def test_it_writes_three_files_and_says_what_is_left_open(locked):
    assert {path.name for path in Path().iterdir()} == {
        "ogam.lock",
        "requirements.txt",
        "environment.yml",
    }
    told = json.loads(Path("ogam.lock").read_bytes())
    assert told["seeds"]["story"] == 7
    assert {"rich", "ogam", "msgspec"} <= {one["name"] for one in told["packages"]}
    assert "pytest" not in {one["name"] for one in told["packages"]}
    assert "no hashes" in locked.err and "--offline" in locked.err


def test_the_same_place_gives_the_same_bytes(ogam, locked):
    before = Path("ogam.lock").read_bytes()
    assert ogam("lock", "--offline", "--for", "rich", "--seed", "story=7").code == 0
    assert Path("ogam.lock").read_bytes() == before


def test_all_that_is_installed_by_default_and_models_by_name(ogam):
    Path("words").mkdir()
    Path("words/glove.txt").write_text("fox 1 0\n")
    done = ogam("lock", "out", "--offline", "-m", "word2vec/./words")
    assert done.code == 0, done.err
    told = json.loads(Path("out/ogam.lock").read_bytes())
    assert "pytest" in {one["name"] for one in told["packages"]}
    assert [one["name"] for one in told["models"]] == ["word2vec/./words"]


def test_models_of_a_route_with_conditions_are_locked(ogam, monkeypatch):
    Path("words").mkdir()
    Path("words/glove.txt").write_text("fox 1 0\n")
    Path("ogam.toml").write_text(
        '[routes.embed]\nmodels = [{ model = "word2vec/./words", when = { max_characters = 9 } }]\n'
    )
    monkeypatch.setenv("OGAM_CONFIG", "ogam.toml")
    monkeypatch.delenv("OGAM_ROUTE_EMBED")
    done = ogam("lock", "out", "--offline", "--for", "rich")
    assert done.code == 0, done.err
    told = json.loads(Path("out/ogam.lock").read_bytes())
    assert [one["name"] for one in told["models"]] == ["word2vec/./words"]


def test_a_file_of_somebody_else_stays(ogam):
    Path("requirements.txt").write_text("numpy\n")
    done = ogam("lock", "--offline", "--for", "rich")
    assert done.code == 1 and "--force" in done.err
    assert Path("requirements.txt").read_text() == "numpy\n"
    assert not Path("ogam.lock").exists()
    assert ogam("lock", "--offline", "--for", "rich", "--force").code == 0
    assert "rich==" in Path("requirements.txt").read_text()


def test_check_finds_nothing_here_and_tells_each_difference(ogam, locked):
    assert ogam("lock", "--check").code == 0
    done = ogam("lock", "--check", "--json")
    assert (done.code, done.out) == (0, "")
    told = json.loads(Path("ogam.lock").read_bytes())
    for one in told["packages"]:
        if one["name"] == "rich":
            one["version"] = "0.1"
    told["python"]["version"] = "3.99.0"
    Path("other").mkdir()
    Path("other/ogam.lock").write_text(json.dumps(told))
    for place in ("other", "other/ogam.lock"):
        done = ogam("lock", "--check", place)
        assert done.code == 1
        rows = [line.split("\t")[:3] for line in done.out.splitlines()]
        assert rows == [["python", "version", "3.99.0"], ["package", "rich", "0.1"]]
    lines = ogam("lock", "--check", "other", "--json").out.splitlines()
    assert [json.loads(line)["name"] for line in lines] == ["version", "rich"]


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (("--check", "--restore"), 2, "two things"),
        (("--restore",), 2, "--into"),
        (("--into", "x"), 2, "--restore"),
        (("--seed", "x"), 2, "NAME=NUMBER"),
        (("--offline", "--for", "no-such-package"), 1, "not installed"),
        (("--offline", "-m", "fake"), 1, "no files"),
        (("--check", "nowhere"), 1, "no lock"),
        (("--restore", "nowhere", "--into", "x"), 1, "no lock"),
    ],
)
def test_wrong_use_is_one_line(ogam, arguments, code, told):
    done = ogam("lock", *arguments)
    assert done.code == code
    assert told in done.err and len(done.err.splitlines()) == 1
    assert not list(Path().iterdir())

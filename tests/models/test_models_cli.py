"""`ogam models`: brings, lists, shows, verifies and removes; one line where that fails."""

from __future__ import annotations

import contextlib
import json
import os
import sys

import pytest

from ogam.cli import main
from ogam.models import store


@pytest.fixture
def ogam(hub, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> tuple[int, str, str]:
        capfd.readouterr()
        code = main(["models", *arguments])
        out, err = capfd.readouterr()
        return code, out, err

    return run


def test_from_pull_to_rm(ogam, hub, ready):
    hub.add("ada/tiny", ready(2_000_000))
    assert ogam("pull", "ada/tiny") == (0, "local/tiny\n", "")
    assert ogam("pull", "ada/tiny") == (0, "local/tiny\n", "")
    listed = ogam("list")[1].splitlines()
    assert "local/tiny\tfake\tembed\t2.0 MB\tMIT" in listed
    assert any(line.startswith("starter/") for line in listed)
    assert ogam("card", "local/tiny") == (0, "# Tiny\n", "")
    shown = json.loads(ogam("show", "local/tiny", "--json")[1])
    assert shown["source"] == f"{hub.url}/ada/tiny/tree/{'1' * 40}"
    assert ogam("verify", "local/tiny") == (0, "local/tiny\tok\n", "")
    assert main(["embed", "x", "-m", "local/tiny"]) == 0
    assert ogam("rm", "local/tiny") == (0, "", "")
    assert "local/" not in ogam("list")[1]


def test_verify_finds_a_tampered_file_and_says_how_to_mend_it(ogam, hub, ready):
    hub.add("ada/tiny", ready())
    ogam("pull", "ada/tiny")
    path = store.local_folder() / "tiny" / "weights.bin"
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    code, out, err = ogam("verify", "local/tiny")
    assert (code, out) == (1, "")
    assert "weights.bin is missing or damaged. Remove it with ogam models rm" in err
    assert err.count("\n") == 1


def test_rm_leaves_what_comes_with_a_package(ogam):
    code, _, err = ogam("rm", "starter/all-MiniLM-L6-v2")
    assert code == 1
    assert "pip uninstall" in err
    assert ogam("verify", "starter/all-MiniLM-L6-v2")[0] == 0


def test_an_interrupted_pull_is_told_until_it_is_dropped(ogam, hub, ready):
    (store.local_folder() / ".pulling" / "tiny" / "blobs").mkdir(parents=True)
    code, out, err = ogam("list")
    assert code == 0
    assert "local/tiny" not in out
    assert "ogam models rm local/tiny" in err
    assert ogam("rm", "local/tiny")[0] == 0
    assert ogam("list")[2] == ""


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("pull", "./nowhere"), "no such folder"),
        (("pull", "a/../../b"), "owner/name"),
        (("pull", "a/b", "--name", "../x"), "'../x' is no name"),
        (("pull", "a/gated"), "HF_TOKEN"),
        (("pull", "a/nothing"), "no model 'a/nothing'"),
        (("pull", "a/pickle"), "--trust-pickle"),
        (("pull", "torchhub:a/b:c"), "--trust-code"),
        (("rm", "nothing"), "no model local/nothing"),
        (("rm", "local/../x"), "not pulled"),
        (("rm", ".."), "no name"),
        (("show", "local/nothing"), "local/nothing"),
        (("card", "local/../x"), "local/../x"),
        (("verify", "local/../x"), "local/../x"),
    ],
)
def test_one_line_that_says_what_to_do(ogam, hub, ready, arguments, says):
    hub.add("a/gated", ready(), token="hf_x")
    hub.add("a/pickle", {"config.json": b"{}", "pytorch_model.bin": b"x"})
    code, out, err = ogam(*arguments)
    assert (code, out) == (1, "")
    assert says in err
    assert err.startswith("ogam: error: ")
    assert err.count("\n") == 1


def test_a_capability_that_there_is_not_is_wrong_use(ogam):
    code, _, err = ogam("pull", "a/b", "--for", "sing")
    assert code == 2
    assert "classify" in err


@pytest.mark.skipif(sys.platform == "win32", reason="a pseudo-terminal")
def test_a_terminal_gets_a_bar(hub, ready, tmp_path):
    import pty
    import subprocess

    hub.add("ada/tiny", ready(3_000_000))
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "ogam", "models", "pull", "ada/tiny"],
        stdout=subprocess.PIPE,
        stderr=theirs,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "120"},
    )
    os.close(theirs)
    drawn = b""
    with contextlib.suppress(OSError):
        while part := os.read(ours, 4096):
            drawn += part
    os.close(ours)
    assert process.communicate(timeout=30)[0] == b"local/tiny\n"
    assert b"MB" in drawn
    assert b"weights.bin" in drawn or b"checking" in drawn

"""``--resume`` beside other options: each is obeyed or refused, none is passed over."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("ctranslate2")

SMALL = (
    *("--d-model", "16", "--nhead", "2", "--encoder-layers", "1", "--decoder-layers", "1"),
    *("--feed-forward", "32", "--vocabulary", "0", "--tokens", "space", "--threads", "1"),
)


@pytest.fixture
def run(ogam, tmp_path):
    for side in ("xx", "yy"):
        (tmp_path / f"train.{side}").write_text("a b c\nb c d\nc d e\nd e f\n")
    data = [str(tmp_path / f"train.{side}") for side in ("xx", "yy")]
    begun = ["train", "transformer", "--out", str(tmp_path / "run")]
    assert ogam(*begun, *data, *SMALL, "--updates", "4").code == 0
    return [*begun, "--resume"]


def size(run):
    return (Path(run[3]) / "model" / "model.bin").stat().st_size


def test_what_may_change_in_a_run_changes(ogam, run, tmp_path):
    small = size(run)
    answer = ogam(
        *run,
        *("--precision", "float32", "--updates", "6", "--name", "ours", "--licence", "CC0-1.0"),
        *("--test", str(tmp_path / "train.xx"), "--test", str(tmp_path / "train.yy")),
    )
    assert answer.code == 0, answer.err
    assert "test" in answer.out
    assert size(run) > small
    about = json.loads((tmp_path / "run" / "model" / "model.json").read_bytes())
    assert (about["name"], about["licence"]) == ("ours", "CC0-1.0")
    last = json.loads((tmp_path / "run" / "log.jsonl").read_text().splitlines()[-1])
    assert last["step"] == 6
    # The next one goes on from there.
    assert ogam(*run).code == 0
    assert size(run) > small


@pytest.mark.parametrize(
    ("option", "value", "told"),
    [
        ("--lr", "1", "lr=0.0001, not 1.0"),
        ("--d-model", "32", "d_model=16, not 32"),
        ("--bf16", None, "amp='fp32', not 'bf16'"),
        ("--source-column", "en", "columns="),
        ("--valid", "train.xx", "valid="),
    ],
)
def test_what_may_not_is_refused(ogam, run, tmp_path, option, value, told):
    if value == "train.xx":
        value = str(tmp_path / value)
    answer = ogam(*run, option, *([value] if value else []))
    assert answer.code != 0
    assert told in answer.err
    # What the run is like itself may be said again.
    assert ogam(*run, "--d-model", "16", "--lr", "1e-4").code == 0


@pytest.mark.parametrize(
    ("kind", "option", "value"),
    [
        ("language-model", "--steps", "9"),
        ("language-model", "--valid", "text.txt"),
        ("word2vec", "--epochs", "9"),
        ("word2vec", "--sg", None),
    ],
)
def test_where_nothing_may_change_the_option_is_named(ogam, kind, option, value):
    answer = ogam("train", kind, "--resume", "-o", "run", option, *([value] if value else []))
    assert answer.code == 2
    assert f"leave out {option}" in answer.err

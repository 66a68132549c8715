"""The word of --device: what it finds, and the line it gives where there is no such device."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from ogam.errors import InvalidRequestError  # noqa: E402
from ogam.training import devices  # noqa: E402


def test_cpu_is_the_cpu_and_auto_is_what_is_there() -> None:
    assert devices.find("cpu") == torch.device("cpu")
    assert devices.find("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")


@pytest.mark.parametrize("name", ["gpu", "CPU", "cuda:", "cuda:-1", "cuda:x", "cpu:0", ""])
def test_a_word_that_is_no_device_is_one_line_with_the_words_there_are(name: str) -> None:
    with pytest.raises(InvalidRequestError, match="no device") as caught:
        devices.find(name)
    assert "cuda:1" in str(caught.value.hint) and caught.value.param == "device"


def test_a_device_that_is_not_there_says_which_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    for name, kind in (("cuda", "CUDA"), ("cuda:1", "CUDA"), ("mps", "MPS")):
        with pytest.raises(InvalidRequestError, match=f"no {kind} device here"):
            devices.find(name)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert devices.find("cuda:1") == torch.device("cuda:1")
    assert devices.find("auto") == torch.device("cuda")
    with pytest.raises(InvalidRequestError, match="no cuda:2 here") as caught:
        devices.find("cuda:2")
    assert "cuda:0 to cuda:1" in str(caught.value.hint)


FABLE = "the fox saw the wolf and the wolf saw the fox by the old tree\n" * 40


@pytest.mark.parametrize(
    "verb",
    [
        ["train", "transformer", "{}/pairs.tsv", "--target-language", "de"],
        ["train", "classifier", "{}/pairs.tsv", "--model", "{}"],
        ["train", "language-model", "{}/text.txt"],
        ["distil", "classifier", "{}/pairs.tsv", "--teacher", "{}"],
    ],
    ids=" ".join,
)
def test_every_verb_that_trains_refuses_a_wrong_device_in_one_line_and_makes_no_run(
    verb: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from ogam.cli import main

    (tmp_path / "text.txt").write_text(FABLE)
    (tmp_path / "pairs.tsv").write_text("source\ttarget\ttext\tlabel\na\tb\tc\td\n")
    command = [one.format(tmp_path) for one in verb]
    assert main([*command, "--out", str(tmp_path / "run"), "--device", "gpu"]) == 1
    said = capsys.readouterr().err
    assert "There is no device 'gpu'." in said and "cpu, cuda, cuda:1 or mps" in said
    assert "Traceback" not in said and len(said.strip().splitlines()) <= 2
    assert not (tmp_path / "run").exists()


def test_a_language_model_trains_on_the_device_that_was_named(tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text(FABLE)
    small = ["--vocabulary", "280", "--d-model", "8", "--layers", "1", "--heads", "2"]
    short = ["--context", "8", "--batch", "2", "--steps", "2", "--held-out", "0.2"]
    done = subprocess.run(
        [sys.executable, "-m", "ogam", "train", "language-model", str(tmp_path / "text.txt"),
         *small, *short, "--threads", "1", "--device", "cpu", "--out", str(tmp_path / "run")],
        capture_output=True,
        text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert '"device": "cpu"' in (tmp_path / "run" / "settings.json").read_text()

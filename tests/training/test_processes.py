"""A run of several processes: one run, the same losses as alone, and an end for all of them."""

from __future__ import annotations

import itertools
import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("accelerate")
psutil = pytest.importorskip("psutil")

from hypothesis import given  # noqa: E402
from hypothesis import strategies as st  # noqa: E402

from ogam.errors import InvalidRequestError  # noqa: E402
from ogam.training import classifier, language_model, processes, translation  # noqa: E402
from ogam.training.processes import Processes  # noqa: E402
from ogam.training.translation_settings import Settings, settings_of  # noqa: E402

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="gloo and POSIX signals")

SHORT: dict[str, Any] = {
    "tokens": "space",
    "vocabulary": 0,
    "d_model": 16,
    "nhead": 2,
    "encoder_layers": 1,
    "decoder_layers": 1,
    "feed_forward": 32,
    "max_tokens": 32,
    "threads": 1,
    "device": "cpu",
    "updates": 12,
    "valid_every": 4,
    "save_every": 4,
    "log_every": 1,
    "batch_tokens": 60,
    "accumulate": 2,
    "lr": 0.01,
    "dropout": 0.2,
}
# Trains, and tells how many batches of training this process computed.
_SCRIPT = """
import sys
from pathlib import Path
import msgspec
from ogam.training import translation
from ogam.training.translation_settings import Settings
computed = 0
real = translation._loss
def counted(model, *rest):
    global computed
    computed += model.training
    return real(model, *rest)
translation._loss = counted
folder = Path(sys.argv[1])
done = translation.train(msgspec.json.decode(sys.argv[2], type=Settings), folder)
print(computed, done.update, done.model is not None)
"""


@pytest.fixture
def data(tmp_path: Path) -> list[str]:
    """Two files of lines: letters, and the same letters doubled and in reverse."""
    draw = random.Random(1)
    rows = [[draw.choice("abcdefgh") for _ in range(draw.randrange(1, 6))] for _ in range(60)]
    (tmp_path / "train.xx").write_text("".join(" ".join(row) + "\n" for row in rows))
    (tmp_path / "train.yy").write_text(
        "".join(" ".join(2 * word for word in row[::-1]) + "\n" for row in rows)
    )
    return [str(tmp_path / "train.xx"), str(tmp_path / "train.yy")]


def settings(data: list[str], **other: Any) -> Settings:
    return msgspec.convert({"train": data, "valid": data, **SHORT, **other}, Settings)


def started(count: int, folder: Path, about: Settings) -> list[subprocess.Popen[str]]:
    """As a launcher starts them."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    about_json = msgspec.json.encode(about).decode()
    return [
        subprocess.Popen(
            [sys.executable, "-c", _SCRIPT, str(folder), about_json],
            env={
                **os.environ,
                "MASTER_ADDR": "127.0.0.1",
                "MASTER_PORT": str(port),
                "WORLD_SIZE": str(count),
                "LOCAL_WORLD_SIZE": str(count),
                "RANK": str(rank),
                "LOCAL_RANK": str(rank),
                "OMP_NUM_THREADS": "1",
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(count)
    ]


def ended(running: list[subprocess.Popen[str]]) -> list[tuple[int, int, bool]]:
    """Batches computed, updates done, whether it has the model: of each process."""
    found: list[tuple[int, int, bool]] = []
    for one in running:
        said, errors = one.communicate(timeout=100)
        assert (one.returncode, errors) == (0, ""), errors
        computed, updates, model = said.split()
        found.append((int(computed), int(updates), model == "True"))
    return found


def losses(folder: Path, name: str = "loss") -> dict[int, float]:
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    told = [line["step"] for line in lines if name in line]
    assert len(told) == len(set(told)), "each line is written once"
    return {line["step"]: line[name] for line in lines if name in line}


@given(st.lists(st.lists(st.integers(), min_size=1, max_size=5), max_size=9), st.integers(1, 4))
def test_the_shares_of_all_processes_are_the_whole_once(
    batches: list[list[int]], count: int
) -> None:
    every = [Processes(torch.device("cpu"), rank, count) for rank in range(count)]
    whole = sorted(piece for one in every for piece in one.share(batches))
    assert whole == list(enumerate(batches))
    cut = [piece for one in every for piece in one.share(batches, cut=True)]
    assert len({number for number, _ in cut}) == len(cut)
    assert sorted(token for _, piece in cut for token in piece) == sorted(itertools.chain(*batches))
    assert all(piece for _, piece in cut)


@pytest.mark.parametrize(
    ("accumulate", "dropout"), [(2, 0.2), (1, 0.0)], ids=["whole batches", "pieces of one"]
)
def test_two_processes_have_the_losses_of_one_and_one_goes_on_with_their_run(
    data: list[str], tmp_path: Path, accumulate: int, dropout: float
) -> None:
    about = settings(data, accumulate=accumulate, dropout=dropout)
    alone, shared = tmp_path / "alone", tmp_path / "shared"
    running = started(2, shared, msgspec.structs.replace(about, updates=8))
    translation.train(about, alone)
    first, second = ended(running)
    assert (first[1:], second[1:]) == ((8, True), (8, False))
    # Of an update both took a part.
    assert first[0] == 8 and 6 <= second[0] <= 8
    assert (shared / "model" / "model.bin").exists()
    finished = translation.train(settings_of(shared, updates=12), shared, resume=True)
    assert finished.update == 12 and finished.model is not None
    for name in ("loss", "valid_loss"):
        wanted, found = losses(alone, name), losses(shared, name)
        assert found == pytest.approx(wanted, abs=2e-5) and len(found) == {"loss": 12}.get(name, 3)


def test_where_one_process_dies_the_other_ends_with_one_line(
    data: list[str], tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    running = started(2, folder, settings(data, updates=100_000))
    log = folder / "log.jsonl"
    deadline = time.monotonic() + 60
    while not (log.exists() and '"step": 6,' in log.read_text()):
        assert time.monotonic() < deadline and running[0].poll() is None
        time.sleep(0.01)
    running[1].kill()
    _, errors = running[0].communicate(timeout=60)
    running[1].communicate(timeout=60)
    assert running[0].returncode == 1
    assert "Another process of this run has ended. Go on" in errors
    assert (folder / "checkpoints" / "step-00000004").exists()
    # And where the first refuses to begin, the other says nothing.
    again = started(2, folder, settings(data, updates=100_000))
    said = [one.communicate(timeout=60)[1] for one in again]
    assert "holds a run already" in said[0] and said[1] == ""
    assert [one.returncode for one in again] == [1, 1]


def test_a_stopped_launcher_leaves_a_checkpoint_and_no_process(
    data: list[str], tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    options = [
        *("--valid", data[0], "--valid", data[1], "--tokens", "space", "--vocabulary", "0"),
        *("--d-model", "16", "--nhead", "2", "--encoder-layers", "1", "--decoder-layers", "1"),
        *("--feed-forward", "32", "--batch-tokens", "60", "--accumulate", "2", "--threads", "1"),
        *("--log-every", "1", "--save-every", "100000", "--device", "cpu", "--max-tokens", "32"),
    ]
    launcher = subprocess.Popen(
        [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2",
         "-m", "ogam", "train", "transformer", *data, *options, "--out", str(folder)],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )  # fmt: skip
    log = folder / "log.jsonl"
    deadline = time.monotonic() + 90
    while not (log.exists() and '"step": 5,' in log.read_text()):
        assert time.monotonic() < deadline and launcher.poll() is None
        time.sleep(0.01)
    workers = psutil.Process(launcher.pid).children()
    assert len(workers) == 2
    launcher.send_signal(signal.SIGINT)
    _, errors = launcher.communicate(timeout=60)
    assert psutil.wait_procs(workers, timeout=30)[1] == []
    assert errors.count("ogam: stopped and saved after update") == 1
    (kept,) = (folder / "checkpoints").iterdir()
    assert json.loads((kept / "state.json").read_bytes())["step"] >= 5


def test_what_cannot_be_shared_is_refused_in_one_line(
    data: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("WORLD_SIZE", "2"), ("LOCAL_RANK", "0"), ("RANK", "0")):
        monkeypatch.setenv(name, value)
    with pytest.raises(InvalidRequestError, match="2 processes cannot share cuda:1"):
        processes.joined("cuda:1")
    out = tmp_path / "run"
    with pytest.raises(InvalidRequestError, match="one process, and 2 were started"):
        language_model.train(out, language_model.Settings(files=(data[0],)))
    with pytest.raises(InvalidRequestError, match="one process, and 2 were started"):
        classifier.train(classifier.Source(Path(data[0])), tmp_path, out)
    assert not out.exists()

"""A run's folder: whole checkpoints or none, the log across crashes, settings that must match."""

import json
import os
import signal
import threading
from pathlib import Path

import pytest

pytest.importorskip("torch")

import torch

from ogam.errors import ConfigurationError, InvalidRequestError, OutputError
from ogam.training import runs
from ogam.training.runs import Run

SETTINGS = {"seed": 1, "rate": 0.1, "place": Path("x")}


@pytest.fixture
def run(tmp_path):
    return Run(tmp_path / "run", SETTINGS, resume=False)


def save(run, step):
    run.save(step, {"weights": torch.full((2, 2), float(step))}, {"loss": step / 10})


def test_settings_and_versions_are_on_disk_from_the_start(run):
    told = json.loads((run.folder / "settings.json").read_text())
    assert told["settings"] == {"seed": 1, "rate": 0.1, "place": "x"}
    assert told["versions"]["torch"] == torch.__version__


def test_a_checkpoint_comes_back_and_the_newest_three_are_kept(run):
    assert run.load_last() is None and run.load_best() is None
    for step in (10, 20, 30, 40):
        save(run, step)
    assert [one.name for one in run.checkpoints()] == [
        "step-00000020",
        "step-00000030",
        "step-00000040",
    ]
    tensors, state = run.load_last()
    assert torch.equal(tensors["weights"], torch.full((2, 2), 40.0))
    assert state["step"] == 40 and state["loss"] == 4.0


def test_the_best_takes_the_place_of_the_last_best(run):
    for step in (1, 2):
        run.save_best(step, {"w": torch.tensor([float(step)])}, {})
    tensors, state = run.load_best()
    assert tensors["w"].item() == 2.0 and state["step"] == 2


def test_a_checkpoint_that_fails_leaves_the_one_before(run, monkeypatch):
    save(run, 1)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputError, match="No space left"):
        save(run, 2)
    assert [one.name for one in run.checkpoints()] == ["step-00000001"]
    assert [one.name for one in (run.folder / "checkpoints").iterdir()] == ["step-00000001"]


def test_a_damaged_checkpoint_is_named_in_one_line(run):
    save(run, 1)
    (run.checkpoints()[0] / "state.safetensors").write_bytes(b"\x00" * 20)
    with pytest.raises(ConfigurationError, match="step-00000001 is damaged") as caught:
        run.load_last()
    assert "\n" not in str(caught.value)


def test_a_folder_with_a_run_is_resumed_only_when_asked_and_only_with_its_settings(run):
    with pytest.raises(InvalidRequestError, match="--resume"):
        Run(run.folder, SETTINGS, resume=False)
    Run(run.folder, SETTINGS, resume=True)
    with pytest.raises(InvalidRequestError, match=r"rate=0\.1, not 0\.2") as caught:
        Run(run.folder, {**SETTINGS, "rate": 0.2}, resume=True)
    assert caught.value.param == "rate"


def test_a_folder_with_other_things_in_it_is_left_alone(tmp_path):
    (tmp_path / "letter.txt").write_text("dear")
    with pytest.raises(InvalidRequestError, match="holds no run"):
        Run(tmp_path, SETTINGS, resume=False)
    assert [one.name for one in tmp_path.iterdir()] == ["letter.txt"]


def test_steps_that_were_done_twice_count_once(run):
    for step in (1, 2, 3):
        run.log(step=step, loss=float(step))
        run.log(step=step, valid_loss=step + 0.5)
    again = Run(run.folder, SETTINGS, resume=True)
    again.log(step=2, loss=20.0)
    with (run.folder / "log.jsonl").open("a") as file:
        file.write('{"step": 3, "lo')
    told = [(one["step"], one.get("loss"), one.get("valid_loss")) for one in again.history()]
    assert told == [(1, 1.0, None), (1, None, 1.5), (2, 20.0, None)]


def test_time_goes_on_where_the_last_checkpoint_left_it(run):
    save(run, 1)
    path = run.checkpoints()[0] / "state.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "seconds": 1000.0}))
    again = Run(run.folder, SETTINGS, resume=True)
    again.load_last()
    assert 1000 <= again.seconds < 1100


def test_the_loss_curve_is_a_picture(run):
    for step in range(1, 5):
        run.log(step=step, loss=1 / step, valid_loss=2 / step)
    run.draw_loss()
    assert (run.folder / "loss.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_asks_and_the_handlers_come_back(run, number):
    before = signal.getsignal(number)
    with run.stoppable():
        assert not run.stop_asked
        os.kill(os.getpid(), number)
        assert run.stop_asked
    assert signal.getsignal(number) is before


@pytest.mark.parametrize("handler", [signal.default_int_handler, signal.SIG_IGN])
def test_a_second_ctrl_c_ends_at_once(run, handler):
    before = signal.signal(signal.SIGINT, handler)
    try:
        with pytest.raises(KeyboardInterrupt), run.stoppable():
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGINT)
        assert signal.getsignal(signal.SIGINT) is handler
    finally:
        signal.signal(signal.SIGINT, before)


def test_in_a_thread_nothing_is_caught_and_nothing_breaks(run):
    asked = []

    def work():
        with run.stoppable():
            asked.append(run.stop_asked)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert asked == [False]


def test_nothing_in_a_checkpoint_is_a_pickle(run):
    save(run, 1)
    assert sorted(one.name for one in run.checkpoints()[0].iterdir()) == [
        "state.json",
        "state.safetensors",
    ]
    tensors, _ = runs.load_checkpoint(run.checkpoints()[0])
    assert set(tensors) == {"weights"}

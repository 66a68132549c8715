"""Layers taken over, weights inherited, what it costs to differ, and the report."""

import itertools
import json
import math
import os

import pytest

torch = pytest.importorskip("torch")

from hypothesis import given  # noqa: E402
from hypothesis import strategies as st  # noqa: E402

from ogam.errors import InvalidRequestError  # noqa: E402
from ogam.training import distil, distil_report  # noqa: E402
from ogam.training.distil_report import Quality, Report, Side  # noqa: E402


@pytest.mark.parametrize(
    ("teacher", "student", "layers"),
    [(6, 2, [2, 5]), (12, 4, [2, 5, 8, 11]), (6, 6, [0, 1, 2, 3, 4, 5]), (6, 1, [5])],
)
def test_every_kth_layer_is_taken_and_the_last_among_them(teacher, student, layers):
    assert distil.taken(teacher, student) == layers


@given(st.integers(1, 60), st.data())
def test_no_layer_is_taken_twice_and_their_order_stays(teacher, data):
    layers = distil.taken(teacher, data.draw(st.integers(1, teacher)))
    assert layers == sorted(set(layers)) and layers[-1] == teacher - 1 and layers[0] >= 0


def test_a_student_deeper_than_its_teacher_is_refused():
    for count in (0, 7):
        with pytest.raises(InvalidRequestError, match="its teacher has 6"):
            distil.taken(6, count)


def test_weights_are_inherited_by_layer_and_cut_to_a_narrower_width():
    teacher = {
        "encoder.layers.0.w": torch.zeros(4, 4),
        "encoder.layers.1.w": torch.arange(16.0).view(4, 4),
        "decoder.layers.0.w": torch.full((4, 4), 7.0),
        "table.weight": torch.full((9, 4), 2.0),
        "layer_norm.weight": torch.full((2,), 3.0),
    }
    student = {
        "encoder.layers.0.w": torch.ones(2, 2),
        "decoder.layers.0.w": torch.ones(2, 2),
        "table.weight": torch.ones(9, 2),
        "layer_norm.weight": torch.ones(4),
        "own.weight": torch.ones(3),
    }
    found = distil.inherited(student, teacher, {"encoder": [1], "decoder": [0]})
    assert found["encoder.layers.0.w"].tolist() == [[0, 1], [4, 5]]
    assert found["decoder.layers.0.w"].eq(7).all() and found["table.weight"].eq(2).all()
    # Wider than the teacher's, and unknown to it: as they were.
    assert found["layer_norm.weight"].eq(1).all() and found["own.weight"].eq(1).all()


def test_soft_targets_cost_nothing_where_both_agree_and_the_divergence_elsewhere():
    teacher = torch.tensor([[2.0, 0.0], [0.0, 0.0]])
    assert distil.soft_cost(teacher + 5, teacher, 3.0).abs().max() < 1e-6
    even = torch.zeros(2, 2)
    high = 1 / (1 + math.exp(-1.0))  # of 2/2 against 0/2
    wanted = 4 * (high * math.log(2 * high) + (1 - high) * math.log(2 * (1 - high)))
    assert distil.soft_cost(even, teacher, 2.0).tolist() == pytest.approx([wanted, 0], abs=1e-6)


def test_hidden_states_are_held_to_the_layers_taken_and_padding_counts_nothing():
    teacher = [torch.full((1, 2, 3), float(one)) for one in range(7)]
    student = [torch.zeros(1, 2, 3), torch.full((1, 2, 3), 3.0), torch.full((1, 2, 3), 6.0)]
    assert distil.states_cost(student, teacher, [2, 5]).item() == 0
    student[2][0, 1] = 100.0
    mask = torch.tensor([[1, 0]])
    assert distil.states_cost(student, teacher, [2, 5], mask).item() == 0
    assert distil.states_cost(student, teacher, [2, 5]).item() > 0


def report():
    return Report(
        kind="classifier",
        unit="texts",
        judged="10 texts",
        teacher=Side(parameters=100, bytes=1000, speed=10.0),
        student=Side(parameters=25, bytes=400, speed=32.0),
        quality=(
            Quality(name="accuracy", teacher=0.9, student=0.81),
            Quality(name="bits a byte", teacher=1.0, student=1.25, lower=True),
        ),
        batch=10,
    )


def test_the_report_tells_size_speed_and_the_share_of_quality_kept(tmp_path):
    distil_report.write(tmp_path, report())
    told = json.loads((tmp_path / "report.json").read_bytes())
    assert told["faster"] == 3.2 and told["teacher"]["parameters"] == 100
    assert [round(one["kept"], 3) for one in told["quality"]] == [0.9, 0.8]
    table = (tmp_path / "report.md").read_text()
    assert "| texts a second | 10.0 | 32.0 | 3.20 x |" in table
    assert "| accuracy | 0.9000 | 0.8100 | 90.0% kept |" in table
    assert (tmp_path / "report.png").read_bytes().startswith(b"\x89PNG")


def test_rounds_take_turns_and_the_first_of_each_does_not_count(monkeypatch):
    order: list[str] = []

    def work(name):
        def run():
            order.append(name)
            return 90 if order.count(name) == 1 else 5

        return run

    ticks = itertools.count()
    monkeypatch.setattr(distil_report.time, "perf_counter", lambda: float(next(ticks)))
    assert distil_report.speeds([work("a"), work("b")], rounds=2) == [5.0, 5.0]
    assert order == ["a", "b"] * 3


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no such thing here")
def test_one_core_is_given_back():
    before = os.sched_getaffinity(0)
    with distil_report.one_core():
        assert len(os.sched_getaffinity(0)) == 1
    assert os.sched_getaffinity(0) == before

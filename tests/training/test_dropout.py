"""Dropout by 16 bits an element: as torch's own but for the numbers it draws."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from ogam.training import _dropout  # noqa: E402
from ogam.training._dropout import Dropout  # noqa: E402
from ogam.training.transformer import Shape, Transformer  # noqa: E402


@pytest.mark.parametrize("p", [0.1, 0.3, 0.5, 0.999])
def test_it_drops_that_share_and_keeps_the_mean(p: float) -> None:
    torch.manual_seed(1)
    given = torch.ones(999, 1003)
    made = Dropout(p)(given)
    # Five standard deviations of a million draws; the share itself is exact to 1 / 131,072.
    away = 5 * (p * (1 - p) / given.numel()) ** 0.5 + 1 / (1 << 17)
    assert abs((made == 0).float().mean().item() - p) < away
    kept = made[made != 0]
    assert torch.equal(kept, torch.full_like(kept, kept[0].item()))
    assert kept[0].item() == pytest.approx(1 / (1 - p), rel=0.01)
    assert made.mean().item() == pytest.approx(1, abs=5 * (p / (1 - p) / given.numel()) ** 0.5)


def test_elements_and_calls_are_drawn_apart_and_a_seed_draws_the_same() -> None:
    drop = Dropout(0.5)
    torch.manual_seed(1)
    one, two = drop(torch.ones(64, 4096)) != 0, drop(torch.ones(64, 4096)) != 0
    torch.manual_seed(1)
    assert torch.equal(drop(torch.ones(64, 4096)) != 0, one)
    # Of independent halves, a half agrees: next to each other, four apart, and in the next call.
    for left, right in ((one[:, 1:], one[:, :-1]), (one[:, 4:], one[:, :-4]), (one, two)):
        assert abs((left == right).float().mean().item() - 0.5) < 0.006


@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16])
def test_what_is_dropped_learns_nothing_and_the_kind_of_number_stays(kind: torch.dtype) -> None:
    given = torch.randn(7, 13, dtype=kind, requires_grad=True)
    made = Dropout(0.3)(given)
    made.sum().backward()
    assert made.dtype == kind
    assert given.grad is not None
    assert torch.equal(given.grad != 0, made != 0)


@pytest.mark.parametrize("shape", [(0,), (1,), (2, 3), (5, 1, 1)])
def test_any_shape(shape: tuple[int, ...]) -> None:
    assert Dropout(0.3)(torch.ones(shape)).shape == shape


def test_evaluation_zero_and_one_are_torchs_own() -> None:
    given = torch.randn(3, 4)
    assert torch.equal(Dropout(0.3).eval()(given), given)
    assert torch.equal(Dropout(0.0)(given), given)
    assert torch.equal(Dropout(1.0)(given), torch.zeros(3, 4))
    # Nearer to them than 16 bits can be.
    assert Dropout(1e-9)(given).shape == Dropout(1 - 1e-9)(given).shape == given.shape


def test_every_dropout_of_a_transformer_is_this_one() -> None:
    model = Transformer(Shape(vocabulary=9, d_model=8, nhead=2, activation_dropout=0.05))
    found = [one for one in model.modules() if isinstance(one, torch.nn.Dropout)]
    assert found
    assert all(type(one) is Dropout for one in found)
    assert {one.p for one in found} == {0.1, 0.05}
    _dropout.replace(model)
    assert found == [one for one in model.modules() if isinstance(one, torch.nn.Dropout)]

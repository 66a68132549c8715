"""Graphs whose products are of 8 bits: near float32, the same in any company, on any processor."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

from onnx import TensorProto, helper, numpy_helper  # noqa: E402

from ogam.models import onnx_int8  # noqa: E402


def graph(path: Path, nodes: list[Any], inside: int, outside: int, **tables: np.ndarray) -> Path:
    """x (rows, ``inside``) to y (rows, ``outside``)."""
    sides = [
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["rows", width])]
        for name, width in (("x", inside), ("y", outside))
    ]
    kept = [numpy_helper.from_array(one, name) for name, one in tables.items()]
    whole = helper.make_model(
        helper.make_graph(nodes, "graph", *sides, initializer=kept),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=8,
    )
    onnx.checker.check_model(whole)
    onnx.save(whole, str(path))
    return path


def product(path: Path, weights: np.ndarray) -> Path:
    node = helper.make_node("MatMul", ["x", "w"], ["y"])
    return graph(path, [node], *weights.shape, w=weights)


def answers(path: Path, x: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return session.run(None, {"x": x.astype(np.float32)})[0]


def kinds(path: Path) -> list[str]:
    return [node.op_type for node in onnx.load(str(path)).graph.node]


def normal(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


@pytest.mark.parametrize("seed", range(5))
def test_a_product_is_off_by_half_a_step_of_each_factor_at_most(seed, tmp_path):
    weights, x = normal(seed, 96, 40) ** 3, normal(seed + 100, 30, 96) ** 3
    onnx_int8.quantise(product(tmp_path / "plain.onnx", weights), tmp_path / "int8.onnx")
    found = answers(tmp_path / "int8.onnx", x)
    column = np.abs(weights).max(0, keepdims=True) / 127 / 2
    row = np.abs(x).max(1, keepdims=True) / 63 / 2
    sizes = np.abs(x).sum(1, keepdims=True), np.abs(weights).sum(0, keepdims=True)
    most = sizes[0] * column + sizes[1] * row + 96 * row * column
    assert (np.abs(found - x @ weights) <= most * 1.001).all()
    assert np.abs(found - x @ weights).max() > 0  # it did compute in steps


def test_a_row_gets_the_same_in_any_company(tmp_path):
    weights, x = normal(1, 384, 64), normal(2, 33, 384)
    x[7] *= 1000  # one loud neighbour
    onnx_int8.quantise(product(tmp_path / "plain.onnx", weights), tmp_path / "int8.onnx")
    together = answers(tmp_path / "int8.onnx", x)
    for place, row in enumerate(x):
        assert np.array_equal(answers(tmp_path / "int8.onnx", row[None])[0], together[place])


@pytest.mark.parametrize("sign", [1, -1])
def test_no_sum_overflows_on_processors_that_add_in_16_bits(sign, tmp_path):
    weights = np.full((512, 16), sign, np.float32)
    onnx_int8.quantise(product(tmp_path / "plain.onnx", weights), tmp_path / "int8.onnx")
    found = answers(tmp_path / "int8.onnx", np.stack([np.ones(512), -np.ones(512)]))
    assert found == pytest.approx(np.outer([512 * sign, -512 * sign], np.ones(16)), rel=1e-5)


def test_nothing_stays_nothing(tmp_path):
    weights = normal(3, 8, 4)
    weights[:, 2] = 0
    onnx_int8.quantise(product(tmp_path / "plain.onnx", weights), tmp_path / "int8.onnx")
    assert (answers(tmp_path / "int8.onnx", normal(4, 5, 8))[:, 2] == 0).all()
    assert (answers(tmp_path / "int8.onnx", np.zeros((2, 8))) == 0).all()


def test_a_layer_with_a_bias_as_torch_writes_it(tmp_path):
    weights, bias, x = normal(5, 24, 48), normal(6, 24), normal(7, 9, 48)
    node = helper.make_node("Gemm", ["x", "w", "b"], ["y"], transB=1)
    plain = graph(tmp_path / "plain.onnx", [node], 48, 24, w=weights, b=bias)
    onnx_int8.quantise(plain, tmp_path / "int8.onnx")
    assert "Gemm" not in kinds(tmp_path / "int8.onnx")
    assert answers(tmp_path / "int8.onnx", x) == pytest.approx(x @ weights.T + bias, abs=0.5)


def test_a_table_read_both_ways_and_an_input_read_twice(tmp_path):
    weights, x = normal(8, 32, 32), normal(9, 6, 32)
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["one"]),
        helper.make_node("MatMul", ["x", "w"], ["again"]),
        helper.make_node("Gemm", ["x", "w"], ["third"]),
        helper.make_node("Gemm", ["x", "w"], ["turned"], transB=1),
        helper.make_node("Sum", ["one", "again", "third", "turned"], ["y"]),
    ]
    onnx_int8.quantise(graph(tmp_path / "plain.onnx", nodes, 32, 32, w=weights), tmp_path / "i8")
    assert kinds(tmp_path / "i8").count("QuantizeLinear") == 1
    kept = [one.name for one in onnx.load(str(tmp_path / "i8")).graph.initializer]
    assert "w" not in kept
    assert len(kept) == len(set(kept))
    right = 3 * x @ weights + x @ weights.T
    assert answers(tmp_path / "i8", x) == pytest.approx(
        right, abs=0.05 * float(np.abs(right).max())
    )


def test_what_is_no_product_with_a_matrix_stays_as_it_is(tmp_path):
    weights, x = normal(10, 16, 16), normal(11, 4, 16)
    nodes = [
        helper.make_node("Gemm", ["x", "w"], ["half"], alpha=0.5),
        helper.make_node("Transpose", ["half"], ["turned"], perm=[1, 0]),
        helper.make_node("MatMul", ["half", "turned"], ["square"]),
        helper.make_node("MatMul", ["square", "half"], ["y"]),
    ]
    plain = graph(tmp_path / "plain.onnx", nodes, 16, 16, w=weights)
    onnx_int8.quantise(plain, tmp_path / "int8.onnx")
    assert kinds(tmp_path / "int8.onnx") == kinds(plain)
    assert np.array_equal(answers(tmp_path / "int8.onnx", x), answers(plain, x))


def test_the_bytes_are_the_same_each_time_and_a_quarter(tmp_path):
    plain = product(tmp_path / "plain.onnx", normal(12, 384, 384))
    for name in ("one", "two"):
        onnx_int8.quantise(plain, tmp_path / name)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    assert (tmp_path / "one").stat().st_size < 0.27 * plain.stat().st_size
    assert {one.name for one in tmp_path.iterdir()} == {"plain.onnx", "one", "two"}

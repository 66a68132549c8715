"""An ONNX graph written again with integer products of 8 bits, for processors without a GPU.

Weights have 8 bits and one scale a column, activations 7 bits and one scale a row, found while
the graph runs. So what a text gets does not hang on the texts beside it in a batch, as it does with
one scale for all of them (ONNX Runtime's own dynamic quantization: a classifier's logits moved by
up to 0.9 with their company, and were off by 0.146 where these are by 0.071, root mean square).
Seven bits, because AVX2 adds two products in 16: 2 x 127 x 127 fits, 2 x 255 x 127 does not, and
a model would answer otherwise on an older processor. Knows no model.
"""

# onnx and onnxruntime leave many of their types open.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false
from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ogam.extras import needs

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_LARGEST = 127
_STEPS, _ZERO = 63, 64


def quantise(plain: Path, out: Path) -> None:
    """Write the float32 graph ``plain`` to ``out`` with weights of 8 bits.

    That is every matrix product (MatMul, Gemm) with a constant matrix, and every table that is
    read by rows (Gather), which has one scale for all. All else stays as it is. The same bytes
    each time.
    """
    with needs("train"):
        import onnx
        from onnxruntime.quantization import QuantType, quantize_dynamic
    graph: Any = onnx.load(str(plain))
    _Products(graph.graph).replace()
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=".int8.") as scratch:
        between = Path(scratch, "products.onnx")
        onnx.save(graph, str(between))
        quantize_dynamic(between, out, op_types_to_quantize=["Gather"], weight_type=QuantType.QInt8)


class _Products:
    """The products of a graph, one after the other."""

    def __init__(self, graph: Any) -> None:
        from onnx import numpy_helper

        self._graph = graph
        self._tables: dict[str, NDArray[Any]] = {
            one.name: numpy_helper.to_array(one) for one in graph.initializer
        }
        self._made: list[Any] = []
        # A weight or an activation that several products read is written once.
        self._known: set[str] = set()
        # Matrices that were replaced, and what other nodes read as it is.
        self._replaced: set[str] = set()
        self._read: set[str] = set()

    def replace(self) -> None:
        """Write the graph's nodes again, and drop the matrices that nothing reads any more."""
        for node in list(self._graph.node):
            matrix = self._matrix(node)
            if matrix is None:
                self._made.append(node)
                self._read.update(node.input)
            else:
                self._product(node, matrix)
        dropped = self._replaced - self._read
        kept = [one for one in self._graph.initializer if one.name not in dropped]
        del self._graph.node[:], self._graph.initializer[:]
        self._graph.node.extend(self._made)
        self._graph.initializer.extend(kept)

    def _matrix(self, node: Any) -> NDArray[np.float32] | None:
        """The constant matrix (inputs, outputs) of a product, where it is one."""
        if node.op_type not in ("MatMul", "Gemm"):
            return None
        table = self._tables.get(node.input[1])
        if table is None or table.ndim != 2 or table.dtype != "float32":
            return None
        told = {
            one.name: one.f if one.name in ("alpha", "beta") else one.i for one in node.attribute
        }
        if told.get("transA") or told.get("alpha", 1.0) != 1.0 or told.get("beta", 1.0) != 1.0:
            return None
        return table.T if told.get("transB") else table

    def _product(self, node: Any, matrix: NDArray[np.float32]) -> None:
        import numpy as np
        from onnx import TensorProto

        rows, scale = self._rows(node.input[0])
        self._replaced.add(node.input[1])
        # By the name and its direction: the same table may be read both ways.
        turned = any(one.name == "transB" and one.i for one in node.attribute)
        name = f"{node.input[1]}/int8" + ("/T" if turned else "")
        if name not in self._known:
            largest = np.abs(matrix).max(axis=0)
            column = np.where(largest > 0, largest, 1) / np.float32(_LARGEST)
            self._constant(name, np.rint(matrix / column).astype(np.int8))
            self._constant(f"{name}/scale", column.astype(np.float32))
        zero = self._constant("int8/zero", np.uint8(_ZERO))
        out = node.output[0]
        bias = node.input[2] if len(node.input) > 2 else ""
        self._node("MatMulInteger", [rows, name, zero], f"{out}/whole")
        self._node("Cast", [f"{out}/whole"], f"{out}/float", to=TensorProto.FLOAT)
        self._node("Mul", [f"{out}/float", scale], f"{out}/row")
        self._node("Mul", [f"{out}/row", f"{name}/scale"], f"{out}/product" if bias else out)
        if bias:
            self._node("Add", [f"{out}/product", bias], out)

    def _rows(self, name: str) -> tuple[str, str]:
        """An activation in steps of its rows' scales, and these scales."""
        import numpy as np

        rows, scale = f"{name}/rows", f"{name}/rows/scale"
        if rows not in self._known:
            self._known.add(rows)
            self._node("Abs", [name], f"{rows}/size")
            self._node("ReduceMax", [f"{rows}/size"], f"{rows}/largest", axes=[-1], keepdims=1)
            least = self._constant("int8/least", np.float32(1e-30))
            self._node("Max", [f"{rows}/largest", least], f"{rows}/divisor")
            steps = self._constant("int8/steps", np.float32(_STEPS))
            self._node("Div", [f"{rows}/divisor", steps], scale)
            self._node("Div", [steps, f"{rows}/divisor"], f"{rows}/stretch")
            self._node("Mul", [name, f"{rows}/stretch"], f"{rows}/steps")
            one = self._constant("int8/one", np.float32(1))
            zero = self._constant("int8/zero", np.uint8(_ZERO))
            self._node("QuantizeLinear", [f"{rows}/steps", one, zero], rows)
        return rows, scale

    def _constant(self, name: str, value: Any) -> str:
        import numpy as np
        from onnx import numpy_helper

        if name not in self._known:
            self._known.add(name)
            self._graph.initializer.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def _node(self, kind: str, inputs: list[str], output: str, **attributes: Any) -> None:
        from onnx import helper

        self._made.append(helper.make_node(kind, inputs, [output], **attributes))

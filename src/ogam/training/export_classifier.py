"""A fine-tuned classifier as a folder that the engine ``onnx_classifier`` serves.

    model/
      model.json        the manifest: labels, max_tokens, scores, files and their hashes
      model.onnx        input_ids, attention_mask (and token_type_ids where the model was told
                        two texts apart), each (batch, tokens), to logits (batch, labels)
      tokenizer.json

Weights are 8-bit, the embedding's too, so that 22.7 million of them take 23 MB. Knows no
training.
"""

# torch, onnx and onnxruntime leave many of their types open.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false
from __future__ import annotations

import contextlib
import hashlib
import logging
import shutil
import tempfile
import warnings
from collections.abc import Generator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from ogam.errors import ConfigurationError, OutputError
from ogam.extras import needs
from ogam.media import files
from ogam.models import onnx_int8
from ogam.models.store import MANIFEST, Manifest
from ogam.training import _batches, _scores
from ogam.training._scores import Scores

if TYPE_CHECKING:
    from torch import Tensor

ENGINE = "onnx_classifier"
GRAPH = "model.onnx"
TOKENIZER = "tokenizer.json"
_PLAIN = "float.onnx"


class ClassifierManifest(Manifest, frozen=True, kw_only=True):
    """What ``onnx_classifier`` reads beside a manifest's own fields.

    ``labels`` in the order of the logits, ``max_tokens`` after how many a text is cut,
    ``padding`` the id that fills up a batch, ``multi_label`` whether each label was trained
    for itself, ``pairs`` whether it reads two texts. ``head`` (the class that was trained)
    and ``scores`` (on the validation examples, from 0 to 1) tell how the model came to be.
    """

    labels: tuple[str, ...]
    max_tokens: int
    graph: str = GRAPH
    padding: int = 0
    multi_label: bool = False
    pairs: bool = False
    head: str = ""
    scores: dict[str, float] = msgspec.field(default_factory=dict[str, float])


class Compared(msgspec.Struct, frozen=True, kw_only=True):
    """The exported model in 8 bits, and the same graph in float32, on the same examples."""

    digits: Scores
    plain: Scores


def export(
    network: Any,
    tokenizer: Any,
    labels: Sequence[str],
    examples: Sequence[_batches.Tokens],
    folder: Path,
    *,
    types: bool,
    pairs: bool = False,
    about: Mapping[str, Any] | None = None,
) -> Compared:
    """Write ``folder`` and measure it on ``examples``.

    ``network`` is a model of transformers with a head for sequence classification, in the
    order of ``labels``; ``tokenizer`` a tokenizers.Tokenizer that cuts at what the model can
    read. ``about`` may set ``name``, ``licence``, ``source`` and ``summary``. Raises
    OutputError where the folder cannot be written.
    """
    with needs("train"):
        import onnx  # noqa: F401  # pyright: ignore[reportUnusedImport]
        import onnxruntime  # noqa: F401  # pyright: ignore[reportUnusedImport]
    padding = network.config.pad_token_id or 0
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".model.") as scratch:
            plain, digits = Path(scratch, _PLAIN), Path(scratch, GRAPH)
            write(Path(scratch), network, tokenizer, types=types)
            compared = Compared(
                digits=measure(digits, examples, labels, padding),
                plain=measure(plain, examples, labels, padding),
            )
            plain.unlink()
            told: dict[str, Any] = {"licence": "unknown", "source": "", **(about or {})}
            manifest = ClassifierManifest(
                name=told.pop("name", folder.parent.name),
                engine=ENGINE,
                capabilities=("classify",),
                files={name: _sha256(Path(scratch, name)) for name in (GRAPH, TOKENIZER)},
                labels=tuple(labels),
                max_tokens=tokenizer.truncation["max_length"],
                padding=padding,
                pairs=pairs,
                head=type(network).__name__,
                scores={
                    "accuracy": round(compared.digits.accuracy, 5),
                    "macro_f1": round(compared.digits.macro_f1, 5),
                    "accuracy_float32": round(compared.plain.accuracy, 5),
                },
                **told,
            )
            folder.mkdir(exist_ok=True)
            for name in (GRAPH, TOKENIZER):
                shutil.move(Path(scratch, name), folder / name)
            # Last: a folder without it is no model yet.
            files.write(
                folder / MANIFEST, msgspec.json.format(msgspec.json.encode(manifest)) + b"\n"
            )
    except OSError as error:
        raise OutputError(
            f"The model cannot be written to {folder}: {error.strerror or error}.",
            hint="Free some space, then go on with --resume.",
        ) from None
    return compared


def judged(
    network: Any,
    examples: Sequence[_batches.Tokens],
    labels: Sequence[str],
    *,
    types: bool,
    beside: Path,
) -> Scores:
    """How good the network would be in 8 bits. Its graphs lie in ``beside`` meanwhile."""
    with tempfile.TemporaryDirectory(dir=beside, prefix=".judged.") as scratch:
        plain, digits = Path(scratch, _PLAIN), Path(scratch, GRAPH)
        write_graph(network, plain, types=types)
        with _quiet():
            onnx_int8.quantise(plain, digits)
        return measure(digits, examples, labels, network.config.pad_token_id or 0)


def write(folder: Path, network: Any, tokenizer: Any, *, types: bool) -> None:
    """The graphs in 8 bits and in float32, and the tokenizer, into a folder that exists.

    The same bytes each time.
    """
    write_graph(network, folder / _PLAIN, types=types)
    with _quiet():
        onnx_int8.quantise(folder / _PLAIN, folder / GRAPH)
    tokenizer.save(str(folder / TOKENIZER), pretty=False)


def write_graph(network: Any, path: Path, *, types: bool) -> None:
    """Write the network as an ONNX graph in float32."""
    import torch

    class Logits(torch.nn.Module):
        """The network with its inputs by place and the logits alone."""

        def __init__(self) -> None:
            super().__init__()
            self.network = network

        def forward(self, ids: Tensor, mask: Tensor, kinds: Tensor | None = None) -> Tensor:
            told = {} if kinds is None else {"token_type_ids": kinds}
            return self.network(input_ids=ids, attention_mask=mask, **told).logits

    names = ["input_ids", "attention_mask", "token_type_ids"][: 3 if types else 2]
    example = torch.ones((2, 8), dtype=torch.int64)
    was = network.config._attn_implementation
    training = network.training
    network.eval()
    try:
        with _quiet(), torch.inference_mode():
            # Fused attention chooses its way by the mask's values, which a graph cannot.
            network.set_attn_implementation("eager")
            torch.onnx.export(
                Logits(),
                tuple(
                    torch.zeros_like(example) if n == "token_type_ids" else example for n in names
                ),
                str(path),
                dynamo=False,
                input_names=names,
                output_names=["logits"],
                dynamic_axes={
                    **{name: {0: "batch", 1: "tokens"} for name in names},
                    "logits": {0: "batch"},
                },
                opset_version=17,
            )
    except OSError:
        raise
    except Exception as error:  # the exporter raises errors of many kinds
        raise ConfigurationError(
            f"{type(network).__name__} cannot be written as ONNX: {error}",
            hint="Use an architecture such as BERT, DistilBERT or RoBERTa.",
        ) from error
    finally:
        network.set_attn_implementation(was)
        network.train(training)


def measure(
    graph: Path, examples: Sequence[_batches.Tokens], labels: Sequence[str], padding: int
) -> Scores:
    """How good a graph is, as onnxruntime runs it, in batches of 32 of nearly equal length."""
    import onnxruntime

    options: Any = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session: Any = onnxruntime.InferenceSession(graph, options, ["CPUExecutionProvider"])
    types = "token_type_ids" in {one.name for one in session.get_inputs()}
    right: list[int] = []
    called: list[int] = []
    for group in _batches.by_length([len(one.ids) for one in examples], 32):
        inputs, expected = _batches.tensors([examples[index] for index in group], padding, types)
        logits = session.run(None, {name: one.numpy() for name, one in inputs.items()})[0]
        called += logits.argmax(1).tolist()
        right += expected.tolist()
    return _scores.score(labels, right, called)


@contextlib.contextmanager
def _quiet() -> Generator[None]:
    """Without the warnings of the exporters, which tell of their own future."""
    before = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

"""A trained Transformer as a folder that the engine ``ctranslate2_translator`` serves.

    model/
      model.json              the manifest: languages, tokens, files and their hashes
      model.bin config.json shared_vocabulary.json     CTranslate2's own
      spm.model               the tokenizer, where it is SentencePiece

Knows no training. The weights go to CTranslate2 by name, without a converter of another
framework's files; a test holds the two to the same tokens and scores.
"""

# CTranslate2's specifications are not typed.
# pyright: reportUnknownVariableType=false, reportUnknownMemberType=false
# pyright: reportUnknownArgumentType=false, reportMissingTypeStubs=false
from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import msgspec
from torch import Tensor

from ogam.errors import OutputError
from ogam.extras import needs
from ogam.media import files
from ogam.models.store import MANIFEST, Manifest
from ogam.training.transformer import SPECIALS, Shape, sinusoids

ENGINE = "ctranslate2_translator"
Precision = Literal["int8", "float32"]


class TranslatorManifest(Manifest, frozen=True, kw_only=True):
    """What ``ctranslate2_translator`` reads beside a manifest's own fields.

    ``languages`` are (source, target) pairs; ``target_tokens`` the token that asks for a target
    language, put before the source (empty where the model knows one only); ``tokens`` how text
    becomes tokens; ``max_tokens`` the longest text seen in training.
    """

    languages: tuple[tuple[str, str], ...]
    target_tokens: dict[str, str]
    tokens: Literal["sentencepiece", "space"]
    max_tokens: int


def export(
    folder: Path,
    shape: Shape,
    weights: Mapping[str, Tensor],
    vocabulary: Sequence[str],
    *,
    manifest: Mapping[str, Any],
    tokenizer: Path | None = None,
    precision: Precision = "int8",
) -> None:
    """Write the model's folder, whole or not at all.

    ``weights`` are the ``state_dict`` of :class:`~ogam.training.transformer.Transformer`,
    ``manifest`` the fields of :class:`TranslatorManifest` but for ``engine``, ``capabilities``
    and ``files``. Raises OutputError where the folder cannot be written.
    """
    temporary = folder.with_name(f".{folder.name}.new")
    try:
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
        write(temporary, shape, weights, vocabulary, tokenizer=tokenizer, precision=precision)
        hashes = {path.name: _sha256(path) for path in sorted(temporary.iterdir())}
        fields: dict[str, Any] = {"engine": ENGINE, "capabilities": ("translate",), "files": hashes}
        about = TranslatorManifest(**manifest, **fields)
        encoded = msgspec.json.format(msgspec.json.encode(about), indent=1)
        files.write(temporary / MANIFEST, encoded + b"\n")
        if folder.exists():
            shutil.rmtree(folder)
        temporary.rename(folder)
    except OSError as error:
        shutil.rmtree(temporary, ignore_errors=True)
        raise OutputError(
            f"The model's folder {folder} cannot be written: {error.strerror or error}.",
            hint="Free some space, then go on with --resume.",
        ) from None


def write(
    folder: Path,
    shape: Shape,
    weights: Mapping[str, Tensor],
    vocabulary: Sequence[str],
    *,
    tokenizer: Path | None,
    precision: Precision,
) -> None:
    """All files but the manifest, into a folder that exists; the same bytes each time."""
    save_ctranslate2(folder, shape, weights, vocabulary, precision)
    if tokenizer is not None:
        shutil.copyfile(tokenizer, folder / "spm.model")


def save_ctranslate2(
    folder: Path,
    shape: Shape,
    weights: Mapping[str, Tensor],
    vocabulary: Sequence[str],
    precision: Precision,
) -> None:
    """CTranslate2's own files, into a folder that exists."""
    with needs("train"):
        from ctranslate2.specs import TransformerSpec, common_spec

    activations = {"relu": common_spec.Activation.RELU, "gelu": common_spec.Activation.GELU}
    spec: Any = TransformerSpec.from_config(
        (shape.encoder_layers, shape.decoder_layers),
        shape.nhead,
        # The specification has a norm after the last layer only with pre_norm, nn.Transformer
        # has one always; so it is made with, and which norm it is is said afterwards.
        pre_norm=True,
        activation=activations[shape.activation],
    )
    spec.config.decoder_start_token = spec.config.bos_token = SPECIALS[1]
    spec.config.eos_token, spec.config.unk_token = SPECIALS[2], SPECIALS[3]
    spec.config.add_source_eos = True
    spec.config.add_attribute("layer_norm_epsilon", 1e-5)
    source = _Weights(weights)
    positions = sinusoids(shape.positions, shape.d_model).numpy()
    for side in (spec.encoder, spec.decoder):
        side.pre_norm = shape.pre_norm
        side.scale_embeddings = True
        side.position_encodings.encodings = positions
    table = source["embedding.weight"]
    spec.encoder.embeddings[0].weight = table
    spec.decoder.embeddings.weight = table
    spec.decoder.projection.weight = table
    for name, side in (("encoder", spec.encoder), ("decoder", spec.decoder)):
        source.norm(side.layer_norm, f"transformer.{name}.norm")
        for number, layer in enumerate(side.layer):
            source.layer(layer, f"transformer.{name}.layers.{number}")
    for register in (spec.register_source_vocabulary, spec.register_target_vocabulary):
        register(list(vocabulary))
    spec.validate()
    spec.optimize(quantization=precision if precision == "int8" else None)
    spec.save(os.fspath(folder))


class _Weights:
    """torch's names to CTranslate2's places."""

    def __init__(self, weights: Mapping[str, Tensor]) -> None:
        self._weights = weights

    def __getitem__(self, name: str) -> Any:
        return self._weights[name].detach().float().cpu().numpy()

    def norm(self, spec: Any, name: str) -> None:
        spec.gamma = self[f"{name}.weight"]
        spec.beta = self[f"{name}.bias"]

    def linear(self, spec: Any, name: str) -> None:
        spec.weight = self[f"{name}.weight"]
        spec.bias = self[f"{name}.bias"]

    def layer(self, spec: Any, name: str) -> None:
        """One layer; the last norm belongs to the feed-forward part, and each part has one."""
        self._attention(spec.self_attention, f"{name}.self_attn", own=True)
        self.norm(spec.self_attention.layer_norm, f"{name}.norm1")
        last = "norm2"
        if hasattr(spec, "attention"):
            self._attention(spec.attention, f"{name}.multihead_attn", own=False)
            self.norm(spec.attention.layer_norm, f"{name}.norm2")
            last = "norm3"
        self.linear(spec.ffn.linear_0, f"{name}.linear1")
        self.linear(spec.ffn.linear_1, f"{name}.linear2")
        self.norm(spec.ffn.layer_norm, f"{name}.{last}")

    def _attention(self, spec: Any, name: str, *, own: bool) -> None:
        # torch stacks queries, keys and values as CTranslate2 does for self-attention; over
        # the encoder's output CTranslate2 has the queries apart.
        weight, bias = self[f"{name}.in_proj_weight"], self[f"{name}.in_proj_bias"]
        size = weight.shape[1]
        cuts = ((0, 3 * size),) if own else ((0, size), (size, 3 * size))
        for part, (start, stop) in zip(spec.linear, cuts, strict=False):
            part.weight, part.bias = weight[start:stop].copy(), bias[start:stop].copy()
        self.linear(spec.linear[-1], f"{name}.out_proj")


class Scores(msgspec.Struct, frozen=True, kw_only=True):
    """sacreBLEU's figures, 0 to 100, and the signature that says how BLEU was counted."""

    bleu: float
    chrf: float
    signature: str
    sentences: int


def translations(
    folder: Path, source: Sequence[Sequence[str]], *, beam: int, threads: int, longest: int
) -> Iterable[list[str]]:
    """Tokens to tokens by the exported model, in order."""
    with needs("train"):
        import ctranslate2

    library: Any = ctranslate2
    translator = library.Translator(os.fspath(folder), inter_threads=1, intra_threads=threads)
    results = translator.translate_batch(
        [list(one) for one in source],
        beam_size=beam,
        max_batch_size=2048,
        batch_type="tokens",
        max_decoding_length=longest,
        disable_unk=True,
    )
    return (one.hypotheses[0] for one in results)


# What sacreBLEU can cut into words; of the others it counts characters.
_TOKENIZERS = {"zh": "zh", "ja": "char", "ko": "char", "th": "char", "lo": "char", "km": "char"}


def score(texts: Sequence[str], wanted: Sequence[str], language: str, *, cut: bool) -> Scores:
    """BLEU and chrF of ``texts`` against ``wanted``; ``cut`` where words stand apart already."""
    with needs("train"):
        from sacrebleu.metrics.bleu import BLEU
        from sacrebleu.metrics.chrf import CHRF

    base = language.lower().partition("-")[0]
    tokenize = "none" if cut else _TOKENIZERS.get(base, "13a")
    # force: the warning that the text looks tokenized is answered by `cut`.
    bleu = BLEU(tokenize=tokenize, force=True)
    figure = bleu.corpus_score(list(texts), [list(wanted)]).score
    return Scores(
        bleu=round(figure, 2),
        chrf=round(CHRF().corpus_score(list(texts), [list(wanted)]).score, 2),
        signature=str(bleu.get_signature()),
        sentences=len(texts),
    )


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

"""What a run exports it exports again, byte for byte, in another process with other hashes."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("onnx")

import msgspec  # noqa: E402

from ogam.errors import InvalidRequestError  # noqa: E402
from ogam.training import classifier, language_model, translation, translation_result  # noqa: E402
from ogam.training.translation_settings import Settings  # noqa: E402

LETTERS = ["a b c", "b c d", "c d e", "d e f", "e f g", "f g h", "g h a", "h a b"]


pytestmark = pytest.mark.usefixtures("one_thread")


def again(code: str, *folders: Path) -> None:
    """Run ``code`` with the folders as ``paths``, in a process that orders its sets otherwise."""
    folders[-1].mkdir()
    start = "import sys; from pathlib import Path; paths = [Path(one) for one in sys.argv[1:]]\n"
    done = subprocess.run(
        [sys.executable, "-c", start + code, *map(str, folders)],
        env={**os.environ, "PYTHONHASHSEED": "4711"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def same(model: Path, fresh: Path) -> None:
    """Every file that the manifest tells of has the hash it tells, but the card of the scores."""
    told = json.loads((model / "model.json").read_bytes())["files"]
    assert len(told) > 1
    told.pop("CARD.md", None)
    for name, sha256 in told.items():
        assert hashlib.sha256((fresh / name).read_bytes()).hexdigest() == sha256, name


def translator(tmp_path: Path, **other: object) -> Path:
    for side in ("xx", "yy"):
        (tmp_path / f"train.{side}").write_text("\n".join(LETTERS) + "\n")
    files = [str(tmp_path / "train.xx"), str(tmp_path / "train.yy")]
    small = {
        "d_model": 16,
        "nhead": 2,
        "encoder_layers": 1,
        "decoder_layers": 1,
        "feed_forward": 32,
        "max_tokens": 16,
        "batch_tokens": 32,
        "threads": 1,
        "lr": 0.01,
        "updates": 12,
        "valid_every": 2,
        "average": 3,
        "vocabulary": 20,
        "target_language": "yy",
    }
    about = msgspec.convert({"train": files, "valid": files, **small, **other}, Settings)
    translation.train(about, tmp_path / "run")
    return tmp_path / "run"


@pytest.mark.parametrize(
    ("rate", "made"), [(0.01, "weights of update 12"), (1.0, "mean of the last")]
)
def test_a_translator(tmp_path: Path, rate: float, made: str) -> None:
    run = translator(tmp_path, lr=rate)
    assert made in json.loads((run / "model" / "model.json").read_bytes())["summary"]
    again(
        "from ogam.training.translation_result import export_again; export_again(*paths)",
        run,
        tmp_path / "fresh",
    )
    same(run / "model", tmp_path / "fresh")


def test_a_language_model(tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("\n".join(LETTERS * 40) + "\n")
    about = language_model.Settings(
        files=(str(tmp_path / "text.txt"),), held_out=0.2, vocabulary=270, d_model=16, layers=1,
        heads=2, context=16, batch=2, steps=4, valid_every=2, threads=1, device="cpu",
    )  # fmt: skip
    run = tmp_path / "run"
    language_model.train(run, about)
    again(
        "from ogam.training.language_model import export_again; export_again(*paths)",
        run,
        tmp_path / "fresh",
    )
    same(run / "model", tmp_path / "fresh")


def test_a_classifier(tmp_path: Path) -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    words = ["[PAD]", "[UNK]", *"abcdefgh"]
    config = BertConfig(
        vocab_size=len(words), hidden_size=16, num_hidden_layers=2, num_attention_heads=2,
        intermediate_size=32, max_position_embeddings=16,
    )  # fmt: skip
    base = tmp_path / "encoder"
    BertModel(config).save_pretrained(base)
    tokenizer = Tokenizer(models.WordLevel({one: at for at, one in enumerate(words)}, "[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]"
    ).save_pretrained(base)
    rows = [f"{text}\t{'left' if 'a' in text else 'right'}" for text in LETTERS]
    (tmp_path / "data.tsv").write_text("\n".join(["text\tlabel", *rows]) + "\n")
    run = tmp_path / "run"
    source = classifier.Source(tmp_path / "data.tsv")
    classifier.train(
        source, base, run, valid=source_of(tmp_path, rows), settings=classifier.Settings(epochs=2)
    )
    again(
        "from ogam.training.classifier import export_again; export_again(*paths)",
        run,
        base,
        tmp_path / "fresh",
    )
    same(run / "model", tmp_path / "fresh")
    BertModel(config).save_pretrained(base)
    with pytest.raises(InvalidRequestError, match="did not begin with"):
        classifier.export_again(run, base, tmp_path / "fresh")


def source_of(folder: Path, rows: list[str]) -> classifier.Source:
    """A file to validate on, of other texts than the training's."""
    more = [f"{row.partition(chr(9))[0]} h\t{row.partition(chr(9))[2]}" for row in rows]
    (folder / "valid.tsv").write_text("\n".join(["text\tlabel", *more]) + "\n")
    return classifier.Source(folder / "valid.tsv")


def test_a_run_that_has_not_ended_has_nothing_to_export_again(tmp_path: Path) -> None:
    run = translator(tmp_path)
    for path in (run / "model").iterdir():
        path.unlink()
    (run / "model").rmdir()
    with pytest.raises(InvalidRequestError, match="has not ended"):
        translation_result.export_again(run, tmp_path)

"""Fine-tuning on a toy task with a BERT of two layers: learning, stopping, resuming, exporting."""

import json
import math
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("onnx")

import torch
from msgspec.structs import replace

from ogam.capabilities.base import ModelRef
from ogam.capabilities.classification import ClassifyRequest
from ogam.cli import main
from ogam.engines.onnx_classifier import OnnxClassifierEngine
from ogam.errors import ConfigurationError, EngineError, InvalidRequestError
from ogam.models import onnx_int8
from ogam.training import _batches, _labelled, _pretrained, classifier, export_classifier
from ogam.training.classifier import Settings, Source, train

from .praise import (
    SUBJECTS,
    interrupt,
    losses,
    run_in,
    same,
    sentences,
    weights,
    write,
)

pytestmark = pytest.mark.usefixtures("one_thread")
QUICK = Settings(epochs=4, batch_size=8, learning_rate=3e-3, max_tokens=16, save_every=5)


@pytest.fixture
def reference(tmp_path, data, encoder):
    """A run that nothing disturbed."""
    train(data, encoder, tmp_path / "whole", settings=QUICK)
    return tmp_path / "whole"


def test_it_learns_and_leaves_a_model_that_an_engine_serves(tmp_path, data, encoder):
    settings = replace(QUICK, epochs=8)
    outcome = train(data, encoder, tmp_path / "run", settings=settings)
    assert outcome.finished and outcome.scores.accuracy == 1.0 and outcome.drop == 0.0
    assert {one.label for one in outcome.scores.labels} == {"blame", "praise"}
    model = outcome.folder / "model"
    manifest = json.loads((model / "model.json").read_text())
    assert manifest["labels"] == ["blame", "praise"] and manifest["engine"] == "onnx_classifier"
    assert manifest["head"] == "BertForSequenceClassification"
    assert manifest["scores"]["accuracy"] == 1.0
    assert set(manifest["files"]) | {"model.json"} == {one.name for one in model.iterdir()}
    for picture in ("loss.png", "confusion.png"):
        assert (outcome.folder / picture).read_bytes().startswith(b"\x89PNG")
    engine = OnnxClassifierEngine(ModelRef(name="x/y", engine="onnx_classifier", folder=model))
    texts = ("the Song was very LOVELY", "the song was dull")
    assert engine.classify(ClassifyRequest(texts=texts)).labels == ("praise", "blame")
    engine.close()


def test_the_8_bit_graph_says_what_torch_says(tmp_path, encoder):
    torch.manual_seed(5)
    network = _pretrained.classifier(encoder, ["a", "b", "c"])
    with torch.no_grad():
        network.classifier.weight.normal_(std=2.0)  # scores far apart, as after training
    tokenizer, types = _pretrained.tokenizer(encoder, 16)
    read = [tokenizer.encode(text) for text, _ in sentences()]
    examples = [_batches.Tokens(one.ids, one.type_ids, 0) for one in read]
    plain, digits = tmp_path / "plain.onnx", tmp_path / "digits.onnx"
    network.eval()
    export_classifier.write_graph(network, plain, types=types)
    onnx_int8.quantise(plain, digits)
    inputs, _ = _batches.tensors(examples, 0, types)
    with torch.inference_mode():
        right = network(**inputs).logits.numpy()
    spread = right.std()
    for graph, tolerance in ((plain, 1e-5), (digits, 0.1)):
        import onnxruntime

        session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
        found = session.run(None, {name: one.numpy() for name, one in inputs.items()})[0]
        assert np.abs(found - right).max() < tolerance * spread + 1e-6, graph.name
    assert digits.stat().st_size < plain.stat().st_size


def test_a_run_killed_at_any_step_goes_on_to_the_same_losses_and_weights(
    tmp_path, data, encoder, reference
):
    script = tmp_path / "killed.py"
    script.write_text(
        textwrap.dedent(
            """
            import os, signal, sys
            from pathlib import Path
            import torch
            from ogam.training import classifier
            torch.set_num_threads(1)
            real = classifier._Fit._step
            def step(self, batch, number, total):
                if number == 13:
                    os.kill(os.getpid(), signal.SIGKILL)
                return real(self, batch, number, total)
            classifier._Fit._step = step
            data, encoder, out = sys.argv[1:]
            settings = classifier.Settings(
                epochs=4, batch_size=8, learning_rate=3e-3, max_tokens=16, save_every=5)
            classifier.train(classifier.Source(Path(data)), encoder, out, settings=settings)
            """
        )
    )
    folder = tmp_path / "killed"
    command = [sys.executable, str(script), str(data.path), str(encoder), str(folder)]
    source = str(Path(classifier.__file__).parents[2])
    done = subprocess.run(command, check=False, env={**os.environ, "PYTHONPATH": source})
    assert done.returncode == -signal.SIGKILL
    assert not (folder / "model").exists()
    assert [one.name for one in run_in(folder).checkpoints()][-1] == "step-00000010"
    outcome = train(data, encoder, folder, settings=QUICK, resume=True)
    assert outcome.finished
    assert losses(folder) == losses(reference)
    assert same(weights(folder), weights(reference))


def test_ctrl_c_saves_and_the_run_goes_on_as_if_nothing_had_been(
    tmp_path, data, encoder, reference, monkeypatch
):
    with monkeypatch.context() as patch:
        interrupt(patch, before=6)
        outcome = train(data, encoder, tmp_path / "run", settings=QUICK)
    assert not outcome.finished and outcome.steps == 7 and outcome.scores is None
    assert train(data, encoder, tmp_path / "run", settings=QUICK, resume=True).finished
    assert losses(tmp_path / "run") == losses(reference)
    assert same(weights(tmp_path / "run"), weights(reference))


def test_another_seed_is_another_run(tmp_path, data, encoder, reference):
    other = replace(QUICK, seed=2)
    train(data, encoder, tmp_path / "other", settings=other)
    assert losses(tmp_path / "other") != losses(reference)


def test_a_finished_run_is_not_begun_again_and_resuming_it_only_exports(data, encoder, reference):
    with pytest.raises(InvalidRequestError, match="--resume"):
        train(data, encoder, reference, settings=QUICK)
    before = (reference / "model" / "model.json").read_bytes()
    (reference / "model" / "model.json").unlink()
    train(data, encoder, reference, settings=QUICK, resume=True)
    assert (reference / "model" / "model.json").read_bytes() == before


def test_changed_data_is_no_longer_the_same_run(data, encoder, reference):
    with data.path.open("a") as file:
        file.write("the room was good\tpraise\n")
    with pytest.raises(InvalidRequestError, match=r"data_sha256|examples"):
        train(data, encoder, reference, settings=QUICK, resume=True)


def test_a_loss_that_is_no_number_stops_and_keeps_the_checkpoint_before(
    tmp_path, data, encoder, monkeypatch
):
    real = classifier._Fit._loss
    steps = iter(range(10**6))

    def broken(self, batch):
        loss, *rest = real(self, batch)
        return (loss * math.nan if torch.is_grad_enabled() and next(steps) >= 12 else loss), *rest

    monkeypatch.setattr(classifier._Fit, "_loss", broken)
    with pytest.raises(EngineError, match="step 13 is not a number") as caught:
        train(data, encoder, tmp_path / "run", settings=QUICK)
    assert "\n" not in str(caught.value) and "learning rate" in caught.value.hint
    kept = weights(tmp_path / "run")
    assert [one.name for one in run_in(tmp_path / "run").checkpoints()][-1] == "step-00000010"
    assert all(torch.isfinite(one).all() for one in kept.values())
    assert not (tmp_path / "run" / "model").exists()


def test_patience_ends_a_run_that_gets_no_better(tmp_path, data, encoder):
    still = Settings(epochs=30, batch_size=8, learning_rate=1e-9, max_tokens=16, patience=2)
    outcome = train(data, encoder, tmp_path / "run", settings=still)
    assert outcome.finished
    told = json.loads((tmp_path / "run" / "settings.json").read_text())["settings"]
    assert outcome.steps == 3 * math.ceil(told["examples"][0] / 8)


def test_balanced_weights_let_the_rare_label_cost_more(tmp_path, encoder):
    examples = [_labelled.Example("t", "", label) for label in "xxxyz"]
    weights = _labelled.balanced(examples, ["x", "y", "z"])
    assert weights == pytest.approx([5 / 9, 5 / 3, 5 / 3])
    rare = [one for one in sentences() if one[1] == "praise"][:4]
    blame = [one for one in sentences() if one[1] == "blame"]
    uneven = write(tmp_path / "uneven.tsv", rare + blame)
    lost = {}
    for weighted in (False, True):
        out = tmp_path / f"run-{weighted}"
        train(uneven, encoder, out, settings=replace(QUICK, epochs=1, class_weights=weighted))
        lost[weighted] = [loss for _, loss, _ in losses(out) if loss is not None]
    # 0.65 and 0.57; without the weights they would be equal.
    assert lost[True][0] > 1.05 * lost[False][0]


def test_pairs_of_texts_are_told_apart(tmp_path, encoder):
    rows = [(f"the {a}", f"the {b}", str(a == b)) for a in SUBJECTS for b in SUBJECTS]
    write(tmp_path / "pairs.tsv", rows, "first\tsecond\tsame")
    source = Source(tmp_path / "pairs.tsv", text="first", second="second", label="same")
    settings = Settings(epochs=1, batch_size=8, max_tokens=16)
    outcome = train(source, encoder, tmp_path / "run", settings=settings)
    model = outcome.folder / "model"
    assert json.loads((model / "model.json").read_text())["pairs"] is True
    engine = OnnxClassifierEngine(ModelRef(name="x/y", engine="onnx_classifier", folder=model))
    request = ClassifyRequest(texts=("the film\tthe soup",))
    assert engine.classify(request).label in ("True", "False")
    engine.close()


def test_bf16_computes_otherwise_and_learns_too(tmp_path, data, encoder, reference):
    settings = replace(QUICK, bf16=True)
    outcome = train(data, encoder, tmp_path / "run", settings=settings)
    assert losses(tmp_path / "run") != losses(reference)
    assert outcome.scores.accuracy > 0.8


def test_labels_can_be_renamed(tmp_path, data, encoder):
    names = {"praise": "POSITIVE", "blame": "NEGATIVE"}
    settings = Settings(epochs=1, batch_size=16, max_tokens=16, names=names)
    outcome = train(data, encoder, tmp_path / "run", settings=settings)
    assert [one.label for one in outcome.scores.labels] == ["NEGATIVE", "POSITIVE"]


@pytest.mark.parametrize(
    ("rows", "valid", "message"),
    [
        ([("a film", "x"), ("a soup", "x")], None, "All training examples have the label 'x'"),
        ([("a film", "x"), ("a soup", "y")], [("a day", "z")], "label 'z', which no training"),
        ([("a film", "x"), (" ", "y")], None, "row 2, has no text"),
        ([("a film", "x"), ("a soup", "")], None, "row 2, has no label"),
        ([("a film", "x")], [("a film", "x")], "No example is left for training"),
        ([("w" * 1_000_001, "x")], None, "line 2, is longer than 1,000,000 bytes"),
    ],
)
def test_data_that_will_not_do_is_told_in_one_line(tmp_path, encoder, rows, valid, message):
    source = write(tmp_path / "data.tsv", rows)
    other = None if valid is None else write(tmp_path / "valid.tsv", valid)
    settings = Settings(split=0.001, epochs=1)
    with pytest.raises(InvalidRequestError, match=message) as caught:
        train(source, encoder, tmp_path / "run", valid=other, settings=settings)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_a_missing_column_names_those_that_are_there(tmp_path, data, encoder):
    with pytest.raises(InvalidRequestError, match=r"no column 'sentence'.*'text', 'label'"):
        train(data._replace(text="sentence"), encoder, tmp_path / "run")


def test_a_folder_that_is_no_model_is_refused(tmp_path, data, encoder):
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(InvalidRequestError, match=r"config\.json is missing"):
        train(data, empty, tmp_path / "run")
    (empty / "config.json").write_bytes((encoder / "config.json").read_bytes())
    with pytest.raises(InvalidRequestError, match=r"no \*\.safetensors"):
        train(data, empty, tmp_path / "run")
    (empty / "model.safetensors").write_bytes(b"nothing")
    with pytest.raises(ConfigurationError, match="does not load") as caught:
        train(data, empty, tmp_path / "run")
    assert "\n" not in str(caught.value)


def test_a_pickle_is_not_read(tmp_path, data, encoder):
    folder = tmp_path / "pickled"
    folder.mkdir()
    (folder / "config.json").write_bytes((encoder / "config.json").read_bytes())
    torch.save({}, folder / "pytorch_model.bin")
    with pytest.raises(InvalidRequestError, match="pickle"):
        train(data, folder, tmp_path / "run")


def test_a_name_that_is_neither_folder_nor_cached_is_refused(tmp_path, data, monkeypatch):
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    with pytest.raises(InvalidRequestError, match="no model of that name"):
        train(data, "nobody/no-such-model", tmp_path / "run")


@pytest.mark.parametrize(
    "wrong",
    [
        {"epochs": 0},
        {"learning_rate": math.nan},
        {"split": 1.0},
        {"batch_size": 0},
        {"r_drop": -1.0},
        {"pooling": "most"},
    ],
)
def test_settings_out_of_range_are_named(wrong):
    with pytest.raises(InvalidRequestError) as caught:
        Settings(**wrong)
    assert caught.value.param == next(iter(wrong))


def test_the_split_puts_no_text_on_both_sides():
    examples = [_labelled.Example(f"text {i % 300}", "", "x") for i in range(900)]
    training, validation = _labelled.split(examples, 0.2)
    assert not {one.text for one in training} & {one.text for one in validation}
    assert len(training) + len(validation) == 900 and 100 < len(validation) < 260


def test_an_epochs_order_depends_on_seed_and_epoch_alone():
    lengths = [i * 7 % 40 + 2 for i in range(500)]
    first = _batches.order(lengths, 8, seed=1, epoch=0)
    assert first == _batches.order(lengths, 8, seed=1, epoch=0)
    assert first != _batches.order(lengths, 8, seed=1, epoch=1)
    assert first != _batches.order(lengths, 8, seed=2, epoch=0)
    assert sorted(index for batch in first for index in batch) == list(range(500))
    padding = sum(max(lengths[i] for i in b) * len(b) for b in first) - sum(lengths)
    assert padding < 0.1 * sum(lengths)


def test_the_command_trains_stops_wrong_use_and_says_how_to_go_on(
    tmp_path, data, encoder, capfd, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    command = ["train", "classifier", str(data.path), "-m", str(encoder), "--out", "run",
               "--epochs", "2", "--batch-size", "16", "--lr", "0.003", "--max-tokens", "16",
               "--pooling", "mean", "--r-drop", "1", "--freeze-embeddings", "--average", "0.9",
               "--eight-bits",
               "--label-name", "praise=GOOD"]  # fmt: skip
    with monkeypatch.context() as patch:
        interrupt(patch, before=2)
        assert main(command) == 130
    out, err = capfd.readouterr()
    assert out == "" and err.count("\n") == 1 and "--resume" in err
    assert main([*command, "--resume"]) == 0
    out, err = capfd.readouterr()
    assert [line.split("\t")[0] for line in out.splitlines()] == ["GOOD", "blame"]
    assert "onnx_classifier/./run/model" in err
    assert main(["classify", "-m", "onnx_classifier/./run/model", "the film was good"]) == 0
    out = capfd.readouterr().out
    assert {line.split("\t")[0] for line in out.splitlines()} == {"GOOD", "blame"}
    assert main([*command[:-1], "praise"]) == 2
    assert main(command) == 1
    assert capfd.readouterr().err.count("\n") == 2
    # Its head is taken over with its weights.
    again = ["train", "classifier", str(data.path), "-m", str(encoder), "--out", "more",
             "--epochs", "1", "--max-tokens", "16", "--label-name", "praise=GOOD",
             "--start", "run"]  # fmt: skip
    assert main(again) == 0
    capfd.readouterr()
    assert json.loads(Path("more/settings.json").read_text())["settings"]["pooling"] == "mean"
    assert main([*again[:6], "else", *again[7:], "--pooling", "own"]) == 1
    assert capfd.readouterr().err.count("\n") == 1

"""The classifier engine on a graph small enough to know every answer of."""

import json
import math
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ogam.capabilities.base import CancelledWork, ModelRef, cancellable
from ogam.capabilities.classification import ClassifyRequest
from ogam.engines.onnx_classifier import BATCH_TOKENS, OnnxClassifierEngine, batches
from ogam.errors import (
    ConfigurationError,
    InvalidRequestError,
    NotConfiguredError,
    UnsupportedOptionError,
)

onnx = pytest.importorskip("onnx")

WORDS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "good", "bad", "soup")
LABELS = ("praise", "blame", "food")
# A row a word: what it adds to the logit of each label. Padding would be noticed.
TABLE = np.array(
    [[9, 9, 9], [0, 0, 0], [0, 0, 0], [0, 0, 0], [2, 0, 0], [0, 2, 0], [0, 0, 1.5]], np.float32
)


@pytest.fixture
def folder(tmp_path):
    """A model whose logits are the sums of its words' rows; a second text's count tenfold."""
    from onnx import TensorProto, helper, numpy_helper
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    def cast(name):
        return helper.make_node("Cast", [name], [name + "_f"], to=TensorProto.FLOAT)

    nodes = [
        helper.make_node("Gather", ["table", "input_ids"], ["rows"]),
        cast("attention_mask"),
        cast("token_type_ids"),
        helper.make_node("Mul", ["token_type_ids_f", "nine"], ["more"]),
        helper.make_node("Mul", ["more", "attention_mask_f"], ["own"]),
        helper.make_node("Add", ["own", "attention_mask_f"], ["weight"]),
        helper.make_node("Unsqueeze", ["weight", "last"], ["column"]),
        helper.make_node("Mul", ["rows", "column"], ["weighted"]),
        helper.make_node("ReduceSum", ["weighted", "middle"], ["logits"], keepdims=0),
    ]
    inputs = [
        helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", "tokens"])
        for name in ("input_ids", "attention_mask", "token_type_ids")
    ]
    output = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", len(LABELS)])
    constants = {
        "table": TABLE,
        "nine": np.float32(9),
        "last": np.array([2]),
        "middle": np.array([1]),
    }
    tensors = [numpy_helper.from_array(np.asarray(v), k) for k, v in constants.items()]
    graph = helper.make_graph(nodes, "toy", inputs, [output], tensors)
    opsets = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=9), tmp_path / "model.onnx")
    tokenizer = Tokenizer(models.WordLevel({w: i for i, w in enumerate(WORDS)}, "[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    write(tmp_path)
    return tmp_path


def write(folder, **changes):
    manifest = {
        "labels": LABELS,
        "max_tokens": 16,
        "files": {"model.onnx": "", "tokenizer.json": ""},
    }
    (folder / "model.json").write_text(json.dumps({**manifest, **changes}))


def make(folder):
    name = "onnx_classifier/./toy"
    return OnnxClassifierEngine(
        ModelRef(name=name, engine="onnx_classifier", model="./toy", folder=folder)
    )


def scores(engine, text, **options):
    result = engine.classify(ClassifyRequest(texts=(text,), **options))
    return {one.label: one.score for one in result.classifications[0].scores}


def shares(*logits):
    powers = [math.exp(one) for one in logits]
    return pytest.approx([one / sum(powers) for one in powers], abs=1e-6)


def test_without_labels_it_scores_its_own_which_share_one(folder):
    engine = make(folder)
    result = engine.classify(ClassifyRequest(texts=("good good soup", "bad soup")))
    assert result.labels == ("praise", "blame")
    assert [one.label for one in result.classifications[0].scores] == ["praise", "food", "blame"]
    assert [one.score for one in result.classifications[0].scores] == shares(4, 1.5, 0)
    assert (result.engine, result.model) == ("onnx_classifier", "onnx_classifier/./toy")
    engine.close()


def test_a_part_of_its_labels_shares_one_again(folder):
    found = scores(make(folder), "good soup", labels=("food", "praise"))
    assert list(found) == ["praise", "food"]
    assert list(found.values()) == shares(2, 1.5)


def test_a_label_it_was_not_trained_for_is_refused_and_its_own_are_named(folder):
    with pytest.raises(UnsupportedOptionError, match="praise, blame, food") as caught:
        scores(make(folder), "good", labels=("praise", "weather"))
    assert "'weather'" in caught.value.message and caught.value.param == "labels"


def test_several_labels_at_once_need_a_model_that_was_trained_for_it(folder):
    with pytest.raises(UnsupportedOptionError) as caught:
        scores(make(folder), "good", multi_label=True)
    assert caught.value.param == "multi_label"
    write(folder, multi_label=True)
    found = scores(make(folder), "good soup", multi_label=True)
    logistic = {"praise": 2, "food": 1.5, "blame": 0}
    assert found == pytest.approx({k: 1 / (1 + math.exp(-v)) for k, v in logistic.items()})


def test_padding_counts_for_nothing_and_the_order_is_kept(folder):
    engine = make(folder)
    texts = [("good " * (i % 5) + "bad soup " * (i % 7)) or "soup" for i in range(150)]
    texts[0] = "soup"
    together = engine.classify(ClassifyRequest(texts=tuple(texts))).classifications
    for text, one in zip(texts, together, strict=True):
        alone = scores(engine, text)
        assert {s.label: s.score for s in one.scores} == pytest.approx(alone, abs=1e-6)


def test_tokens_are_counted_without_padding_and_cut_at_the_limit(folder):
    result = make(folder).classify(ClassifyRequest(texts=("good", "bad " * 100)))
    assert result.units.input_tokens == 3 + 16
    # 14 words and the two marks around them
    assert result.classifications[1].scores[0].score == pytest.approx(1)


def test_a_model_of_pairs_reads_two_texts_with_a_tab_between(folder):
    write(folder, pairs=True)
    engine = make(folder)
    assert scores(engine, "good\tbad", labels=("praise", "blame"))["blame"] > 0.99
    assert scores(engine, "bad\tgood", labels=("praise", "blame"))["praise"] > 0.99
    for text in ("good", "good\t", "a\tb\tc"):
        with pytest.raises(InvalidRequestError, match="tab"):
            scores(engine, text)


def test_many_threads_get_their_own_answers(folder):
    engine = make(folder)
    texts = ["good", "bad", "soup", "good soup soup"] * 6
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda text: scores(engine, text), texts))
    assert together == [scores(engine, text) for text in texts]


def test_a_cancelled_caller_stops_the_work(folder):
    event = threading.Event()
    event.set()

    def work():
        cancellable(event)
        scores(make(folder), "good")

    with ThreadPoolExecutor(1) as pool, pytest.raises(CancelledWork):
        pool.submit(work).result()


def test_a_model_that_is_not_here_names_the_install_command(tmp_path):
    for place in (None, tmp_path / "nowhere"):
        with pytest.raises(NotConfiguredError, match=r"pip install 'ogam\[local\]'"):
            scores(make(place), "x")


def test_an_empty_folder_is_refused(tmp_path):
    with pytest.raises(ConfigurationError, match=r"model\.json is missing"):
        scores(make(tmp_path), "x")


@pytest.mark.parametrize("manifest", ["", "[]", "{}", '{"labels": "x"}', '{"labels": ["a", "b"]}'])
def test_a_manifest_of_another_kind_is_refused(tmp_path, manifest):
    (tmp_path / "model.json").write_text(manifest)
    with pytest.raises(ConfigurationError, match="not a classifier's manifest"):
        scores(make(tmp_path), "x")


def test_a_missing_file_is_named(folder):
    Path(folder, "model.onnx").unlink()
    with pytest.raises(ConfigurationError, match=r"incomplete: model\.onnx missing"):
        scores(make(folder), "x")


@pytest.mark.parametrize("name", ["model.onnx", "tokenizer.json"])
def test_a_damaged_file_is_refused_in_one_line(folder, name):
    (folder / name).write_bytes(b"not what it was")
    with pytest.raises(ConfigurationError, match="does not load") as caught:
        scores(make(folder), "x")
    assert "\n" not in str(caught.value)


def test_labels_that_are_not_as_many_as_the_scores_are_refused(folder):
    write(folder, labels=LABELS[:2])
    with pytest.raises(ConfigurationError, match="names 2 labels and scores 3"):
        scores(make(folder), "x")


@given(st.lists(st.integers(2, 256), min_size=1, max_size=80), st.integers(1, 8))
def test_batches_hold_every_text_once_within_the_budget(lengths, workers):
    groups = batches(lengths, workers)
    assert sorted(index for group in groups for index in group) == list(range(len(lengths)))
    for group in groups:
        assert lengths[group[0]] == max(lengths[index] for index in group)
        assert len(group) == 1 or lengths[group[0]] * len(group) <= BATCH_TOKENS

"""The encoder on the real starter model: vectors, batches, zero-shot labels, damaged folders."""

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ogam.capabilities.base import CancelledWork, ModelRef, cancellable
from ogam.capabilities.classification import ClassifyRequest
from ogam.capabilities.embedding import EmbedRequest
from ogam.engines.onnx_encoder import BATCH_TOKENS, OnnxEncoderEngine, batches
from ogam.errors import ConfigurationError, NotConfiguredError, UnsupportedOptionError

MODEL = Path(__file__).parents[2] / "starter/src/ogam_starter/models/all-MiniLM-L6-v2"
TEXTS = (
    "A cat sleeps on the warm roof.",
    "The kitten naps on top of the house.",
    "Interest rates rose again this quarter.",
    "Short.",
    "word " * 90,
    "An émigré wrote naïve café poems 😀 in 서울.",
)


# What the published weights give in float32 for "This is an example sentence".
REFERENCE = (0.067657, 0.063496, 0.048713, 0.079305)


def make(folder: Path | None = MODEL) -> OnnxEncoderEngine:
    return OnnxEncoderEngine(
        ModelRef(
            name="starter/all-MiniLM-L6-v2",
            engine="onnx_encoder",
            model="all-MiniLM-L6-v2",
            folder=folder,
        )
    )


@pytest.fixture(scope="module")
def engine():
    engine = make()
    yield engine
    engine.close()


def embed(engine, *texts, dimensions=None):
    return np.asarray(engine.embed(EmbedRequest(texts=texts, dimensions=dimensions)).vectors)


def test_a_vector_has_384_numbers_and_length_one(engine):
    rows = embed(engine, *TEXTS)
    assert rows.shape == (len(TEXTS), 384)
    assert np.linalg.norm(rows, axis=1) == pytest.approx(1, abs=1e-5)


def test_similar_meaning_is_closer_than_a_shared_subject_matter(engine):
    cat, kitten, rates = embed(engine, *TEXTS[:3])
    assert cat @ kitten > 0.5
    assert abs(cat @ rates) < 0.2


def test_the_published_vector_is_met(engine):
    row = embed(engine, "This is an example sentence")[0]
    assert row[:4] == pytest.approx(REFERENCE, abs=2e-3)


def test_many_texts_keep_their_order_and_equal_each_alone(engine):
    texts = [" ".join(["river", "stone", "light"][i % 3 :] * (1 + i % 23)) for i in range(60)]
    together = embed(engine, *texts)
    alone = np.concatenate([embed(engine, text) for text in texts])
    assert (together * alone).sum(1).min() > 0.99999


def test_tokens_are_counted_without_padding(engine):
    # Two marks around each text; padding to the longest would count 2 x 6.
    result = engine.embed(EmbedRequest(texts=("cat", "one two three four")))
    assert result.units.input_tokens == 3 + 6
    assert (result.engine, result.model) == ("onnx_encoder", "starter/all-MiniLM-L6-v2")


def test_a_long_text_is_cut_at_the_manifests_limit(engine):
    result = engine.embed(EmbedRequest(texts=("tree " * 1000,)))
    assert result.units.input_tokens == 256
    same = embed(engine, "tree " * 1000, "tree " * 254 + "house " * 99)
    assert same[0] == pytest.approx(same[1], abs=1e-5)


def test_fewer_dimensions_are_the_first_ones_made_unit_again(engine):
    whole, part = embed(engine, TEXTS[0])[0], embed(engine, TEXTS[0], dimensions=64)[0]
    assert part == pytest.approx(whole[:64] / np.linalg.norm(whole[:64]), abs=1e-5)


def test_more_dimensions_than_the_model_has_are_refused(engine):
    with pytest.raises(UnsupportedOptionError, match="384 dimensions, not 385") as caught:
        embed(engine, "x", dimensions=385)
    assert caught.value.param == "dimensions"


def test_the_two_graphs_agree(monkeypatch):
    rows = {}
    for graph in ("float", "digits"):
        monkeypatch.setenv("OGAM_ENCODER_GRAPH", graph)
        engine = make()
        rows[graph] = embed(engine, *TEXTS)
        engine.close()
    assert not np.array_equal(rows["float"], rows["digits"])
    # 0.99 and not more: a CPU without 8-bit instructions for it may saturate in "digits".
    assert (rows["float"] * rows["digits"]).sum(1).min() > 0.99


def test_many_threads_get_their_own_answers(engine):
    texts = [f"Text number {i} about {['cats', 'dogs', 'cars'][i % 3]}." for i in range(24)]
    expected = embed(engine, *texts)
    with ThreadPoolExecutor(8) as pool:
        rows = list(pool.map(lambda text: embed(engine, text)[0], texts))
    assert (np.array(rows) * expected).sum(1).min() > 0.99999


def test_a_cancelled_caller_stops_the_work(engine):
    event = threading.Event()
    event.set()

    def work():
        cancellable(event)
        embed(engine, *TEXTS)

    with ThreadPoolExecutor(1) as pool, pytest.raises(CancelledWork):
        pool.submit(work).result()


def test_labels_of_the_callers_own_are_ranked_and_share_one(engine):
    request = ClassifyRequest(
        texts=("The striker scored twice.", "Simmer the onions in butter."),
        labels=("food", "sport", "politics"),
    )
    result = engine.classify(request)
    assert result.labels == ("sport", "food")
    for item in result.classifications:
        scores = [score.score for score in item.scores]
        assert sum(scores) == pytest.approx(1)
        assert scores == sorted(scores, reverse=True)
        assert {score.label for score in item.scores} == {"food", "sport", "politics"}


def test_multi_label_scores_stand_alone(engine):
    text = "The footballer opened a restaurant that serves pasta."
    labels = ("food", "sport", "tax law")
    result = engine.classify(ClassifyRequest(texts=(text,), labels=labels, multi_label=True))
    scores = {score.label: score.score for score in result.classifications[0].scores}
    fewer = engine.classify(ClassifyRequest(texts=(text,), labels=labels[1:], multi_label=True))
    kept = {score.label: score.score for score in fewer.classifications[0].scores}
    assert scores["tax law"] < 0.5 < max(scores["food"], scores["sport"])
    assert kept["sport"] == pytest.approx(scores["sport"], abs=1e-4)


def test_remembered_labels_give_the_same_answer(engine):
    request = ClassifyRequest(texts=(TEXTS[0],), labels=("{label} cats", "money", "war"))
    assert engine.classify(request).label == "{label} cats"
    assert engine.classify(request) == engine.classify(request)


def test_without_labels_it_says_to_give_some(engine):
    with pytest.raises(UnsupportedOptionError, match="Give the labels"):
        engine.classify(ClassifyRequest(texts=("x",)))


def test_a_model_that_is_not_here_names_the_install_command(tmp_path):
    for folder in (None, tmp_path / "nowhere"):
        with pytest.raises(NotConfiguredError, match=r"pip install 'ogam\[local\]'"):
            embed(make(folder), "x")


def test_an_empty_folder_is_refused(tmp_path):
    with pytest.raises(ConfigurationError, match=r"model\.json is missing"):
        embed(make(tmp_path), "x")


@pytest.mark.parametrize("manifest", ["", "[]", "{}", '{"files": 1}', '{"files": {}}'])
def test_a_broken_manifest_is_refused(tmp_path, manifest):
    (tmp_path / "model.json").write_text(manifest)
    with pytest.raises(ConfigurationError, match="not an encoder's manifest"):
        embed(make(tmp_path), "x")


def test_a_missing_file_is_named(tmp_path):
    for path in MODEL.iterdir():
        if path.name != "weights.bin":
            (tmp_path / path.name).write_bytes(path.read_bytes())
    with pytest.raises(ConfigurationError, match=r"incomplete: weights\.bin missing"):
        embed(make(tmp_path), "x")


def test_a_damaged_graph_is_refused_in_one_line(tmp_path):
    files = dict.fromkeys(("float.onnx", "digits.onnx", "tokenizer.json"), "")
    manifest = {"dimensions": 384, "max_tokens": 256, "files": files}
    manifest["graphs"] = {"float": "float.onnx", "digits": "digits.onnx"}
    (tmp_path / "model.json").write_text(json.dumps(manifest))
    (tmp_path / "tokenizer.json").write_bytes((MODEL / "tokenizer.json").read_bytes())
    for name in ("float.onnx", "digits.onnx"):
        (tmp_path / name).write_bytes(b"not a graph")
    with pytest.raises(ConfigurationError, match="does not load") as caught:
        embed(make(tmp_path), "x")
    assert "\n" not in str(caught.value)


def test_a_closed_engine_holds_no_model():
    engine = make()
    embed(engine, "x")
    engine.close()
    engine.close()
    assert engine._encoder is None


@given(st.lists(st.integers(2, 256), min_size=1, max_size=80), st.integers(1, 8))
def test_batches_hold_every_text_once_within_the_budget(lengths, workers):
    groups = batches(lengths, workers=workers)
    assert sorted(index for group in groups for index in group) == list(range(len(lengths)))
    for group in groups:
        longest = max(lengths[index] for index in group)
        assert lengths[group[0]] == longest
        assert len(group) == 1 or longest * len(group) <= BATCH_TOKENS


def test_texts_of_equal_length_share_batches_without_padding():
    groups = batches([10] * 38 + [20] * 19)
    assert all(len({10 if i < 38 else 20 for i in group}) == 1 for group in groups)


def test_a_short_text_is_not_padded_to_a_long_one():
    assert batches([100, 10]) == [[0], [1]]
    assert batches([20, 22, 21]) == [[1, 2, 0]]

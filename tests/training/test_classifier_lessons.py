"""What else a classifier may learn by: a head over the mean, R-Drop, frozen embeddings, a start."""

import json

import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("onnx")

import torch
from msgspec.structs import replace

from ogam.capabilities.base import ModelRef
from ogam.capabilities.classification import ClassifyRequest
from ogam.engines.onnx_classifier import OnnxClassifierEngine
from ogam.errors import InvalidRequestError
from ogam.training import _batches, _pretrained, export_classifier
from ogam.training._r_drop import RDrop
from ogam.training.classifier import Settings, train
from ogam.training.runs import Run, load_checkpoint

from .praise import WORDS, interrupt, losses, run_in, same, sentences, weights, write

pytestmark = pytest.mark.usefixtures("one_thread")
QUICK = Settings(epochs=4, batch_size=8, learning_rate=3e-3, max_tokens=16, save_every=5)


def test_a_head_over_the_mean_of_all_tokens(tmp_path, data, encoder):
    settings = replace(QUICK, epochs=8, pooling="mean")
    outcome = train(data, encoder, tmp_path / "run", settings=settings)
    assert outcome.scores.accuracy == 1.0 and outcome.drop == 0.0
    model = outcome.folder / "model"
    assert json.loads((model / "model.json").read_text())["head"] == "MeanPooledClassifier"
    engine = OnnxClassifierEngine(ModelRef(name="x/y", engine="onnx_classifier", folder=model))
    texts = ("the Song was very LOVELY", "the song was dull")
    assert engine.classify(ClassifyRequest(texts=texts)).labels == ("praise", "blame")
    engine.close()


def test_what_fills_up_a_batch_is_no_part_of_the_mean(tmp_path, data, encoder):
    train(data, encoder, tmp_path / "run", settings=replace(QUICK, pooling="mean"))
    network = _pretrained.untrained_classifier(_pretrained.configuration(tmp_path / "run"))
    network.load_state_dict(load_checkpoint(tmp_path / "run" / "best")[0])
    network.eval()
    tokenizer, types = _pretrained.tokenizer(encoder, 16)
    read = [tokenizer.encode(text) for text in ("the song was dull", "a very very very good day")]
    tokens = [_batches.Tokens(one.ids, one.type_ids, 0) for one in read]

    def logits(batch):
        with torch.inference_mode():
            return network(**_batches.tensors(batch, 0, types)[0]).logits

    alone = torch.cat([logits([one]) for one in tokens])
    assert torch.allclose(logits(tokens), alone, atol=1e-5)
    assert not torch.allclose(alone[0], alone[1], atol=1e-3)


def test_r_drop_costs_what_its_paper_says(encoder):
    network = _pretrained.classifier(encoder, ["a", "b", "c"])
    with torch.no_grad():
        network.classifier.weight.normal_(std=2.0)
    ids = torch.tensor([[2, 4, 8, 5, 14, 3], [2, 6, 9, 5, 17, 3]])
    inputs, right = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}, torch.tensor([0, 2])
    hard, lesson = torch.nn.CrossEntropyLoss(), RDrop(3.0)
    network.eval()  # no dropout: two answers are one
    cost, logits = lesson.cost(network, inputs, right, hard)
    assert torch.allclose(logits, network(**inputs).logits, atol=1e-6)
    assert cost.item() == pytest.approx(hard(logits, right).item(), abs=1e-6)
    network.train()
    torch.manual_seed(1)
    cost, first = lesson.cost(network, inputs, right, hard)
    torch.manual_seed(1)
    both = network(**{name: one.repeat(2, 1) for name, one in inputs.items()}).logits
    second = both[2:]
    assert torch.equal(first, both[:2]) and not torch.allclose(first, second)
    answers = [one.log_softmax(1) for one in (first, second)]
    apart = [
        torch.nn.functional.kl_div(one, other, reduction="batchmean", log_target=True)
        for one, other in (answers, answers[::-1])
    ]
    paper = hard(first, right) + hard(second, right) + 3.0 * sum(apart) / 2
    assert cost.item() == pytest.approx(paper.item() / 2, rel=1e-5)


def test_frozen_embeddings_stay_and_the_rest_learns(tmp_path, data, encoder):
    from safetensors.torch import load_file

    settings = replace(QUICK, freeze_embeddings=True, average=0.9)
    outcome = train(data, encoder, tmp_path / "run", settings=settings)
    begun, found = load_file(encoder / "model.safetensors"), weights(outcome.folder)
    layers = {name: one for name, one in begun.items() if name.startswith("encoder.")}
    frozen = {name: one for name, one in begun.items() if name.startswith("embeddings.")}
    assert frozen and layers
    assert all(torch.equal(found[f"model.bert.{name}"], one) for name, one in frozen.items())
    assert not any(torch.equal(found[f"model.bert.{name}"], one) for name, one in layers.items())
    assert not any("embeddings" in name for name in found if name.startswith("mean."))


def test_an_architecture_without_embeddings_of_that_name_is_refused(tmp_path, data, encoder):
    from transformers import GPT2Config, GPT2Model

    folder = tmp_path / "gpt"
    GPT2Model(GPT2Config(vocab_size=len(WORDS), n_embd=8, n_layer=1, n_head=1)).save_pretrained(
        folder
    )
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / name).write_bytes((encoder / name).read_bytes())
    with pytest.raises(InvalidRequestError, match="no part of itself embeddings"):
        train(data, folder, tmp_path / "run", settings=replace(QUICK, freeze_embeddings=True))
    assert not (tmp_path / "run").exists()


def test_all_of_it_goes_on_to_the_same_losses(tmp_path, data, encoder, monkeypatch):
    settings = replace(QUICK, pooling="mean", r_drop=2.0, freeze_embeddings=True, average=0.9)
    train(data, encoder, tmp_path / "whole", settings=settings)
    with monkeypatch.context() as patch:
        interrupt(patch, before=6)
        assert not train(data, encoder, tmp_path / "run", settings=settings).finished
    assert train(data, encoder, tmp_path / "run", settings=settings, resume=True).finished
    assert losses(tmp_path / "run") == losses(tmp_path / "whole")
    assert same(weights(tmp_path / "run"), weights(tmp_path / "whole"))


def test_a_validation_in_8_bits_is_of_what_would_ship(tmp_path, data, encoder, monkeypatch):
    judged = []
    real = export_classifier.measure

    def measured(graph, *rest):
        found = real(graph, *rest)
        judged.append(found.accuracy)
        return found

    monkeypatch.setattr(export_classifier, "measure", measured)
    settings = replace(QUICK, eight_bits=True, average=0.9)
    outcome = train(data, encoder, tmp_path / "run", settings=settings)
    told = [one["valid_accuracy"] for one in Run.history(run_in(outcome.folder))
            if "valid_accuracy" in one]  # fmt: skip
    # The last two are the export's own.
    assert judged[:-2] == pytest.approx(told, abs=1e-5) and len(told) == settings.epochs
    assert outcome.scores.accuracy == max(judged[:-2])
    assert not list(outcome.folder.glob(".judged*"))


def test_a_run_begins_where_another_ended(tmp_path, data, encoder):
    before = replace(QUICK, epochs=8, pooling="mean")
    train(data, encoder, tmp_path / "first", settings=before)
    # So small a rate moves nothing that shows.
    still = replace(before, epochs=1, learning_rate=1e-9, start=str(tmp_path / "first"))
    outcome = train(data, encoder, tmp_path / "second", settings=still)
    assert outcome.scores.accuracy == 1.0
    best = load_checkpoint(tmp_path / "first" / "best")[0]
    found = weights(tmp_path / "second")
    assert all(torch.allclose(found[f"model.{name}"], one, atol=1e-5) for name, one in best.items())
    for rows, other, said in (
        (None, {"pooling": "own"}, "pooling is own, and mean in the run"),
        ([*sentences(), ("a day", "neither")], {}, "has the labels blame, praise; these data"),
    ):
        given = data if rows is None else write(tmp_path / "other.tsv", rows)
        with pytest.raises(InvalidRequestError, match=said):
            train(given, encoder, tmp_path / "third", settings=replace(still, **other))
    (tmp_path / "first" / "model").rename(tmp_path / "gone")
    with pytest.raises(InvalidRequestError, match="has not ended"):
        train(data, encoder, tmp_path / "third", settings=still)
    assert not (tmp_path / "third").exists()

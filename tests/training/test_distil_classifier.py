"""A BERT of four layers teaches one of two: learning, resuming, what is refused, the report."""

import json
import os
import signal
import subprocess
import sys
import textwrap
from contextlib import contextmanager
from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("onnx")

import torch
from msgspec.structs import replace

from ogam import registry
from ogam.capabilities.classification import ClassifyRequest
from ogam.errors import InvalidRequestError
from ogam.training import classifier, distil_classifier
from ogam.training.distil_classifier import Settings, train
from ogam.training.runs import load_checkpoint

from .praise import WORDS, encoder_in, same, sentences, weights, write

pytestmark = pytest.mark.usefixtures("one_thread")
QUICK = Settings(layers=2, epochs=3, batch_size=8, learning_rate=3e-3, max_tokens=16, save_every=5)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("teacher")


@pytest.fixture(scope="module")
def encoder(place):
    return encoder_in(place / "encoder", layers=4)


@pytest.fixture(scope="module")
def data(place):
    return write(place / "data.tsv", sentences())


@pytest.fixture(scope="module")
def teacher(place, encoder, data):
    settings = classifier.Settings(epochs=5, batch_size=8, learning_rate=2e-3, max_tokens=16)
    outcome = classifier.train(data, encoder, place / "run", settings=settings)
    assert outcome.scores.accuracy == 1.0
    return place / "run"


@contextmanager
def serve(engine, folder):
    found = registry.Registry()
    yield found.get(f"{engine}/{folder}")
    found.close()


@pytest.fixture(scope="module")
def reference(place, data, teacher):
    """A run that nothing disturbed, of a student that is narrower too."""
    narrow = replace(QUICK, hidden=16, feed_forward=32)
    outcome = train(data, teacher, place / "narrow", serve=serve, settings=narrow)
    return outcome, narrow


def test_a_student_of_every_second_layer_is_served_and_compared(tmp_path, data, teacher):
    outcome = train(data, teacher, tmp_path / "run", serve=serve, settings=QUICK)
    report = outcome.report
    assert {one.name: one.student for one in report.quality} == {"accuracy": 1.0, "macro F1": 1.0}
    assert report.student.parameters < report.teacher.parameters
    assert report.student.bytes < report.teacher.bytes and report.faster > 0
    assert {"report.json", "report.md", "report.png"} <= {p.name for p in outcome.folder.iterdir()}
    with serve("onnx_classifier", outcome.folder / "model") as engine:
        asked = ClassifyRequest(texts=("the Song was very LOVELY", "the song was dull"))
        assert engine.classify(asked).labels == ("praise", "blame")
    names = [one for one in weights(outcome.folder) if "encoder.layer." in one and "model." in one]
    assert {one.split("encoder.layer.")[1].split(".")[0] for one in names} == {"0", "1"}


def test_a_student_begins_as_its_teacher(data, teacher, tmp_path):
    whole = load_checkpoint(teacher / "best")[0]
    # So small a rate moves nothing that shows.
    still = replace(QUICK, epochs=1, learning_rate=1e-9, beta=0.0)
    train(data, teacher, tmp_path / "run", serve=serve, settings=still)
    found = weights(tmp_path / "run")
    for own, other in (("0", "1"), ("1", "3")):
        name = "bert.encoder.layer.{}.attention.self.query.weight"
        begun = whole[name.format(other)]
        assert torch.allclose(found[f"model.{name.format(own)}"], begun, atol=1e-5)
    table = "bert.embeddings.word_embeddings.weight"
    assert torch.allclose(found[f"model.{table}"], whole[table], atol=1e-5)


def test_a_narrower_student_learns_through_a_projection(reference):
    outcome, _ = reference
    found = weights(outcome.folder)
    assert found["lesson.widen"].shape == (32, 16)
    assert found["model.bert.embeddings.word_embeddings.weight"].shape == (len(WORDS), 16)
    assert outcome.report.quality[0].student > 0.9


def test_a_run_killed_at_any_step_goes_on_to_the_same_weights(tmp_path, data, teacher, reference):
    whole, settings = reference
    script = tmp_path / "killed.py"
    script.write_text(
        textwrap.dedent(
            """
            import os, signal, sys
            from pathlib import Path
            import torch
            from ogam.training import classifier, distil_classifier
            torch.set_num_threads(1)
            real = classifier._Fit._step
            def step(self, batch, number, total):
                if number == 13:
                    os.kill(os.getpid(), signal.SIGKILL)
                return real(self, batch, number, total)
            classifier._Fit._step = step
            data, teacher, out = sys.argv[1:]
            settings = distil_classifier.Settings(
                layers=2, hidden=16, feed_forward=32, epochs=3, batch_size=8,
                learning_rate=3e-3, max_tokens=16, save_every=5)
            distil_classifier.train(
                classifier.Source(Path(data)), teacher, out, serve=None, settings=settings)
            """
        )
    )
    folder = tmp_path / "killed"
    command = [sys.executable, str(script), str(data.path), str(teacher), str(folder)]
    source = str(Path(classifier.__file__).parents[2])
    done = subprocess.run(command, check=False, env={**os.environ, "PYTHONPATH": source})
    assert done.returncode == -signal.SIGKILL and not (folder / "model").exists()
    with pytest.raises(InvalidRequestError, match="alpha"):
        other = replace(settings, alpha=0.9)
        train(data, teacher, folder, serve=serve, settings=other, resume=True)
    outcome = train(data, teacher, folder, serve=serve, settings=settings, resume=True)
    assert outcome.report is not None
    assert same(weights(folder), weights(whole.folder))


def test_texts_without_labels_teach_what_the_teacher_says_of_them(tmp_path, teacher):
    texts = write(tmp_path / "texts.tsv", [(text,) for text, _ in sentences()], "text")
    texts = texts._replace(label="")
    outcome = train(texts, teacher, tmp_path / "run", serve=serve, settings=QUICK)
    assert outcome.report.quality[0].student == 1.0
    assert "the float32 teacher's own answers" in outcome.report.judged
    empty = write(
        tmp_path / "some.tsv",
        [(text, label if at % 3 else "") for at, (text, label) in enumerate(sentences())],
    )
    outcome = train(empty, teacher, tmp_path / "some", serve=serve, settings=QUICK)
    assert "their labels" in outcome.report.judged and outcome.report.quality[0].student == 1.0


def test_a_teacher_in_the_format_of_transformers_is_exported_beside_its_student(
    tmp_path, data, teacher, encoder
):
    from ogam.training import _pretrained

    network = _pretrained.classifier(encoder, ["blame", "praise"])
    network.load_state_dict(load_checkpoint(teacher / "best")[0])
    network.save_pretrained(tmp_path / "teacher")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (tmp_path / "teacher" / name).write_bytes((encoder / name).read_bytes())
    outcome = train(data, tmp_path / "teacher", tmp_path / "run", serve=serve, settings=QUICK)
    assert outcome.report.quality[0].teacher == 1.0
    assert (tmp_path / "run" / "teacher" / "model.onnx").exists()


def test_an_encoder_without_a_trained_head_is_no_teacher(tmp_path, data, encoder):
    with pytest.raises(InvalidRequestError, match="no trained classifier"):
        train(data, encoder, tmp_path / "run", serve=serve, settings=QUICK)
    assert not (tmp_path / "run").exists()


def test_a_run_without_config_needs_the_encoder_it_began_with(
    tmp_path, data, teacher, encoder, monkeypatch
):
    kept = (teacher / "config.json").read_bytes()
    (teacher / "config.json").unlink()
    try:
        with pytest.raises(InvalidRequestError, match="--base"):
            train(data, teacher, tmp_path / "run", serve=serve, settings=QUICK)
        quick = replace(QUICK, epochs=1)
        outcome = train(data, teacher, tmp_path / "run", serve=serve, base=encoder, settings=quick)
        assert outcome.report.quality[0].teacher == 1.0
    finally:
        (teacher / "config.json").write_bytes(kept)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"layers": 5}, "its teacher has 4"),
        ({"layers": 0}, "as large as its teacher"),
        ({"hidden": 64}, "above its teacher's 32"),
        ({"hidden": 15}, "cannot be shared"),
    ],
)
def test_a_student_that_cannot_be_is_refused_before_a_run_is_made(
    tmp_path, data, teacher, changes, said
):
    with pytest.raises(InvalidRequestError, match=said):
        train(data, teacher, tmp_path / "run", serve=serve, settings=replace(QUICK, **changes))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("name", ["temperature", "alpha", "beta"])
def test_a_setting_out_of_range_is_refused(name):
    for value in (-1.0, float("nan")):
        with pytest.raises(InvalidRequestError, match=name):
            Settings(**{name: value})


def test_a_label_the_teacher_has_not_is_refused(tmp_path, teacher):
    strange = write(tmp_path / "strange.tsv", [*sentences(), ("a day was fine", "so-so")])
    with pytest.raises(InvalidRequestError, match="no label 'so-so'"):
        train(strange, teacher, tmp_path / "run", serve=serve, settings=QUICK)


def test_a_teacher_that_reads_the_mean_has_a_student_that_does(tmp_path, data, encoder):
    settings = classifier.Settings(
        epochs=5, batch_size=8, learning_rate=2e-3, max_tokens=16, pooling="mean"
    )
    classifier.train(data, encoder, tmp_path / "teacher", settings=settings)
    outcome = train(data, tmp_path / "teacher", tmp_path / "run", serve=serve, settings=QUICK)
    assert outcome.report.quality[0].teacher == 1.0 and outcome.report.quality[0].student > 0.9
    manifest = json.loads((tmp_path / "run" / "model" / "model.json").read_text())
    assert manifest["head"] == "MeanPooledClassifier"


@pytest.mark.parametrize(
    "wrong",
    [{"pooling": "mean"}, {"r_drop": 1.0}, {"freeze_embeddings": True}, {"start": "runs/before"}],
)
def test_what_only_a_teacher_chooses_is_refused(wrong):
    with pytest.raises(InvalidRequestError, match="A student takes no"):
        Settings(**wrong)


def test_tinybert_is_four_layers_of_312():
    assert distil_classifier.TINY == {"layers": 4, "hidden": 312, "heads": 12, "feed_forward": 1200}

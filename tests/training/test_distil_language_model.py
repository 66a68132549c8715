"""A toy language model teaches a smaller one; resuming, what is refused, the report."""

import json
from contextlib import contextmanager

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("ctranslate2")

from ogam import registry  # noqa: E402
from ogam.errors import InvalidRequestError  # noqa: E402
from ogam.training import language_model  # noqa: E402
from ogam.training.distil_language_model import Teaching, train  # noqa: E402
from ogam.training.runs import load_checkpoint  # noqa: E402

WORDS = ["the", "king", "went", "to", "the", "sea", "and", "a", "queen", "sang", "of", "ships"]
TEXT = "".join(
    " ".join(WORDS[(7 * line + 3 * word) % len(WORDS)] for word in range(9)) + ".\n"
    for line in range(250)
)
SMALL = {"layers": 1, "steps": 12, "save_every": 4, "valid_every": 6, "warmup": 2}


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    path = tmp_path_factory.mktemp("text") / "text.txt"
    path.write_text(TEXT)
    return path


@pytest.fixture(scope="module")
def teacher(text, tmp_path_factory):
    folder = tmp_path_factory.mktemp("teacher") / "run"
    shape = {"vocabulary": 290, "d_model": 16, "layers": 2, "heads": 2, "context": 16, "batch": 4}
    settings = language_model.Settings(
        files=(str(text),), held_out=0.1, steps=60, warmup=5, learning_rate=1e-2, threads=1, **shape
    )
    language_model.train(folder, settings)
    return folder


@contextmanager
def serve(engine, folder):
    found = registry.Registry()
    yield found.get(f"{engine}/{folder.resolve()}")
    found.close()


def test_the_student_is_smaller_and_compared_on_the_same_text(tmp_path, text, teacher):
    done = train([text], teacher, tmp_path / "run", serve=serve, changes=SMALL)
    (bits,) = done.report.quality
    assert bits.lower and bits.student == pytest.approx(done.score.bits_per_byte)
    assert done.report.student.parameters < done.report.teacher.parameters
    assert done.report.student.speed > 0 and 0.5 < bits.kept < 1.5
    card = (tmp_path / "run" / "model" / "CARD.md").read_text()
    assert "Distilled from a model of" in card and "from nothing" not in card
    assert (tmp_path / "run" / "report.png").read_bytes().startswith(b"\x89PNG")


def test_soft_targets_cost_a_student_that_is_as_its_teacher_nothing(tmp_path, text, teacher):
    changes = {**SMALL, "layers": 2, "dropout": 0.0, "steps": 1, "log_every": 1}
    first = {}
    for alpha in (0.0, 1.0):
        place = tmp_path / str(alpha)
        teaching = Teaching(alpha=alpha, beta=1.0)
        train([text], teacher, place, serve=serve, changes=changes, teaching=teaching)
        first[alpha] = json.loads((place / "log.jsonl").read_text().splitlines()[0])["loss"]
    assert abs(first[0.0]) < 1e-5 and first[1.0] > 0.1


def test_a_narrower_student_is_made_and_hidden_states_are_left_out(tmp_path, text, teacher):
    changes = {**SMALL, "d_model": 8}
    teaching = Teaching(beta=1.0)
    done = train([text], teacher, tmp_path / "run", serve=serve, changes=changes, teaching=teaching)
    assert done.report is not None


def test_a_run_that_was_stopped_goes_on_to_the_same_weights(tmp_path, text, teacher, monkeypatch):
    whole = train([text], teacher, tmp_path / "whole", serve=serve, changes=SMALL)
    real = language_model._Trainer._one_step

    def stopping(self):
        if self._step == 6:
            self._run.stop_asked = True
        return real(self)

    with monkeypatch.context() as patch:
        patch.setattr(language_model._Trainer, "_one_step", stopping)
        stopped = train([text], teacher, tmp_path / "run", serve=serve, changes=SMALL)
    assert stopped.report is None
    done = train([text], teacher, tmp_path / "run", serve=serve, changes=SMALL, resume=True)
    assert done.score == whole.score
    one, other = (load_checkpoint(tmp_path / name / "best")[0] for name in ("run", "whole"))
    assert all(torch.equal(one[name], other[name]) for name in other)
    with pytest.raises(InvalidRequestError, match="temperature"):
        hot = Teaching(temperature=9.0)
        train(
            [text], teacher, tmp_path / "run", serve=serve, changes=SMALL, teaching=hot, resume=True
        )


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"layers": 3}, "its teacher has 2"),
        ({"d_model": 32}, "above its teacher's 16"),
        ({"vocabulary": 300}, "cannot be changed"),
    ],
)
def test_what_cannot_be_is_refused_before_a_run_is_made(tmp_path, text, teacher, changes, said):
    with pytest.raises(InvalidRequestError, match=said):
        train([text], teacher, tmp_path / "run", serve=serve, changes=changes)
    assert not (tmp_path / "run").exists()

"""A toy translator teaches a smaller one: its own words, its layers, its tokens; and resuming."""

import json
import random
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("ctranslate2")
pytest.importorskip("sacrebleu")

from ogam import registry  # noqa: E402
from ogam.errors import InvalidRequestError  # noqa: E402
from ogam.training import distil_translator, translation  # noqa: E402
from ogam.training.distil_translator import train  # noqa: E402
from ogam.training.runs import load_checkpoint  # noqa: E402
from ogam.training.translation_settings import Settings  # noqa: E402

SHAPE = {"d_model": 32, "nhead": 2, "encoder_layers": 2, "decoder_layers": 2, "feed_forward": 64}
SMALL = {"encoder_layers": 1, "decoder_layers": 1, "updates": 60, "save_every": 20}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Letters, and the same letters in capitals."""
    folder = tmp_path_factory.mktemp("data")
    draw = random.Random(1)
    rows = [" ".join(draw.choices("abcdef", k=draw.randrange(1, 5))) for _ in range(200)]
    (folder / "train.xx").write_text("\n".join(rows) + "\n")
    (folder / "train.yy").write_text("\n".join(rows).upper() + "\n")
    return [str(folder / "train.xx"), str(folder / "train.yy")]


@pytest.fixture(scope="module")
def teacher(files, tmp_path_factory):
    folder = tmp_path_factory.mktemp("teacher") / "run"
    changes = {"tokens": "space", "vocabulary": 0, "max_tokens": 16, "threads": 1, "dropout": 0.0}
    more = {"lr": 3e-3, "batch_tokens": 512, "updates": 150, "valid_every": 50, "average": 1}
    settings = msgspec.convert(
        {"train": files, "valid": files, **SHAPE, **changes, **more}, Settings
    )
    done = translation.train(settings, folder)
    assert done.valid["xx-yy"].chrf > 90
    return folder


@contextmanager
def serve(engine, folder):
    found = registry.Registry()
    yield found.get(f"{engine}/{folder.resolve()}")
    found.close()


def test_the_student_learns_its_teachers_words_and_is_compared(tmp_path, files, teacher):
    changes = {**SMALL, "valid": files}
    done = train(files, teacher, tmp_path / "run", serve=serve, changes=changes)
    report = done.report
    assert report.student.parameters < report.teacher.parameters
    assert [one.name for one in report.quality] == ["BLEU", "chrF"]
    assert report.quality[1].student > 60
    assert (tmp_path / "run" / "vocabulary.json").read_bytes() == (
        teacher / "vocabulary.json"
    ).read_bytes()
    taught = json.loads((tmp_path / "run" / "taught" / "00000000.json").read_bytes())
    sources = list(dict.fromkeys(Path(files[0]).read_text().splitlines()))
    agreed = sum(text == source.upper() for source, text in zip(sources, taught, strict=True))
    assert agreed > 0.8 * len(sources)
    assert (tmp_path / "run" / "report.png").read_bytes().startswith(b"\x89PNG")


def test_a_student_of_its_teachers_width_begins_with_its_last_layer(tmp_path, files, teacher):
    still = {**SMALL, "valid": files, "updates": 1, "lr": 1e-12}
    train(files, teacher, tmp_path / "run", serve=serve, changes=still)
    whole, _ = load_checkpoint(teacher / "best")
    found, _ = load_checkpoint(tmp_path / "run" / "best")
    name = "transformer.decoder.layers.{}.linear1.weight"
    assert torch.allclose(found[name.format(0)], whole[name.format(1)], atol=1e-6)
    assert torch.allclose(found["embedding.weight"], whole["embedding.weight"], atol=1e-6)


def test_a_run_that_was_stopped_asks_its_teacher_nothing_twice(
    tmp_path, files, teacher, monkeypatch
):
    monkeypatch.setattr(distil_translator, "_PART", 40)
    real, asked = distil_translator._translated, []

    def stopping(model, settings, tokens, part, beam):
        asked.append(len(part))
        if len(asked) == 3:
            raise KeyboardInterrupt
        return real(model, settings, tokens, part, beam)

    changes = {**SMALL, "valid": files, "updates": 20}
    monkeypatch.setattr(distil_translator, "_translated", stopping)
    with pytest.raises(KeyboardInterrupt):
        train(files, teacher, tmp_path / "run", serve=serve, changes=changes)
    assert len(list((tmp_path / "run" / "taught").iterdir())) == 2
    done = train(files, teacher, tmp_path / "run", serve=serve, changes=changes, resume=True)
    assert done.report is not None and len(asked) == 1 + len(
        list((tmp_path / "run" / "taught").iterdir())
    )
    whole = train(files, teacher, tmp_path / "whole", serve=serve, changes=changes)
    assert whole.update == done.update
    one, other = (load_checkpoint(tmp_path / name / "best")[0] for name in ("run", "whole"))
    assert all(torch.equal(one[name], other[name]) for name in other)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"encoder_layers": 3}, "its teacher has 2"),
        ({"vocabulary": 9}, "cannot be changed"),
        ({"target_language": "zz"}, "does not translate"),
        ({"lr": "fast"}, "A setting is wrong"),
    ],
)
def test_what_cannot_be_is_refused_before_a_run_is_made(tmp_path, files, teacher, changes, said):
    with pytest.raises(InvalidRequestError, match=said):
        train(files, teacher, tmp_path / "run", serve=serve, changes=changes)
    assert not (tmp_path / "run").exists()


def test_a_folder_that_is_no_ended_run_is_no_teacher(tmp_path, files):
    with pytest.raises(InvalidRequestError, match="holds no run"):
        train(files, tmp_path, tmp_path / "run", serve=serve)

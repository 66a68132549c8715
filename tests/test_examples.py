"""Every example runs and says what it promises; so does the notebook, cell after cell.

All examples run in one process, as scripts, one after the other: torch is imported once, and
the small models are made once. The notebook has a process of its own.
"""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

for needed in ("torch", "transformers", "gensim", "onnx", "scipy"):
    pytest.importorskip(needed)

ROOT = Path(__file__).parent.parent
EXAMPLES = ROOT / "examples"
NOTEBOOK = EXAMPLES / "ogam.ipynb"
# Those that take --out; the demo is run by test_docs.py.
MAKING = (
    "gpt2_pipeline",
    "untrained_head",
    "word2vec_similarity",
    "bert_similarity",
    "light_student",
)
SCRIPTS = ("transformer_from_scratch", "sentiment_pipeline", *MAKING)
# The same with --model: what lies in a folder comes the way that the hub's models come.
GIVEN = ("bert_similarity small-bert-2",)
RUNNER = """
import contextlib, io, json, runpy, sys, traceback
examples, out, making, scripts = json.loads(sys.argv[1])
sys.path.insert(0, examples)
for name in scripts:
    said = io.StringIO()
    name, _, model = name.partition(" ")
    sys.argv = [name, *(["--out", out] if name in making else [])]
    sys.argv += ["--model", f"{out}/{model}"] if model else []
    try:
        with contextlib.redirect_stdout(said):
            runpy.run_path(f"{examples}/{name}.py", run_name="__main__")
    except BaseException:
        said.write(traceback.format_exc())
    print(json.dumps([f"{name} {model}".strip(), said.getvalue()]), flush=True)
"""
CELLS = """
import json, sys
told = {"__name__": "__main__"}
for number, cell in enumerate(json.loads(sys.argv[1])):
    print(f"--- cell {number}", flush=True)
    exec(compile(cell, f"cell {number}", "exec"), told)
"""


def start(code, argument, folder):
    """A fresh process, warnings as errors, one thread, no model of the user's and no network."""
    own = dict.fromkeys(("OMP_NUM_THREADS", "HF_HUB_OFFLINE", "OGAM_THREADS"), "1")
    models = {"OGAM_MODELS": str(folder / "models"), "PYTHONIOENCODING": "utf-8"}
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", code, json.dumps(argument)],
        cwd=folder,
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=280,
        check=False,
        env={**os.environ, **own, **models},
    )


@pytest.fixture(scope="session")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("examples")
    for name in ("samples", "examples"):
        (folder / name).symlink_to(ROOT / name)
    (folder / "out" / "notebook").mkdir(parents=True)
    return folder


@pytest.fixture(scope="session")
def ran(place):
    """What each example has said, and what all of them left on standard error."""
    out = str(place / "out" / "notebook")  # the notebook finds there what the examples made
    done = start(RUNNER, [str(EXAMPLES), out, MAKING, [*SCRIPTS, *GIVEN]], place)
    said = dict(json.loads(line) for line in done.stdout.splitlines() if line.startswith("["))
    return said, done.stderr


@pytest.fixture
def said(ran, request):
    name = request.node.name.removeprefix("test_").split("_says_")[0]
    text = ran[0][name]
    assert "Traceback" not in text, text
    return text


def number(pattern, text):
    found = re.search(pattern, text)
    assert found, text
    return float(found[1])


def test_every_example_is_tried():
    there = {path.stem for path in EXAMPLES.glob("*.py")} - {"demo", "small_models"}
    assert there == set(SCRIPTS)


def test_the_examples_leave_standard_error_alone(ran):
    assert ran[1] == ""


def test_transformer_from_scratch_says_most_rows_backwards(said):
    assert number(r"(\d+) of 200 rows", said) > 150


def test_gpt2_pipeline_says_two_texts_that_differ_each_time(said):
    assert "\n1. do you know" in said
    assert "\n2. do you know" in said
    assert "no, it is random" in said
    assert "seed=7? the same" in said


def test_sentiment_pipeline_says_a_label(said):
    assert re.match(r"(NEGATIVE|POSITIVE)  0\.\d\d  i have sympathy", said)


def test_untrained_head_says_no_and_then_the_right_label(said):
    assert "classifier.out_proj.weight" in said
    assert "ogam train classifier DATA.tsv --model" in said
    assert re.search(r"after fine-tuning: NEGATIVE 0\.\d\d  i love him", said)
    assert re.search(r"after fine-tuning: POSITIVE 0\.\d\d  he hate me", said)


def test_word2vec_similarity_says_the_cosine_of_gensim(said):
    theirs = number(r"gensim: he and team\s+(-?\d\.\d+)", said)
    assert number(r"Ogam:   he and team\s+(-?\d\.\d+)", said) == pytest.approx(theirs, abs=1e-4)
    assert "near wolf: " in said


def test_bert_similarity_says_the_cosine_of_transformers(said):
    theirs = number(r"transformers  (-?\d\.\d+)", said)
    assert number(r"Ogam          (-?\d\.\d+)", said) == pytest.approx(theirs, abs=1e-4)


def test_a_given_model_takes_the_place_of_the_small_one(ran):
    text = ran[0]["bert_similarity small-bert-2"]
    assert "random weights" not in text
    assert text.split("\ndifference")[0] in ran[0]["bert_similarity"]


def test_light_student_says_that_it_is_smaller_and_as_good(said):
    assert number(r"parameters .* (\d+\.\d)%", said) < 60
    assert number(r"accuracy .* (\d+\.\d)% kept", said) > 80


@pytest.fixture(scope="module")
def notebook():
    return json.loads(NOTEBOOK.read_text(encoding="utf-8"))


def code_cells(notebook):
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]


def test_the_notebook_runs_from_top_to_bottom(notebook, place, ran):
    cells = [
        "".join(cell["source"])
        for cell in code_cells(notebook)
        if "install" not in cell["metadata"].get("tags", ())
    ]
    assert len(cells) == len(code_cells(notebook)) - 1
    done = start(CELLS, cells, place)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "classifier.out_proj.weight" in done.stdout
    assert "NEGATIVE" in done.stdout
    assert "['environment.yml', 'ogam.lock', 'requirements.txt']" in done.stdout


def test_the_notebook_is_kept_without_its_outputs(notebook):
    for cell in code_cells(notebook):
        assert cell["outputs"] == []
        assert cell["execution_count"] is None


@pytest.mark.parametrize("name", SCRIPTS)
def test_an_example_is_short_and_says_it_in_korean_too(name):
    text = (EXAMPLES / f"{name}.py").read_text(encoding="utf-8")
    assert len(text.splitlines()) < 80
    assert re.search("[가-힣]", text.split('"""')[1])

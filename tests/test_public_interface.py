"""Rules of the house that a reviewer would otherwise have to remember."""

from __future__ import annotations

import ast
import importlib
import pkgutil
from pathlib import Path

import pytest

import ogam
from ogam import errors

ROOT = Path(__file__).parent.parent
SOURCES = sorted((ROOT / "src").rglob("*.py")) + sorted((ROOT / "starter").rglob("*.py"))


def modules() -> list[str]:
    return [one.name for one in pkgutil.walk_packages(ogam.__path__, "ogam.")]


@pytest.mark.parametrize("name", ["ogam", *modules()])
def test_every_module_imports_and_exports_in_order(name: str) -> None:
    if name.endswith("__main__"):
        pytest.skip("runs when it is imported")
    module = importlib.import_module(name)
    exported = getattr(module, "__all__", [])
    assert list(exported) == sorted(exported)
    assert all(hasattr(module, one) for one in exported)


def test_the_error_tree_in_the_docstring_is_the_real_one() -> None:
    lines = [
        line for line in (errors.__doc__ or "").splitlines() if "Error" in line and "──" in line
    ]
    told = {line.split("── ")[1].split()[0] for line in lines}
    real = {
        name
        for name, value in vars(errors).items()
        if isinstance(value, type) and issubclass(value, errors.OgamError)
    }
    assert told == real - {"OgamError"} == set(errors.__all__) - {"OgamError"}


def test_every_error_is_one_line_with_a_hint() -> None:
    error = errors.TooLargeError("too\nbig", hint="make it\tsmaller")
    assert str(error) == "too big make it smaller"


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_says_what_it_is_for_and_stays_small(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert ast.get_docstring(ast.parse(text)), "a module opens with its job"
    assert text.count("\n") <= 600


def test_the_core_is_light() -> None:
    size = sum(path.stat().st_size for path in (ROOT / "src").rglob("*.py"))
    assert size < 3_000_000

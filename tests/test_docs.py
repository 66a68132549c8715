"""Every example in the READMEs and the docs is run, and every link in them leads somewhere."""

from __future__ import annotations

import os
import re
import shlex
import socket
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("benchmarks/*.md")])
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")


def blocks(page: Path, language: str) -> list[str]:
    text = page.read_text(encoding="utf-8")
    return [body for kind, body in BLOCK.findall(text) if kind == language]


def run(arguments: list[str], folder: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "error", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
        env={**os.environ, "PYTHONIOENCODING": "utf-8"},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "samples").symlink_to(ROOT / "samples")
    return tmp_path


def named(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("page", [p for p in PAGES if blocks(p, "python")], ids=named)
def test_the_python_of_a_page_runs_from_top_to_bottom(page: Path, folder: Path) -> None:
    (folder / "page.py").write_text("\n".join(blocks(page, "python")), encoding="utf-8")
    assert run(["page.py"], folder)


def commands(page: Path) -> list[str]:
    lines = [line for body in blocks(page, "sh") for line in body.splitlines()]
    found = [line.split("  #")[0].strip() for line in lines if line.startswith("ogam ")]
    # A server does not end; programs for the SDKs, in blocks of "py", talk to one of their own.
    return [line for line in found if not line.startswith("ogam serve")]


@pytest.mark.parametrize("page", [p for p in PAGES if commands(p)], ids=named)
def test_the_commands_of_a_page_run_one_after_the_other(page: Path, folder: Path) -> None:
    for command in commands(page):
        assert run(["-m", *shlex.split(command)], folder) or any(
            one in f"{command} " for one in (" -o ", " --map ", "ogam usage ", "ogam ledger ")
        )


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_every_link_leads_somewhere(page: Path) -> None:
    for target in LINK.findall(page.read_text(encoding="utf-8")):
        if "://" not in target:
            assert (page.parent / target).exists(), target


def test_the_readmes_tell_the_same_two_commands_first() -> None:
    first = [blocks(ROOT / name, "sh")[0] for name in ("README.md", "README.ko.md")]
    assert all(one.startswith("make serve") and "\nmake test" in one for one in first)


@pytest.mark.parametrize("page", [p for p in PAGES if blocks(p, "py")], ids=named)
def test_the_programs_for_the_vendors_sdks_run_against_the_server(page: Path, folder: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "ogam", "serve", "--no-grpc", "--port", str(port)]
    routes = dict.fromkeys(("OGAM_ROUTE_GENERATE", "OGAM_ROUTE_TRANSLATE"), "fake")
    with subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, cwd=folder, env={**os.environ, **routes}
    ) as server:
        assert server.stderr is not None
        try:
            assert "Ogam answers" in server.stderr.readline()
            program = "\n".join(blocks(page, "py")).replace(":8080", f":{port}")
            (folder / "page.py").write_text(program, encoding="utf-8")
            # The SDK's own warnings are not ours to mend.
            done = subprocess.run(
                [sys.executable, "page.py"],
                cwd=folder,
                capture_output=True,
                text=True,
                timeout=120,
                check=False,
            )
            assert done.returncode == 0, done.stderr
        finally:
            server.terminate()
            server.communicate(timeout=60)
    assert server.returncode == 0


def test_the_demo_leaves_what_it_promises(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = (
        "import runpy, pathlib, sys; demo = runpy.run_path(sys.argv[1]);"
        "demo['main'].__globals__['OUT'] = pathlib.Path(sys.argv[2]);"
        "demo['main'].__globals__['ROOT'] = pathlib.Path(sys.argv[2]); demo['main']()"
    )
    run(["-c", code, str(ROOT / "examples" / "demo.py"), str(tmp_path)], tmp_path)
    made = {path.name: path.stat().st_size for path in tmp_path.iterdir()}
    assert set(made) == {
        "annyeong.wav",
        "hello.mp3",
        "hello.wav",
        "receipt.png",
        "receipt.txt",
        "seen.png",
        "similarity.csv",
        "similarity.png",
        "transcript.srt",
        "transcript.txt",
    }
    assert all(made.values())
    assert "TOTAL EUR" in (tmp_path / "receipt.txt").read_text(encoding="utf-8")
    assert "country" in (tmp_path / "transcript.txt").read_text(encoding="utf-8")

"""A lock restored on a fresh environment: its packages, its models, its text, its vectors.

The index is one that this file starts: it serves the packages of the environment that runs the
tests, packed into wheels again.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("ctranslate2")
pytest.importorskip("ogam_starter")

from ogam.errors import ConfigurationError, EngineError, InvalidRequestError
from ogam.models.lock import packages, restore, take, values, wheels
from ogam.training.language_model import Settings, train

SCOPE = ("ogam", "ctranslate2", "tokenizers", "onnxruntime", "ogam-starter")
OURS = ("ogam", "ogam-starter")


def pack(name: str, folder: Path) -> Path:
    """A wheel of what is installed here under ``name``."""
    found = metadata.distribution(name)
    tags = [
        line.split()[1].split("-")
        for line in (found.read_text("WHEEL") or "").splitlines()
        if line.startswith("Tag:")
    ]
    # py2.py3-none-any, as a name holds several tags
    tag = "-".join(".".join(dict.fromkeys(part)) for part in zip(*tags, strict=True))
    left_out = {"RECORD", "INSTALLER", "REQUESTED", "direct_url.json"}
    members = {
        str(one): Path(str(found.locate_file(one)))
        for one in found.files or ()
        if ".." not in one.parts
        and one.suffix not in {".pyc", ".pth"}
        and not (one.name in left_out and one.parts[0].endswith(".dist-info"))
    }
    module = name.replace("-", "_")
    if not any(one.startswith(f"{module}/") for one in members) and name in OURS:
        root = Path(importlib.util.find_spec(module).submodule_search_locations[0])
        members |= {
            path.relative_to(root.parent).as_posix(): path
            for path in root.rglob("*")
            if path.is_file() and path.suffix != ".pyc"
        }
    record = next(one for one in members if one.endswith(".dist-info/METADATA"))
    wheel = folder / f"{module}-{found.version}-{tag}.whl"
    with zipfile.ZipFile(wheel, "w") as packed:
        for inside, path in members.items():
            packed.write(path, inside)
        rows = "".join(f"{inside},,\n" for inside in members)
        packed.writestr(record.replace("METADATA", "RECORD"), rows)
    return wheel


class Serving:
    """An index in PEP 691's JSON over a folder of wheels, on this machine."""

    def __init__(self, folder: Path) -> None:
        projects: dict[str, list[Path]] = {}
        for path in sorted(folder.iterdir()):
            projects.setdefault(packages.canonical(path.name.split("-")[0]), []).append(path)
        self.asked: list[str] = []
        asked = self.asked

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                asked.append(self.path)
                kind, name = self.path.strip("/").split("/")
                if kind == "files":
                    self.answer((folder / name).read_bytes(), "application/octet-stream")
                elif name in projects:
                    listed = [
                        {
                            "filename": path.name,
                            "url": f"/files/{path.name}",
                            "hashes": {"sha256": sha256(path)},
                        }
                        for path in projects[name]
                    ]
                    page = {"meta": {"api-version": "1.0"}, "name": name, "files": listed}
                    kind = "application/vnd.pypi.simple.v1+json"
                    self.answer(json.dumps(page).encode(), kind)
                else:
                    self.send_error(404)

            def answer(self, data: bytes, kind: str) -> None:
                self.send_response(200)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/simple"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def environment(index: str) -> dict[str, str]:
    """No index but that one, no settings of the developer's own."""
    kept = {name: one for name, one in os.environ.items() if not name.startswith(("PIP_", "OGAM_"))}
    return kept | {
        "PIP_INDEX_URL": index,
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_NO_COMPILE": "1",
        "PIP_NO_CACHE_DIR": "1",
        "NO_PROXY": "127.0.0.1",
        "OGAM_MODELS": os.devnull,
    }


@pytest.fixture(scope="module")
def index(tmp_path_factory):
    """The index, without Ogam: that is no package of an index's."""
    folder = tmp_path_factory.mktemp("index")
    for one in packages.installed(SCOPE):
        if one.name not in OURS:
            pack(one.name, folder)
    serving = Serving(folder)
    yield serving
    serving.close()


@pytest.fixture
def by_index(index, monkeypatch):
    """pip in this process's children asks the index alone."""
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    for name, value in environment(index.url).items():
        monkeypatch.setenv(name, value)
    return index


class Place:
    """A folder on some machine, and the Python there."""

    def __init__(self, folder: Path, python: str, index: str) -> None:
        self.folder, self.python, self.index = folder, python, index

    def ogam(self, *arguments: str, code: int = 0) -> str:
        done = subprocess.run(
            [self.python, "-m", "ogam", *arguments],
            cwd=self.folder,
            env=environment(self.index),
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            check=False,
        )
        assert done.returncode == code, done.stderr
        return done.stdout


@pytest.fixture(scope="module")
def here(tmp_path_factory, index):
    """Where the models were made, and the lock written."""
    folder = tmp_path_factory.mktemp("here")
    text = "".join(f"the {one} fox saw a {two} bird.\n" for one in "abcdefgh" for two in "stuvwxyz")
    (folder / "text.txt").write_text(text * 4)
    settings = Settings(
        files=(str(folder / "text.txt"),),
        held_out=0.1,
        vocabulary=280,
        d_model=16,
        layers=1,
        heads=1,
        context=32,
        dropout=0.0,
        batch=4,
        steps=3,
        warmup=1,
        quantization="float32",
        threads=1,
        seed=11,
    )
    assert train(folder / "runs" / "tiny", settings) is not None
    (folder / "words").mkdir()
    (folder / "words" / "glove.txt").write_text("fox 1 0 0.25\nbird 0.5 -1 0\n")
    place = Place(folder, sys.executable, index.url)
    scope = [part for one in SCOPE for part in ("--for", one)]
    place.ogam(
        *("lock", *scope, "--seed", "story=7"),
        *("-m", "ctranslate2_generator/./runs/tiny/model", "-m", "word2vec/./words"),
    )
    return place


@pytest.fixture(scope="module")
def there(here, index, tmp_path_factory):
    """A fresh environment that has the lock, a folder with Ogam's wheels, and nothing else."""
    folder = tmp_path_factory.mktemp("there")
    (folder / "carried").mkdir()
    for name in OURS:
        pack(name, folder / "carried")
    shutil.copy(here.folder / "ogam.lock", folder)
    builder = Place(folder, sys.executable, index.url)
    builder.ogam("lock", "--restore", "--into", "venv", "--find-links", "carried")
    inner = "Scripts/python.exe" if os.name == "nt" else "bin/python"
    return Place(folder, str(folder / "venv" / inner), index.url)


def listed(python: str) -> dict[str, str]:
    done = subprocess.run(
        [python, "-m", "pip", "list", "--format", "json", "--disable-pip-version-check"],
        capture_output=True,
        check=True,
    )
    return {packages.canonical(one["name"]): one["version"] for one in json.loads(done.stdout)}


def test_the_packages_are_the_same_and_no_others(there):
    wanted = {one.name: one.version for one in values.read(there.folder).packages}
    assert "ogam" in wanted and "ctranslate2" in wanted
    assert "pytest" not in wanted and "torch" not in wanted
    found = listed(there.python)
    assert {name: found.get(name) for name in wanted} == wanted
    assert set(found) - set(wanted) <= packages.TOOLS


def test_every_package_of_an_index_came_by_its_hash(there):
    for one in values.read(there.folder).packages:
        assert (one.name in OURS) == (not one.files), one


def test_the_models_are_the_same_byte_for_byte(here, there):
    locked = values.read(there.folder).models
    assert {one.name for one in locked} >= {
        "starter/all-MiniLM-L6-v2",
        "word2vec/./words",
        "ctranslate2_generator/./runs/tiny/model",
    }
    for one in locked:
        if one.path:
            assert one.files
            for name, digest in one.files.items():
                assert sha256(here.folder / one.path / name) == digest
                assert sha256(there.folder / one.path / name) == digest


def test_it_writes_the_same_text_from_the_same_seed(here, there):
    lock = values.read(there.folder)
    assert next(one.seed for one in lock.models if "tiny" in one.name) == 11
    model = ("-m", "ctranslate2_generator/./runs/tiny/model", "--max-tokens", "24")
    seed = ("--seed", str(lock.seeds["story"]))
    first = here.ogam("generate", "the fox", *model, *seed)
    assert there.ogam("generate", "the fox", *model, *seed) == first
    assert there.ogam("generate", "the fox", *model, "--seed", "8") != first


@pytest.mark.parametrize("model", ["word2vec/./words", "starter/all-MiniLM-L6-v2"])
def test_its_vectors_are_equal(here, there, model):
    command = ("embed", "fox", "bird", "-m", model, "--json")
    first, second = (
        np.array(json.loads(place.ogam(*command))["vectors"]) for place in (here, there)
    )
    assert first.shape[0] == 2 and np.abs(first).max() > 0
    assert np.abs(first - second).max() <= 1e-6


def test_the_restored_place_is_as_the_lock_says(there):
    assert there.ogam("lock", "--check", "--json") == ""


def test_a_tampered_model_is_found(there):
    path = there.folder / "runs" / "tiny" / "model" / "model.bin"
    data = path.read_bytes()
    try:
        path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
        told = there.ogam("lock", "--check", code=1)
        assert told.splitlines() == [told.strip()]
        assert "runs/tiny/model: model.bin" in told and "another content" in told
        path.unlink()
        assert "missing" in there.ogam("lock", "--check", code=1)
    finally:
        path.write_bytes(data)


def test_a_missing_and_another_package_are_found(there):
    site = next((there.folder / "venv").rglob("site-packages"))
    gone = next(site.glob("idna-*.dist-info"))
    other = next(site.glob("numpy-*.dist-info"))
    text = (other / "METADATA").read_text()
    try:
        gone.rename(site / "hidden")
        (other / "METADATA").write_text(text.replace("\nVersion: ", "\nVersion: 9", 1))
        lines = there.ogam("lock", "--check", "--json", code=1).splitlines()
        found = {one["name"]: one for one in map(json.loads, lines)}
        assert set(found) == {"idna", "numpy"}
        assert found["idna"]["here"] == "not installed"
        assert found["numpy"]["here"] == f"9{found['numpy']['locked']}"
    finally:
        (site / "hidden").rename(gone)
        (other / "METADATA").write_text(text)


def minimal(*found: values.Package, models: tuple[values.Model, ...] = ()) -> values.Lock:
    return values.Lock(
        ogam="0.1.0",
        python=take.here_python(),
        platform=take.here_platform(),
        packages=found,
        models=models,
    )


def test_a_package_with_another_hash_is_refused(by_index, there):
    one = next(one for one in packages.installed(SCOPE) if one.name == "idna")
    other = values.Package(name="idna", version=one.version, files={"idna.whl": "0" * 64})
    plan = restore._planned(minimal(other), [])
    with pytest.raises(EngineError, match=r"(?i)hash"):
        restore._install(plan, Path(there.python))
    assert any("idna" in path for path in by_index.asked)
    assert listed(there.python)["idna"] == one.version


@pytest.mark.skipif(os.name == "nt", reason="the Python here is a shell script")
def test_a_failure_leaves_no_environment(tmp_path):
    python = tmp_path / "python"
    version = take.here_python().version
    # It tells its version, and makes half an environment.
    python.write_text(
        f'#!/bin/sh\ncase "$*" in *-c*) echo {version} CPython;; '
        '*) for last; do :; done; touch "$last/half"; echo no room >&2; exit 1;; esac\n'
    )
    python.chmod(0o755)
    with pytest.raises(EngineError, match="no room"):
        restore.restore(minimal(), tmp_path / "ogam.lock", tmp_path / "venv", python=str(python))
    assert not (tmp_path / "venv").exists()


def test_a_local_build_without_its_sources_is_named_before_anything_is_made(tmp_path):
    gone = values.Package(
        name="lost",
        version="1.0",
        source="editable",
        url=(tmp_path / "lost").as_uri(),
        trouble="a local build",
        remedy="Give its wheel",
    )
    with pytest.raises(ConfigurationError, match=r"lost 1\.0.*Give its wheel"):
        restore.restore(minimal(gone), tmp_path / "ogam.lock", tmp_path / "venv")
    assert not (tmp_path / "venv").exists()


def test_what_is_in_the_way_stays(tmp_path):
    (tmp_path / "venv").mkdir()
    (tmp_path / "venv" / "mine").touch()
    with pytest.raises(InvalidRequestError, match="there already"):
        restore.restore(minimal(), tmp_path / "ogam.lock", tmp_path / "venv")
    assert (tmp_path / "venv" / "mine").exists()


def test_a_lock_for_another_python_says_how_to_name_it(tmp_path):
    lock = values.Lock(
        ogam="0.1.0",
        python=values.Python(version="3.4.1", implementation="CPython"),
        platform=take.here_platform(),
        packages=(),
    )
    with pytest.raises(InvalidRequestError, match=r"--python python3\.4"):
        restore.restore(lock, tmp_path / "ogam.lock", tmp_path / "venv")


def test_a_local_build_becomes_a_wheel_in_the_lock(by_index, tmp_path):
    pack("setuptools", tmp_path)
    serving = Serving(tmp_path)
    sources = tmp_path / "sources"
    sources.mkdir()
    (sources / "pyproject.toml").write_text(
        '[build-system]\nrequires = ["setuptools"]\nbuild-backend = "setuptools.build_meta"\n'
        '[project]\nname = "fable"\nversion = "1.0"\n'
    )
    (sources / "fable.py").write_text("MORAL = 'slow and steady'\n")
    local = values.Package(name="fable", version="1.0", source="editable", url=sources.as_uri())
    try:
        os.environ["PIP_INDEX_URL"] = serving.url
        built = wheels.build(minimal(local), tmp_path / "out").packages[0]
    finally:
        serving.close()
    wheel = tmp_path / "out" / "wheels" / "fable-1.0-py3-none-any.whl"
    assert built.files == {wheel.name: sha256(wheel)}
    assert wheels.find(built, [wheel.parent]) == wheel
    wheel.write_bytes(wheel.read_bytes() + b"x")
    assert wheels.find(built, [wheel.parent]) is None

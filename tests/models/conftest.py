"""A hub of this suite's own on 127.0.0.1: it counts what it is asked, and fails as told."""

from __future__ import annotations

import contextlib
import hashlib
import json
import threading
import types
from collections.abc import Generator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from ogam.models import store


@dataclass
class Repository:
    files: dict[str, bytes]
    licence: str | None = "apache-2.0"
    token: str | None = None
    commit: str = "1" * 40
    lfs: frozenset[str] = frozenset({".safetensors", ".bin", ".onnx"})
    hashes: dict[str, str] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)


@dataclass
class Asked:
    """One request for a file: from which byte on, and how many bytes went out."""

    path: str
    start: int
    token: str | None
    host: str
    sent: int = 0


class Hub:
    """What the server has and how it behaves. ``cut``: bytes of a file after which it hangs up."""

    def __init__(self) -> None:
        self.repositories: dict[str, Repository] = {}
        self.asked: list[Asked] = []
        self.listings = 0
        self.cut: int | None = None
        self.wait: threading.Event | None = None
        self.status: list[int] = []
        self.ranges = True
        self.endless = False
        self.redirect = ""
        self.url = ""
        self.moved = threading.Condition()

    def add(self, name: str, files: dict[str, bytes], **about: object) -> Repository:
        made = Repository(files, **about)  # type: ignore[arg-type]
        self.repositories[name] = made
        return made

    def sent(self, name: str) -> int:
        return sum(one.sent for one in self.asked if one.path.endswith(name))

    def sends(self, size: int) -> None:
        """Wait until so many bytes of files have gone out."""
        with self.moved:
            assert self.moved.wait_for(lambda: sum(a.sent for a in self.asked) >= size, 30)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: Hub

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        path = unquote(urlsplit(self.path).path)
        if path.startswith("/api/models/"):
            self._listing(path.removeprefix("/api/models/"))
        elif path.startswith("/cdn/"):
            name, _, rest = path[5:].partition("/resolve/")
            self._file(path, self.hub.repositories[name].files[rest.partition("/")[2]])
        elif "/resolve/" in path:
            name, _, rest = path[1:].partition("/resolve/")
            repository = self.hub.repositories[name]
            if self._closed(repository):
                return
            if self.hub.redirect:
                self._answer(302, b"", Location=f"{self.hub.redirect}/cdn{path}")
                return
            self._file(path, repository.files[rest.partition("/")[2]])
        else:
            self._answer(404, b"")

    def _closed(self, repository: Repository) -> bool:
        given = (self.headers.get("Authorization") or "").removeprefix("Bearer ")
        if repository.token in (None, given):
            return False
        status = 403 if given else 401
        self._answer(status, b"", **{"X-Error-Code": "GatedRepo", "X-Error-Message": "gated"})
        return True

    def _listing(self, path: str) -> None:
        self.hub.listings += 1
        if self.hub.status:
            self._answer(self.hub.status.pop(0), b"")
            return
        name, _, revision = path.partition("/revision/")
        repository = self.hub.repositories.get(name)
        if repository is None:
            self._answer(401, b"", **{"X-Error-Code": "RepoNotFound"})
            return
        if revision not in ("", "main", repository.commit):
            self._answer(404, b"", **{"X-Error-Code": "RevisionNotFound"})
            return
        siblings: list[dict[str, object]] = []
        for file, data in repository.files.items():
            size = repository.sizes.get(file, len(data))
            git = hashlib.sha1(b"blob %d\0" % size + data).hexdigest()
            blob = repository.hashes.get(file, git)
            one: dict[str, object] = {"rfilename": file, "size": size, "blobId": blob}
            if Path(file).suffix in repository.lfs:
                digest = repository.hashes.get(file, hashlib.sha256(data).hexdigest())
                one["lfs"] = {"size": size, "sha256": digest, "pointerSize": 134}
            siblings.append(one)
        about = {"license": repository.licence} if repository.licence else {}
        told = {"id": name, "sha": repository.commit, "siblings": siblings, "cardData": about}
        self._answer(200, json.dumps(told).encode(), **{"Content-Type": "application/json"})

    def _file(self, path: str, data: bytes) -> None:
        wanted = self.headers.get("Range")
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted else 0
        token = self.headers.get("Authorization")
        asked = Asked(path, start, token, self.headers["Host"])
        self.hub.asked.append(asked)
        if not self.hub.ranges:
            start = 0
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        if self.hub.endless:
            self.send_header("Connection", "close")
        else:
            self.send_header("Content-Length", str(len(data) - start))
        self.end_headers()
        end = len(data) if self.hub.cut is None else min(len(data), start + self.hub.cut)
        with contextlib.suppress(ConnectionError):
            for at in range(start, end, 1 << 16):
                if self.hub.wait is not None and at >= start + (1 << 17):
                    self.hub.wait.wait(30)
                self.wfile.write(data[at : min(end, at + (1 << 16))])
                with self.hub.moved:
                    asked.sent += min(end, at + (1 << 16)) - at
                    self.hub.moved.notify_all()
            while self.hub.endless:
                self.wfile.write(bytes(1 << 16))
        if end < len(data) or self.hub.endless:
            self.close_connection = True

    def _answer(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Generator[Hub]:
    """A hub that answers at HF_ENDPOINT, no token, and an empty folder for models."""
    import huggingface_hub

    made = Hub()
    handler = types.new_class("Handler", (_Handler,), exec_body=lambda body: body.update(hub=made))
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    # A client that hangs up is what many of these tests are about.
    server.handle_error = lambda *_: None  # type: ignore[method-assign]
    made.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_ENDPOINT", made.url)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(tmp_path / "hf" / "token"))
    monkeypatch.setenv("OGAM_MODELS", str(tmp_path / "models"))
    yield made
    huggingface_hub.close_session()
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(scope="session")
def safetensors():
    """Make a safetensors file with one tensor of so many bytes."""

    def make(size: int, seed: int = 0) -> bytes:
        header = {"w": {"dtype": "U8", "shape": [size], "data_offsets": [0, size]}}
        text = json.dumps(header).encode()
        block = hashlib.sha256(b"%d" % seed).digest() * 32
        data = (block * (size // len(block) + 1))[:size]
        return len(text).to_bytes(8, "little") + text + data

    return make


@pytest.fixture
def ready():
    """Files of a model that Ogam runs as it is (the fake engine); ``size`` bytes of weights."""

    def make(size: int = 1000, name: str = "tiny") -> dict[str, bytes]:
        weights = hashlib.sha256(name.encode()).digest() * (size // 32 + 1)
        files = {"weights.bin": weights[:size], "CARD.md": b"# Tiny\n"}
        manifest = {
            "name": name,
            "engine": "fake",
            "capabilities": ["embed"],
            "files": {one: hashlib.sha256(data).hexdigest() for one, data in files.items()},
            "licence": "MIT",
            "source": "here",
            "dimensions": 7,
        }
        return {**files, store.MANIFEST: json.dumps(manifest).encode()}

    return make


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch):
    """The conversion stands aside: what is pulled stays as it is, for the fake engine."""
    import shutil
    import sys

    asked: list[tuple[object, ...]] = []

    def convert(folder: Path, out: Path, *, capability, quantize, allow_untrained):
        asked.append((capability, quantize))
        shutil.copytree(folder, out, dirs_exist_ok=True)
        return types.SimpleNamespace(engine="fake", capabilities=(capability or "embed",))

    converting = types.ModuleType("ogam.models.convert")
    converting.convert = convert  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, converting.__name__, converting)
    return asked

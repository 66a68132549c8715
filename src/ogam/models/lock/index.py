"""What an index has of a package: its files, their hashes, whether they were withdrawn.

Speaks the simple API in JSON (PEP 691), else in HTML (PEP 503; the hash in the link, PEP 592's
``data-yanked``), over HTTP or from a folder (``file:``), and reads folders and pages of
``--find-links``. https://packaging.python.org/en/latest/specifications/simple-repository-api/
"""

from __future__ import annotations

import base64
import gzip
import ssl
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterable
from html.parser import HTMLParser
from http.client import HTTPException
from pathlib import Path
from urllib.parse import unquote, urljoin, urlsplit
from urllib.request import url2pathname

import msgspec

from ogam.models import store
from ogam.models.lock.settings import without_password

ACCEPT = "application/vnd.pypi.simple.v1+json, text/html;q=0.5, */*;q=0.1"
_JSON = "application/vnd.pypi.simple.v1+json"
_SECONDS = 20.0
_TRIES = 3
# 64 MiB: PyPI's largest page, of a package with daily builds, is under 10.
_LARGEST = 64 * 2**20


class File(msgspec.Struct, frozen=True, kw_only=True):
    """One file. ``sha256`` in hex, empty where the index tells none; ``yanked`` is the reason."""

    name: str
    url: str = ""
    sha256: str = ""
    yanked: str | None = None


class UnreachableError(Exception):
    """The index does not answer; the text says why."""


class _Listed(msgspec.Struct):
    filename: str
    url: str = ""
    hashes: dict[str, str] = {}
    yanked: bool | str = False


class _Page(msgspec.Struct):
    files: list[_Listed]


class Index:
    """One index, asked from many threads. Once it cannot be reached it is asked no more."""

    def __init__(self, url: str, *, cert: str = "") -> None:
        self.url = without_password(url)
        self._url = url
        self._cert = cert
        self.unreachable = ""
        self._lock = threading.Lock()
        self._context: ssl.SSLContext | None = None

    def files(self, project: str) -> list[File]:
        """All files of ``project`` (its normalised name), of every version; none if unknown here.

        Raises UnreachableError where the index does not answer.
        """
        return self.page(f"{self._url}/{project}/")

    def page(self, url: str) -> list[File]:
        """The files that a page of links, or a folder, names."""
        if self.unreachable:
            raise UnreachableError(self.unreachable)
        try:
            if urlsplit(url).scheme in {"http", "https"}:
                data, kind, base = self._fetch(url)
            else:
                path = _path(url)
                if path.is_dir() and not (path / "index.html").is_file():
                    return _in_folder(path)
                path = path / "index.html" if path.is_dir() else path
                data, kind, base = path.read_bytes(), "text/html", path.as_uri()
        except urllib.error.HTTPError as error:
            if 400 <= error.code < 500 and error.code not in {401, 407, 429}:
                return []  # 404, and 403 of the indexes that tell nobody what they lack
            self.unreachable = f"{without_password(url)} answered {error.code} {error.reason}"
        except FileNotFoundError:
            return []
        except (OSError, HTTPException, EOFError) as error:
            reason = getattr(error, "reason", None) or error
            self.unreachable = f"{self.url} cannot be reached: {reason}"
        else:
            try:
                return parse_json(data) if kind == _JSON else parse_html(data, base)
            except msgspec.DecodeError as error:
                self.unreachable = f"{self.url} sends no index: {error}"
        raise UnreachableError(self.unreachable)

    def _fetch(self, url: str) -> tuple[bytes, str, str]:
        parts = urlsplit(url)
        request = urllib.request.Request(  # noqa: S310  (http and https alone come here)
            without_password(url), headers={"Accept": ACCEPT, "Accept-Encoding": "gzip"}
        )
        if parts.username:
            secret = f"{unquote(parts.username)}:{unquote(parts.password or '')}".encode()
            # Not sent on to wherever the index may redirect.
            request.add_unredirected_header(
                "Authorization", f"Basic {base64.b64encode(secret).decode()}"
            )
        for attempt in range(1, _TRIES + 1):
            try:
                with urllib.request.urlopen(  # noqa: S310
                    request, timeout=_SECONDS, context=self._tls()
                ) as answer:
                    data = answer.read(_LARGEST)
                    if answer.headers.get("Content-Encoding") == "gzip":
                        data = gzip.decompress(data)
                    return data, answer.headers.get_content_type(), answer.geturl()
            except urllib.error.HTTPError as error:
                if attempt == _TRIES or error.code not in {429, 500, 502, 503, 504}:
                    raise
            except (TimeoutError, HTTPException, ConnectionResetError):
                if attempt == _TRIES:
                    raise
            time.sleep(0.5 * attempt)
        raise AssertionError

    def _tls(self) -> ssl.SSLContext:
        with self._lock:
            if self._context is None:
                self._context = ssl.create_default_context(cafile=self._cert or None)
            return self._context


def parse_json(data: bytes) -> list[File]:
    """A project's page in PEP 691's JSON; msgspec.DecodeError where it is none."""
    return [
        File(
            name=one.filename,
            url=one.url,
            sha256=one.hashes.get("sha256", "").lower(),
            yanked=_reason(one.yanked),
        )
        for one in msgspec.json.decode(data, type=_Page).files
    ]


def _reason(yanked: bool | str) -> str | None:
    """Why a file was withdrawn; False, True or a text in JSON, a text in HTML."""
    if yanked is False:
        return None
    return yanked if isinstance(yanked, str) and yanked else "no reason given"


def parse_html(data: bytes, base: str = "") -> list[File]:
    """A project's page in HTML: every link, its hash in the fragment."""
    reader = _Links()
    reader.feed(data.decode("utf-8", errors="replace"))
    reader.close()
    return [_linked(attributes, base) for attributes in reader.found]


class _Links(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[dict[str, str | None]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "a" and any(name == "href" and value for name, value in attrs):
            self.found.append(dict(attrs))


def _linked(attributes: dict[str, str | None], base: str) -> File:
    try:
        url = urljoin(base, attributes["href"] or "")
        parts = urlsplit(url)
    except ValueError:  # such as an unclosed [ in place of a host
        return File(name="")
    kind, _, digest = parts.fragment.partition("=")
    sha256 = digest.lower() if kind == "sha256" else ""
    if not sha256 and parts.scheme == "file":
        sha256 = store.sha256(_path(url)) or ""
    withdrawn = "data-yanked" in attributes
    return File(
        name=unquote(parts.path.rpartition("/")[2]),
        url=url,
        sha256=sha256,
        yanked=_reason(attributes["data-yanked"] or True) if withdrawn else None,
    )


def _in_folder(folder: Path) -> list[File]:
    """The wheels and archives in a folder, not yet hashed."""
    return [
        File(name=path.name, url=path.as_uri())
        for path in sorted(folder.iterdir())
        if path.name.endswith((".whl", ".tar.gz", ".zip"))
    ]


def of_version(files: Iterable[File], project: str, version: str) -> list[File]:
    """Those of ``files`` that are ``project`` in exactly this version, hashed if they lie here."""
    found = [one for one in files if _names(one.name) == (project, version)]
    return [
        one
        if one.sha256 or not one.url.startswith("file:")
        else msgspec.structs.replace(one, sha256=store.sha256(_path(one.url)) or "")
        for one in found
    ]


def _names(file: str) -> tuple[str, str] | None:
    """The project and version a file's name tells, both normalised."""
    from packaging.utils import (
        InvalidSdistFilename,
        InvalidWheelFilename,
        parse_sdist_filename,
        parse_wheel_filename,
    )

    try:
        if file.endswith(".whl"):
            project, version, *_ = parse_wheel_filename(file)
        else:
            project, version = parse_sdist_filename(file)
    except (InvalidSdistFilename, InvalidWheelFilename):
        return None
    return project, str(version)


def _path(url: str) -> Path:
    parts = urlsplit(url)
    return Path(url2pathname(parts.path)) if parts.scheme == "file" else Path(url).expanduser()

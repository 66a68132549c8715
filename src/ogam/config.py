"""Settings: ``ogam.toml``, then ``OGAM_*`` over it. Knows no engine.

The first of these files that exists is read: ``$OGAM_CONFIG``, ``./ogam.toml``,
``ogam.toml`` in the user's configuration folder::

    threads = 4

    [routes]
    speak = ["espeak/en-gb"]
    see = ["rapidocr", "opencv"]

    [names]                          # a client's model name, or a pattern of them
    "gpt-*" = "ctranslate2_generator/./my-model"
    "whisper-1" = ""                 # the route's

    [server]
    port = 8080
    models = 8                       # loaded at once beside those of the routes
    keys = ["sha256:…"]              # or the key itself; none: everyone on this machine

    [limits]
    max_seconds = 36000

The environment, for one setting each: ``OGAM_THREADS=4``, ``OGAM_ROUTE_SPEAK=espeak/en-gb``
(several models with commas between), ``OGAM_LIMIT_MAX_SECONDS=36000``,
``OGAM_SERVER_PORT=9000``, ``OGAM_SERVER_KEYS=one,two``.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import msgspec

from ogam import routes
from ogam.errors import ConfigurationError
from ogam.media.limits import Limits
from ogam.routes import Route, Routes, Step, When, Written
from ogam.vendors import VendorSettings

__all__ = ["Cache", "Config", "Ledger", "Route", "Routes", "Server", "Step", "When", "load", "path"]


class Server(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where ``ogam serve`` listens and whom it answers.

    ``keys`` may call, each as it is or as ``sha256:HEX``; without any, everyone may, which is
    only allowed on this machine itself. ``hosts`` are further names the server is called by.
    ``queue`` requests may wait or work for one model at a time, more where they are small and run
    together (eight texts to embed, classify or translate count as one); others are refused.
    ``models`` that no route names stay loaded at most, for clients who name them; then the one
    that nobody uses and that was used longest ago is closed.
    ``data`` holds what clients leave here (files, batches, glossaries); empty: the user's data
    folder. Without ``store`` no response of OpenAI's protocol is kept there, which it is otherwise
    unless the client says ``store=False``. ``fetch`` lists the URLs that may be fetched when a
    client names one, such as ``https://example.org/photos/*``, or ``*`` for every public one;
    none: nothing is.
    """

    host: str = "127.0.0.1"
    port: int = 8080
    grpc_port: int = 8081
    tls_port: int = 8443
    grpc_tls_port: int = 8444
    keys: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()
    queue: int = 256
    models: int = 8
    data: str = ""
    store: bool = True
    fetch: tuple[str, ...] = ()

    def folder(self) -> Path:
        """Where clients' things and the server's own are kept."""
        if self.data:
            return Path(self.data)
        from platformdirs import user_data_path

        return user_data_path("ogam")


class Ledger(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where each call is written down, and what holds for those that cost money.

    ``url``: ``sqlite:////path`` or ``postgresql://user@host/db``; empty: ledger.sqlite in the
    data folder. ``durable``: what is kept if the process is killed (``process``), or the power
    fails too (``power``, slower). ``when_down``: while the ledger does not answer, what costs
    money is refused (``closed``) or let through uncounted (``open``); what is local goes on.
    ``max_output_tokens`` is put into a request to a vendor that names no maximum of its own:
    without one its cost has no bound.
    """

    url: str = ""
    durable: Literal["process", "power"] = "process"
    when_down: Literal["closed", "open"] = "closed"
    max_output_tokens: int = 4096


class Cache(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where answers are kept for the routes that ask for it (docs/cache.md).

    ``folder``: empty: ``cache`` in the data folder. ``max_bytes`` bounds what lies there; the
    least recently used goes. ``encoder`` is the model here whose vectors tell which texts are
    near each other.
    """

    folder: str = ""
    max_bytes: int = 1_000_000_000
    encoder: str = "starter/all-MiniLM-L6-v2"


class Telemetry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a server tells of its calls. Never their text, and no key.

    ``log`` writes a line for each to standard error, as JSON or for people. ``traces`` is where
    OpenTelemetry's are sent, as in ``http://localhost:4318/v1/traces``; empty: nowhere.
    """

    log: Literal["", "json", "text"] = ""
    traces: str = ""


class Config(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All settings. ``threads`` bounds how many engine calls work at once in this process.

    ``names`` maps model names of clients, or patterns of them (fnmatch), to models of Ogam's or
    to routes of their own; an empty one stands for the capability's route. ``vendors`` are rows
    of :mod:`ogam.vendors`, ``prices`` rows that come before the shipped ones (docs/prices.md).
    """

    threads: int = max(2, os.cpu_count() or 2)
    routes: Routes = Routes()
    names: dict[str, str | Written] = {}
    vendors: dict[str, VendorSettings] = {}
    prices: tuple[dict[str, Any], ...] = ()
    ledger: Ledger = Ledger()
    cache: Cache = Cache()
    telemetry: Telemetry = Telemetry()
    server: Server = Server()
    limits: Limits = Limits()


def load(environ: Mapping[str, str] | None = None) -> Config:
    """Read the settings; ConfigurationError names the file or variable that is wrong."""
    environ = os.environ if environ is None else environ
    file = path(environ)
    values: dict[str, Any] = {}
    if file is not None:
        import tomllib

        try:
            values = tomllib.loads(file.read_text(encoding="utf-8"))
        except OSError as error:
            raise ConfigurationError(f"{file} cannot be read: {error.strerror}.") from None
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ConfigurationError(f"{file} is not valid TOML: {error}.") from None
    where = str(file) if file else "the defaults"
    _check(values, where, file)
    for name, value in environ.items():
        if (place := _place(name)) is None:
            continue
        table, key = place
        target = values.setdefault(table, {}) if table else values
        many = table == "routes" or (table == "server" and key in ("keys", "hosts", "fetch"))
        target[key] = _models(value) if many else value
        _check(values, f"the variable {name}")
    return _check(values, where)


def path(environ: Mapping[str, str]) -> Path | None:
    """The file that the settings come from, None where there is none."""
    named = environ.get("OGAM_CONFIG")
    if named:
        return Path(named)
    # os.path.isfile, not Path.is_file: a folder that may not be read is no error here.
    if os.path.isfile("ogam.toml"):
        return Path("ogam.toml")
    from platformdirs import user_config_path

    there = user_config_path("ogam") / "ogam.toml"
    return there if os.path.isfile(there) else None


def _place(variable: str) -> tuple[str, str] | None:
    if variable == "OGAM_THREADS":
        return "", "threads"
    tables = (
        ("OGAM_ROUTE_", "routes"),
        ("OGAM_LIMIT_", "limits"),
        ("OGAM_SERVER_", "server"),
        ("OGAM_LEDGER_", "ledger"),
        ("OGAM_CACHE_", "cache"),
        ("OGAM_TELEMETRY_", "telemetry"),
    )
    for prefix, table in tables:
        if variable.startswith(prefix):
            return table, variable.removeprefix(prefix).lower()
    return None


def _models(value: str) -> list[str]:
    return [name.strip() for name in value.split(",") if name.strip()]


def _check(values: dict[str, Any], where: str, file: Path | None = None) -> Config:
    try:
        # Not strict: a number from the environment comes as text.
        config = msgspec.convert(values, Config, strict=False)
    except msgspec.ValidationError as error:
        raise ConfigurationError(f"{where}{_line(file, str(error))} is wrong: {error}.") from None
    numbers = {
        "threads": config.threads,
        "server.models": config.server.models,
        "max_output_tokens": config.ledger.max_output_tokens,
        "cache.max_bytes": config.cache.max_bytes,
        **msgspec.structs.asdict(config.limits),
    }
    for name, number in numbers.items():
        if number < 1:
            raise ConfigurationError(f"{where} is wrong: {name} must be 1 or more, not {number}.")
    named = {f"names.{name}": to for name, to in config.names.items() if not isinstance(to, str)}
    for name, written in {**msgspec.structs.asdict(config.routes), **named}.items():
        if (wrong := routes.problem(routes.route(written))) is not None:
            raise ConfigurationError(f"{where} is wrong: in {name}, {wrong}.")
    return config


def _line(file: Path | None, said: str) -> str:
    """``:12`` where the setting stands that an error is about."""
    if file is None:
        return ""
    from ogam import toml_lines

    text = file.read_text(encoding="utf-8")
    value = re.search("'([^']+)'", said)
    number = toml_lines.line(text, toml_lines.place(said), value[1] if value else "")
    return f":{number}" if number else ""

"""`ogam serve`, where it does not come to serving. How it serves: tests/server/test_process.py."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--port", "65536"), "65535"),
        (("--port", "http"), "http"),
        (("--preload", "nonsense"), "'nonsense' is no capability"),
        (("--host", "no such host", "--key", "k"), "no address 'no such host'"),
        (("--host", "192.0.2.7", "--key", "k"), "no address '192.0.2.7'"),
        (("--key", ""), "key is empty"),
        (("--key", "sha256:abc"), "no SHA-256 hash"),
    ],
)
def test_what_cannot_be_served_is_one_line(ogam, arguments, said):
    answer = ogam("serve", "--no-grpc", *arguments)
    assert answer.code in (1, 2)
    assert said in answer.err
    assert answer.err.count("\n") == 1


def test_a_capability_without_a_model_cannot_be_loaded_ahead(ogam, monkeypatch):
    monkeypatch.setenv("OGAM_ROUTE_TRANSLATE", "")
    answer = ogam("serve", "--preload", "translate")
    assert answer.code == 1
    assert "no model to load for translate" in answer.err


def test_a_wrong_setting_is_one_line_that_names_it(ogam, tmp_path: Path):
    (tmp_path / "ogam.toml").write_text("[server]\nprot = 1\n")
    wrong = ogam("serve")
    assert wrong.code == 1
    assert wrong.err.count("\n") == 1
    assert "ogam.toml" in wrong.err
    assert "prot" in wrong.err
    (tmp_path / "ogam.toml").write_text("[server]\ngrpc_port = 70000\n")
    assert ogam("serve").err == "ogam: error: server.grpc_port must be from 0 to 65535.\n"
    (tmp_path / "ogam.toml").write_text("[server]\nqueue = 0\n")
    assert "server.queue must be 1 or more" in ogam("serve").err


def test_a_port_that_is_taken_is_one_line(ogam):
    pytest.importorskip("grpc")
    with socket.create_server(("127.0.0.1", 0)) as one:
        port = str(one.getsockname()[1])
        taken = ogam("serve", "--port", port)
        assert (taken.code, taken.err.count("\n")) == (1, 1)
        assert f"Port {port} is taken" in taken.err
        taken = ogam("serve", "--port", "0", "--grpc-port", port)
        assert taken.code == 1
        assert f"Port {port} is taken" in taken.err
        assert "Traceback" not in taken.err


def test_help_tells_every_option(ogam):
    said = ogam("serve", "--help").out
    for option in ("--host", "--port", "--grpc-port", "--tls", "--key", "--preload"):
        assert option in said

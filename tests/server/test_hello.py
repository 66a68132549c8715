"""What is printed once the server answers, as lines that work when they are copied."""

from __future__ import annotations

import re

import pytest

from ogam.config import Config, Server
from ogam.server import hello
from ogam.server.run import Ports

PORTS = Ports(http=8080, grpc=8081)


@pytest.mark.parametrize(
    ("host", "called"),
    [
        ("127.0.0.1", "127.0.0.1"),
        ("0.0.0.0", "localhost"),
        ("::", "localhost"),
        ("::1", "[::1]"),
        ("10.0.0.7", "10.0.0.7"),
    ],
)
def test_addresses_are_such_as_can_be_called(host, called):
    said = hello.text(Config(server=Server(host=host, keys=("k",))), PORTS, None, 0.5)
    assert set(re.findall(r"http://([^/\"]+?):8080", said)) == {called}


def test_a_key_is_not_printed(fake):
    said = hello.text(Config(server=Server(keys=("s3cret",))), PORTS, None, 0.5)
    assert "s3cret" not in said
    assert 'api_key="YOUR_KEY"' in said
    assert 'api_key="any"' in hello.text(Config(), PORTS, None, 0.5)


def test_what_does_not_listen_is_not_named():
    without = hello.text(Config(), Ports(http=8080), None, 0.5)
    assert "gRPC" not in without
    assert "TLS" not in without
    assert "None" not in without


def test_the_openai_line_works_as_it_is_printed(fake):
    openai = pytest.importorskip("openai")
    said = hello.text(fake.server.config, fake.ports, None, 0.5)
    line = next(one for one in said.splitlines() if one.startswith("OpenAI"))
    with eval(line.split(None, 1)[1], {"OpenAI": openai.OpenAI}) as client:
        assert client.models.list().data

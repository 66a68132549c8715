"""TLS by an authority of this machine's own: an SDK over https, and what lies on the disk."""

from __future__ import annotations

import datetime
import ssl
from pathlib import Path

import pytest

from ogam.errors import ConfigurationError
from ogam.server import hello, tls

cryptography = pytest.importorskip("cryptography")


def printed(server, authority, name):
    """The value of an ``export`` line that is printed at the start."""
    said = hello.text(server.server.config, server.ports, authority, 0.5)
    return next(line.partition("=")[2] for line in said.splitlines() if f"export {name}=" in line)


def test_sdks_call_over_tls_with_the_variables_that_are_printed(serving, tmp_path, monkeypatch):
    grpc = pytest.importorskip("grpc")
    vision = pytest.importorskip("google.cloud.vision")
    openai = pytest.importorskip("openai")
    deepl = pytest.importorskip("deepl")
    authority = tls.authority(tmp_path / "tls")
    server = serving(tls=authority, grpc=True)
    for name in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH"):
        monkeypatch.setenv(name, printed(server, authority, name))
    base = f"https://localhost:{server.ports.https}"
    with openai.OpenAI(base_url=f"{base}/v1", api_key="any", max_retries=0) as client:
        assert [one.id for one in client.models.list()] == ["fake"]
    said = hello.text(server.server.config, server.ports, authority, 0.5)
    line = next(one.strip() for one in said.splitlines() if "verify_ssl" in one)
    translator = eval(line, {"DeepLClient": deepl.DeepLClient})
    assert translator.get_usage() is not None
    translator.close()
    with pytest.raises(openai.APIConnectionError):
        monkeypatch.delenv("SSL_CERT_FILE")
        with openai.OpenAI(base_url=f"{base}/v1", api_key="any", max_retries=0) as client:
            client.models.list()
    # gRPC reads its variable once a process, so the file is given to a channel here.
    roots = grpc.ssl_channel_credentials(authority.authority.read_bytes())
    with grpc.secure_channel(f"localhost:{server.ports.grpc_tls}", roots) as channel:
        transport = vision.ImageAnnotatorClient.get_transport_class("grpc")(channel=channel)
        client = vision.ImageAnnotatorClient(transport=transport)
        picture = (Path(__file__).parents[2] / "samples/ocr/short.png").read_bytes()
        answer = client.text_detection(image=vision.Image(content=picture))
        assert answer.text_annotations


def test_the_key_is_its_owners_alone_and_the_authoritys_is_not_kept(tmp_path):
    made = tls.authority(tmp_path / "tls")
    assert made.key.stat().st_mode & 0o777 == 0o600
    assert sorted(one.name for one in (tmp_path / "tls").iterdir()) == [
        "ca.pem",
        "server.key",
        "server.pem",
    ]


def contents(made):
    return [one.read_bytes() for one in (made.authority, made.certificate, made.key)]


def test_what_is_there_is_used_again_while_it_will_do(tmp_path):
    before = contents(tls.authority(tmp_path, ["ogam.test"]))
    assert contents(tls.authority(tmp_path)) == before
    assert contents(tls.authority(tmp_path, ["other.test"])) != before


def test_certificates_are_made_anew_a_week_before_their_end(tmp_path, monkeypatch):
    monkeypatch.setattr(tls, "_LIFE", datetime.timedelta(days=6))
    old = contents(tls.authority(tmp_path))
    monkeypatch.undo()
    new = contents(tls.authority(tmp_path))
    assert not set(old) & set(new)
    assert contents(tls.authority(tmp_path)) == new


@pytest.mark.parametrize("name", ["ca.pem", "server.pem", "server.key"])
@pytest.mark.parametrize("spoilt", [b"", b"garbage", None])
def test_files_that_do_not_belong_together_are_made_anew(tmp_path, name, spoilt):
    other = tls.authority(tmp_path / "other").authority.parent / name
    made = tls.authority(tmp_path / "tls")
    (tmp_path / "tls" / name).write_bytes(other.read_bytes() if spoilt is None else spoilt)
    spoilt_ones = contents(made)
    assert contents(tls.authority(tmp_path / "tls")) != spoilt_ones
    ssl.create_default_context(cafile=made.authority)
    ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(made.certificate, made.key)


def test_a_name_that_no_certificate_can_hold_is_one_line(tmp_path):
    with pytest.raises(ConfigurationError, match="No certificate"):
        tls.authority(tmp_path, ["오감.kr"])

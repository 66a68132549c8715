"""A certificate authority of this machine's own, made once, for SDKs that insist on TLS."""

from __future__ import annotations

import datetime
import ipaddress
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from ogam.errors import ConfigurationError, OutputError
from ogam.extras import needs
from ogam.media import files

if TYPE_CHECKING:
    from cryptography import x509

_LIFE = datetime.timedelta(days=820)  # browsers refuse server certificates of more than 825 days


class Authority(msgspec.Struct, frozen=True, kw_only=True):
    """Files in PEM: the authority to trust, and the server's certificate and key."""

    authority: Path
    certificate: Path
    key: Path


def authority(folder: Path, hosts: Sequence[str] = ()) -> Authority:
    """The authority in ``folder``, made there if there is none that will do.

    The server's certificate is for localhost, 127.0.0.1, ::1 and ``hosts``. Its key is readable
    by its owner alone. All three are made anew a week before they end, and where they do not
    belong together.
    """
    found = Authority(
        authority=folder / "ca.pem", certificate=folder / "server.pem", key=folder / "server.key"
    )
    names = ("localhost", "127.0.0.1", "::1", *hosts)
    if not _good(found, names):
        _make(folder, found, names)
    return found


def _good(found: Authority, names: Sequence[str]) -> bool:
    with needs("tls"):
        from cryptography import x509
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives import serialization
    try:
        own = x509.load_pem_x509_certificate(found.certificate.read_bytes())
        key = serialization.load_pem_private_key(found.key.read_bytes(), None)
        own.verify_directly_issued_by(x509.load_pem_x509_certificate(found.authority.read_bytes()))
        alternative = own.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        known = {str(one.value) for one in alternative}
    except (OSError, ValueError, TypeError, x509.ExtensionNotFound, InvalidSignature):
        return False
    week = datetime.timedelta(days=7)
    now = datetime.datetime.now(datetime.UTC)
    return (
        now + week < own.not_valid_after_utc
        and known.issuperset(names)
        and key.public_key() == own.public_key()
    )


def _make(folder: Path, target: Authority, names: Sequence[str]) -> None:
    with needs("tls"):
        from cryptography import x509
        from cryptography.hazmat.primitives import hashes, serialization
        from cryptography.hazmat.primitives.asymmetric import ec
        from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
    now = datetime.datetime.now(datetime.UTC)
    usage = {
        "content_commitment": False,
        "key_encipherment": False,
        "data_encipherment": False,
        "key_agreement": False,
        "encipher_only": False,
        "decipher_only": False,
    }

    def pem(key: ec.EllipticCurvePrivateKey) -> bytes:
        return key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )

    def name(common: str) -> x509.Name:
        return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])

    root_key, own_key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    start = now - datetime.timedelta(days=1)
    root = (
        x509.CertificateBuilder()
        .subject_name(name("Ogam local authority"))
        .issuer_name(name("Ogam local authority"))
        .public_key(root_key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(now + _LIFE)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(
            x509.KeyUsage(digital_signature=False, key_cert_sign=True, crl_sign=True, **usage),
            critical=True,
        )
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(root_key.public_key()), False)
        .sign(root_key, hashes.SHA256())
    )
    own = (
        x509.CertificateBuilder()
        .subject_name(name("localhost"))
        .issuer_name(root.subject)
        .public_key(own_key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(now + _LIFE)
        .add_extension(x509.SubjectAlternativeName([_general(one) for one in names]), False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(
            x509.KeyUsage(digital_signature=True, key_cert_sign=False, crl_sign=False, **usage),
            critical=True,
        )
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(root_key.public_key()), False
        )
        .sign(root_key, hashes.SHA256())
    )
    encoding = serialization.Encoding.PEM
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder} cannot be made: {error.strerror}.") from None
    # The authority's own key is not kept: it signed this one certificate, and nobody who reads
    # this disk later can sign another.
    files.write(target.authority, root.public_bytes(encoding))
    with files.replacing(target.key) as temporary:
        os.chmod(temporary, 0o600)  # before it holds anything
        temporary.write_bytes(pem(own_key))
    files.write(target.certificate, own.public_bytes(encoding) + root.public_bytes(encoding))


def _general(host: str) -> x509.GeneralName:
    from cryptography import x509

    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        pass
    try:
        return x509.DNSName(host)
    except ValueError:
        raise ConfigurationError(
            f"No certificate can be made for {host!r}.",
            hint="Write names in server.hosts in ASCII: xn--… for others.",
        ) from None

"""The console's own TLS certificate, made once and kept with the data."""

from __future__ import annotations

import ipaddress
import os
import socket
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from otic.errors import ServeError

VALID_DAYS = 825
"""The longest that browsers accept."""

RENEW_DAYS = 30


class Paths(msgspec.Struct, frozen=True):
    """Where certificate and key are, and the certificate's SHA-256 fingerprint."""

    certificate: str
    key: str
    fingerprint: str


def certificate(folder: Path, host: str) -> Paths:
    """The certificate in this folder; a new one when there is none, or it ends soon.

    Raises:
        ServeError: the folder cannot be written.
    """
    paths = folder / "console.crt", folder / "console.key"
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        known = _usable(paths[0], host) if paths[1].is_file() else None
        if known is None:
            known = _make(paths[0], paths[1], host)
    except OSError as error:
        raise ServeError(f"{folder.name}: {error.strerror}") from None
    print_ = known.fingerprint(hashes.SHA256()).hex(":")
    return Paths(str(paths[0]), str(paths[1]), print_)


def _usable(path: Path, host: str) -> x509.Certificate | None:
    try:
        known = x509.load_pem_x509_certificate(path.read_bytes())
        names = known.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (OSError, ValueError, x509.ExtensionNotFound):
        return None
    soon = datetime.now(UTC) + timedelta(days=RENEW_DAYS)
    covers = {str(name.value) for name in names}
    return known if known.not_valid_after_utc > soon and host in covers else None


def _make(path: Path, key_path: Path, host: str) -> x509.Certificate:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Otic sensor")])
    now = datetime.now(UTC)
    wanted = dict.fromkeys(["localhost", socket.gethostname(), "127.0.0.1", "::1", host])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=VALID_DAYS))
        .add_extension(x509.SubjectAlternativeName([_name(text) for text in wanted]), False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False)
        .sign(key, hashes.SHA256())
    )
    secret = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    with os.fdopen(os.open(key_path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(secret)
    path.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    return made


def _name(text: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(text))
    except ValueError:
        return x509.DNSName(text)

"""Certificates in files: reads and checks them, so that what the data plane gets is known to work.

Each sentence of an error names the file, what is wrong with it, and how to fix it; none quotes a key.
"""

from __future__ import annotations

import hashlib
import ipaddress
import pathlib
import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from gateway.config import tls_context

if TYPE_CHECKING:
    from cryptography import x509

_MAX_BYTES: Final = 1 << 20
"""Bytes of a file; the bundle of all public authorities has 220 KB."""
_CERTIFICATE: Final = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)
_KEY: Final = re.compile(r"-----BEGIN (?P<kind>[A-Z ]*PRIVATE KEY)-----.+?-----END (?P=kind)-----", re.DOTALL)
_ENCRYPTED: Final = "ENCRYPTED"

Sources = Mapping[str, bytes]
"""The files that something was read from: a digest of the content of each, by path."""


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate with its key, as they stood in their files."""

    chain: str = field(repr=False)
    """PEM: the certificate first, then those between it and its root."""
    key: str = field(repr=False)
    names: tuple[str, ...]
    """Its DNS names, also ``*.name``, and IP addresses, lower-case."""
    expires_at: float
    """Seconds of the epoch: the earliest end among the certificates of the chain."""
    sources: Sources


@dataclass(frozen=True, slots=True)
class Authorities:
    """Certificates that sign others, as PEM text."""

    pem: str
    sources: Sources


def read_certificate(cert: str, key: str, keys: tuple[str, str] = ("cert", "key")) -> Certificate:
    """``cert`` and ``key``: paths, which may be the same; ``keys``: those of the configuration that name them.

    Raises ValueError.
    """
    chain, chain_digest = _read(keys[0], cert)
    text, key_digest = _read(keys[1], key)
    certificates, found = _CERTIFICATE.findall(chain), _KEY.search(text)
    if not certificates:
        raise ValueError(
            f"{keys[0]}: {cert} holds no certificate; write one that begins with -----BEGIN CERTIFICATE-----"
        )
    if found is None:
        raise ValueError(f"{keys[1]}: {key} holds no private key; name the file with -----BEGIN PRIVATE KEY-----")
    if found["kind"].startswith(_ENCRYPTED) or "Proc-Type: 4,ENCRYPTED" in found[0]:
        raise ValueError(
            f"{keys[1]}: {key} is encrypted; decrypt it with `openssl pkey`, and let only the gateway read it"
        )
    pem = "\n".join(certificates) + "\n"
    try:
        tls_context.load_pair(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), pem, found[0])
    except (ssl.SSLError, ValueError) as error:
        raise ValueError(f"{keys[0]}: {cert} {_why(error, key)}") from None
    try:
        names, expires_at = _facts(pem)
    except ValueError:
        raise ValueError(f"{keys[0]}: {cert} holds a certificate that cannot be parsed; make it again") from None
    return Certificate(pem, found[0], names, expires_at, {cert: chain_digest, key: key_digest})


def read_authorities(key: str, path: str) -> Authorities:
    """``key``: the key of the configuration that names ``path``. Raises ValueError."""
    text, digest = _read(key, path)
    certificates = _CERTIFICATE.findall(text)
    try:
        if not certificates:
            raise ValueError("it holds no certificate")
        pem = "\n".join(certificates) + "\n"
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_verify_locations(cadata=pem)
    except (ssl.SSLError, ValueError):
        raise ValueError(
            f"{key}: {path} holds no certificate that can be used; write certificates of authorities in PEM"
        ) from None
    return Authorities(pem, {path: digest})


def current(sources: Sources) -> Sources:
    """The same files with the digests of their content now; empty for one that cannot be read."""
    return {path: _digest_now(path) for path in sources}


def _digest_now(path: str) -> bytes:
    try:
        return _digest(pathlib.Path(path).read_bytes())
    except OSError:
        return b""


def _read(key: str, path: str) -> tuple[str, bytes]:
    """Text and digest of the file."""
    try:
        with pathlib.Path(path).open("rb") as file:
            data = file.read(_MAX_BYTES + 1)
    except OSError as error:
        raise ValueError(
            f"{key}: {path} cannot be read: {error.strerror}; name a file that the user of the gateway may read"
        ) from None
    if len(data) > _MAX_BYTES:
        raise ValueError(f"{key}: {path} is larger than {_MAX_BYTES} bytes; name a file of certificates in PEM")
    return data.decode("latin-1"), _digest(data)


def _digest(data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=16).digest()


def _why(error: Exception, key: str) -> str:
    reason = str(getattr(error, "reason", "") or "")
    if reason == "KEY_VALUES_MISMATCH":
        return f"does not belong to the private key in {key}; name the two files of one certificate"
    if "TOO_SMALL" in reason or "TOO_WEAK" in reason:
        return "is too weak for TLS today; make one with an ECDSA P-256 or an RSA key of 2048 bits"
    return f"cannot be used with {key} ({reason or type(error).__name__}); make sure that both are PEM and whole"


def _facts(pem: str) -> tuple[tuple[str, ...], float]:
    """Names and end of the certificate. Raises ValueError."""
    from cryptography import x509  # 20 ms, which a gateway without TLS does not need

    certificates = x509.load_pem_x509_certificates(pem.encode("latin-1"))
    return _names(certificates[0]), min(certificate.not_valid_after_utc.timestamp() for certificate in certificates)


def _names(certificate: x509.Certificate) -> tuple[str, ...]:
    from cryptography import x509

    try:
        more = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        common = certificate.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
        return tuple(str(attribute.value).lower() for attribute in common)
    addresses = (str(ipaddress.ip_address(str(address))) for address in more.get_values_for_type(x509.IPAddress))
    return (*(name.lower() for name in more.get_values_for_type(x509.DNSName)), *addresses)

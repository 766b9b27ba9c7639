"""Makes TLS contexts from PEM texts. The configuration holds texts and no paths, so that a half-written file never
meets a running gateway, and so that a worker needs no right to read the private keys.
"""

from __future__ import annotations

import contextlib
import os
import ssl
import tempfile
from collections.abc import Iterator, Sequence

_CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"
"""Of TLS 1.2: forward secrecy and AEAD alone. All suites of TLS 1.3 have both, and OpenSSL chooses those by itself."""
_VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}
_WANTED = {"none": ssl.CERT_NONE, "optional": ssl.CERT_OPTIONAL, "required": ssl.CERT_REQUIRED}


def server_context(
    chain: str, key: str, *, min_version: str, client_auth: str, client_ca: str, alpn: tuple[bytes, ...]
) -> ssl.SSLContext:
    """For one certificate of a listener.

    ``chain``: the certificate and those between it and its root; ``key``: its private key, not encrypted.
    ``client_auth``: ``none``, ``optional`` or ``required``. Raises `ssl.SSLError` (an OSError) for what OpenSSL cannot
    use, and ValueError for a key that is encrypted.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = _VERSIONS[min_version]
    context.set_ciphers(_CIPHERS)
    context.set_alpn_protocols([name.decode() for name in alpn])
    # A renegotiation (TLS 1.2 and before) would make a write wait for a read, and costs us more than the client.
    context.options |= ssl.OP_NO_RENEGOTIATION
    load_pair(context, chain, key)
    context.verify_mode = _WANTED[client_auth]
    if client_ca:
        context.load_verify_locations(cadata=client_ca)
    return context


def client_context(
    *, ca: str = "", chain: str = "", key: str = "", alpn: Sequence[str] = ("http/1.1",)
) -> ssl.SSLContext:
    """For connections to upstreams: the certificate and the name are verified. ``alpn``: the protocols to offer.

    ``ca``: the authorities, PEM; "": those of the system. ``chain`` and ``key``: the certificate to show when the
    upstream asks for one; "": none. Raises as `server_context`.
    """
    context = ssl.create_default_context(cadata=ca or None)
    if ca:
        # Each of them is trusted by itself, also one that another authority has signed. And an authority of one's own
        # often leaves out what RFC 5280 requires of public ones (Python 3.13 checks that by default).
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    context.set_alpn_protocols(list(alpn))
    # A renegotiation (TLS 1.2 and before) would make a write wait for a read; it serves client certificates alone.
    context.options |= ssl.OP_NO_RENEGOTIATION
    if chain:
        load_pair(context, chain, key)
    return context


def load_pair(context: ssl.SSLContext, chain: str, key: str) -> None:
    """Use the certificate ``chain`` with its ``key`` in ``context``. Raises as `server_context`."""
    with _file(f"{chain}\n{key}") as path:
        context.load_cert_chain(path, password=_refuse)


def _refuse() -> str:
    """Instead of OpenSSL, which would ask on the terminal."""
    raise ValueError("the private key is encrypted")


@contextlib.contextmanager
def _file(text: str) -> Iterator[str]:
    """A path at which OpenSSL can read ``text``: Python gives it no other way in. In memory, where the system can."""
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("certificate", os.MFD_CLOEXEC)
        try:
            os.write(descriptor, text.encode())
            yield f"/proc/self/fd/{descriptor}"
        finally:
            os.close(descriptor)
    else:
        with tempfile.NamedTemporaryFile("w", encoding="utf-8") as file:  # readable by this user alone
            file.write(text)
            file.flush()
            yield file.name

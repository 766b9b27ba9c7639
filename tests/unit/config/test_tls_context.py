"""Contexts from PEM texts."""

from __future__ import annotations

import os
import ssl
from collections.abc import Callable

import pytest
from harness.tls import authority, certificate, pem_of

from gateway.config import tls_context


def test_nothing_old_is_offered() -> None:
    made = certificate("a.test")
    context = tls_context.server_context(
        made.chain, made.key, min_version="1.2", client_auth="none", client_ca="", alpn=(b"http/1.1",)
    )
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2
    assert context.verify_mode is ssl.CERT_NONE
    old = [cipher for cipher in context.get_ciphers() if cipher["protocol"] != "TLSv1.3"]
    assert old
    assert all(cipher["aead"] and cipher["kea"] == "kx-ecdhe" for cipher in old)


@pytest.mark.parametrize(("wanted", "mode"), [("optional", ssl.CERT_OPTIONAL), ("required", ssl.CERT_REQUIRED)])
def test_callers_certificates(wanted: str, mode: ssl.VerifyMode) -> None:
    made = certificate("a.test")
    pem = authority().cert_pem.bytes().decode()
    context = tls_context.server_context(
        made.chain, made.key, min_version="1.3", client_auth=wanted, client_ca=pem, alpn=()
    )
    assert context.verify_mode is mode
    assert len(context.get_ca_certs()) == 1


def test_where_there_are_no_files_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "memfd_create")
    made = certificate("a.test")
    tls_context.load_pair(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), made.chain, made.key)


def _other_key(chain: str, key: str) -> tuple[str, str]:
    return chain, certificate("b.test").key


def _no_key(chain: str, key: str) -> tuple[str, str]:
    return chain, ""


@pytest.mark.parametrize("spoil", [_other_key, _no_key])
def test_what_openssl_refuses(spoil: Callable[[str, str], tuple[str, str]]) -> None:
    made = certificate("a.test")
    with pytest.raises(ssl.SSLError):
        tls_context.load_pair(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), *spoil(made.chain, made.key))


def test_a_client_verifies_always() -> None:
    system, own = tls_context.client_context(), tls_context.client_context(ca=pem_of(authority()))
    for context in (system, own):
        assert context.verify_mode is ssl.CERT_REQUIRED
        assert context.check_hostname
        assert context.minimum_version >= ssl.TLSVersion.TLSv1_2
        assert context.options & ssl.OP_NO_RENEGOTIATION
    assert len(own.get_ca_certs()) == 1

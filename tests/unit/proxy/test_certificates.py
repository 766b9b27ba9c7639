"""The TLS contexts of listeners: kept as long as their settings are, and replaced together."""

from __future__ import annotations

from dataclasses import replace

import pytest
from harness.tls import certificate

from gateway.config.records import Listener, Tls
from gateway.core.address import Address
from gateway.proxy.certificates import Certificates

HERE, THERE = Address("127.0.0.1", 1), Address("127.0.0.1", 2)
A, B = certificate("a.test"), certificate("b.test")


def test_what_stays_keeps_its_context() -> None:
    certificates = Certificates()
    first = Listener(HERE, tls=Tls((A, B)))
    certificates.adopt(certificates.prepare([first, Listener(THERE)]))
    names = certificates.of(HERE)
    a, b = names.find(b"a.test"), names.find(b"b.test")
    other = certificate("b.test")
    certificates.adopt(certificates.prepare([Listener(HERE, tls=Tls((A, other)))]))
    assert certificates.of(HERE) is names
    assert names.find(b"a.test") is a
    assert names.find(b"b.test") is not b
    with pytest.raises(KeyError):
        certificates.of(THERE)


def test_another_version_needs_another_context() -> None:
    certificates = Certificates()
    certificates.adopt(certificates.prepare([Listener(HERE, tls=Tls((A,)))]))
    before = certificates.of(HERE).default
    certificates.adopt(certificates.prepare([Listener(HERE, tls=Tls((A,), min_version="1.3"))]))
    assert certificates.of(HERE).default is not before


def test_one_that_cannot_be_used_changes_nothing() -> None:
    certificates = Certificates()
    certificates.adopt(certificates.prepare([Listener(HERE, tls=Tls((A,)))]))
    before = certificates.of(HERE).default
    for bad, name in ((replace(A, key=B.key), "a.test"), (replace(A, chain="", names=()), "without a name")):
        with pytest.raises(OSError, match=rf"listen\.tls: the certificate {name} cannot be used"):
            certificates.prepare([Listener(HERE, tls=Tls((B, bad)))])
    assert certificates.of(HERE).default is before

"""Which certificate a name gets."""

from __future__ import annotations

import ssl

import pytest

from gateway.wire.server_names import ServerNames, TlsIdentity


def identity(*names: str, auth: str = "none", authorities: str = "") -> TlsIdentity:
    return TlsIdentity(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), names, (auth, authorities))


FIRST = identity("first.test")
EXACT = identity("a.test", "x.b.test", "::1")
WILDCARD = identity("*.b.test", "a.test")
NAMES = ServerNames([FIRST, EXACT, WILDCARD], (b"http/1.1",), ())


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (b"a.test", EXACT),
        (b"x.b.test", EXACT),
        (b"y.b.test", WILDCARD),
        (b"b.test", FIRST),
        (b"z.y.b.test", FIRST),
        (b"", FIRST),
        (b"unknown", FIRST),
    ],
)
def test_the_most_exact_one(name: bytes, expected: TlsIdentity) -> None:
    assert NAMES.find(name) is expected


def test_a_host_belongs_to_the_domain_of_its_certificate() -> None:
    closed = identity("closed.test", "::2", auth="required", authorities="A")
    names = ServerNames([identity("open.test"), closed], (), ())
    for host in (b"closed.test", b"CLOSED.test:443", b"closed.test.", b"[0::2]:1"):
        assert names.misdirected(("none", ""), host)
        assert not names.misdirected(("required", "A"), host)
        assert names.misdirected(("required", "B"), host)
    assert not names.misdirected(("none", ""), b"anything.else")


def test_replace_is_seen_by_those_who_have_it() -> None:
    names = ServerNames([identity("a.test")], (b"http/1.1",), ())
    assert not names.misdirected(("none", ""), b"a.test")
    names.replace([identity("a.test", auth="required", authorities="A")], (b"h2",), ("dns",))
    assert names.misdirected(("none", ""), b"a.test")
    assert names.alpn == (b"h2",)
    assert names.principal == ("dns",)

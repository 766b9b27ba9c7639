from __future__ import annotations

import pytest
from unit.scene import Nobody

from gateway.core.exchange import Exchange
from gateway.core.limits import Limits
from gateway.core.peer import Peer
from gateway.core.principal import Principal
from gateway.core.quota import KINDS
from gateway.proxy.rate_keys import hashed, key_of, kind_of
from gateway.wire.h1.head import HeadParser

SEED = b"s" * 16


def asked(
    *lines: bytes, host: str = "192.0.2.1", trusted: bool = False, principal: Principal | None = None
) -> Exchange:
    head = HeadParser().request(b"\r\n".join([b"GET / HTTP/1.1", b"Host: h", *lines]), Limits())
    ex = Exchange(Nobody(Peer(host, 5000, b"http", lambda address: trusted and address == host)), head, 0.0)  # type: ignore[arg-type] # no stream
    ex.principal = principal
    return ex


def key(name: str, *lines: bytes, host: str = "192.0.2.1", trusted: bool = False, of: Principal | None = None) -> bytes:
    return key_of(name)(asked(*lines, host=host, trusted=trusted, principal=of))


def test_all_have_one_bucket() -> None:
    assert key("all") == key("all", b"X: y", host="2001:db8::1") == b""


@pytest.mark.parametrize(
    ("host", "other", "same"),
    [
        ("192.0.2.1", "192.0.2.1", True),
        ("192.0.2.1", "192.0.2.2", False),
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff:1:2:3", True),
        ("2001:db8:1:2::1", "2001:db8:1:3::1", False),
        ("192.0.2.1", "::ffff:192.0.2.1", True),
        ("::1", "::ffff:192.0.2.1", False),
    ],
)
def test_a_client_is_an_address_or_a_network_of_ipv6(host: str, other: str, same: bool) -> None:
    assert (key("client", host=host) == key("client", host=other)) is same


def test_the_client_is_the_one_that_a_trusted_proxy_names() -> None:
    line = b"X-Forwarded-For: 198.51.100.7"
    behind = key("client", line, host="10.0.0.1", trusted=True)
    assert behind == key("client", host="198.51.100.7")
    assert key("client", line, host="10.0.0.1") == key("client", host="10.0.0.1"), "anyone can write that"
    for address in (b"2001:db8:1:2::9", b'"[2001:db8:1:2::9]:4711"'):
        forwarded = key("client", b"Forwarded: for=" + address, host="10.0.0.1", trusted=True)
        assert forwarded in (key("client", host="2001:db8:1:2::1"), key("client", host="10.0.0.1"))
    ipv6 = key("client", b"X-Forwarded-For: 2001:db8:1:2::9", host="10.0.0.1", trusted=True)
    assert ipv6 == key("client", host="2001:db8:1:2::1")


def test_a_principal_is_known_by_kind_and_id_else_by_its_address() -> None:
    alice, token = Principal("alice", "jwt"), Principal("alice", "token")
    assert key("principal", of=alice) == key("principal", of=alice, host="192.0.2.99")
    assert key("principal", of=alice) != key("principal", of=token)
    assert key("principal") == key("client")
    assert key("principal", host="192.0.2.9") != key("principal")


def test_a_header_is_known_by_its_value_and_who_has_none_shares_a_bucket() -> None:
    assert key("header:x-team", b"X-Team:  red ") == key("header:x-team", b"x-team: red")
    assert key("header:x-team", b"X-Team: red") != key("header:x-team", b"X-Team: blue")
    assert key("header:x-team", b"X-Team: red", b"X-Team: blue") != key("header:x-team", b"X-Team: red")
    assert key("header:x-team", b"X-Other: red") == key("header:x-team") == key("header:x-team", b"X-Team:")
    assert key("header:authorization", b"Authorization: Bearer x") != key("header:authorization")


def test_nothing_of_a_key_is_kept_and_no_one_can_choose_its_hash() -> None:
    number = hashed(SEED, b"hsecret")
    assert -(1 << 63) <= number < 1 << 63
    assert number == hashed(SEED, b"hsecret") != hashed(b"t" * 16, b"hsecret")
    assert len({hashed(SEED, b"%d" % each) for each in range(1000)}) == 1000


def test_each_kind_has_a_word() -> None:
    assert [KINDS[kind_of(name)] for name in ("all", "client", "principal", "header:x")] == [*KINDS]

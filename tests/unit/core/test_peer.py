from __future__ import annotations

import pytest

from gateway.core.message import RequestHead
from gateway.core.peer import Peer


def asked(*fields: tuple[bytes, bytes]) -> RequestHead:
    return RequestHead(b"GET", b"/", 1, [], dict(fields), 0, keep_alive=True)


def from_ours(address: str) -> bool:
    return address.startswith("10.")


@pytest.mark.parametrize(("host", "address"), [("192.0.2.1", "192.0.2.1:80"), ("2001:db8::1", "[2001:db8::1]:80")])
def test_the_address_names_the_port(host: str, address: str) -> None:
    peer = Peer(host, 80, b"http", from_ours)
    assert (peer.address, peer.host, peer.scheme, peer.trusted) == (address, host.encode(), b"http", False)


@pytest.mark.parametrize(
    ("fields", "trusting", "not_trusting"),
    [
        ([(b"x-forwarded-for", b"203.0.113.7")], "203.0.113.7", "192.0.2.1:80"),
        ([(b"forwarded", b"for=203.0.113.8")], "203.0.113.8", "192.0.2.1:80"),
        ([(b"x-forwarded-for", b"203.0.113.7"), (b"forwarded", b"for=203.0.113.8")], "203.0.113.7", "192.0.2.1:80"),
        ([(b"x-forwarded-for", b"nonsense")], "10.0.0.1:80", "192.0.2.1:80"),
        ([], "10.0.0.1:80", "192.0.2.1:80"),
    ],
)
def test_only_a_trusted_peer_names_the_client(
    fields: list[tuple[bytes, bytes]], trusting: str, not_trusting: str
) -> None:
    assert Peer("10.0.0.1", 80, b"http", from_ours).real_client(asked(*fields)) == trusting
    assert Peer("192.0.2.1", 80, b"http", from_ours).real_client(asked(*fields)) == not_trusting

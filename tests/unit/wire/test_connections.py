"""What all connections of callers have in common."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from gateway.core.peer import TlsFacts
from gateway.wire.connections import peer_of


class Named(asyncio.BaseTransport):
    def __init__(self, name: Any) -> None:
        super().__init__()
        self._name = name

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        assert name == "peername"
        return self._name


TLS = TlsFacts("TLSv1.3", "a.test", None, lambda host: False)


@pytest.mark.parametrize(("tls", "scheme"), [(None, b"http"), (TLS, b"https")])
def test_the_other_end(tls: TlsFacts | None, scheme: bytes) -> None:
    peer = peer_of(Named(("192.0.2.1", 5000)), lambda address: address == "192.0.2.1", tls)
    assert peer is not None
    assert (peer.address, peer.scheme, peer.trusted, peer.tls) == ("192.0.2.1:5000", scheme, True, tls)


@pytest.mark.parametrize("name", [None, ""])
def test_it_has_left_already(name: object) -> None:
    assert peer_of(Named(name), lambda address: False, None) is None

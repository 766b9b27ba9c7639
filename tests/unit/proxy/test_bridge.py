"""A handshake of HTTP/2 at an endpoint of HTTP/1.1: its key, and which responses may pass."""

from __future__ import annotations

from time import monotonic

import pytest
from harness.scripted import ScriptedEnd
from harness.websocket import ACCEPT, KEY

from gateway.core.exchange import Exchange
from gateway.core.limits import Limits
from gateway.core.message import HTTP_2, RequestHead, ResponseHead
from gateway.core.peer import Peer
from gateway.errors import GatewayError
from gateway.proxy.bridge import Bridge, accepted
from gateway.proxy.reply import Treatment
from gateway.wire.memory import MemoryStream


def bridge() -> Bridge:
    caller = MemoryStream(Peer("192.0.2.1", 5, b"https", lambda address: False), Limits())
    exchange = Exchange(caller, RequestHead(b"GET", b"/", HTTP_2, [], {}, 0, keep_alive=True), monotonic())
    return Bridge(exchange, ScriptedEnd(), b"", Treatment(None, None))  # type: ignore[arg-type]


def head(status: int, *lines: bytes) -> ResponseHead:
    return ResponseHead(status, b"", 1, list(lines), {}, 0, True)


def test_the_pair_of_the_rfc() -> None:
    assert accepted(KEY.encode()).decode() == ACCEPT


def test_each_has_a_key_of_its_own() -> None:
    keys = {bridge().key for _ in range(3)}
    assert len(keys) == 3
    assert all(key.startswith(b"Sec-WebSocket-Key: ") and key.endswith(b"==\r\n") for key in keys)


@pytest.mark.parametrize("status", [200, 204, 299])
def test_a_2xx_would_open_it(status: int) -> None:
    made = bridge()
    with pytest.raises(GatewayError, match=f"responded with {status}") as caught:
        made.begin(head(status), None)
    assert caught.value.reason.code == "not_implemented"
    assert not made.exchange.committed


@pytest.mark.parametrize("status", [304, 401, 500])
def test_any_other_response_passes(status: int) -> None:
    made = bridge()
    made.begin(head(status), None)
    assert (made.exchange.status, made.exchange.committed) == (status, True)


def test_a_switch_must_accept_the_key() -> None:
    made = bridge()
    right = b"sec-websocket-accept:" + accepted(made.key[19:-2])
    for lines in ([], [right, right], [f"Sec-WebSocket-Accept: {ACCEPT}".encode()]):
        with pytest.raises(GatewayError) as caught:
            made.switch(head(101, *lines))
        assert caught.value.reason.code == "upstream_bad_response"
        assert not made.exchange.committed
    with pytest.raises(AssertionError, match="a stream in memory"):  # the next in line
        made.switch(head(101, right))

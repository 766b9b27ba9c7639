"""Which requests ask for WebSocket, and which do so in a valid form."""

from __future__ import annotations

import pytest
from harness.websocket import KEY

from gateway.core.message import CHUNKED, HTTP_2, RequestHead
from gateway.errors import GatewayError
from gateway.proxy.websocket import check_handshake, wants_websocket

FIELDS = [f"Sec-WebSocket-Key: {KEY}".encode(), b"sec-websocket-version:13"]


def asking(
    *lines: bytes,
    method: bytes = b"GET",
    minor: int = 1,
    length: int = 0,
    upgrade: bytes = b"websocket",
    connection: bytes = b"Upgrade",
) -> RequestHead:
    known = {b"upgrade": upgrade, b"connection": connection}
    return RequestHead(method, b"/", minor, list(lines or FIELDS), known, length, keep_alive=True)


@pytest.mark.parametrize(
    ("upgrade", "connection", "minor", "wants"),
    [
        (b"websocket", b"upgrade", 1, True),
        (b"WebSocket", b"keep-alive, Upgrade", 1, True),
        (b"h2c, websocket", b"upgrade", 1, True),
        (b"websocket", b"keep-alive", 1, False),
        (b"websocket", b"", 1, False),
        (b"websocket", b"upgrade", 0, False),
        (b"websockets", b"upgrade", 1, False),
        (b"h2c", b"upgrade", 1, False),
    ],
)
def test_which_requests_want_it(upgrade: bytes, connection: bytes, minor: int, wants: bool) -> None:
    assert wants_websocket(asking(upgrade=upgrade, connection=connection, minor=minor)) is wants


def test_a_request_without_the_fields_does_not() -> None:
    assert not wants_websocket(RequestHead(b"GET", b"/", 1, [], {}, 0, keep_alive=True))
    assert not wants_websocket(RequestHead(b"GET", b"/", 1, [], {b"upgrade": b"websocket"}, 0, keep_alive=True))


def test_a_valid_one() -> None:
    check_handshake(asking())
    check_handshake(asking(FIELDS[1], minor=HTTP_2))
    with pytest.raises(GatewayError, match="Sec-WebSocket-Version is missing"):
        check_handshake(asking(b"x: y", minor=HTTP_2))


@pytest.mark.parametrize(
    ("request_head", "why"),
    [
        (asking(method=b"POST"), "its method is POST"),
        (asking(length=1), "it has a body"),
        (asking(length=CHUNKED), "it has a body"),
        (asking(FIELDS[1]), "Sec-WebSocket-Key is missing"),
        (asking(FIELDS[0]), "Sec-WebSocket-Version is missing"),
        (asking(*FIELDS, FIELDS[0]), "Sec-WebSocket-Key is repeated"),
        (asking(*FIELDS, FIELDS[1]), "Sec-WebSocket-Version is repeated"),
        (asking(FIELDS[1], b"Sec-WebSocket-Key: eA=="), "Sec-WebSocket-Key is not 16 bytes in base64"),
        (asking(FIELDS[0], b"Sec-WebSocket-Version: 013"), "Sec-WebSocket-Version is not a number"),
        (asking(FIELDS[0], b"Sec-WebSocket-Version: x"), "Sec-WebSocket-Version is not a number"),
    ],
)
def test_one_that_is_not_valid_is_told_why(request_head: RequestHead, why: str) -> None:
    with pytest.raises(GatewayError, match=f"The WebSocket handshake is not valid: {why}") as caught:
        check_handshake(request_head)
    assert caught.value.reason.code == "bad_request"


@pytest.mark.parametrize("version", [b"0", b"8", b"13", b"255", b"999"])
def test_the_endpoint_judges_the_version(version: bytes) -> None:
    check_handshake(asking(FIELDS[0], b"Sec-WebSocket-Version: " + version))

from __future__ import annotations

from gateway.core.message import CHUNKED, OutgoingRequest
from gateway.wire.h1.head import HeadParser
from gateway.wire.h1.serialize import interim_head, own_head, request_head, response_head, switch_head


def test_what_speaks_of_the_connection_is_added_here() -> None:
    request = OutgoingRequest(b"POST", b"/x", b"up:1", b"A: 1\r\n", CHUNKED, takes_trailers=True, replaced=frozenset())
    assert request_head(request) == (
        b"POST /x HTTP/1.1\r\nHost: up:1\r\nTransfer-Encoding: chunked\r\nTE: trailers\r\nConnection: TE\r\nA: 1\r\n"
    )


def test_a_request_to_switch_speaks_of_nothing_else() -> None:
    request = OutgoingRequest(
        b"GET", b"/", b"up:1", b"A: 1\r\n", 0, takes_trailers=True, replaced=frozenset(), upgrade=b"websocket"
    )
    assert request_head(request) == (
        b"GET / HTTP/1.1\r\nHost: up:1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nA: 1\r\n"
    )


def test_a_switch() -> None:
    raw = b"HTTP/1.1 101 On With You\r\nupgrade: WebSocket\r\nConnection: upgrade\r\nContent-Length: 0\r\nX: 1"
    head = HeadParser().response(raw, to_head=False)
    assert switch_head(head, b"G: 1\r\n") == (
        b"HTTP/1.1 101 On With You\r\nX: 1\r\nConnection: Upgrade\r\nUpgrade: WebSocket\r\nG: 1\r\n\r\n"
    )


def test_a_response() -> None:
    head = HeadParser().response(b"HTTP/1.1 204 Gone Fishing\r\nContent-Length: 0\r\nDate: D\r\nX: 1", to_head=False)
    wanted = b"HTTP/1.1 204 Gone Fishing\r\nDate: D\r\nX: 1\r\nF: 1\r\nG: 1\r\n\r\n"
    assert response_head(head, b"F: 1\r\n", b"G: 1\r\n") == wanted == response_head(head, b"F: 1\r\n", b"G: 1\r\n")


def test_a_response_without_a_date_gets_one() -> None:
    head = HeadParser().response(b"HTTP/1.1 200 OK\r\nContent-Length: 0", to_head=False)
    assert b"\r\nDate: " in response_head(head, b"", b"")


def test_own_and_interim_heads() -> None:
    assert own_head(429, b"Retry-After: 1\r\n").startswith(b"HTTP/1.1 429 Too Many Requests\r\nDate: ")
    early = HeadParser().response(b"HTTP/1.1 103 Early Hints\r\nLink: </x>", to_head=False)
    assert interim_head(early) == b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"

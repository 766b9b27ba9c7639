from __future__ import annotations

import pytest
from unit.scene import exchange

from gateway.core.exchange import Exchange
from gateway.core.message import OutgoingRequest, RequestHead
from gateway.errors import GatewayError
from gateway.proxy.layers.answer_locally import answer_locally, options


class Client:
    """Keeps what it is told."""

    client = "192.0.2.1:5000"

    def __init__(self) -> None:
        self.told: list[tuple[int, bytes, bytes]] = []

    def respond(self, status: int, head: bytes, body: bytes) -> None:
        self.told.append((status, head, body))

    def cut(self) -> None:
        raise AssertionError("nothing is wrong with this request")


class Upstream:
    """The handler below: the heads that reached it."""

    def __init__(self) -> None:
        self.heads: list[RequestHead] = []

    async def __call__(self, ex: Exchange) -> None:
        self.heads.append(ex.request)


def asking(method: bytes = b"GET", minor: int = 1, **known: bytes) -> Exchange:
    ex = exchange(method)
    ex.downstream = Client()
    ex.request.minor = minor
    ex.request.known = {name.replace("_", "-").encode(): value for name, value in known.items()}
    return ex


async def passes(ex: Exchange, *, websocket: bool = False) -> RequestHead | None:
    """The head that goes on; None when the request was answered here."""
    below = Upstream()
    await answer_locally(websocket=websocket)(below)(ex)
    assert bool(below.heads) != ex.committed
    return below.heads[0] if below.heads else None


async def test_what_has_neither_field_goes_straight_to_the_next_handler() -> None:
    """The common case is not even a coroutine of its own."""
    below = Upstream()
    awaitable = answer_locally(websocket=True)(below)(asking())
    assert awaitable.__qualname__ == "Upstream.__call__"  # type: ignore[attr-defined]
    await awaitable


@pytest.mark.covers("EC-003", "T031a")
@pytest.mark.parametrize(
    ("upgrade", "connection", "minor"),
    [
        (b"websocket", b"upgrade", 1),
        (b"WebSocket", b"keep-alive, Upgrade", 1),
        (b"h2c, websocket", b"upgrade", 1),
    ],
)
async def test_websocket_is_refused_in_words(upgrade: bytes, connection: bytes, minor: int) -> None:
    with pytest.raises(GatewayError) as caught:
        await passes(asking(minor=minor, upgrade=upgrade, connection=connection))
    assert (caught.value.reason.code, caught.value.reason.status) == ("websocket_disabled", 501)


async def test_a_handshake_goes_on_where_websocket_is_served() -> None:
    ex = asking(upgrade=b"websocket", connection=b"upgrade")
    head = ex.request
    head.fields += [b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", b"Sec-WebSocket-Version: 13"]
    assert await passes(ex, websocket=True) is head


async def test_a_handshake_that_is_not_valid_does_not() -> None:
    with pytest.raises(GatewayError, match="Sec-WebSocket-Key is missing") as caught:
        await passes(asking(upgrade=b"websocket", connection=b"upgrade"), websocket=True)
    assert caught.value.reason.code == "bad_request"


@pytest.mark.parametrize("websocket", [False, True])
@pytest.mark.parametrize(
    ("upgrade", "connection", "minor"),
    [
        (b"h2c", b"upgrade", 1),
        (b"websocket", b"keep-alive", 1),
        (b"websocket", b"", 1),
        (b"websocket", b"upgrade", 0),
        (b"websockets", b"upgrade", 1),
    ],
)
async def test_any_other_upgrade_is_ignored(upgrade: bytes, connection: bytes, minor: int, websocket: bool) -> None:
    """RFC 9110 7.8."""
    ex = asking(minor=minor, upgrade=upgrade, connection=connection)
    head = ex.request
    assert await passes(ex, websocket=websocket) is head


async def test_max_forwards_counts_down_on_a_copy() -> None:
    """RFC 9110 7.6.2; the connection may hold the head for its next request."""
    ex = asking(b"OPTIONS", max_forwards=b"10")
    head = ex.request
    head.rewritten = (object(), OutgoingRequest(b"GET", b"/", b"a", b"", 0, takes_trailers=False, replaced=frozenset()))
    on = await passes(ex)
    assert on is not None
    assert (on.known[b"max-forwards"], on.rewritten) == (b"9", None)
    assert (head.known[b"max-forwards"], head.rewritten is None) == (b"10", False)


async def test_max_forwards_0_is_answered_here() -> None:
    ex = asking(b"OPTIONS", max_forwards=b"0")
    ex.request_id = b"id-1"
    assert await passes(ex) is None
    assert isinstance(ex.downstream, Client)
    ((status, head, body),) = ex.downstream.told
    assert (status, body, ex.status) == (200, b"", 200)
    assert b"Allow: GET, HEAD" in head
    assert b"X-Request-Id: id-1\r\n" in head


@pytest.mark.parametrize("method", [b"GET", b"POST", b"FOO"])
@pytest.mark.parametrize("left", [b"0", b"x"])
async def test_max_forwards_means_nothing_to_other_methods(method: bytes, left: bytes) -> None:
    ex = asking(method, max_forwards=left)
    head = ex.request
    assert await passes(ex) is head


@pytest.mark.parametrize("left", [b"", b"-1", b"1.5", b"x", b"1, 2", b"1234567890"])
async def test_max_forwards_that_is_no_number(left: bytes) -> None:
    with pytest.raises(GatewayError, match="Max-Forwards"):
        await passes(asking(b"OPTIONS", max_forwards=left))


async def test_options_for_the_gateway_itself() -> None:
    ex = asking(b"OPTIONS")
    await options(ex)
    assert (ex.status, ex.committed) == (200, True)

"""The server's choices, without a socket; listeners and drains on real ones are in tests/unit/test_app.py."""

from __future__ import annotations

import pytest
from unit.scene import exchange

from gateway.config.records import Document, Listener
from gateway.core.address import Address
from gateway.core.exchange import Exchange
from gateway.core.layer import Handler, Layer
from gateway.core.peer import Peer
from gateway.errors import BAD_REQUEST, GatewayError
from gateway.proxy.pipeline import OuterLayers
from gateway.proxy.router import Route, Router
from gateway.proxy.server import Server
from gateway.proxy.snapshot import Snapshot
from gateway.wire.buffers import BufferPool
from gateway.wire.h1.head import HeadParser


class Client:
    peer = Peer("192.0.2.1", 5000, b"http", lambda address: False)

    def __init__(self) -> None:
        self.told: list[int] = []

    def respond(self, status: int, head: bytes, body: bytes) -> None:
        self.told.append(status)

    def cut(self) -> None:
        raise AssertionError("nothing was begun that could be cut")


class Service:
    """A server with one route, ``/a``, whose handlers note who was called."""

    def __init__(self) -> None:
        self.called: list[str] = []
        self.observed: list[tuple[str, str]] = []
        self.server = Server(
            BufferPool(), HeadParser(), OuterLayers(self._observe, lambda proxy: lambda handler: handler)
        )
        self.reload("first")

    def reload(self, name: str) -> None:
        """Another snapshot, whose handlers are called ``name`` and ``name unrouted``."""
        router = Router([Route(b"/a", (), self._handler(name))])
        self.server.snapshot = Snapshot(1, Document(), router, (), self._handler(f"{name} unrouted"), {})

    def _handler(self, name: str) -> Handler:
        async def handle(ex: Exchange) -> None:
            self.called.append(name)

        return handle

    def _observe(self, name: str) -> Layer:
        def layer(next_handler: Handler) -> Handler:
            async def handle(ex: Exchange) -> None:
                await next_handler(ex)
                self.observed.append((name, ex.reason))

            return handle

        return layer


def asking(target: bytes, **known: bytes) -> Exchange:
    ex = exchange()
    ex.downstream = Client()
    ex.request.target = target
    ex.request.known = {b"host": b"a", **{name.replace("_", "-").encode(): value for name, value in known.items()}}
    return ex


async def test_the_route_of_a_head_is_remembered_for_one_snapshot() -> None:
    """Connections share equal heads: the second exchange is spared the search, but never a reload."""
    service, ex = Service(), asking(b"/a/x")
    await service.server.serve(ex)
    service.server.snapshot.router._any.routes.clear()  # a search would find nothing now
    await service.server.serve(ex)
    service.reload("second")
    await service.server.serve(ex)
    assert service.called == ["first", "first", "second"]


async def test_no_route() -> None:
    service = Service()
    await service.server.serve(asking(b"/b"))
    assert service.called == ["first unrouted"]


async def test_a_target_that_can_not_be_matched_is_refused_and_observed() -> None:
    service, ex = Service(), asking(b"/a/%2e%2e/x")
    await service.server.serve(ex)
    assert service.called == []
    assert ex.status == 400
    assert service.observed == [("", ex.reason)]


async def test_the_asterisk_is_the_gateways_own() -> None:
    service, ex = Service(), asking(b"*")
    await service.server.serve(ex)
    assert (service.called, ex.status, service.observed) == ([], 200, [("", "")])


async def test_a_request_that_could_not_be_parsed_has_an_id_all_the_same() -> None:
    service, ex = Service(), asking(b"/a")
    await service.server.refuse(ex, GatewayError(BAD_REQUEST))
    assert ex.request_id
    assert (ex.status, service.observed) == (400, [("", "bad_request")])


@pytest.mark.parametrize("sane", [b"a", b"!~", b"a" * 128, b"550e8400-e29b-41d4-a716-446655440000"])
async def test_a_sane_request_id_is_kept(sane: bytes) -> None:
    service, ex = Service(), asking(b"/a", x_request_id=sane)
    await service.server.serve(ex)
    assert ex.request_id == sane


@pytest.mark.parametrize("odd", [None, b"", b"a b", b"a\tb", b"a" * 129, b"\xff", b"a\x7f"])
async def test_any_other_is_made_anew(odd: bytes | None) -> None:
    service = Service()
    ids = set()
    for _ in range(3):
        ex = asking(b"/a") if odd is None else asking(b"/a", x_request_id=odd)
        await service.server.serve(ex)
        ids.add(ex.request_id)
    assert len(ids) == 3
    assert all(len(made) == 22 and made.isalnum() and made != odd for made in ids)


async def test_two_servers_never_make_the_same_id() -> None:
    """Two processes have two random beginnings."""
    one, other = asking(b"/a"), asking(b"/a")
    await Service().server.serve(one)
    await Service().server.serve(other)
    assert one.request_id[:12] != other.request_id[:12]


async def test_a_drain_without_connections_is_over_at_once() -> None:
    server = Service().server
    await server.listeners.listen([Listener(Address("127.0.0.1", 0))])
    assert await server.drain(0)
    assert (server.listeners.addresses, server.draining) == ([], True)
    await server.cut()

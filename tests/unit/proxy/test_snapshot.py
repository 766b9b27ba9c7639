from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from harness.records import Proxied, proxy, serving
from unit.scene import exchange

from gateway.config.fallback import Fallback
from gateway.config.records import Document, Header, Route
from gateway.core.exchange import Exchange
from gateway.core.layer import Handler, Layer
from gateway.core.limits import Limits
from gateway.proxy.pipeline import OuterLayers
from gateway.proxy.snapshot import Snapshot
from gateway.upstream.registry import Registry
from gateway.wire.buffers import BufferPool
from gateway.wire.h1.head import HeadParser

LIMITS = Limits()
A = proxy("a", "/a", "http://127.0.0.1:1")
B = proxy("b", "/b", "http://127.0.0.1:2")


class Rooms:
    """What the other rooms give: ``observe`` notes what ended, ``identify`` lets nobody in."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, str, int]] = []
        self.outer = OuterLayers(self._observe, self._identify)

    def _observe(self, name: str) -> Layer:
        def layer(next_handler: Handler) -> Handler:
            async def handle(ex: Exchange) -> None:
                await next_handler(ex)
                self.seen.append((name, ex.reason, ex.status))

            return handle

        return layer

    def _identify(self, route: Route) -> Layer:
        def layer(next_handler: Handler) -> Handler:
            async def handle(ex: Exchange) -> None:
                raise ValueError("who")

            return handle

        return layer


class Client:
    client = "192.0.2.1:5000"

    def respond(self, status: int, head: bytes, body: bytes) -> None: ...

    def cut(self) -> None: ...


class Generations:
    """Snapshots, each built after the one before, as a reload does."""

    def __init__(self) -> None:
        self.rooms = Rooms()
        self.registry = Registry(BufferPool(), HeadParser(), lambda event: None)
        self.last: Snapshot | None = None

    def next(self, *proxies: Proxied, trusted: tuple[str, ...] = (), limits: Limits = LIMITS) -> Snapshot:
        document = serving(Document(trusted_proxies=trusted, limits=limits), *proxies)
        upstreams = dict(self.registry.prepare(document.used_upstreams()))
        number = self.last.generation + 1 if self.last else 1
        served = dict(Snapshot.serving(document, upstreams, self.rooms.outer, self.last))
        self.last = Snapshot.of(number, document, served, self.rooms.outer)
        self.registry.adopt(upstreams)
        return self.last


@asynccontextmanager
async def generations() -> AsyncIterator[Generations]:
    made = Generations()
    try:
        yield made
    finally:
        await made.registry.aclose()


def handler_of(snapshot: Snapshot, path: bytes) -> Handler:
    route = snapshot.router.match(b"any", path)
    assert route is not None
    return route.handle


async def serve(handle: Handler) -> Exchange:
    ex = exchange()
    ex.downstream = Client()
    await handle(ex)
    return ex


async def test_an_unchanged_proxy_keeps_its_handler() -> None:
    """A reload costs what it changes, and connections that remember a handler stay right."""
    async with generations() as made:
        first = made.next(A, B)
        second = made.next(A, B.having(headers=(Header("X", ("1",)),)))
        assert handler_of(first, b"/a") is handler_of(second, b"/a")
        assert handler_of(first, b"/b") is not handler_of(second, b"/b")
        assert (first.generation, second.generation) == (1, 2)


async def test_a_proxy_that_went_and_came_back_is_built_again() -> None:
    """Its pool was closed meanwhile: the old handler would ask a connector that is no more."""
    async with generations() as made:
        first, _, third = made.next(A), made.next(), made.next(A)
        assert handler_of(first, b"/a") is not handler_of(third, b"/a")


async def test_an_inactive_proxy_has_a_route_that_says_so_and_no_upstream() -> None:
    async with generations() as made:
        snapshot = made.next(A.having(active=False), B)
        assert snapshot.served.keys() == {"b"}
        ex = await serve(handler_of(snapshot, b"/a/x"))
        assert (ex.status, ex.reason) == (404, "proxy_disabled")
        assert made.rooms.seen == [("a", "proxy_disabled", 404)]


async def test_what_no_route_matches_is_observed_without_a_name() -> None:
    async with generations() as made:
        snapshot = made.next(A)
        assert snapshot.router.match(b"any", b"/c") is None
        ex = await serve(snapshot.unrouted)
        assert (ex.status, ex.reason) == (404, "no_route")
        assert made.rooms.seen == [("", "no_route", 404)]


async def test_the_root_is_a_route_like_another() -> None:
    async with generations() as made:
        snapshot = made.next(A.having(path="/"))
        assert handler_of(snapshot, b"/anything") is handler_of(snapshot, b"/")


@pytest.mark.parametrize(
    ("address", "trusted"),
    [
        ("10.1.2.3", True),
        ("11.1.2.3", False),
        ("192.0.2.7", True),
        ("192.0.2.8", False),
        ("::ffff:10.1.2.3", True),
        ("::ffff:11.1.2.3", False),
        ("fd00::1", True),
        ("fe80::1%eth0", True),
        ("fe81::1", False),
    ],
)
async def test_whose_word_is_taken(address: str, trusted: bool) -> None:
    """An IPv4 peer may come as an address of IPv6 that holds it, and a link-local one with its zone."""
    async with generations() as made:
        snapshot = made.next(trusted=("10.0.0.0/8", "192.0.2.7", "fd00::/8", "fe80::/16"))
        assert snapshot.trusts(address) is trusted


async def test_without_a_list_nobody_is_trusted_and_no_address_is_looked_at() -> None:
    async with generations() as made:
        assert not made.next().trusts("no address at all")


async def test_a_failure_to_build_leaves_what_is_live() -> None:
    async with generations() as made:
        first = made.next(A)
        with pytest.raises(ValueError, match="nonsense"):
            Snapshot.of(2, Document(trusted_proxies=("nonsense",)), {}, made.rooms.outer)
        assert handler_of(first, b"/a") is first.served["a"].handle


async def test_a_layer_that_breaks_is_rescued() -> None:
    async with generations() as made:
        ex = await serve(handler_of(made.next(A), b"/a"))
        assert (ex.status, ex.reason) == (500, "internal")
        assert made.rooms.seen == [("a", "internal", 500)]


async def test_a_handler_is_built_again_when_the_upstream_of_its_fallback_changes() -> None:
    second = Fallback(("connect",), upstream="b")
    async with generations() as made:
        first, same = made.next(A.having(fallback=second), B), made.next(A.having(fallback=second), B)
        assert handler_of(first, b"/a") is handler_of(same, b"/a")
        changed = made.next(A.having(fallback=second), B.having(max_concurrent=3))
        assert handler_of(changed, b"/a") is not handler_of(same, b"/a")
        served = changed.served["a"].second
        assert served is not None
        assert served.settings.max_concurrent == 3


async def test_handlers_are_built_again_when_load_shedding_is_switched() -> None:
    async with generations() as made:
        plain, same = made.next(A), made.next(A)
        assert handler_of(plain, b"/a") is handler_of(same, b"/a")
        on, changed = made.next(A, limits=Limits(shed_memory=1)), made.next(A, limits=Limits(shed_memory=2))
        assert handler_of(on, b"/a") is not handler_of(same, b"/a")
        assert handler_of(on, b"/a") is handler_of(changed, b"/a"), "limits change in the machine"
        assert handler_of(made.next(A), b"/a") is not handler_of(on, b"/a")

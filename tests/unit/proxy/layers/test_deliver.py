"""An exchange ends when its response has left, and not before: by `deliver`, or by the layer that has its permit."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from gateway.core.exchange import Exchange
from gateway.core.layer import Layer
from gateway.core.message import RequestHead
from gateway.errors import INTERNAL, GatewayError
from gateway.policy.limiter import Limiter
from gateway.proxy.layers.deliver import deliver
from gateway.proxy.layers.limit import limit
from gateway.proxy.layers.shadow_limit import shadow_limit

LAYERS: dict[str, Callable[[Limiter], Layer]] = {
    "deliver": lambda _: deliver,
    "no limit": lambda _: limit(None),
    "limit": limit,
    "shadow limit": shadow_limit,
}


class Down:
    """A client connection that takes bytes when the test says so."""

    client = "127.0.0.1:1"

    def __init__(self, *, full: bool) -> None:
        self.full = full
        self.taken = asyncio.Event()

    async def sent(self) -> float:
        await self.taken.wait()
        return 1.5

    def respond(self, status: int, head: bytes, body: bytes) -> None:
        raise AssertionError("not used here")

    def cut(self) -> None:
        raise AssertionError("not used here")


def exchange(down: Down) -> Exchange:
    return Exchange(down, RequestHead(b"GET", b"/", 1, [], {}, 0, True), 1.0)


async def done(_: Exchange) -> None:
    return None


@pytest.fixture
def limiter() -> Limiter:
    return Limiter(1)


@pytest.fixture(params=LAYERS.values(), ids=LAYERS.keys())
def layer(request: pytest.FixtureRequest, limiter: Limiter) -> Layer:
    made: Layer = request.param(limiter)
    return made


async def test_all_is_sent(layer: Layer) -> None:
    ex = exchange(Down(full=False))
    await layer(done)(ex)
    assert ex.blocked == 0.0


async def test_it_waits_for_the_client(layer: Layer, limiter: Limiter) -> None:
    down = Down(full=True)
    ex = exchange(down)
    running = asyncio.ensure_future(layer(done)(ex))
    for _ in range(5):
        await asyncio.sleep(0)
    assert not running.done()
    assert limiter.in_flight == ex.concurrent, "the permit is held meanwhile"
    down.taken.set()
    await running
    assert (ex.blocked, limiter.in_flight) == (1.5, 0)


async def test_a_client_that_leaves_meanwhile(layer: Layer, limiter: Limiter) -> None:
    running = asyncio.ensure_future(layer(done)(exchange(Down(full=True))))
    await asyncio.sleep(0)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert limiter.in_flight == 0


async def test_a_failure_does_not_wait(layer: Layer, limiter: Limiter) -> None:
    async def fail(_: Exchange) -> None:
        raise GatewayError(INTERNAL)

    with pytest.raises(GatewayError):
        await layer(fail)(exchange(Down(full=True)))
    assert limiter.in_flight == 0

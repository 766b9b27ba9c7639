"""`deliver`: an exchange ends when its response has left, and not before."""

from __future__ import annotations

import asyncio

import pytest

from gateway.core.exchange import Exchange
from gateway.core.message import RequestHead
from gateway.errors import INTERNAL, GatewayError
from gateway.proxy.layers.deliver import deliver


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


async def test_all_is_sent() -> None:
    ex = exchange(Down(full=False))
    await deliver(done)(ex)
    assert ex.blocked == 0.0


async def test_it_waits_for_the_client() -> None:
    down = Down(full=True)
    ex = exchange(down)
    running = asyncio.ensure_future(deliver(done)(ex))
    for _ in range(5):
        await asyncio.sleep(0)
    assert not running.done()
    down.taken.set()
    await running
    assert ex.blocked == 1.5


async def test_a_failure_does_not_wait() -> None:
    async def fail(_: Exchange) -> None:
        raise GatewayError(INTERNAL)

    with pytest.raises(GatewayError):
        await deliver(fail)(exchange(Down(full=True)))

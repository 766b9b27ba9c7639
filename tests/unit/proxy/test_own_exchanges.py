"""Exchanges without a connection: how they end, and who waits for that."""

from __future__ import annotations

import asyncio
from time import monotonic

import pytest

from gateway.core.exchange import Exchange
from gateway.core.limits import Limits
from gateway.core.message import RequestHead
from gateway.core.peer import Peer
from gateway.errors import DRAINING, GatewayError
from gateway.observe.recorder import cancelled
from gateway.proxy.own_exchanges import OwnExchanges
from gateway.wire.memory import MemoryStream


def exchange() -> Exchange:
    stream = MemoryStream(Peer("127.0.0.1", 0, b"http", lambda address: False), Limits())
    return Exchange(stream, RequestHead(b"GET", b"/", 1, [], {}, 0, True), monotonic())


class Chain:
    """A handler that waits, and ends as the outermost layer of a chain does."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()
        self.go = asyncio.Event()

    async def __call__(self, ex: Exchange) -> None:
        self.begun.set()
        try:
            await self.go.wait()
        except asyncio.CancelledError:
            cancelled(ex)
            raise


async def test_it_is_there_while_it_runs() -> None:
    idle: list[int] = []
    own, chain, ex = OwnExchanges(lambda: idle.append(1)), Chain(), exchange()
    task = asyncio.create_task(own.run(ex, chain.__call__))
    await chain.begun.wait()
    assert (list(own), len(own), idle) == ([ex], 1, [])
    chain.go.set()
    await task
    assert (list(own), idle) == ([], [1])


async def test_a_cut_is_an_error_for_its_caller() -> None:
    own, chain, ex = OwnExchanges(lambda: None), Chain(), exchange()
    task = asyncio.create_task(own.run(ex, chain.__call__))
    await chain.begun.wait()
    own.cancel(DRAINING)
    with pytest.raises(GatewayError) as caught:
        await task
    assert (caught.value.reason, ex.reason) == (DRAINING, "draining")
    with pytest.raises(GatewayError, match="draining"):
        await own.run(exchange(), chain.__call__)


async def test_a_caller_goes_on_after_a_cut() -> None:
    own, chain = OwnExchanges(lambda: None), Chain()

    async def caller() -> int:
        with pytest.raises(GatewayError, match="draining"):
            await own.run(exchange(), chain.__call__)
        async with asyncio.timeout(10):
            await asyncio.sleep(0)
        task = asyncio.current_task()
        assert task is not None
        return task.cancelling()

    task = asyncio.create_task(caller())
    await chain.begun.wait()
    own.cancel(DRAINING)
    own.cancel(DRAINING)
    assert await task == 0


@pytest.mark.parametrize("first", ["caller", "cut"])
async def test_a_caller_who_leaves_is_gone_whatever_else_happens(first: str) -> None:
    own, chain = OwnExchanges(lambda: None), Chain()
    task = asyncio.create_task(own.run(exchange(), chain.__call__))
    await chain.begun.wait()
    if first == "caller":
        task.cancel()
    own.cancel(DRAINING)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert len(own) == 0


async def test_a_caller_who_leaves_takes_it_along() -> None:
    own, chain, ex = OwnExchanges(lambda: None), Chain(), exchange()
    task = asyncio.create_task(own.run(ex, chain.__call__))
    await chain.begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (ex.reason, len(own)) == ("client_gone", 0)


async def test_an_error_of_the_chain_is_that_of_its_caller() -> None:
    async def fails(ex: Exchange) -> None:
        raise ValueError("a defect")

    own = OwnExchanges(lambda: None)
    with pytest.raises(ValueError, match="a defect"):
        await own.run(exchange(), fails)
    assert len(own) == 0

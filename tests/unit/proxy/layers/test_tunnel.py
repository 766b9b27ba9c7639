from __future__ import annotations

import asyncio

import pytest
from unit.scene import exchange

from gateway.core.exchange import Exchange
from gateway.errors import TUNNEL_IDLE_TIMEOUT, GatewayError
from gateway.proxy.layers.tunnel import tunnel


class Made:
    """A tunnel that ends when the test says so."""

    def __init__(self, error: GatewayError | None = None) -> None:
        self.ends = asyncio.Event()
        self.error = error
        self.idle = -1.0
        self.cuts: list[float] = []

    async def over(self, idle: float) -> None:
        self.idle = idle
        await self.ends.wait()
        if self.error is not None:
            raise self.error

    def cut(self, gone_at: float) -> None:
        self.cuts.append(gone_at)


class Down:
    body_out = 11
    blocked = 2.5

    def __init__(self, made: Made | None) -> None:
        self.tunnel = made


def switched(made: Made | None) -> Exchange:
    ex = exchange()
    ex.downstream = Down(made)  # type: ignore[assignment]
    return ex


async def below(ex: Exchange) -> None:
    ex.bytes_out = 1


def test_no_layer_where_nothing_switches() -> None:
    assert tunnel(1.0, enabled=False)(below) is below


async def test_a_response_that_is_no_switch_is_the_end() -> None:
    ex = switched(None)
    await tunnel(1.0, enabled=True)(below)(ex)
    assert ex.bytes_out == 1


async def test_the_exchange_goes_on_until_the_tunnel_is_over() -> None:
    made = Made()
    ex = switched(made)
    task = asyncio.ensure_future(tunnel(7.0, enabled=True)(below)(ex))
    await asyncio.sleep(0)
    assert (task.done(), made.idle, made.cuts) == (False, 7.0, [])
    made.ends.set()
    await task
    assert (ex.bytes_out, ex.blocked, ex.attempt.last_byte_at > 0, made.cuts) == (11, 2.5, True, [0.0])


async def test_its_failure_is_the_exchanges() -> None:
    made = Made(GatewayError(TUNNEL_IDLE_TIMEOUT))
    made.ends.set()
    ex = switched(made)
    with pytest.raises(GatewayError) as caught:
        await tunnel(7.0, enabled=True)(below)(ex)
    assert caught.value.reason is TUNNEL_IDLE_TIMEOUT
    assert ex.bytes_out == 11


async def test_what_ends_the_exchange_ends_the_tunnel() -> None:
    made = Made()
    ex = switched(made)
    task = asyncio.ensure_future(tunnel(7.0, enabled=True)(below)(ex))
    await asyncio.sleep(0)
    ex.gone_at = 5.0
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (made.cuts, ex.bytes_out) == ([5.0], 11)

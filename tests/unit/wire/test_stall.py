"""A caller that is slow to take what is written."""

from __future__ import annotations

import asyncio

import pytest

from gateway.core.limits import Limits
from gateway.wire.stall import StallWatch


class Kernel(asyncio.Transport):
    """Has so many bytes yet to send."""

    def __init__(self, unsent: int) -> None:
        super().__init__()
        self.unsent = unsent

    def get_write_buffer_size(self) -> int:
        return self.unsent


def watch(kernel: Kernel, stalled: asyncio.Event, body_timeout: float) -> StallWatch:
    limits = Limits(body_timeout=body_timeout)
    return StallWatch(asyncio.get_running_loop(), kernel, limits, stalled.set)


async def test_a_caller_that_takes_nothing() -> None:
    kernel, stalled = Kernel(100), asyncio.Event()
    watched = watch(kernel, stalled, 0.02)
    began = asyncio.get_running_loop().time()
    watched.begin(began)
    await asyncio.wait_for(stalled.wait(), 10)
    assert asyncio.get_running_loop().time() - began >= 0.018
    assert not watched.timer.expires_at


async def test_a_caller_that_takes_a_little_has_time_again() -> None:
    kernel, stalled = Kernel(100), asyncio.Event()
    watched = watch(kernel, stalled, 30)
    now = asyncio.get_running_loop().time()
    watched.begin(now)
    kernel.unsent = 99
    watched._look()
    assert not stalled.is_set()
    assert watched.timer.expires_at == pytest.approx(now + 10, abs=1), "the next look"
    watched.end(now)
    assert not watched.timer.expires_at


async def test_a_closed_watch_holds_no_one() -> None:
    watched = watch(Kernel(1), asyncio.Event(), 0.001)
    watched.begin(asyncio.get_running_loop().time())
    watched.close()
    assert (watched.timer.expires_at, watched.timer._handle) == (0.0, None)

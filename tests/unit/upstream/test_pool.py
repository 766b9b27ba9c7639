from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from harness.patience import eventually
from harness.upstream import Upstream
from unit.scene import Clock

from gateway.config.records import Timeouts, UpstreamTls
from gateway.upstream.connector import HardenedConnector
from gateway.upstream.origin import Origin
from gateway.upstream.pool import IdleBudget, Keeping, Pool
from gateway.upstream.tls import TlsContexts
from gateway.wire.buffers import BufferPool
from gateway.wire.h1.head import HeadParser

TLS = TlsContexts().of(UpstreamTls())


def pool_to(
    upstream: Upstream, clock: Clock, *, idle: float = 90, max_idle: int = 100, budget: IdleBudget | None = None
) -> Pool:
    timeouts = replace(Timeouts(), idle=idle)
    connector = HardenedConnector(Origin.of(upstream.url), timeouts, BufferPool(), HeadParser(), TLS)
    return Pool(connector, Keeping(idle, 300, budget or IdleBudget(), max_idle=max_idle, clock=clock))


async def test_the_newest_is_used_first(upstream: Upstream) -> None:
    pool = pool_to(upstream, Clock())
    old, new = await pool.dial(), await pool.dial()
    pool.give_back(old)
    pool.give_back(new)
    assert (pool.idle, pool.open, pool.dials, pool.reuses) == (2, 2, 2, 0)
    assert pool.take() is new
    assert pool.take() is old
    assert pool.take() is None
    assert pool.reuses == 2
    for connection in (old, new):
        connection.abort()
    await eventually(lambda: pool.open == 0)
    await pool.aclose()


async def test_what_runs_for_callers(upstream: Upstream) -> None:
    pool = pool_to(upstream, Clock())
    first, second, third = [await pool.dial() for _ in range(3)]
    pool.checks = 1
    assert pool.requests == 2
    pool.give_back(first)
    second.named_body = True  # as after the response to HEAD
    pool.give_back(second)
    pool.checks = 0
    assert (pool.open, pool.idle, pool.requests) == (3, 1, 1)
    third.abort()
    await eventually(lambda: pool.requests == 0)
    await pool.aclose()


@pytest.mark.covers("FR-005", "FR-006", "T006", "T007", "T063")
async def test_caps_close_what_can_not_be_kept_and_refuse_nobody(upstream: Upstream) -> None:
    budget = IdleBudget(3)
    clock = Clock()
    first, second = pool_to(upstream, clock, max_idle=2, budget=budget), pool_to(upstream, clock, budget=budget)
    for pool, count in ((first, 4), (second, 4)):
        for connection in [await pool.dial() for _ in range(count)]:
            pool.give_back(connection)
    assert (first.idle, second.idle, budget.used) == (2, 1, 3)
    await eventually(lambda: (first.open, second.open) == (2, 1))
    await first.aclose()
    await second.aclose()
    assert budget.used == 0


@pytest.mark.covers("FR-005", "FR-006", "T006", "T007")
async def test_the_caps_that_hold_when_nothing_is_said(upstream: Upstream) -> None:
    budget = IdleBudget()
    assert budget.limit == 1000
    connector = HardenedConnector(Origin.of(upstream.url), Timeouts(), BufferPool(), HeadParser(), TLS)
    pool = Pool(connector, Keeping(90, 300, budget))
    for connection in [await pool.dial() for _ in range(102)]:
        pool.give_back(connection)
    assert (pool.idle, budget.used) == (100, 100)
    await pool.aclose()


@pytest.mark.covers("FR-003", "T008")
async def test_a_connection_that_was_idle_for_too_long_is_not_used(upstream: Upstream) -> None:
    clock = Clock()
    pool = pool_to(upstream, clock, idle=90)
    pool.give_back(await pool.dial())
    clock.now += 89
    connection = pool.take()
    assert connection is not None
    pool.give_back(connection)
    clock.now += 90
    assert pool.take() is None
    await eventually(lambda: pool.open == 0)
    await pool.aclose()


@pytest.mark.covers("FR-003", "T008")
async def test_the_sweep_closes_the_oldest(upstream: Upstream) -> None:
    clock = Clock()
    pool = pool_to(upstream, clock, idle=90)
    old, new = await pool.dial(), await pool.dial()
    pool.give_back(old)
    clock.now += 60
    pool.give_back(new)
    clock.now += 30
    pool.sweep()
    await eventually(lambda: pool.open == 1)
    assert pool.take() is new
    new.abort()
    await eventually(lambda: pool.open == 0)
    await pool.aclose()


@pytest.mark.parametrize("unasked", [b"HTTP/1.1 200 OK\r\n\r\n", b""])
async def test_bytes_or_an_end_in_idle_take_a_connection_out(upstream: Upstream, unasked: bytes) -> None:
    pool = pool_to(upstream, Clock())
    pool.give_back(await pool.dial())
    link = await upstream.link()
    if unasked:
        await link.send(unasked)
    else:
        link.close()
    await eventually(lambda: pool.open == 0)
    assert pool.take() is None
    await pool.aclose()


async def test_a_closed_pool_closes_what_comes_back(upstream: Upstream) -> None:

    pool = pool_to(upstream, Clock())
    used = await pool.dial()
    pool.give_back(await pool.dial())
    closing = asyncio.ensure_future(pool.aclose())
    await eventually(lambda: pool.open == 1, "the idle one is closed, the one in use is not")
    assert not closing.done()
    pool.give_back(used)
    await closing
    assert pool.open == 0


# -- Keep-Alive: timeout


@pytest.mark.parametrize(("hint", "used_for"), [(5.0, 4.0), (2.0, 1.0), (1.0, 0.5), (300.0, 90.0)])
async def test_a_connection_is_not_used_when_its_upstream_is_about_to_close_it(
    upstream: Upstream, hint: float, used_for: float
) -> None:
    clock = Clock()
    pool = pool_to(upstream, clock, idle=90)
    connection = await pool.dial()
    connection.idle_limit = hint
    pool.give_back(connection)
    clock.now += used_for - 0.01
    assert pool.take() is connection
    pool.give_back(connection)
    clock.now += used_for
    assert pool.take() is None
    await eventually(lambda: pool.open == 0)
    await pool.aclose()


async def test_an_upstream_that_keeps_nothing_is_believed(upstream: Upstream) -> None:
    pool = pool_to(upstream, Clock(), idle=90)
    connection = await pool.dial()
    connection.idle_limit = 0.0
    pool.give_back(connection)
    assert pool.idle == 0
    await eventually(lambda: pool.open == 0)
    await pool.aclose()


async def test_the_sweep_closes_those_that_end_first_wherever_they_stand(upstream: Upstream) -> None:
    clock = Clock()
    pool = pool_to(upstream, clock, idle=90)
    patient, hasty = await pool.dial(), await pool.dial()
    hasty.idle_limit = 10.0
    pool.give_back(patient)
    pool.give_back(hasty)
    clock.now += 9.0
    pool.sweep()
    assert pool.idle == 1
    assert pool.take() is patient
    patient.abort()
    await eventually(lambda: pool.open == 0)
    await pool.aclose()


class Crowd:
    """The connections of all processes; ``limit`` of them are no excess."""

    def __init__(self, limit: int, elsewhere: int = 0) -> None:
        self.limit, self.elsewhere, self.mine = limit, elsewhere, 0

    def excess(self) -> int:
        return self.mine + self.elsewhere - self.limit

    def on_crowded(self, shrink: object) -> None: ...

    def opened(self) -> None:
        self.mine += 1

    def closed(self) -> None:
        self.mine -= 1


async def test_idle_connections_make_room_for_those_of_other_processes(upstream: Upstream) -> None:
    crowd = Crowd(3)
    connector = HardenedConnector(Origin.of(upstream.url), Timeouts(), BufferPool(), HeadParser(), TLS)
    pool = Pool(connector, Keeping(90, 300, IdleBudget(), census=crowd))
    connections = [await pool.dial() for _ in range(3)]
    for connection in connections[:2]:
        pool.give_back(connection)
    assert (crowd.mine, pool.idle) == (3, 2)
    pool.shrink()
    assert pool.idle == 2, "there is no excess"
    crowd.elsewhere = 1
    pool.shrink()
    await eventually(lambda: crowd.mine == 2)
    assert (pool.idle, connections[0].alive, connections[1].alive) == (1, False, True), "the oldest goes"
    crowd.elsewhere = 2
    pool.give_back(connections[2])
    await eventually(lambda: crowd.mine == 1)
    assert (pool.idle, crowd.excess()) == (1, 0), "one that comes back is not kept"
    await pool.aclose()
    await eventually(lambda: crowd.mine == 0)


async def test_connections_are_counted_where_they_are_shared_from_now_on(upstream: Upstream) -> None:
    pool = pool_to(upstream, Clock(), idle=90)
    connections = [await pool.dial() for _ in range(2)]
    first, second = Crowd(5), Crowd(5)
    for census in (first, second, None, first):
        pool.count_in(census)
        assert [crowd.mine for crowd in (first, second)] == [2 if crowd is census else 0 for crowd in (first, second)]
    for connection in connections:
        connection.abort()
    await eventually(lambda: first.mine == 0)
    await pool.aclose()

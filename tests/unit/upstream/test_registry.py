"""What a reload keeps, changes in place, and lets go."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from harness.tls import authority, pem_of
from harness.upstream import Upstream as ServedUpstream
from unit.page.stage import page_stage

from gateway.config.records import Adaptive, CircuitBreaker, Endpoint, Limiter, Queue, Upstream, UpstreamTls
from gateway.core.events import BreakerChanged, Event, LimitDecided
from gateway.core.outcome import Outcome
from gateway.page.layout import CONNECTIONS, OPEN, USERS
from gateway.page.page import Page
from gateway.page.permits import PagePermitStore
from gateway.policy import adaptive as adaptive_machine
from gateway.policy.breaker_rules import Rules
from gateway.policy.breaker_store import BreakerStore
from gateway.policy.learned import LearnedStore
from gateway.policy.lessons import Bounds
from gateway.policy.machine import REFUSED
from gateway.policy.store import PermitStore
from gateway.policy.stores import Census, MemoryStores
from gateway.policy.window import Tally
from gateway.upstream.pool import Pool
from gateway.upstream.registry import Registry
from gateway.upstream.sessions import SessionPool
from gateway.wire.buffers import BufferPool
from gateway.wire.h1.head import HeadParser

A = Upstream("a", (Endpoint("http://127.0.0.1:1"),), max_concurrent=5, circuit_breaker=CircuitBreaker(True, 2))
B = replace(A, name="b")


def registry(*upstreams: Upstream, events: list[Event] | None = None) -> Registry:
    made = Registry(BufferPool(), HeadParser(), (events if events is not None else []).append)
    made.adopt(dict(made.prepare(upstreams)))
    return made


def reload(made: Registry, *upstreams: Upstream) -> None:
    made.adopt(dict(made.prepare(upstreams)))


@pytest.mark.covers("T050")
async def test_what_does_not_change_is_kept() -> None:
    made = registry(A, B)
    a, b = made.upstreams["a"], made.upstreams["b"]
    reload(made, replace(A, queue=Queue(7, 1)), replace(B, max_concurrent=9))
    for old, new in ((a, made.upstreams["a"]), (b, made.upstreams["b"])):
        assert (new.endpoints, new.limiter) == (old.endpoints, old.limiter)
    await made.aclose()


TWO = replace(A, endpoints=(*A.endpoints, Endpoint("http://127.0.0.1:2")))


async def test_a_second_endpoint_starts_slowly_beside_the_only_one() -> None:
    made = registry(replace(A, slow_start=10.0))
    reload(made, replace(TWO, slow_start=10.0))
    old, new = made.upstreams["a"].endpoints
    assert (old.member.warm_from, new.member.warm_from > 0.0) == (0.0, True)
    await made.aclose()


async def test_a_breaker_names_its_endpoint_where_there_are_several_now() -> None:
    events: list[Event] = []
    made = registry(A, events=events)
    breaker = made.upstreams["a"].endpoints[0].breaker
    assert breaker is not None
    for upstream in (A, TWO, A):
        reload(made, upstream)
        assert made.upstreams["a"].endpoints[0].breaker is breaker
        for _ in range(2):
            breaker.release(breaker.try_acquire(), Outcome.FAILURE)
        breaker.reset()
    found = [event.endpoint for event in events if isinstance(event, BreakerChanged) and event.new == "open"]
    assert found == ["", "http://127.0.0.1:1", ""]
    await made.aclose()


@pytest.mark.parametrize(
    ("settings", "places"),
    [
        ({"queue": Queue(7, 1.0)}, 7),
        ({"queue": Queue(7, 0.0)}, 0),
        ({"queue": Queue(7, 1.0, "shadow")}, 0),
        ({"queue": Queue(7, 1.0), "limiter": Limiter("shadow")}, 7),
        ({"queue": Queue(7, 1.0, "shadow"), "limiter": Limiter("shadow")}, 7),
    ],
)
async def test_a_queue_that_only_counts_is_none_for_the_limit_behind_it(settings: dict[str, Any], places: int) -> None:
    """Its Retry-After would otherwise be that of a limit with a queue."""
    made = registry(replace(A, **settings))
    limiter = made.upstreams["a"].limiter
    assert limiter is not None
    assert limiter.max_waiting == places
    await made.aclose()


@pytest.mark.covers("T023")
async def test_numbers_change_in_place() -> None:
    made = registry(A)
    limiter, breaker = made.upstreams["a"].limiter, made.upstreams["a"].endpoints[0].breaker
    assert limiter is not None
    assert breaker is not None
    assert limiter.try_acquire() != REFUSED
    breaker.release(breaker.try_acquire(), Outcome.FAILURE)
    prepared = dict(
        made.prepare([replace(A, max_concurrent=1, queue=Queue(7, 1), circuit_breaker=CircuitBreaker(True, 9))])
    )
    assert limiter.max == 5, "preparing touches nothing that is live"
    made.adopt(prepared)
    assert (limiter.max, limiter.in_flight, limiter.max_waiting) == (1, 1, 7)
    assert (breaker.failure_threshold, breaker.failures) == (9, 1)
    await made.aclose()


async def test_a_limit_that_was_off_for_a_while_still_counts_who_is_inside() -> None:
    made = registry(A)
    inside = made.upstreams["a"].limiter
    assert inside is not None
    assert inside.try_acquire() != REFUSED
    for between in ([replace(A, max_concurrent=0)], []):
        reload(made, *between)
        assert "a" not in made.upstreams or made.upstreams["a"].limiter is None
        reload(made, A)
        again = made.upstreams["a"].limiter
        assert again is inside
        assert again.in_flight == 1
    await made.aclose()


async def test_another_address_is_another_upstream() -> None:
    made = registry(A)
    old = made.upstreams["a"]
    reload(made, replace(A, endpoints=(Endpoint("http://127.0.0.1:2"),)))
    new = made.upstreams["a"]
    assert new.endpoints[0].pool is not old.endpoints[0].pool
    assert new.endpoints[0].breaker is not old.endpoints[0].breaker
    assert new.limiter is old.limiter
    await made.aclose()


@pytest.mark.covers("T002")
async def test_other_timeouts_need_other_connections_but_the_verdict_stays() -> None:
    made = registry(A)
    old = made.upstreams["a"]
    reload(made, replace(A, timeouts=replace(A.timeouts, idle=1)))
    assert made.upstreams["a"].endpoints[0].pool is not old.endpoints[0].pool
    assert made.upstreams["a"].endpoints[0].breaker is old.endpoints[0].breaker
    await made.aclose()


async def test_other_tls_needs_other_connections_and_equal_settings_share_a_context() -> None:
    ours = UpstreamTls(pem_of(authority()), server_name="a.test")
    secure = replace(A, endpoints=(Endpoint("https://127.0.0.1:1"),), tls=ours)
    made = registry(secure, replace(secure, name="b", tls=replace(ours, server_name="b.test")))
    old = made.upstreams["a"]
    contexts = [made.upstreams[name].endpoints[0].pool.connector.tls for name in ("a", "b")]
    assert contexts[0].endpoint is contexts[1].endpoint
    assert [one.server_name for one in contexts] == ["a.test", "b.test"]
    reload(made, replace(secure, tls=UpstreamTls(ours.ca)))
    assert made.upstreams["a"].endpoints[0].pool is not old.endpoints[0].pool
    assert made.upstreams["a"].endpoints[0].breaker is old.endpoints[0].breaker
    assert made.upstreams["a"].endpoints[0].pool.connector.tls.endpoint is contexts[0].endpoint
    reload(made, A)
    assert made.upstreams["a"].endpoints[0].pool.connector.tls.endpoint is contexts[0].forward_proxy, "of the system"
    await made.aclose()


@pytest.mark.covers("T014", "T023")
async def test_protections_are_off_unless_asked_for() -> None:
    made = registry(Upstream("a", A.endpoints))
    assert (made.upstreams["a"].limiter, made.upstreams["a"].endpoints[0].breaker) == (None, None)
    await made.aclose()


@pytest.mark.covers("FR-028")
async def test_with_a_proxy_goes_what_its_breaker_has_learnt() -> None:
    made = registry(A)
    breaker = made.upstreams["a"].endpoints[0].breaker
    assert breaker is not None
    for _ in range(2):
        breaker.release(breaker.try_acquire(), Outcome.FAILURE)
    assert breaker.state.word == "open"
    reload(made)
    reload(made, A)
    again = made.upstreams["a"].endpoints[0].breaker
    assert again is not None
    assert (again.state.word, again.failures) == ("closed", 0)
    await made.aclose()


async def test_the_rules_of_a_breaker_change_in_place() -> None:
    rules = {"failure_rate": 0.5, "slow_call": 2.0, "slow_rate": 0.25, "window": 10.0, "minimum_requests": 2}
    made = registry(replace(A, circuit_breaker=CircuitBreaker(True, 0, **rules, distinct_callers=3)))  # type: ignore[arg-type]
    breaker = made.upstreams["a"].endpoints[0].breaker
    assert breaker is not None
    assert breaker.rules == Rules(0.5, 2.0, 0.25, 10.0, 2, 3)
    breaker.release(breaker.try_acquire(), Outcome.FAILURE, caller=b"ann")
    before = breaker.tally
    assert before == Tally(1, 1, 1, 0, 1, 1)
    reload(made, replace(A, circuit_breaker=CircuitBreaker(True, 9, failure_rate=0.9, window=10.0)))
    assert (breaker.rules, breaker.failure_threshold, breaker.counts) == (Rules(0.9, window=10.0), 9, True)
    assert breaker.tally == before, "what was counted stays"
    reload(made, A)
    assert (breaker.rules, breaker.counts) == (Rules(), False)
    await made.aclose()


async def test_a_breaker_tells_the_sink() -> None:
    events: list[Event] = []
    made = registry(A, events=events)
    breaker = made.upstreams["a"].endpoints[0].breaker
    assert breaker is not None
    for _ in range(2):
        breaker.release(breaker.try_acquire(), Outcome.FAILURE)
    assert events == [BreakerChanged("a", "closed", "open", "failure_threshold")]
    await made.aclose()


@pytest.mark.parametrize(
    ("url", "http2", "pool"),
    [
        ("http://127.0.0.1:1", "auto", Pool),
        ("http://127.0.0.1:1", "never", Pool),
        ("http://127.0.0.1:1", "always", SessionPool),
        ("https://127.0.0.1:1", "auto", SessionPool),
        ("https://127.0.0.1:1", "always", SessionPool),
        ("https://127.0.0.1:1", "never", Pool),
    ],
)
async def test_connections_are_shared_where_http_2_may_be_spoken(url: str, http2: Any, pool: type) -> None:
    made = registry(replace(A, endpoints=(Endpoint(url),), http2=http2))
    assert type(made.upstreams["a"].endpoints[0].pool) is pool
    await made.aclose()


async def test_another_protocol_makes_other_connections() -> None:
    made = registry(A)
    before = made.upstreams["a"].endpoints[0]
    reload(made, replace(A, http2="always"))
    after = made.upstreams["a"].endpoints[0]
    assert after.pool is not before.pool
    assert after.breaker is before.breaker
    await made.aclose()


async def test_registries_of_two_processes_share_limits_and_breakers() -> None:
    with page_stage(2) as stage:
        one, other = (Registry(BufferPool(), HeadParser(), list[Event]().append, page) for page in stage.pages)
        for made in (one, other):
            made.adopt(dict(made.prepare([A])))
        here, there = (made.upstreams["a"] for made in (one, other))
        assert here.limiter is not None
        assert there.limiter is not None
        assert [here.limiter.try_acquire() != REFUSED for _ in range(5)] == [True] * 5
        assert (there.limiter.try_acquire(), there.limiter.linger) == (REFUSED, stage.pages[0].linger)
        assert here.endpoints[0].breaker is not None
        assert there.endpoints[0].breaker is not None
        for upstream in (here, there):
            assert upstream.endpoints[0].breaker is not None
            upstream.endpoints[0].breaker.release(upstream.endpoints[0].breaker.try_acquire(), Outcome.FAILURE)
        assert here.endpoints[0].breaker.try_acquire() == REFUSED
        for permit in range(1, 6):
            here.limiter.release(permit)
        reload(one, B)
        reload(one, B)
        assert "a" not in one.upstreams
        for made in (one, other):
            await made.aclose()


ADAPTS = replace(A, max_concurrent=0, limiter=Limiter(adaptive=Adaptive(4, 2, 8)))


def adaptive_of(made: Registry, name: str = "a") -> adaptive_machine.Adaptive:
    upstream = made.upstreams[name]
    assert upstream.adaptive is not None
    assert upstream.adaptive.limiter is upstream.limiter
    return upstream.adaptive


async def test_a_limit_that_adapts_is_kept_by_a_reload_and_moves_into_other_bounds() -> None:
    events = list[Event]()
    made = registry(ADAPTS, events=events)
    adaptive = adaptive_of(made)
    assert (adaptive.limiter.max, events) == (4, [])
    reload(made, replace(ADAPTS, queue=Queue(7, 1), limiter=Limiter("shadow", Adaptive(5, 2, 8))))
    assert adaptive_of(made) is adaptive
    assert (adaptive.limiter.max, adaptive.limiter.max_waiting) == (4, 7)
    reload(made, replace(ADAPTS, limiter=Limiter("shadow", Adaptive(3, 1, 3))))
    assert adaptive.limiter.max == 3
    assert events == [LimitDecided("a", 4, 3, "bounds", shadow=True)]
    await made.aclose()


async def test_a_limit_may_begin_to_adapt_and_end_to() -> None:
    made = registry(A)
    limiter = made.upstreams["a"].limiter
    reload(made, ADAPTS)
    adaptive = adaptive_of(made)
    assert adaptive.limiter is limiter
    assert adaptive.limiter.max == 4
    reload(made, A)
    assert made.upstreams["a"].adaptive is None
    assert (adaptive.limiter.max, adaptive.look()) == (5, False), "requests of before change it no more"
    assert adaptive.limiter.max == 5
    await made.aclose()


async def test_what_was_learnt_moves_to_the_page_and_back() -> None:
    with page_stage(2) as stage:
        stores = Moving(stage.pages[0])
        made = Registry(BufferPool(), HeadParser(), list[Event]().append, stores)
        reload(made, ADAPTS)
        adaptive = adaptive_of(made)
        adaptive.configure(Bounds(6, 6, 8))
        stores.use = stage.pages[0]
        made.move()
        other = Registry(BufferPool(), HeadParser(), list[Event]().append, stage.pages[1])
        reload(other, ADAPTS)
        assert (adaptive_of(other).limiter.max, adaptive_of(other).store.read().limit) == (6, 6)
        stores.use = stores.memory
        made.move()
        assert (adaptive.limiter.max, adaptive.store.read().limit) == (6, 6)
        for each in (made, other):
            await each.aclose()


class Moving:
    """The stores of a page, or of this process."""

    def __init__(self, page: Page) -> None:
        self.page, self.memory = page, MemoryStores()
        self.use: Page | MemoryStores = self.memory

    @property
    def linger(self) -> float:
        return self.use.linger

    @property
    def processes(self) -> int:
        return self.use.processes

    def permits(self, name: str) -> PermitStore:
        return self.use.permits(name)

    def breaker(self, name: str, origin: str) -> BreakerStore:
        return self.use.breaker(name, origin)

    def census(self, name: str) -> Census | None:
        return self.use.census(name)

    def learned(self, name: str) -> LearnedStore:
        return self.use.learned(name)

    def forget(self, store: PermitStore | BreakerStore) -> None:
        self.page.forget(store)


async def test_everything_moves_to_the_page_and_back(upstream: ServedUpstream) -> None:
    with page_stage(2) as stage:
        stores = Moving(stage.pages[0])
        made = Registry(BufferPool(), HeadParser(), list[Event]().append, stores)
        settings = replace(A, endpoints=(Endpoint(upstream.url),))
        reload(made, settings)
        a = made.upstreams["a"]
        assert a.limiter is not None
        assert a.endpoints[0].breaker is not None
        permits = [a.limiter.try_acquire() for _ in range(3)]
        a.endpoints[0].breaker.release(a.endpoints[0].breaker.try_acquire(), Outcome.FAILURE)
        connection = await a.endpoints[0].pool.dial()
        added = replace(B, endpoints=(Endpoint(upstream.url),))
        prepared = dict(made.prepare([settings, added]))

        stores.use = stage.pages[0]
        for _ in range(2):  # the second time there is nothing to do
            made.move()
            other = stage.pages[1].permits("a")
            assert (other.limit, other.in_flight, a.limiter.linger) == (5, 3, stage.pages[0].linger)
            assert stage.pages[1].breaker("a", upstream.url).failures == 1
            assert other.slab.cells[CONNECTIONS] == 1
        assert (connection_count(other, 0), stage.pages[1].permits("b").limit) == (1, 5)
        made.adopt(prepared)
        b = made.upstreams["b"]
        assert b.endpoints[0].breaker is not None
        assert b.endpoints[0].breaker.store is stage.pages[0].breaker("b", upstream.url), "it was only prepared"

        stores.use = stores.memory
        made.move()
        assert (other.in_flight, other.slab.cells[CONNECTIONS], a.limiter.linger) == (0, 0, 0.0)
        assert (a.limiter.in_flight, a.endpoints[0].breaker.failures, a.limiter.max) == (3, 1, 5)
        assert not any(other.slab.cells[USERS : USERS + 1]), "another may get the slab"
        for permit in permits:
            a.limiter.release(permit)
        assert (a.limiter.in_flight, a.limiter.extra_releases) == (0, 0)
        connection.abort()
        await made.aclose()
        assert other.slab.cells[CONNECTIONS] == 0


async def test_a_budget_of_retries_belongs_to_the_name_of_its_upstream() -> None:
    made = registry(A, B)
    budget = made.upstreams["a"].retry_budget
    assert budget.try_withdraw(10)
    reload(made, replace(A, endpoints=B.endpoints, max_concurrent=1), B)
    assert made.upstreams["a"].retry_budget is budget
    assert made.upstreams["b"].retry_budget is not budget
    assert (budget.sharers, made.upstreams["a"].buffers) == (1, made.upstreams["b"].buffers)
    reload(made)
    reload(made, A)
    assert made.upstreams["a"].retry_budget is not budget
    await made.aclose()


async def test_what_was_measured_of_an_upstream_outlives_a_reload() -> None:
    made = registry(A, B)
    latency = made.upstreams["a"].latency
    latency.note(0.1)
    reload(made, replace(A, endpoints=B.endpoints, max_concurrent=1), B)
    assert made.upstreams["a"].latency.samples == 1
    assert made.upstreams["b"].latency.samples == 0
    await made.aclose()


async def test_workers_share_the_burst_of_retries() -> None:
    with page_stage(8) as stage:
        made = Registry(BufferPool(), HeadParser(), list[Event]().append, stage.pages[0])
        reload(made, A)
        assert made.upstreams["a"].retry_budget.sharers == 4
        await made.aclose()


def connection_count(store: PagePermitStore, slot: int) -> int:
    return int(store.slab.cells[OPEN + slot])


async def test_a_breaker_that_left_is_forgotten_when_it_has_judged_its_last_attempt() -> None:
    forgotten = list[object]()

    class Watched(MemoryStores):
        def forget(self, store: object) -> None:
            forgotten.append(store)

    made = Registry(BufferPool(), HeadParser(), list[Event]().append, Watched())
    reload(made, A)
    breaker = made.upstreams["a"].endpoints[0].breaker
    assert breaker is not None
    permit = breaker.try_acquire()
    reload(made, replace(A, endpoints=(Endpoint("http://127.0.0.1:2"),)))
    assert not forgotten, "an attempt runs"
    breaker.release(permit, Outcome.SUCCESS)
    reload(made, B)
    assert breaker.store in forgotten
    await made.aclose()


async def test_a_configuration_that_is_rejected_leaves_no_slab_behind() -> None:
    with page_stage(1) as stage:
        (page,) = stage.pages
        made = Registry(BufferPool(), HeadParser(), list[Event]().append, page)
        made.adopt(dict(made.prepare([A])))
        kept = made.upstreams["a"]
        before = users(page)
        for name in ("c", "d"):
            list(made.prepare([replace(A, max_concurrent=7), replace(A, name=name)]))
            assert users(page) > before
            made.abandon()
            assert users(page) == before
        assert made.upstreams["a"] is kept
        await made.aclose()


def users(page: Page) -> int:
    """How many slabs this process uses."""
    return sum(int(page._slab(number).cells[USERS + page.slot]) for number in range(1, 9))

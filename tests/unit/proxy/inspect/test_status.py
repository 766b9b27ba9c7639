from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any, cast

import pytest
from harness.records import proxy
from unit.scene import Clock

from gateway.config.records import CircuitBreaker, Limiter, Queue, RateLimit, Route
from gateway.core.outcome import Outcome
from gateway.observe import families
from gateway.policy import limiter as machine
from gateway.policy.adaptive import Adaptive
from gateway.policy.breaker import Breaker
from gateway.policy.codel import Codel
from gateway.policy.group import Condition
from gateway.policy.lessons import Bounds
from gateway.policy.member import Member
from gateway.policy.stores import MemoryStores
from gateway.policy.waiting_line import HIGH, LOW, Rank
from gateway.proxy.inspect.status import breaker_pulse, counts, gauges, stance, state
from gateway.proxy.rates import Rates
from gateway.upstream.endpoint import Endpoint
from gateway.upstream.origin import Origin
from gateway.upstream.upstream import Upstream


class NoPool:
    open, idle, sessions, streams = 3, 1, 0, 0

    def take_counts(self) -> tuple[int, int]:
        return 0, 0


def upstream(*, limited: bool = False, breaker: Breaker | None = None, **settings: Any) -> Upstream:
    record = proxy("p", "/", "http://h:1", max_concurrent=5 if limited else 0, **settings).upstream
    limiter = machine.Limiter(5, record.queue.max_waiting) if limited else None
    endpoint = Endpoint(Origin.of("http://h:1"), cast(Any, NoPool()), breaker, Condition(Member("http://h:1")))
    return Upstream(record, (endpoint,), limiter, None)


def opened(clock: Clock) -> Breaker:
    breaker = Breaker(1, clock=clock)
    breaker.release(breaker.try_acquire(), Outcome.FAILURE)
    return breaker


def test_without_protections() -> None:
    bare = upstream()
    assert state(bare, 7) == {
        "in_flight": 7, "waiting": 0, "streams": 7, "breaker": "off", "connections_open": 3, "connections_idle": 1,
    }  # fmt: skip
    assert breaker_pulse(bare, 0.0) == {"breaker": "off", "since": 0.0, "history": []}
    shown = dict(gauges(bare, 7))
    assert shown[families.IN_FLIGHT] == 7
    assert [shown[families.MODE + n] for n in range(3)] == [0, 0, 0]


async def test_a_queue_tells_who_waits_and_whether_the_newest_goes_first() -> None:
    clock = Clock()
    limiter = machine.Limiter(1, 9, clock)
    limiter.configure(Codel(0.1, 0.5))
    limiter.try_acquire()
    for priority in (HIGH, LOW, LOW):
        limiter.join(rank=Rank(priority))
    cells = [*range(families.WAITING_BY_PRIORITY, families.WAITING_BY_PRIORITY + 3), families.NEWEST_FIRST]
    limited = replace(upstream(limited=True), limiter=limiter)
    shown = dict(gauges(limited, 1))
    assert [shown[cell] for cell in cells] == [1, 0, 2, 0]
    for seconds in (1.0, 2.0):
        limiter.line.lanes[LOW].switch.observe(seconds, clock.now + seconds)
    shown = dict(gauges(limited, 1))
    assert [shown[cell] for cell in cells] == [1, 0, 2, 1]
    shown = dict(gauges(upstream(), 1))
    assert [shown[cell] for cell in cells] == [0, 0, 0, 0]


def test_a_breaker_tells_its_moves_and_no_reset_that_moved_nothing() -> None:
    breaker = opened(Clock(50.0))
    breaker.reset("ann")
    breaker.reset("ann")
    told = breaker_pulse(upstream(breaker=breaker), 1000.0)
    assert told == {
        "breaker": "closed",
        "since": 1050.0,
        "history": [
            {"at": 1050.0, "from": "closed", "to": "open", "reason": "failure_threshold"},
            {"at": 1050.0, "from": "open", "to": "closed", "reason": "reset"},
        ],
    }


@pytest.mark.parametrize(
    ("limiter", "queue", "modes"),
    [
        ("enforce", Queue(), (2, 0)),
        ("shadow", Queue(), (1, 0)),
        ("enforce", Queue(2, 1.0), (2, 2)),
        ("enforce", Queue(2, 1.0, "shadow"), (2, 1)),
        ("shadow", Queue(2, 1.0), (1, 1)),
    ],
)
def test_a_queue_is_no_more_in_force_than_its_limit(limiter: Any, queue: Queue, modes: tuple[int, int]) -> None:
    shown = dict(gauges(upstream(limited=True, limiter=Limiter(limiter), queue=queue), 0))
    assert (shown[families.MODE], shown[families.MODE + 1]) == modes
    assert (shown[families.LIMIT], shown[families.QUEUE_LIMIT]) == (5, queue.max_waiting)


def test_an_open_breaker_shows() -> None:
    settings = CircuitBreaker(enabled=True, mode="shadow")
    shown = dict(gauges(upstream(breaker=opened(Clock()), circuit_breaker=settings), 0))
    assert (shown[families.BREAKER_STATE], shown[families.MODE + 2]) == (1, 1)


def test_a_limit_that_adapts_shows() -> None:
    limited = upstream(limited=True)
    assert limited.limiter is not None
    assert dict(gauges(limited, 0))[families.ADAPTIVE_LIMIT] == 0
    adapts = replace(limited, adaptive=Adaptive(limited.limiter, Bounds(5, 1, 9)))
    assert dict(gauges(adapts, 0))[families.ADAPTIVE_LIMIT] == 5


def test_a_proxy_that_is_switched_off_has_the_same_gauges_and_only_what_still_runs() -> None:
    shown = dict(gauges(None, 2))
    assert shown.keys() == dict(gauges(upstream(limited=True), 0)).keys()
    assert {cell for cell, value in shown.items() if value == 2} == {families.ACTIVE, families.IN_FLIGHT}
    assert sum(shown.values()) == 4


def test_keys_are_counted_by_their_kind() -> None:
    limits = RateLimit("client", 9.0), RateLimit("client", 9.0, name="b"), RateLimit("header:x", 9.0)
    rule = Rates(MemoryStores()).of(Route("p", "/", "p", rate_limits=limits))
    of_upstream = Rates(MemoryStores()).of_upstream(upstream(upstream_rates=(RateLimit("all", 9.0),)).settings)
    assert rule is not None
    assert of_upstream is not None
    for key in (1, 2, 3):
        rule.machine.try_take([key, key, 7])
        of_upstream.machine.try_take([of_upstream.key_of_all])
    shown = dict(gauges(upstream(), 0, rates=[rule, of_upstream]))
    assert [shown[families.RATE_KEYS + kind] for kind in range(4)] == [1, 6, 0, 1]


async def test_whenever_gauges_change_so_does_what_they_depend_on() -> None:
    clock = Clock()
    limiter, breaker = machine.Limiter(2, 9, clock), Breaker(1, clock=clock)
    limiter.configure(Codel(0.1, 0.5))
    shown = replace(upstream(limited=True, breaker=breaker), limiter=limiter)
    pool = cast(Any, shown.endpoints[0].pool)
    steps = [
        lambda: limiter.try_acquire(),
        lambda: limiter.try_acquire(),
        lambda: limiter.join(rank=Rank(LOW)),
        lambda: limiter.line.lanes[LOW].switch.observe(1.0, clock.now + 1.0),
        lambda: limiter.line.lanes[LOW].switch.observe(2.0, clock.now + 2.0),
        lambda: limiter.join(rank=Rank(HIGH)),
        lambda: limiter.resize(7),
        lambda: breaker.release(breaker.try_acquire(), Outcome.FAILURE),
        lambda: breaker.reset(""),
        *(partial(setattr, pool, name, 8) for name in ("open", "idle", "sessions", "streams")),
    ]
    seen = [(dict(gauges(shown, 0)), stance(shown, 0))]
    for step in steps:
        step()
        seen.append((dict(gauges(shown, 0)), stance(shown, 0)))
    seen += [(dict(gauges(at, live, tunnels)), stance(at, live, tunnels))
             for at in (shown, upstream(), None) for live, tunnels in ((1, 0), (1, 1), (2, 1))]  # fmt: skip
    distinct = [(cells, on) for at, (cells, on) in enumerate(seen) if cells not in [before for before, _ in seen[:at]]]
    assert len(distinct) > len(steps)
    assert all(on != other for at, (_, on) in enumerate(distinct) for _, other in distinct[:at])


def test_several_endpoints_and_rate_limits_are_looked_at_each_time() -> None:
    shown = upstream()
    assert stance(shown, 0) is not None
    assert stance(shown, 0, rates=[cast(Any, object())]) is None
    assert stance(replace(shown, group=cast(Any, object())), 0) is None
    assert stance(replace(shown, endpoints=()), 0) is None
    assert counts(shown) == ()

"""Which breakers an upstream has by its scope, and which of them a reload keeps."""

from __future__ import annotations

from dataclasses import replace

import pytest
from unit.page.stage import page_stage
from unit.upstream.test_registry import TWO, A, registry, reload, users

from gateway.config.records import BreakerScope, CircuitBreaker, Endpoint, Upstream
from gateway.core.events import BreakerChanged, Event
from gateway.core.outcome import Outcome
from gateway.page.page import Page
from gateway.policy.breaker import Breaker
from gateway.policy.breaker_rules import Rules
from gateway.policy.breaker_store import State
from gateway.policy.stores import MemoryStores
from gateway.upstream.breakers import breakers_of
from gateway.upstream.registry import Registry
from gateway.wire.buffers import BufferPool
from gateway.wire.h1.head import HeadParser


def judged(settings: Upstream, scope: BreakerScope, **rules: float) -> Upstream:
    return replace(settings, circuit_breaker=CircuitBreaker(True, 2, scope=scope, **rules))  # type: ignore[arg-type]


def fail(breaker: Breaker | None, times: int = 2) -> Breaker:
    assert breaker is not None
    for number in range(times):
        breaker.release(breaker.try_acquire(), Outcome.FAILURE, caller=b"%d" % number)
    return breaker


@pytest.mark.covers("T050")
@pytest.mark.parametrize(
    ("settings", "scope", "own", "of_endpoints"),
    [
        (A, "endpoint", False, [True]),
        (A, "upstream", True, [False]),
        (A, "both", True, [False]),
        (TWO, "endpoint", False, [True, True]),
        (TWO, "upstream", True, [False, False]),
        (TWO, "both", True, [True, True]),
    ],
)
async def test_the_scope_says_who_has_a_breaker(
    settings: Upstream, scope: BreakerScope, own: bool, of_endpoints: list[bool]
) -> None:
    """A single endpoint never has two."""
    made = registry(judged(settings, scope, recovery_timeout=7.0, failure_rate=0.5))
    found = made.upstreams["a"]
    assert found.breaker is not None if own else found.breaker is None
    assert [endpoint.breaker is not None for endpoint in found.endpoints] == of_endpoints
    several = Rules(0.5, distinct_callers=2, of_endpoints=True)
    for each in found.breakers:
        assert each.recovery_timeout == 7.0
        assert each.rules == (several if each is found.breaker and len(of_endpoints) > 1 else Rules(0.5))
    reload(made, replace(settings, circuit_breaker=CircuitBreaker()))
    assert not made.upstreams["a"].breakers
    await made.aclose()


@pytest.mark.parametrize("scope", ["upstream", "both"])
async def test_that_of_the_upstream_stays_while_endpoints_come_and_go(scope: BreakerScope) -> None:
    made = registry(judged(A, scope))
    breaker = fail(made.upstreams["a"].breaker)
    others = (Endpoint("http://127.0.0.1:3"), Endpoint("http://127.0.0.1:4"))
    for settings in (TWO, replace(A, endpoints=others), replace(A, endpoints=others[:1]), A):
        reload(made, judged(settings, scope, recovery_timeout=9.0))
        assert made.upstreams["a"].breaker is breaker
        assert (breaker.state, breaker.recovery_timeout) == (State.OPEN, 9.0)
    await made.aclose()


async def test_failures_of_one_of_several_endpoints_do_not_open_that_of_the_upstream() -> None:
    made = registry(judged(TWO, "upstream"))
    breaker = made.upstreams["a"].breaker
    for _ in range(9):
        fail(breaker, 1)
    assert breaker is not None
    assert (breaker.state, breaker.failures) == (State.CLOSED, 9)
    reload(made, judged(TWO, "upstream", distinct_callers=3))
    assert breaker.rules == Rules(distinct_callers=3)
    reload(made, judged(A, "upstream"))
    assert fail(breaker, 1).state is State.OPEN, "of a single endpoint all failures are its own"
    await made.aclose()


async def test_another_scope_keeps_the_breakers_that_it_has_too() -> None:
    made = registry(judged(TWO, "endpoint"))
    first = fail(made.upstreams["a"].endpoints[0].breaker)
    reload(made, judged(TWO, "both"))
    own = fail(made.upstreams["a"].breaker)
    assert made.upstreams["a"].endpoints[0].breaker is first
    reload(made, judged(TWO, "upstream"))
    assert made.upstreams["a"].breakers == [own]
    reload(made, judged(TWO, "endpoint"))
    assert own not in made.upstreams["a"].breakers
    assert {breaker.state for breaker in made.upstreams["a"].breakers} == {State.CLOSED}
    await made.aclose()


async def test_events_name_no_endpoint_for_that_of_the_upstream() -> None:
    events: list[Event] = []
    made = registry(judged(TWO, "both"), events=events)
    fail(made.upstreams["a"].breaker)
    fail(made.upstreams["a"].endpoints[1].breaker)
    assert events == [
        BreakerChanged("a", "closed", "open", "failure_threshold"),
        BreakerChanged("a", "closed", "open", "failure_threshold", endpoint="http://127.0.0.1:2"),
    ]
    reload(made, judged(TWO, "both", recovery_timeout=9.0), judged(replace(A, name="b"), "both"))
    shadow = CircuitBreaker(True, 2, scope="both", mode="shadow")
    reload(made, replace(TWO, circuit_breaker=shadow))
    made.upstreams["a"].breakers[0].reset()
    assert events[-1] == BreakerChanged("a", "open", "closed", "reset", shadow=True)
    await made.aclose()


async def test_workers_share_that_of_the_upstream_and_none_is_left_behind() -> None:
    with page_stage(2) as stage:
        made = [Registry(BufferPool(), HeadParser(), list[Event]().append, page) for page in stage.pages]
        for each in made:
            reload(each, judged(TWO, "both"))
        first, second = (each.upstreams["a"].breaker for each in made)
        fail(first)
        assert second is not None
        assert second.state is State.OPEN
        assert [breaker.state for breaker in made[1].upstreams["a"].breakers[1:]] == [State.CLOSED] * 2
        page = stage.pages[0]
        before = users(page)
        list(made[0].prepare([judged(replace(TWO, name="c"), "both")]))
        assert users(page) == before + 4, "a limiter, two endpoints and the upstream"
        made[0].abandon()
        assert users(page) == before
        reload(made[0], judged(TWO, "upstream"))
        assert users(page) == before - 2
        for each in made:
            await each.aclose()


async def test_all_of_them_move_to_other_stores_in_their_states() -> None:
    class Moving:
        """The stores of a worker that begins to share."""

        def __init__(self, page: Page) -> None:
            self.page = page
            self.memory = MemoryStores()
            self.shared = False

        def __getattr__(self, name: str) -> object:
            return getattr(self.page if self.shared else self.memory, name)

    with page_stage(1) as stage:
        stores = Moving(stage.pages[0])
        made = Registry(BufferPool(), HeadParser(), list[Event]().append, stores)  # type: ignore[arg-type]
        reload(made, judged(TWO, "both"))
        upstream = made.upstreams["a"]
        fail(upstream.breaker)
        fail(upstream.endpoints[1].breaker, 1)
        stores.shared = True
        made.move()
        assert [(each.state, each.failures) for each in breakers_of([upstream])] == [
            (State.OPEN, 2), (State.CLOSED, 0), (State.CLOSED, 1)
        ]  # fmt: skip
        assert upstream.breaker is not None
        assert stage.pages[0].breaker("a", "").word == upstream.breaker.store.word
        await made.aclose()

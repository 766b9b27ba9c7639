"""The explanation alone tells the state, and what would become of a request."""

from __future__ import annotations

import random
from collections import deque
from dataclasses import replace
from typing import Any, cast

import pytest
from harness.records import proxy
from unit.scene import Clock, told

from gateway.config.fallback import Fallback, FixedResponse
from gateway.config.records import Adaptive, CircuitBreaker, Header, Limiter, Missing, Queue, RateLimit, Retries, Stream
from gateway.config.records import Hedge as HedgeSettings
from gateway.core.exchange import Exchange
from gateway.core.hedge import Hedge
from gateway.core.outcome import Outcome
from gateway.core.usage import Usage
from gateway.ipc.explanation import BreakerView, Explanation
from gateway.policy import adaptive as adaptive_machine
from gateway.policy import limiter as machine
from gateway.policy.breaker import Breaker
from gateway.policy.breaker_rules import Rules
from gateway.policy.breaker_store import State
from gateway.policy.group import Condition
from gateway.policy.latency import LEAST_SAMPLES
from gateway.policy.lessons import Bounds
from gateway.policy.machine import REFUSED
from gateway.policy.member import Member
from gateway.policy.stores import MemoryStores
from gateway.policy.waiting_line import LOW, NORMAL, Rank
from gateway.proxy.inspect.explain import explain, holder, phase
from gateway.proxy.layers.limit_rate import RateRule
from gateway.proxy.rates import Rates
from gateway.proxy.snapshot import Served
from gateway.upstream.endpoint import Endpoint
from gateway.upstream.origin import Origin
from gateway.upstream.upstream import Upstream

TOO_MUCH = "(503 overloaded): the gateway itself has too much to do"
EPOCH = 1_700_000_000.0


class NoPool:
    open, idle, dials, reuses, sessions, streams = 3, 1, 5, 9, 2, 7


class Scene:
    def __init__(self, *, limit: int = 0, places: int = 0, breaker: Breaker | None = None, **modes: str) -> None:
        self.clock = breaker.clock if breaker is not None else Clock()
        records = proxy(
            "p",
            "/",
            "http://h:1",
            max_concurrent=limit,
            limiter=Limiter(cast(Any, modes.get("limiter", "enforce"))),
            queue=Queue(places, 5.0 if places else 0.0, cast(Any, modes.get("queue", "enforce"))),
            circuit_breaker=CircuitBreaker(enabled=breaker is not None),
        )
        self.limiter = machine.Limiter(limit, places, clock=self.clock) if limit else None
        endpoint = Endpoint(Origin.of("http://h:1"), cast(Any, NoPool()), breaker, Condition(Member("http://h:1")))
        upstream = Upstream(records.upstream, (endpoint,), self.limiter, None)
        self.served = Served(records.route, upstream, cast(Any, None))

    def told(self, *live: Any) -> Explanation:
        return explain(self.served, live, self.clock(), EPOCH)


def breaker(**changes: Any) -> tuple[Breaker, Clock]:
    clock = Clock()
    return Breaker(**({"failure_threshold": 2, "recovery_timeout": 10.0} | changes), clock=clock), clock


def fail(fuse: Breaker, times: int = 1) -> None:
    for _ in range(times):
        fuse.release(fuse.try_acquire(), Outcome.FAILURE, 0.0, "upstream_reset", 0, b"r1")


class Waiting:
    def __init__(self, since: float) -> None:
        self.since = since


def test_streams_of_events_tell_the_longest_wait() -> None:
    scene = Scene()
    assert scene.told()["stream"] is None
    bounds = Stream(first_event=30.0, on_stall="error_event", mode="shadow")
    scene.served = replace(scene.served, settings=replace(scene.served.settings, stream=bounds))
    now = scene.clock()
    live = [told(proxy=name, status=200, committed=True) for name in ("p", "p", "other", "p")]
    for ex, since in zip(live, (1.0, 4.0, 9.0), strict=False):
        ex.events = cast(Any, Waiting(now - since))
    assert scene.told(*live)["stream"] == {
        "mode": "shadow",
        "first_event": 30.0,
        "event_gap": 0.0,
        "on_stall": "error_event",
        "watched": 2,
        "silence": 4.0,
    }


class Waits:
    """The retries of an exchange."""

    def __init__(self, *, waiting: bool) -> None:
        self.waiting = waiting


def test_retries_tell_what_is_left_of_their_budget() -> None:
    scene = Scene()
    assert scene.told()["retries"] is None
    settings = Retries(3, ("connect", "503"), mode="shadow")
    scene.served = replace(scene.served, settings=replace(scene.served.settings, retries=settings))
    scene.served.upstream.retry_budget.try_withdraw(10)
    live = [told(proxy=name, retries=Waits(waiting=name != "q")) for name in ("p", "q", "p")]
    assert scene.told(*live, told(proxy="p"))["retries"] == {
        "mode": "shadow",
        "attempts": 3,
        "on": ["connect", "503"],
        "budget": 0.2,
        "burst": 10.0,
        "left": 9.0,
        "waiting": 2,
    }
    assert [phase(ex) for ex in live] == ["retry", "queue", "retry"]


def hedged(proxy: str, *runs: Exchange) -> Exchange:
    """An exchange with these attempts."""
    ex = told(proxy=proxy)
    ex.hedge = Hedge()
    ex.hedge.carriers = runs
    return ex


@pytest.mark.parametrize(("after", "shown"), [(0.5, "0.5"), ("p95", "p95")])
def test_hedges_tell_the_measured_time_and_what_is_left_of_the_budget(after: Any, shown: str) -> None:
    scene = Scene()
    assert scene.told()["hedge"] is None
    settings = replace(scene.served.settings, hedge=HedgeSettings(after, mode="shadow"))
    scene.served = replace(scene.served, settings=settings)
    for _ in range(LEAST_SAMPLES):
        scene.served.upstream.latency.note(0.25)
    runs = told(asked_at=1.0, sent_at=1.0, attempts=1, http_version="2"), told(attempts=1)
    live = [hedged("p", *runs), hedged("p", *runs[:1]), hedged("q", *runs), hedged("p"), told(proxy="p")]
    found = scene.told(*live)["hedge"]
    assert found is not None
    assert found.pop("measured") == pytest.approx(0.25, rel=0.05)  # type: ignore[misc]
    assert found == {
        "mode": "shadow",
        "after": shown,
        "samples": LEAST_SAMPLES,
        "burst": 10.0,
        "left": 10.0,
        "running": 1,
    }
    assert [phase(ex) for ex in live] == ["first_byte", "first_byte", "first_byte", "queue", "queue"]
    assert holder(live[0], 2.0)["upstream_protocol"] == "2"


def test_a_limit_that_adapts_tells_of_its_decisions() -> None:
    scene = Scene(limit=4)
    assert scene.told()["adaptive"] is None
    upstream = scene.served.upstream
    assert upstream.limiter is not None
    settings = replace(upstream.settings, max_concurrent=0, limiter=Limiter(adaptive=Adaptive(4, 1, 8)))
    adaptive = adaptive_machine.Adaptive(upstream.limiter, Bounds(4, 1, 8), clock=scene.clock)
    adaptive.configure(Bounds(4, 1, 8))
    scene.served = replace(scene.served, upstream=replace(upstream, settings=settings, adaptive=adaptive))
    told = scene.told()["adaptive"]
    assert told is not None
    assert (told["limit"], told["min"], told["max"], told["decisions"]) == (4, 1, 8, [])


def test_nothing_stands_in_the_way() -> None:
    found = Scene().told()
    assert (found["verdict"], found["limiter"], found["queue"], found["breaker"]) == ("admit", None, None, None)
    assert found["sentence"] == "a request would be forwarded at once: there is no limit"
    assert found["pool"] == {
        "endpoint": "http://h:1", "open": 3, "idle": 1, "in_use": 2, "sessions": 2, "streams": 7, "dials": 5,
        "reuses": 9, "idle_timeout": 90.0,
    }  # fmt: skip


def test_a_value_that_is_not_set_refuses_before_all_else() -> None:
    scene = Scene(limit=1)
    assert scene.limiter is not None
    scene.limiter.try_acquire()
    parts = ("Bearer ", Missing("secret.KEY"), Missing("env.A"))
    route = replace(scene.served.settings, headers=(Header("X-Plain", ("x",)), Header("Authorization", parts)))
    scene.served = replace(scene.served, settings=route)
    found = scene.told()
    assert (found["verdict"], found["reason"]) == ("refuse", "template_missing")
    assert found["sentence"] == (
        "a request would be refused (500 template_missing): there is no value for {env.A}, {secret.KEY}"
    )


def test_a_limit_that_reports_lower_is_explained() -> None:
    scene = Scene(limit=5)
    assert scene.limiter is not None
    scene.limiter.bound(2)
    assert scene.told()["sentence"].endswith(
        "2 of 2 permits are free; the endpoints report that they may have 2 requests, which lowers the limit"
    )
    scene.limiter.bound(0)
    assert "report" not in scene.told()["sentence"]


def test_a_full_limit_refuses_or_lets_wait() -> None:
    scene = Scene(limit=1)
    assert scene.limiter is not None
    assert "1 of 1 permits are free" in scene.told()["sentence"]
    scene.limiter.try_acquire()
    found = scene.told()
    assert (found["verdict"], found["reason"]) == ("refuse", "concurrency_limit")
    scene = Scene(limit=1, places=1)
    assert scene.limiter is not None
    scene.limiter.try_acquire()
    assert scene.told()["sentence"] == "a request would wait as number 1: all 1 permits are in use"
    assert scene.limiter.store.join() == 0
    found = scene.told()
    assert (found["verdict"], found["reason"]) == ("refuse", "queue_full")
    assert found["queue"] == {
        "mode": "enforce",
        "max_waiting": 1,
        "waiting": 1,
        "timeout": 5.0,
        "order": "fifo",
        "by_priority": {"high": 0, "normal": 0, "low": 0},
        "expected_wait": 0.0,
        "comments": 0.0,
    }


@pytest.mark.parametrize(("limiter", "shown"), [("enforce", 5.0), ("shadow", 0.0)])
def test_a_queue_tells_of_its_comments_where_there_are_any(limiter: str, shown: float) -> None:
    scene = Scene(limit=1, places=1, limiter=limiter)
    settings = scene.served.upstream.settings
    settings = replace(settings, queue=replace(settings.queue, comments=5.0))
    scene.served = replace(scene.served, upstream=replace(scene.served.upstream, settings=settings))
    queue = scene.told()["queue"]
    assert queue is not None
    assert queue["comments"] == shown


async def test_in_a_full_queue_a_higher_class_takes_a_place() -> None:
    scene = Scene(limit=1, places=2)
    limiter = scene.limiter
    assert limiter is not None
    limiter.try_acquire()
    for _ in range(2):
        limiter.join(rank=Rank(LOW))
    found = scene.told()
    assert (found["verdict"], found["sentence"][:31]) == ("wait", "a request would wait as number ")
    priority = replace(scene.served.settings.priority, default="low")
    scene.served = replace(scene.served, settings=replace(scene.served.settings, priority=priority))
    assert scene.told()["reason"] == "queue_full"


@pytest.mark.parametrize(
    ("predict", "total", "held", "verdict"),
    [(False, 0.0, 8.0, "wait"), (True, 0.0, 8.0, "refuse"), (True, 0.0, 7.5, "wait"), (True, 2.0, 4.0, "refuse")],
)
async def test_a_queue_tells_the_expected_wait_and_whether_it_is_too_long(
    predict: bool, total: float, held: float, verdict: str
) -> None:
    scene = Scene(limit=1, places=3)
    limiter = scene.limiter
    assert limiter is not None
    before = scene.served.upstream.settings
    settings = replace(
        before, queue=replace(before.queue, predict=predict), timeouts=replace(before.timeouts, total=total)
    )
    scene.served = replace(scene.served, upstream=replace(scene.served.upstream, settings=settings))
    limiter.release(limiter.try_acquire(), seconds=held)
    limiter.try_acquire()
    found = scene.told()
    assert found["verdict"] == verdict
    assert f"; the expected wait is {held:.1f} s" in found["sentence"]
    assert ("429 queue_predicted_timeout" in found["sentence"]) is (verdict == "refuse")
    assert found["reason"] == ("queue_predicted_timeout" if verdict == "refuse" else "")
    limiter.join(rank=Rank(LOW))
    queue = scene.told()["queue"]
    assert queue is not None
    assert (queue["by_priority"], queue["expected_wait"]) == ({"high": 0, "normal": 0, "low": 1}, held)


@pytest.mark.parametrize(("default", "place"), [("high", 1), ("normal", 2), ("low", 3)])
async def test_the_class_of_a_proxy_decides_the_place_and_the_expected_wait(default: str, place: int) -> None:
    scene = Scene(limit=1, places=5)
    limiter = scene.limiter
    assert limiter is not None
    priority = replace(scene.served.settings.priority, default=cast(Any, default))
    scene.served = replace(scene.served, settings=replace(scene.served.settings, priority=priority))
    limiter.release(limiter.try_acquire(), seconds=2.0)
    limiter.try_acquire()
    limiter.join(rank=Rank(LOW))
    limiter.join(rank=Rank(NORMAL))
    found = scene.told()
    expected = f"; the expected wait is {2.0 * place:.1f} s"
    assert found["sentence"] == f"a request would wait as number {place}: all 1 permits are in use{expected}"
    assert found["queue"] is not None
    assert found["queue"]["expected_wait"] == 2.0 * place


def test_a_shadow_refuses_nobody_and_says_what_it_would_do() -> None:
    scene = Scene(limit=1, limiter="shadow")
    assert scene.limiter is not None
    scene.limiter.try_acquire()
    found = scene.told()
    assert found["verdict"] == "admit"
    assert "without the limiter's shadow mode: a request would be refused (429 concurrency_limit)" in found["sentence"]
    scene = Scene(limit=1, places=1, queue="shadow")
    assert scene.limiter is not None
    scene.limiter.try_acquire()
    assert scene.told()["reason"] == "concurrency_limit"


def test_an_open_breaker_tells_why_since_when_and_until_when() -> None:
    fuse, clock = breaker()
    scene = Scene(breaker=fuse)
    fail(fuse, 2)
    clock.now += 4.0
    told_ = scene.told()
    assert (told_["verdict"], told_["reason"]) == ("refuse", "breaker_open")
    why = "2 failures in a row, rule failure_threshold 2"
    assert told_["sentence"] == f"a request would be refused (503 breaker_open) for 6.0 s more: {why}"
    found = told_["breaker"]
    assert found is not None
    assert (found["state"], found["since"], found["next_probe"]) == ("open", EPOCH + 1000, EPOCH + 1010)
    (move,) = found["moves"]
    assert move["figures"] == why
    assert (found["window"], found["callers"]) == (None, None)
    assert (move["old"], move["new"], move["cause"], move["by"]) == ("closed", "open", "failure_threshold", "")
    assert [outcome["reason"] for outcome in move["outcomes"]] == ["upstream_reset"] * 2
    assert move["outcomes"][0]["request_id"] == "r1"
    clock.now += 6.0
    assert scene.told()["verdict"] == "probe"
    permit = fuse.try_acquire()
    assert scene.told()["sentence"].endswith("(503 breaker_open) while 1 of 1 probes are inside")
    fuse.release(permit, Outcome.IGNORED)
    assert scene.told()["verdict"] == "probe"
    fuse.reset("ann@example.org")
    found = scene.told()["breaker"]
    assert found is not None
    assert (found["state"], found["moves"][-1]["by"]) == ("closed", "ann@example.org")
    assert "figures" not in found["moves"][-1]
    fuse.force(State.OPEN)
    assert scene.told()["sentence"] == "a request would be refused (503 breaker_open) for 10.0 s more"


@pytest.mark.parametrize(
    ("rules", "calls", "figures"),
    [
        (
            Rules(0.5, minimum_requests=3),
            [(Outcome.FAILURE, 0.0), (Outcome.SUCCESS, 0.0), (Outcome.FAILURE, 0.0)],
            "2 of 3 attempts failed in the last 30 s, rule failure_rate 0.5",
        ),
        (
            Rules(0.0, 2.5, 0.5, 10.0, 2),
            [(Outcome.SUCCESS, 1.0), (Outcome.SUCCESS, 2.6)],
            "1 of 2 attempts took more than 2.5 s to the first byte in the last 10 s, rule slow_rate 0.5",
        ),
        (
            Rules(0.5, minimum_requests=1, distinct_callers=2),
            [(Outcome.FAILURE, 0.0)] * 2,
            "2 of 2 attempts failed in the last 30 s (2 callers), rule failure_rate 0.5",
        ),
    ],
)
def test_a_rule_that_opened_it_is_told_with_its_figures(
    rules: Rules, calls: list[tuple[Outcome, float]], figures: str
) -> None:
    fuse, _ = breaker(failure_threshold=9, rules=rules)
    for number, (outcome, seconds) in enumerate(calls):
        assert fuse.state is State.CLOSED
        caller = b"%d" % number if fuse.wants_caller(outcome, seconds) else b""
        fuse.release(fuse.try_acquire(), outcome, seconds, caller=caller)
    scene = Scene(breaker=fuse)
    assert scene.told()["sentence"].endswith(f" for 10.0 s more: {figures}")
    found = scene.told()["breaker"]
    assert found is not None
    assert found["moves"][-1]["figures"] == figures


def test_what_is_counted_is_told_with_the_rules_for_it() -> None:
    fuse, clock = breaker(failure_threshold=9, rules=Rules(0.5, 2.5, 0.75, 10.0, 5, 3))
    for outcome, seconds in ((Outcome.FAILURE, 0.0), (Outcome.SUCCESS, 9.0), (Outcome.FAILURE, 9.0)):
        fuse.release(fuse.try_acquire(), outcome, seconds, caller=b"ann")
    found = Scene(breaker=fuse).told()["breaker"]
    assert found is not None
    window = {"seconds": 10.0, "total": 3, "failed": 2, "slow": 2, "minimum_requests": 5}
    assert found["window"] == window | {"failure_rate": 0.5, "slow_rate": 0.75, "slow_call": 2.5}
    assert found["callers"] == {"distinct_callers": 3, "in_a_row": 1, "failed": 1, "slow": 1, "of": "callers"}
    clock.now += 10.0
    found = Scene(breaker=fuse).told()["breaker"]
    assert found is not None
    assert found["window"] == window | {"total": 0, "failed": 0, "slow": 0} | {
        "failure_rate": 0.5,
        "slow_rate": 0.75,
        "slow_call": 2.5,
    }


def test_a_breaker_in_shadow_mode_refuses_nobody() -> None:
    fuse, _ = breaker()
    fuse.shadow = True
    fail(fuse, 2)
    found = Scene(breaker=fuse).told()
    assert found["verdict"] == "admit"
    assert "without the breaker's shadow mode: a request would be refused" in found["sentence"]


def test_who_waits_may_meet_the_breaker_afterwards() -> None:
    fuse, _ = breaker()
    fail(fuse, 2)
    scene = Scene(limit=1, places=1, breaker=fuse)
    assert scene.limiter is not None
    scene.limiter.try_acquire()
    assert "would wait as number 1" in scene.told()["sentence"]
    assert scene.told()["reason"] == "breaker_open"


def test_those_inside_are_named_with_what_they_do() -> None:
    scene = Scene()
    young, old = told(start_at=999.0, request_id=b"young"), told(start_at=990.0, request_id=b"old", committed=True)
    old.request.minor, old.attempt.http_version = 2, "1.1"
    assert scene.told(young, old)["active"] == [
        {"request_id": "old", "phase": "transfer", "age": 10.0, "protocol": "2", "upstream_protocol": "1.1"},
        {"request_id": "young", "phase": "queue", "age": 1.0, "protocol": "1.1", "upstream_protocol": ""},
    ]
    assert scene.told(*[young] * 150)["active_count"] == 150
    assert len(scene.told(*[young] * 150)["active"]) == 100


@pytest.mark.parametrize(
    ("known", "expected"),
    [
        ({}, "queue"),
        ({"attempts": 1}, "dial"),
        ({"attempts": 1, "asked_at": 1.0}, "upload"),
        ({"attempts": 1, "asked_at": 1.0, "sent_at": 1.0}, "first_byte"),
        ({"committed": True}, "transfer"),
    ],
)
def test_what_an_exchange_is_doing(known: dict[str, Any], expected: str) -> None:
    assert phase(told(**known)) == expected


class Model:
    """A breaker from the book, fed with nothing but an explanation."""

    def __init__(self, told_: BreakerView) -> None:
        self.told = told_
        self.state = "closed"
        self.failures = 0

    def run(self) -> None:
        for number, move in enumerate(self.told["moves"]):
            if number == 0:
                self.state = move["old"]  # older moves are forgotten
            assert move["old"] == self.state, "the moves are a chain"
            for outcome in move["outcomes"]:
                self.feed(outcome["outcome"], last=outcome is move["outcomes"][-1])
            if move["cause"] == "recovery_timeout":
                assert self.state == "open"
                if number:
                    assert move["at"] - self.told["moves"][number - 1]["at"] >= self.told["recovery_timeout"]
                self.state = "half_open"
            elif move["cause"] == "reset":
                self.state = "closed"
            self.failures = 0
            assert self.state == move["new"]
        for outcome in self.told["outcomes"]:
            self.feed(outcome["outcome"], last=False)

    def feed(self, outcome: str, *, last: bool) -> None:
        if self.state == "closed":
            self.failures = self.failures + 1 if outcome == "failure" else 0
            if self.failures >= self.told["failure_threshold"]:
                assert last, "the circuit opens at once"
                self.state = "open"
        elif self.state == "half_open" and outcome != "ignored":
            assert last, "the first that tells something decides"
            self.state = "closed" if outcome == "success" else "open"


@pytest.mark.parametrize("seed", range(200))
def test_the_explanation_alone_tells_the_state(seed: int) -> None:
    chance = random.Random(seed)
    fuse, clock = breaker(
        failure_threshold=chance.randint(1, 6), recovery_timeout=5.0, half_open_requests=chance.randint(1, 3)
    )
    scene = Scene(breaker=fuse)
    permits: deque[int] = deque()
    health = chance.random()
    for _ in range(chance.randint(5, 300)):
        step = chance.random()
        if step < 0.45:
            permit = fuse.try_acquire()
            if permit != REFUSED:
                permits.append(permit)
        elif step < 0.9 and permits:
            outcomes = [Outcome.SUCCESS, Outcome.FAILURE, Outcome.IGNORED]
            fuse.release(permits.popleft(), chance.choices(outcomes, [health, 1 - health, 0.2])[0], 0.0, "", 0, b"r")
        elif step < 0.92:
            fuse.reset("somebody")
        else:
            clock.now += chance.choice([0.0, 0.1, 1.0, 6.0])
    found = scene.told()["breaker"]
    assert found is not None
    model = Model(found)
    model.run()
    assert model.state == found["state"] == fuse.state.word.replace("-", "_")
    if model.state == "closed":
        assert model.failures == found["failures"]
    verdict = scene.told()["verdict"]
    assert (fuse.try_acquire() != REFUSED) == (verdict in ("admit", "probe"))


def test_rate_limits_tell_what_they_hold_and_the_one_of_all_what_would_happen() -> None:
    scene = Scene()
    assert scene.told()["rates"] == []
    by_client = RateLimit("client", 5.0, per=10.0, mode="shadow")
    of_all = RateLimit("all", 1.0, burst=2, name="total")
    route = replace(scene.served.settings, rate_limits=(of_all, by_client), rate_weight=2)
    rule = Rates(MemoryStores(), scene.clock).of(route)
    assert rule is not None
    scene.served = replace(scene.served, settings=route, rates=rule)
    found = scene.told()
    assert (found["verdict"], [limit["left"] for limit in found["rates"]]) == ("admit", [2, -1])
    rule.machine.try_take([rule.key_of_all, 7])
    found = scene.told()
    assert found["rates"] == [
        {
            "name": "total", "of": "", "key": "all", "mode": "enforce", "rate": 1.0, "per": 1.0, "burst": 2,
            "unit": "requests", "weight": 2,
            "max_keys": 100_000, "keys": 1, "forgotten": 0, "left": 0,
        },
        {
            "name": "client", "of": "", "key": "client", "mode": "shadow", "rate": 5.0, "per": 10.0, "burst": 5,
            "unit": "requests", "weight": 2,
            "max_keys": 100_000, "keys": 1, "forgotten": 0, "left": -1,
        },
    ]  # fmt: skip
    assert (found["verdict"], found["reason"]) == ("refuse", "rate_limit")
    assert found["sentence"] == (
        "a request would be refused (429 rate_limit): the rate limit total has 0 of 2 tokens, and a request takes 2; "
        "try again in 2.0 s"
    )


def test_a_rate_limit_in_shadow_mode_is_a_note() -> None:
    scene = Scene()
    route = replace(scene.served.settings, rate_limits=(RateLimit("all", 1.0, mode="shadow"),))
    rule = Rates(MemoryStores(), scene.clock).of(route)
    assert rule is not None
    scene.served = replace(scene.served, settings=route, rates=rule)
    rule.machine.try_take([rule.key_of_all])
    found = scene.told()
    assert found["verdict"] == "admit"
    assert "without the rate limit's shadow mode: a request would be refused (429 rate_limit)" in found["sentence"]


def limited(scene: Scene, *limits: RateLimit) -> RateRule:
    """Let the upstream of ``scene`` have these rate limits."""
    upstream = replace(scene.served.upstream.settings, name="upstream connection/shop", rate_limits=limits)
    rule = Rates(MemoryStores(), scene.clock).of_upstream(upstream)
    assert rule is not None
    scene.served = replace(scene.served, upstream_rates=rule)
    return rule


def test_the_rate_limits_of_an_upstream_name_it() -> None:
    scene = Scene()
    rule = limited(scene, RateLimit("all", 100.0, per=60.0, burst=1))
    found = scene.told()
    assert (found["verdict"], [(each["name"], each.get("of"), each["left"]) for each in found["rates"]]) == (
        "admit",
        [("all", "connection/shop", 1)],
    )
    rule.machine.try_take([rule.key_of_all])
    found = scene.told()
    assert (found["verdict"], found["reason"], found["rates"][0]["left"]) == ("refuse", "rate_limit", 0)
    assert found["sentence"] == (
        "a request would be refused (429 rate_limit): the rate limit all of connection/shop has 0 of 1 tokens, and a "
        "request takes 1; try again in 0.6 s"
    )


def test_the_breaker_is_asked_before_the_rate_limits_of_the_upstream_and_the_queue_before_both() -> None:
    fuse, _ = breaker()
    scene = Scene(limit=1, places=1, breaker=fuse)
    rule = limited(scene, RateLimit("all", 1.0))
    rule.machine.try_take([rule.key_of_all])
    assert scene.limiter is not None
    scene.limiter.try_acquire()
    found = scene.told()
    assert (found["verdict"], found["reason"]) == ("refuse", "rate_limit")
    assert "would wait as number 1" in found["sentence"]
    assert "; then a request would be refused (429 rate_limit)" in found["sentence"]
    fail(fuse, 2)
    assert scene.told()["reason"] == "breaker_open"


def test_a_probe_needs_a_token_too() -> None:
    fuse, _ = breaker()
    scene = Scene(breaker=fuse)
    rule = limited(scene, RateLimit("all", 1.0))
    fail(fuse, 2)
    fuse.force(State.HALF_OPEN)
    assert scene.told()["verdict"] == "probe"
    rule.machine.try_take([rule.key_of_all])
    assert (scene.told()["verdict"], scene.told()["reason"]) == ("refuse", "rate_limit")


def test_a_rate_limit_of_an_upstream_in_shadow_mode_is_a_note() -> None:
    scene = Scene()
    rule = limited(scene, RateLimit("all", 1.0, mode="shadow"))
    rule.machine.try_take([rule.key_of_all])
    found = scene.told()
    assert found["verdict"] == "admit"
    assert "shadow mode: a request would be refused (429 rate_limit): the rate limit all of conn" in found["sentence"]


def with_fallback(scene: Scene, fallback: Fallback, second: Scene | None = None) -> Explanation:
    settings = replace(scene.served.settings, fallback=fallback)
    other = None if second is None else second.served.upstream
    scene.served = replace(scene.served, settings=settings, second=other)
    return scene.told()


def test_a_fallback_tells_what_takes_over_and_when() -> None:
    assert Scene().told()["fallback"] is None
    found = with_fallback(Scene(), Fallback(("connect",), ((503, 503), (500, 501)), response=FixedResponse(200)))
    assert found["fallback"] == {
        "on": ["connect", "503", "500-501"],
        "endpoint": "",
        "status": 200,
        "breaker": "off",
        "in_flight": 0,
        "limit": 0,
        "waiting": 0,
    }
    fuse, _ = breaker()
    second = Scene(limit=3, breaker=fuse)
    assert second.limiter is not None
    second.limiter.try_acquire()
    found = with_fallback(Scene(), Fallback(("connect",), upstream="x"), second)
    assert found["fallback"] == {
        "on": ["connect"],
        "endpoint": "http://h:1",
        "status": 0,
        "breaker": "closed",
        "in_flight": 1,
        "limit": 3,
        "waiting": 0,
    }
    assert with_fallback(Scene(), Fallback(("connect",), upstream="x"), Scene())["fallback"] is not None


@pytest.mark.parametrize(
    ("on", "fixed", "says"),
    [
        ("queue", True, "; instead, the fallback would respond with 503"),
        ("queue", False, "; instead, the fallback at http://h:1 would be asked"),
        ("breaker", True, ""),
    ],
)
def test_a_refusal_tells_who_takes_over(on: str, fixed: bool, says: str) -> None:
    scene = Scene(limit=1)
    assert scene.limiter is not None
    scene.limiter.try_acquire()
    plain = scene.told()["sentence"]
    fallback = Fallback((on,), response=FixedResponse()) if fixed else Fallback((on,), upstream="x")
    found = with_fallback(scene, fallback, None if fixed else Scene())
    assert (found["verdict"], found["sentence"]) == ("refuse", plain + says)


@pytest.mark.parametrize("own", [False, True])
def test_a_fallback_takes_over_from_the_rate_limits_of_the_upstream_alone(own: bool) -> None:
    scene = Scene()
    if own:
        route = replace(scene.served.settings, rate_limits=(RateLimit("all", 1.0),))
        rule = Rates(MemoryStores(), scene.clock).of(route)
        assert rule is not None
        scene.served = replace(scene.served, settings=route, rates=rule)
    else:
        rule = limited(scene, RateLimit("all", 1.0))
    rule.machine.try_take([rule.key_of_all])
    found = with_fallback(scene, Fallback(("rate_limit",), response=FixedResponse()))
    assert (found["verdict"], found["reason"]) == ("refuse", "rate_limit")
    assert ("instead, the fallback would respond with 503" in found["sentence"]) is not own


@pytest.mark.parametrize(
    ("share", "verdict", "reason", "sentence"),
    [
        (0.0, "admit", "", "a request would be forwarded at once: there is no limit"),
        (
            0.4,
            "admit",
            "",
            "a request would be forwarded at once: there is no limit; 40% of the new requests are refused " + TOO_MUCH,
        ),
        (
            1.0,
            "refuse",
            "overloaded",
            "a request would be refused " + TOO_MUCH,
        ),
    ],
)
def test_what_is_refused_for_the_load_of_the_gateway(share: float, verdict: str, reason: str, sentence: str) -> None:
    scene = Scene()
    found = explain(scene.served, (), scene.clock(), EPOCH, share)
    assert (found["verdict"], found["reason"], found["sentence"]) == (verdict, reason, sentence)


def test_responses_of_models_tell_the_longest_wait_for_a_token() -> None:
    scene = Scene()
    assert scene.told()["ai"] is None
    scene.served = replace(scene.served, settings=replace(scene.served.settings, ai="anthropic"))
    now = scene.clock()
    live = [told(proxy=name, start_at=now - age) for name, age in (("p", 1.0), ("p", 4.0), ("p", 6.0), ("other", 9.0))]
    for ex in live[1:]:
        ex.usage = Usage()
    assert live[2].usage is not None
    live[2].usage.first_token_at = now
    assert scene.told(*live)["ai"] == {"format": "anthropic", "responses": 2, "waiting": 1, "longest_wait": 4.0}
    assert scene.told()["ai"] == {"format": "anthropic", "responses": 0, "waiting": 0, "longest_wait": 0.0}


def test_a_limit_of_tokens_that_owes_some_admits_when_there_is_one() -> None:
    scene = Scene()
    limit = RateLimit("all", 1.0, burst=2, name="total", unit="tokens")
    route = replace(scene.served.settings, rate_limits=(limit,), rate_weight=2, ai="openai")
    rule = Rates(MemoryStores(), scene.clock).of(route)
    assert rule is not None
    scene.served = replace(scene.served, settings=route, rates=rule)
    rule.machine.charge([rule.key_of_all], 3)
    found = scene.told()
    assert (found["verdict"], found["rates"][0]["unit"], found["rates"][0]["left"]) == ("refuse", "tokens", 0)
    assert "has 0 of 2 tokens, and a request needs one; try again in 5.0 s" in found["sentence"]

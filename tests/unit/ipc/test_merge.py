"""What several workers say, as one data plane would say it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from gateway.ipc import merge
from gateway.ipc.explanation import Explanation
from gateway.ipc.messages import BreakerPulse, ProxyState


def explanations(by_slot: Mapping[int, Explanation]) -> Explanation:
    return merge.explanations(list(by_slot.items()))


def state(in_flight: int, breaker: str) -> ProxyState:
    return ProxyState(
        in_flight=in_flight, waiting=1, streams=in_flight, breaker=breaker, connections_open=2, connections_idle=1
    )


def test_states_add_up_and_the_worst_breaker_counts() -> None:
    found = merge.states([{"a": state(2, "closed"), "b": state(1, "off")}, {"a": state(3, "open")}])
    assert found == {
        "a": {
            "in_flight": 5,
            "waiting": 2,
            "streams": 5,
            "breaker": "open",
            "connections_open": 4,
            "connections_idle": 2,
        },
        "b": state(1, "off"),
    }
    assert merge.states([{"a": state(2, "closed")}]) == {"a": state(2, "closed")}


def test_of_each_token_the_latest_use_counts() -> None:
    assert merge.latest([{"a": 1.0, "b": 5.0}, {"a": 2.0}, {}]) == {"a": 2.0, "b": 5.0}


def test_a_breaker_stands_as_the_worker_says_that_saw_most() -> None:
    def pulse(breaker: str, since: float, *times: float) -> BreakerPulse:
        return {
            "breaker": breaker,
            "since": since,
            "history": [{"at": at, "from": "closed", "to": "open", "reason": "x"} for at in times],
        }

    found = merge.pulses([{"a": pulse("open", 3.0, 1.0, 3.0)}, {"a": pulse("half_open", 4.0, 2.0)}, {}])
    assert (found["a"]["breaker"], found["a"]["since"]) == ("open", 3.0)
    assert [move["at"] for move in found["a"]["history"]] == [1.0, 3.0]
    found = merge.pulses([{"a": pulse("open", 3.0, 3.0)}, {"a": pulse("open", 3.0, 1.0, 3.0)}])
    assert [move["at"] for move in found["a"]["history"]] == [1.0, 3.0], "a move is reported once"


def explanation(verdict: str, in_flight: int, age: float, **changes: object) -> Explanation:
    made: dict[str, object] = {
        "proxy": "a",
        "at": 10.0 + age,
        "verdict": verdict,
        "reason": "",
        "sentence": f"it would {verdict}",
        "active": [{"request_id": f"r{age}", "phase": "send", "age": age, "protocol": "1.1", "upstream_protocol": ""}],
        "active_count": in_flight,
        "limiter": {
            "mode": "enforce",
            "max_concurrent": 5,
            "in_flight": in_flight,
            "available": 5 - in_flight,
            "hold": 0.0,
            "retry_after": in_flight,
        },
        "queue": {"mode": "enforce", "max_waiting": 3, "waiting": 1, "timeout": 2.0},
        "breaker": {
            "mode": "enforce",
            "state": "open" if verdict == "refuse" else "closed",
            "since": age,
            "failures": in_flight,
            "failure_threshold": 5,
            "recovery_timeout": 30.0,
            "half_open_requests": 1,
            "probes": 1,
            "next_probe": 40.0 if verdict == "refuse" else 0.0,
            "outcomes": [{"at": age, "outcome": "FAILURE", "reason": "x", "status": 502, "request_id": "r"}],
            "moves": [{"at": age, "old": "closed", "new": "open", "cause": "x", "by": "", "outcomes": []}],
        },
        "pool": {
            "endpoint": "http://h",
            "open": 2,
            "idle": 1,
            "in_use": 1,
            "sessions": 0,
            "streams": 0,
            "dials": 4,
            "reuses": 8,
            "idle_timeout": 30.0,
        },
    }
    return cast(Explanation, made | changes)


def test_one_explanation_stays_as_it_is() -> None:
    one = explanation("admit", 1, 1.0)
    assert explanations({0: one}) is one


def test_the_worst_verdict_is_told_and_what_workers_share_once() -> None:
    found = explanations({0: explanation("admit", 1, 1.0), 1: explanation("refuse", 2, 2.0, reason="breaker_open")})
    assert (found["verdict"], found["reason"], found["at"], found["active_count"]) == (
        "refuse",
        "breaker_open",
        12.0,
        3,
    )
    assert found["sentence"] == "it would refuse"
    assert [(each["request_id"], each["worker"]) for each in found["active"]] == [("r2.0", 1), ("r1.0", 0)]
    limiter, queue, breaker = found["limiter"], found["queue"], found["breaker"]
    assert limiter is not None
    assert (limiter["max_concurrent"], limiter["in_flight"], limiter["available"]) == (5, 2, 3)
    assert (limiter["hold"], limiter["retry_after"]) == (0.0, 2)
    assert queue == {"mode": "enforce", "max_waiting": 3, "waiting": 1, "timeout": 2.0}
    assert breaker is not None
    assert (breaker["state"], breaker["since"], breaker["failures"], breaker["probes"]) == ("open", 2.0, 2, 1)
    assert breaker["next_probe"] == 40.0
    assert [each["at"] for each in breaker["outcomes"]] == [each["at"] for each in breaker["moves"]] == [2.0]
    assert (found["pool"]["open"], found["pool"]["dials"], found["pool"]["idle_timeout"]) == (4, 8, 30.0)


def test_the_queue_is_shared_and_each_worker_has_an_order_of_its_own() -> None:
    old: dict[str, Any] = {"mode": "enforce", "max_waiting": 9, "waiting": 5, "timeout": 2.0}
    one = old | {"waiting": 4, "order": "fifo", "by_priority": {"high": 1, "low": 0}, "expected_wait": 2.0}
    other = old | {"order": "lifo", "by_priority": {"high": 1, "low": 2}, "expected_wait": 0.5}
    found = merge.explanations(
        [(slot, explanation("wait", 1, 1.0, queue=queue)) for slot, queue in enumerate((one, other, old))]
    )
    assert found["queue"] == old | {"order": "lifo", "by_priority": {"high": 2, "low": 2}, "expected_wait": 2.0}


def test_streams_of_all_workers_are_counted() -> None:
    bounds: dict[str, Any] = {"mode": "enforce", "first_event": 1.0, "event_gap": 0.0, "on_stall": "cut"}
    one, other = (bounds | {"watched": watched, "silence": silence} for watched, silence in ((2, 0.5), (1, 3.0)))
    found = explanations(
        {number: explanation("admit", 1, 1.0, stream=stream) for number, stream in enumerate((one, other, None))}
    )
    assert found["stream"] == bounds | {"watched": 3, "silence": 3.0}


def test_the_budgets_of_all_workers_are_one() -> None:
    facts: dict[str, Any] = {"mode": "enforce", "attempts": 3, "on": ["503"], "budget": 0.2}
    one, other = (facts | {"burst": 5.0, "left": left, "waiting": waiting} for left, waiting in ((4.5, 1), (0.0, 2)))
    found = explanations(
        {number: explanation("admit", 1, 1.0, retries=retries) for number, retries in enumerate((one, other, None))}
    )
    assert found["retries"] == facts | {"burst": 10.0, "left": 4.5, "waiting": 3}


def test_hedges_are_measured_by_each_worker() -> None:
    facts: dict[str, Any] = {"mode": "enforce", "after": "p95"}
    one = facts | {"measured": 0.25, "samples": 40, "burst": 5.0, "left": 4.5, "running": 1}
    other = facts | {"measured": 0.5, "samples": 25, "burst": 5.0, "left": 0.0, "running": 2}
    found = explanations(
        {number: explanation("admit", 1, 1.0, hedge=hedge) for number, hedge in enumerate((one, other, None))}
    )
    assert found["hedge"] == facts | {"measured": 0.5, "samples": 65, "burst": 10.0, "left": 4.5, "running": 3}


def test_rate_limits_are_those_of_the_worker_that_saw_most() -> None:
    def limits(keys: int) -> list[dict[str, Any]]:
        return [{"name": "client", "keys": keys}]

    told = explanation("admit", 1, 1.0, rates=limits(3)), explanation("admit", 1, 1.0, rates=limits(4))
    assert explanations(dict(enumerate(told)))["rates"] == limits(4)
    old = explanation("admit", 1, 1.0), explanation("admit", 1, 1.0, rates=limits(3))
    assert explanations(dict(enumerate(old)))["rates"] == limits(3), "an older worker tells none"


def test_the_newest_view_of_a_limit_that_adapts_is_told() -> None:
    views: list[dict[str, Any] | None] = [
        {"limit": 4, "decisions": []},
        {"limit": 5, "decisions": [{"at": 3.0}]},
        None,
        {"limit": 6, "decisions": [{"at": 3.0}, {"at": 7.0}]},
    ]
    found = explanations({number: explanation("admit", 1, 1.0, adaptive=view) for number, view in enumerate(views)})
    told = found["adaptive"]
    assert told is not None
    assert told["limit"] == 6
    off = explanations({number: explanation("admit", 1, 1.0) for number in range(2)})
    assert off["adaptive"] is None


def _endpoint(url: str, standing: str, in_flight: int) -> dict[str, object]:
    numbers = {"attempts": 1, "failures": 0, "checked_at": 0.0}
    return {"url": url, "standing": standing, "in_flight": in_flight, "breaker": "off", **numbers}


def test_what_runs_in_a_process_that_was_replaced_counts() -> None:
    """An operator who drains an endpoint waits for it. How the endpoint stands is known to the new process alone."""

    def told(age: float, *endpoints: dict[str, object]) -> Explanation:
        return explanation("admit", 1, age, group={"panic": False, "endpoints": list(endpoints)})

    new = told(1.0, _endpoint("a", "usable", 1), _endpoint("b", "drained", 0))
    old = told(2.0, _endpoint("a", "drained", 4), _endpoint("b", "usable", 5), _endpoint("c", "usable", 6))
    earlier = explanation("refuse", 1, 3.0)
    found = merge.explanations([(0, new)], [(0, old), (0, earlier)])
    group = found.get("group")
    assert group is not None
    shown = {each["url"]: (each["standing"], each["in_flight"]) for each in group["endpoints"]}
    assert shown == {"a": ("usable", 5), "b": ("drained", 5)}
    assert (found["active_count"], found["verdict"], found["pool"]["in_use"]) == (3, "admit", 3)
    assert [(each["request_id"], each.get("worker")) for each in found["active"]] == [
        ("r3.0", 0),
        ("r2.0", 0),
        ("r1.0", 0),
    ]
    assert merge.explanations([], [(0, old)]) is old, "where all leave, they are what there is"
    assert merge.explanations([], [(0, old), (1, old)])["active_count"] == 2


def test_what_is_off_in_all_is_off() -> None:
    off = {"limiter": None, "queue": None, "breaker": None}
    found = explanations({0: explanation("admit", 1, 1.0, **off), 1: explanation("admit", 1, 2.0, **off)})
    assert found["limiter"] is found["queue"] is found["breaker"] is None
    assert found["sentence"] == "it would admit"


def test_refusals_have_one_count_for_all() -> None:
    log = merge.RefusalLog()
    assert log.cursor("a") == 0
    log.advance("a", 7)
    assert log.cursor("a") == 7
    log.add([{"ts": 2.0}, {"ts": 1.0}, {"ts": None}])
    assert log.since(0, 2) == (3, [{"ts": 1.0}, {"ts": 2.0}])
    assert log.since(2, 50) == (3, [{"ts": 2.0}])
    assert log.since(9, 50) == (3, [])


def test_a_refusal_names_the_workers_where_not_all_refuse() -> None:
    assert merge.refusal({0: "it is taken", 1: "it is taken"}, of=2) == "it is taken"
    some = merge.refusal({2: "it is taken", 0: "no"}, of=4)
    assert some == "it is taken (worker 0, 2 of 4 refuses it, so none applies it)"


def test_the_fallback_of_all_workers_is_one() -> None:
    one = {"on": ["connect"], "endpoint": "http://x:1", "status": 0, "breaker": "closed", "in_flight": 1} | {"limit": 5}
    other = one | {"breaker": "open", "in_flight": 3, "waiting": 2}
    found = explanations(
        {number: explanation("admit", 1, 1.0, fallback=each) for number, each in enumerate((one, other, None))}
    )
    assert found["fallback"] == other
    assert explanations({0: explanation("admit", 1, 1.0), 1: explanation("admit", 1, 1.0)})["fallback"] is None


def test_addresses_of_a_name_are_endpoints_of_their_own() -> None:
    def group(*addresses: str, standing: str = "usable") -> dict[str, object]:
        known = {"attempts": 1, "failures": 0, "breaker": "off", "checked_at": 0.0, "in_flight": 1}
        found = [{"url": "http://a", "address": each, "standing": standing, **known} for each in addresses]
        return {"balance": "random", "panic": False, "endpoints": found}

    first = explanation("admit", 1, 1.0, group=group("1", "2"))
    second = explanation("admit", 1, 2.0, group=group("2", "3", standing="leaving"))
    merged = cast(Any, explanations({0: first, 1: second}))["group"]["endpoints"]
    assert [(each["address"], each["standing"], each["in_flight"]) for each in merged] == [
        ("1", "usable", 1), ("2", "leaving", 2), ("3", "leaving", 1),
    ]  # fmt: skip


def test_responses_of_models_are_counted_over_all_workers() -> None:
    one, other = (
        {"format": "openai", "responses": responses, "waiting": waiting, "longest_wait": wait}
        for responses, waiting, wait in ((2, 1, 0.5), (3, 2, 4.0))
    )
    found = explanations({number: explanation("admit", 1, 1.0, ai=ai) for number, ai in enumerate((one, other, None))})
    assert found["ai"] == {"format": "openai", "responses": 5, "waiting": 3, "longest_wait": 4.0}
    assert explanations({number: explanation("admit", 1, 1.0) for number in range(2)})["ai"] is None


def test_the_breaker_of_an_upstream_is_that_of_the_worker_that_saw_most() -> None:
    first, second = explanation("admit", 1, 1.0), explanation("refuse", 2, 2.0)
    assert explanations({0: first, 1: second}).get("upstream_breaker") is None
    first["upstream_breaker"], second["upstream_breaker"] = first["breaker"], second["breaker"]
    found = explanations({0: first, 1: second}).get("upstream_breaker")
    assert found is not None
    assert found["state"] == "open"

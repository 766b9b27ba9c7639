"""Explanations as people read them."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.cli.explain import upstream_text

FOUND: dict[str, Any] = {
    "proxy": "chat",
    "at": 1000.0,
    "sentence": "a request would be forwarded at once: there is no limit",
    "limiter": None,
    "queue": None,
    "breaker": None,
    "pool": {"endpoint": "http://h:1", "in_use": 1, "idle": 2},
    "active": [],
    "active_count": 0,
}


def test_streams_of_events_have_a_line_where_they_are_watched() -> None:
    stream = {"mode": "shadow", "first_event": 30.0, "event_gap": 0.0, "watched": 2, "silence": 4.25}
    plain = upstream_text(FOUND).splitlines()
    assert upstream_text(FOUND | {"stream": None}).splitlines() == plain
    first, line, *rest = upstream_text(FOUND | {"stream": stream}).splitlines()
    assert [first, *rest] == plain
    assert line == (
        "  streams of events (shadow): 2 run, the longest wait is 4.2 s; first event within 30 s, gap 0 s (0: no limit)"
    )


@pytest.mark.parametrize(
    ("more", "line"),
    [
        ({}, ""),
        ({"order": "fifo", "by_priority": {"high": 0, "normal": 2, "low": 0}, "expected_wait": 0.0}, ""),
        (
            {"order": "lifo", "by_priority": {"high": 0, "normal": 1, "low": 1}, "expected_wait": 2.25},
            " (1 normal, 1 low), expected wait 2.2 s, newest first because of an overload",
        ),
        ({"order": "fifo", "by_priority": {}, "expected_wait": 0.0, "comments": 0.0}, ""),
        (
            {"order": "fifo", "by_priority": {}, "expected_wait": 1.0, "comments": 5.0},
            ", expected wait 1.0 s, their position every 5 s in comments",
        ),
    ],
)
def test_a_queue_says_who_waits_how_long_and_who_is_next(more: dict[str, Any], line: str) -> None:
    queue = {"mode": "enforce", "max_waiting": 9, "waiting": 2, "timeout": 5.0} | more
    assert f"  queue (enforce): 2 of 9 waiting{line}" in upstream_text(FOUND | {"queue": queue}).splitlines()


BREAKER: dict[str, Any] = {
    "mode": "enforce",
    "state": "closed",
    "since": 990.0,
    "failures": 2,
    "failure_threshold": 5,
    "next_probe": 0.0,
    "outcomes": [],
    "moves": [],
}
WINDOW = {"seconds": 30.0, "total": 12, "failed": 3, "slow": 4, "minimum_requests": 20, "slow_call": 2.5}
CALLERS = {"distinct_callers": 3, "in_a_row": 1, "failed": 2, "slow": 2}


def breaker_lines(**changes: object) -> list[str]:
    text = upstream_text(FOUND | {"breaker": BREAKER | changes})
    return [line.strip() for line in text.splitlines()[1:-1]]


def test_a_breaker_tells_what_its_rules_count() -> None:
    [head] = breaker_lines()  # as a gateway of another version sends it
    assert head.endswith(", 2 of 5 failures in a row")
    assert breaker_lines(failure_threshold=0, window=None, callers=None)[0].endswith(", 2 failures in a row")
    both = WINDOW | {"failure_rate": 0.5, "slow_rate": 0.75}
    slow = "rule: a share of 0.75, more than 2.5 s each"
    assert breaker_lines(window=both, callers=CALLERS)[1:] == [
        f"last 30 s: 12 attempts (at least 20), 3 failed (rule: a share of 0.5), 4 slow ({slow})",
        "callers: 1 failed in a row, 2 failed, 2 were slow (at least 3 different ones)",
    ]
    assert "slow" not in breaker_lines(window=both | {"slow_rate": 0.0})[1]
    assert "failed" not in breaker_lines(window=both | {"failure_rate": 0.0})[1]


def test_a_move_by_a_rule_tells_its_figures() -> None:
    move = {"at": 995.0, "old": "closed", "new": "open", "cause": "failure_rate", "by": "", "outcomes": []}
    figures = "12 of 20 attempts failed in the last 30 s, rule failure_rate 0.5"
    lines = breaker_lines(state="open", moves=[move, move | {"figures": figures}])
    assert [line.partition(": closed")[2] for line in lines[1:]] == [
        " -> open, failure_rate",
        f" -> open, failure_rate ({figures})",
    ]


def test_retries_have_a_line_where_there_are_some() -> None:
    retries = {"mode": "enforce", "attempts": 3, "on": ["reset", "503"], "left": 7.75, "burst": 10.0, "waiting": 1}
    plain = upstream_text(FOUND).splitlines()
    assert upstream_text(FOUND | {"retries": None}).splitlines() == plain
    first, line, *rest = upstream_text(FOUND | {"retries": retries}).splitlines()
    assert [first, *rest] == plain
    assert line == "  retries (enforce): 3 attempts on reset, 503; 7.8 of 10 left in the budget, 1 waiting"


@pytest.mark.parametrize(
    ("facts", "says"),
    [
        ({"after": "0.5"}, "after 0.5 s"),
        ({"after": "p95", "measured": 0.0412, "samples": 230}, "after 41 ms, p95 of 230 responses"),
        ({"after": "p95", "samples": 3}, "none yet, because 3 responses are too few for p95"),
    ],
)
def test_hedges_have_a_line_where_there_are_some(facts: dict[str, object], says: str) -> None:
    hedge = {"mode": "enforce", "measured": 0.0, "samples": 0, "left": 7.75, "burst": 10.0, "running": 1} | facts
    plain = upstream_text(FOUND).splitlines()
    assert upstream_text(FOUND | {"hedge": None}).splitlines() == plain
    first, line, *rest = upstream_text(FOUND | {"hedge": hedge}).splitlines()
    assert [first, *rest] == plain
    assert line == f"  hedges (enforce): {says}; 7.8 of 10 left in the budget, 1 running"


def test_each_rate_limit_has_a_line() -> None:
    limit = {"name": "client", "key": "client", "mode": "enforce", "rate": 10.0, "per": 60.0, "burst": 20, "weight": 1}
    known = limit | {"max_keys": 100, "keys": 7, "forgotten": 0, "left": -1}
    of_all = known | {"name": "total", "key": "all", "mode": "shadow", "left": 3}
    of_tokens = known | {"unit": "tokens"}
    of_shop = of_all | {"of": "connection/shop"}
    text = upstream_text(FOUND | {"rates": [known, known | {"forgotten": 2}, of_all, of_tokens, of_shop]})
    first, *lines, _ = text.splitlines()
    assert first == upstream_text(FOUND).splitlines()[0]
    numbers = "10 in 60 s, at most 20 at once, a request takes 1"
    assert lines == [
        f"  rate limit client (enforce): {numbers}; 7 of 100 keys",
        f"  rate limit client (enforce): {numbers}; 7 of 100 keys, 2 forgotten for lack of room",
        f"  rate limit total (shadow): {numbers}; 3 left",
        f"  rate limit client (enforce): {numbers.replace('a request', 'each token of a response')}; 7 of 100 keys",
        f"  rate limit total of connection/shop (shadow): {numbers.replace('a request', 'an attempt')}; 3 left",
    ]


def test_a_limit_that_adapts_tells_its_decisions() -> None:
    limiter = {"mode": "shadow", "in_flight": 3, "max_concurrent": 8, "hold": 0.0}
    decision = {"at": 990.0, "old": 10, "new": 8, "why": "8 of 10 responses had begun"}
    adaptive = {"min": 1, "max": 64, "signal": "first_byte", "usual": 0.25, "decisions": [decision]}
    lines = upstream_text(FOUND | {"limiter": limiter, "adaptive": adaptive}).splitlines()
    assert lines[1] == "  limiter (shadow): 3 of 8 in use"
    assert lines[2] == "    adapts between 1 and 64, by first_byte, a response begins after 0.25 s"
    assert lines[3].endswith("(10.0 s ago): 10 -> 8, 8 of 10 responses had begun")
    unknown = adaptive | {"usual": 0.0, "decisions": []}
    assert upstream_text(FOUND | {"adaptive": unknown}).splitlines()[1] == "    adapts between 1 and 64, by first_byte"


@pytest.mark.parametrize(
    ("fallback", "says"),
    [
        (
            {"on": ["connect", "503"], "endpoint": "http://x:1", "status": 0, "breaker": "closed", "in_flight": 2},
            "connect, 503: http://x:1, 2 in use, breaker closed",
        ),
        (
            {"on": ["connect"], "endpoint": "http://x:1", "status": 0, "breaker": "off", "in_flight": 2}
            | {"limit": 5, "waiting": 0},
            "connect: http://x:1, 2 of 5 in use, breaker off",
        ),
        (
            {"on": ["connect"], "endpoint": "http://x:1", "status": 0, "breaker": "off", "in_flight": 5}
            | {"limit": 5, "waiting": 3},
            "connect: http://x:1, 5 of 5 in use, 3 waiting, breaker off",
        ),
        (
            {"on": ["queue"], "endpoint": "", "status": 200, "breaker": "off", "in_flight": 0},
            "queue: a response with 200",
        ),
    ],
)
def test_a_fallback_has_a_line(fallback: dict[str, Any], says: str) -> None:
    plain = upstream_text(FOUND).splitlines()
    first, line, *rest = upstream_text(FOUND | {"fallback": fallback}).splitlines()
    assert [first, *rest] == plain
    assert line == f"  fallback on {says}"


def test_endpoints_have_their_address_and_what_they_report() -> None:
    known = {
        "standing": "usable", "weight": 1, "in_flight": 3, "attempts": 9, "failures": 0, "breaker": "off",
        "ejected_until": 0.0, "probation": False, "check_failure": "", "url": "http://a",
    }  # fmt: skip
    first = known | {"address": "10.0.0.1", "reported": {"at": 998.5, "in_use": 3, "total": 8}}
    second = known | {"standing": "leaving", "reported": {"at": 1000.0, "in_use": 0, "total": 0}}
    plain = {"balance": "random", "panic": False, "ejection_mode": "off", "endpoints": [first, second]}
    group = plain | {"reports": "shadow", "health_mode": "shadow", "places": 8}
    told = upstream_text(FOUND | {"group": group}).splitlines()
    told = [line for line in told if "endpoints" in line or "http://a" in line]
    assert told == [
        "  endpoints (random), checks in shadow mode, reports in shadow mode, 8 places by their reports:",
        "    http://a (10.0.0.1): usable, 3 in flight, 0 of 9 failed, weight 1, reported 3/8 1.5 s ago",
        "    http://a: draining (by its own report), 3 in flight, 0 of 9 failed, weight 1, reported drain 0.0 s ago",
    ]
    older = upstream_text(FOUND | {"group": plain | {"endpoints": [known]}})
    assert "  endpoints (random):\n    http://a: usable, 3 in flight, 0 of 9 failed, weight 1\n" in older + "\n"


def test_responses_of_models_have_a_line_where_they_are_read() -> None:
    ai = {"format": "openai", "responses": 3, "waiting": 1, "longest_wait": 2.5}
    plain = upstream_text(FOUND).splitlines()
    assert upstream_text(FOUND | {"ai": None}).splitlines() == plain
    first, line, *rest = upstream_text(FOUND | {"ai": ai}).splitlines()
    assert [first, *rest] == plain
    assert line == "  responses of models (openai): 3 run, 1 without a token yet, the longest wait is 2.5 s"


def test_the_breaker_of_the_upstream_comes_before_the_best_of_its_endpoints() -> None:
    own = BREAKER | {"scope": "upstream", "state": "open", "next_probe": 1010.0}
    alone = upstream_text(FOUND | {"breaker": own, "upstream_breaker": None})
    assert "  breaker of the upstream (enforce): open since" in alone
    both = upstream_text(FOUND | {"breaker": BREAKER | {"scope": "endpoint"}, "upstream_breaker": own}).splitlines()
    heads = [line.partition(":")[0].strip() for line in both if "breaker" in line]
    assert heads == ["breaker of the upstream (enforce)", "breaker (enforce)"]

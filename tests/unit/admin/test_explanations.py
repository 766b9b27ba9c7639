"""Where the time of a request went, as it is told."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.admin.explanations import explained
from gateway.core.fallback import REJECTED
from gateway.core.hedge import WITHHELD
from gateway.policy import retry

LINE: dict[str, Any] = {
    "proxy_name": "web",
    "status_code": 504,
    "reason": "header_timeout",
    "duration_ms": 30003.2,
    "dial_ms": 1.0,
    "upload_ms": 2.0,
    "upstream_latency_ms": None,
    "proxy_latency_ms": 0.2,
    "upstream": "127.0.0.1:9000",
    "attempts": 1,
    "shadow": "",
}


def way(**known: object) -> dict[str, float]:
    return {step["phase"]: step["ms"] for step in explained(LINE | known)["way"]}


def test_waiting_for_an_answer_that_never_came_is_told() -> None:
    assert way() == {"dial": 1.0, "upload": 2.0, "upstream_latency": 30000.0, "proxy_latency": 0.2}


def test_a_latency_that_was_measured_stands_as_it_is() -> None:
    assert way(upstream_latency_ms=7.5)["upstream_latency"] == 7.5


def test_what_rounding_leaves_is_nobody_s_time() -> None:
    assert "upstream_latency" not in way(duration_ms=3.204)
    assert "upstream_latency" not in way(duration_ms=3.19)


def test_who_asked_no_upstream_did_not_wait_for_one() -> None:
    assert "upstream_latency" not in way(attempts=0)


def test_a_request_that_runs_has_no_way_yet() -> None:
    explanation = explained({"proxy_name": "web", "phase": "dial", "age": 1.25})
    assert (explanation["running"], explanation["way"]) == (True, [])
    assert explanation["sentence"] == "it runs for 1.2 s, in phase dial of proxy web"


def test_the_status_of_a_call_of_grpc_is_told() -> None:
    line = LINE | {"status_code": 200, "reason": "", "grpc_status": 14}
    assert explained(line)["sentence"] == "answered 200, grpc-status 14 by 127.0.0.1:9000 in 30003.2 ms"


@pytest.mark.parametrize(
    ("behind", "says"),
    [
        ({"cause": "connect", "reason": "dial_failed", "upstream": "h:1"}, "dial_failed of h:1"),
        ({"cause": "503", "reason": "", "upstream": "h:1"}, "status 503 of h:1"),
        ({"cause": "breaker", "reason": "breaker_open", "upstream": ""}, "breaker_open"),
    ],
)
def test_what_the_fallback_took_over_from_is_told(behind: dict[str, str], says: str) -> None:
    line = LINE | {"status_code": 200, "reason": "", "fallback": behind}
    sentence = explained(line)["sentence"]
    assert sentence == f"answered 200 by 127.0.0.1:9000 in 30003.2 ms; the fallback took over from {says}"


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"result": "won"}, "a hedge began after 41 ms and won, and the other attempt was at h:2"),
        ({"result": "lost"}, "a hedge began after 41 ms and lost, and the other attempt was at h:2"),
        ({"shadow": True}, "a hedge would have begun after 41 ms, were it not in shadow mode"),
        ({"withheld": "budget"}, "no hedge began after 41 ms, because the budget of its upstream had no token left"),
    ],
)
def test_what_became_of_a_hedge_is_told(more: dict[str, object], says: str) -> None:
    seen = {"after_ms": 41.2, "result": "", "other": "h:2", "withheld": "", "shadow": False} | more
    sentence = explained(LINE | {"status_code": 200, "reason": "", "hedge": seen})["sentence"]
    assert sentence == f"answered 200 by 127.0.0.1:9000 in 30003.2 ms; {says}"


@pytest.mark.parametrize("word", WITHHELD)
def test_every_cause_against_a_hedge_has_words(word: str) -> None:
    seen = {"after_ms": 1.0, "result": "", "other": "", "withheld": word, "shadow": False}
    assert "no hedge began after 1 ms, because " in explained(LINE | {"hedge": seen})["sentence"]


@pytest.mark.parametrize(("failures", "says"), [(["stale", "503"], "; tried again after stale, 503"), ([], "")])
@pytest.mark.parametrize(
    ("withheld", "because"),
    [
        ("", ""),
        ("budget", "; no retry followed, because the budget of its upstream had no token left"),
        ("rate_limit", "; no retry followed, because the rate limits of its upstream had no token left"),
    ],
)
def test_the_retries_of_a_request_are_explained(failures: list[str], says: str, withheld: str, because: str) -> None:
    line = LINE | {"status_code": 200, "reason": "", "retries": {"failures": failures, "withheld": withheld}}
    says += because
    assert explained(line)["sentence"] == f"answered 200 by 127.0.0.1:9000 in 30003.2 ms{says}"


TOOK_OVER = "the fallback took over from breaker_open"


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({}, TOOK_OVER),
        (
            {"breaker": "upstream", "of": "search"},
            f"{TOOK_OVER}, by the breaker of the upstream search, which judges its endpoints together",
        ),
        (
            {"breaker": "endpoint", "of": "search"},
            f"{TOOK_OVER}, by the breakers of the endpoints of search",
        ),
        ({"withheld": "queue"}, "the fallback did not take over, because its upstream had no free permit"),
    ],
)
def test_what_became_of_a_fallback_is_explained(more: dict[str, str], says: str) -> None:
    behind = {"cause": "breaker", "reason": "breaker_open", "upstream": ""} | more
    sentence = explained(LINE | {"status_code": 200, "reason": "", "fallback": behind})["sentence"]
    assert sentence == f"answered 200 by 127.0.0.1:9000 in 30003.2 ms; {says}"


@pytest.mark.parametrize("word", REJECTED)
def test_every_cause_against_a_fallback_has_words(word: str) -> None:
    behind = {"cause": "breaker", "reason": "breaker_open", "upstream": "", "withheld": word}
    assert "; the fallback did not take over, because " in explained(LINE | {"fallback": behind})["sentence"]


@pytest.mark.parametrize("word", retry.WITHHELD)
def test_every_cause_against_a_retry_has_words(word: str) -> None:
    line = LINE | {"retries": {"failures": [], "withheld": word}}
    assert "; no retry followed, because " in explained(line)["sentence"]


def test_the_breaker_of_the_upstream_is_named_where_it_rejects() -> None:
    line = LINE | {"status_code": 503, "reason": "breaker_open", "attempts": 0, "upstream": ""}
    whole = "; the breaker is that of the upstream, which judges its endpoints together"
    told, plain = explained(line | {"breaker": "upstream"})["sentence"], explained(line)["sentence"]
    assert told == plain + whole
    shadow = explained(LINE | {"reason": "", "shadow": "breaker_open", "breaker": "upstream"})["sentence"]
    assert whole in shadow
    assert "breaker_open would have refused it" in shadow

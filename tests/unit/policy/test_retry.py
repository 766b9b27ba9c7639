from __future__ import annotations

from dataclasses import replace

import pytest

from gateway import errors
from gateway.errors import REASONS, GatewayError
from gateway.policy.causes import Causes
from gateway.policy.retry import (
    ATTEMPTS,
    BODY,
    BUDGET,
    DEADLINE,
    FAILURES,
    METHOD,
    OVER,
    REJECTIONS,
    RETRIED,
    RETRY_AFTER,
    WITHHELD,
    Failed,
    cause_against,
    failure_of,
    kind_of,
    may_retry,
    rejection_of,
)


def allowed(
    method: bytes = b"GET",
    deadline: float = 0.0,
    *,
    retryable: bool = True,
    unprocessed: bool = False,
    committed: bool = False,
    replayable: bool = True,
) -> bool:
    return may_retry(
        method,
        deadline,
        1000.0,
        retryable=retryable,
        unprocessed=unprocessed,
        committed=committed,
        replayable=replayable,
    )


@pytest.mark.parametrize("method", [b"GET", b"HEAD", b"OPTIONS", b"TRACE", b"PUT", b"DELETE"])
def test_idempotent_methods(method: bytes) -> None:
    assert allowed(method)


@pytest.mark.parametrize("method", [b"POST", b"PATCH", b"CONNECT", b"get", b"PURGE", b"LOCK"])
def test_all_other_methods_are_sent_once(method: bytes) -> None:
    assert not allowed(method)


@pytest.mark.parametrize("method", [b"GET", b"POST", b"PATCH"])
def test_what_was_not_processed_is_repeated_whatever_its_method(method: bytes) -> None:
    assert allowed(method, retryable=False, unprocessed=True)
    assert not allowed(method, unprocessed=True, committed=True)
    assert not allowed(method, unprocessed=True, replayable=False)
    assert not allowed(method, 1000.0, unprocessed=True)


def test_a_body_that_was_relayed_cannot_be_replayed() -> None:
    assert not allowed(b"PUT", replayable=False)


def test_an_error_that_the_upstream_meant_is_final() -> None:
    assert not allowed(retryable=False)


def test_nothing_is_repeated_after_the_first_byte() -> None:
    assert not allowed(committed=True)


@pytest.mark.parametrize(("deadline", "may"), [(0.0, True), (1000.1, True), (1000.0, False), (0.5, False)])
def test_no_attempt_is_begun_past_the_deadline(deadline: float, may: bool) -> None:
    assert allowed(deadline=deadline) is may


# -- the table of configured retries

FINE = Failed(
    committed=False,
    left=False,
    harmless=False,
    repeatable=True,
    replayable=True,
    tries=1,
    attempts=3,
    asked=0.0,
    patience=0.0,
    begins_at=1000.0,
    deadline=0.0,
)
ROWS = [
    (replace(FINE, committed=True), OVER),
    (replace(FINE, left=True), OVER),
    (replace(FINE, repeatable=False), METHOD),
    (replace(FINE, repeatable=False, harmless=True), ""),
    (replace(FINE, replayable=False), BODY),
    (replace(FINE, replayable=False, harmless=True), BODY),
    (replace(FINE, tries=2), ""),
    (replace(FINE, tries=3), ATTEMPTS),
    (replace(FINE, asked=1.0), RETRY_AFTER),
    (replace(FINE, asked=1.0, patience=1.0), ""),
    (replace(FINE, deadline=999.0), DEADLINE),
    (replace(FINE, deadline=1000.0), DEADLINE),
    (replace(FINE, deadline=1000.1), ""),
    (FINE, ""),
]


@pytest.mark.parametrize(("failed", "cause"), ROWS)
def test_the_first_line_that_speaks_against_a_retry(failed: Failed, cause: str) -> None:
    asked: list[bool] = []

    def withdraw() -> bool:
        asked.append(True)
        return True

    assert cause_against(failed, withdraw) == cause
    assert asked == ([] if cause else [True]), "a retry that is not made takes nothing of the budget"


def test_the_budget_is_asked_last() -> None:
    assert cause_against(FINE, lambda: False) == BUDGET
    assert {cause for _, cause in ROWS} - {"", OVER} | {BUDGET, *REJECTIONS} == set(WITHHELD)


@pytest.mark.parametrize(
    ("of", "words"),
    [
        (("dial_failed", "dns_failed", "tls_failed", "dial_timeout", "tls_timeout"), "connect"),
        (("upstream_reset", "upstream_bad_response"), "reset"),
        (("header_timeout", "body_idle_timeout"), "timeout"),
        (("stream_stalled",), "stall"),
    ],
)
def test_each_reason_is_one_failure_or_none(of: tuple[str, ...], words: str) -> None:
    assert {code for code, reason in REASONS.items() if failure_of(GatewayError(reason)) == words} == set(of)


@pytest.mark.parametrize("code", REASONS)
def test_a_failure_has_the_word_that_a_fallback_has_for_it(code: str) -> None:
    word = Causes(FAILURES).word_for(code)
    assert failure_of(GatewayError(REASONS[code])) == word


def test_what_the_endpoint_has_not_begun_with_is_a_refused_stream() -> None:
    assert failure_of(GatewayError(errors.UPSTREAM_RESET, unprocessed=True)) == "refused_stream"
    assert failure_of(GatewayError(errors.BREAKER_OPEN)) == failure_of(GatewayError(errors.TOTAL_TIMEOUT)) == ""


def test_statuses_are_one_kind() -> None:
    assert [kind_of(word) for word in (*FAILURES, "503", "stale")] == [*FAILURES, "status", "stale"]
    assert set(RETRIED) == {"stale", *FAILURES, "status"}


def test_what_rejects_a_retry_is_no_failure_of_an_attempt() -> None:
    words = {code: rejection_of(GatewayError(reason)) for code, reason in REASONS.items()}
    assert {code: word for code, word in words.items() if word} == {
        "breaker_open": "breaker", "no_healthy_endpoint": "health", "rate_limit": "rate_limit"
    }  # fmt: skip
    assert set(REJECTIONS) == set(filter(None, words.values()))
    assert not set(REJECTIONS) & set(FAILURES)

from __future__ import annotations

import pytest

from gateway.policy.retry import may_retry


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

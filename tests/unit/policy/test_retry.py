from __future__ import annotations

import contextlib

import pytest
from unit.scene import Clock, exchange

from gateway.core.exchange import Exchange
from gateway.core.message import CHUNKED
from gateway.errors import UPSTREAM_RESET, GatewayError
from gateway.policy.retry import may_retry, retry


def stale() -> GatewayError:
    return GatewayError(UPSTREAM_RESET, retryable=True)


class Attempts:
    """A handler that raises the errors it was given, one an attempt, and then answers 200."""

    def __init__(self, *errors: BaseException) -> None:
        self.errors = list(errors)
        self.seen: list[int] = []

    async def __call__(self, ex: Exchange) -> None:
        ex.attempts += 1
        self.seen.append(ex.attempts)
        if self.errors:
            raise self.errors.pop(0)
        ex.status = 200


@pytest.mark.parametrize("method", [b"GET", b"HEAD", b"OPTIONS", b"TRACE", b"PUT", b"DELETE"])
def test_idempotent_methods(method: bytes) -> None:
    assert may_retry(exchange(method), stale(), now=1000.0)


@pytest.mark.parametrize("method", [b"POST", b"PATCH", b"CONNECT", b"get", b"PURGE", b"LOCK"])
def test_all_other_methods_are_sent_once(method: bytes) -> None:
    assert not may_retry(exchange(method), stale(), now=1000.0)


@pytest.mark.parametrize("length", [1, 1000, CHUNKED])
def test_a_body_that_was_relayed_can_not_be_replayed(length: int) -> None:
    assert not may_retry(exchange(b"PUT", length), stale(), now=1000.0)


@pytest.mark.parametrize(("method", "may"), [(b"PUT", True), (b"DELETE", True), (b"POST", False), (b"PATCH", False)])
def test_a_body_that_was_taken_whole_can_be_replayed(method: bytes, may: bool) -> None:
    ex = exchange(method, 4)
    ex.body = b"abcd"
    assert may_retry(ex, stale(), now=1000.0) is may


def test_an_error_that_the_upstream_meant_is_final() -> None:
    assert not may_retry(exchange(), GatewayError(UPSTREAM_RESET), now=1000.0)


def test_nothing_is_repeated_after_the_first_byte() -> None:
    ex = exchange()
    ex.committed = True
    assert not may_retry(ex, stale(), now=1000.0)


@pytest.mark.parametrize(("deadline", "may"), [(0.0, True), (1000.1, True), (1000.0, False), (0.5, False)])
def test_no_attempt_is_begun_past_the_deadline(deadline: float, may: bool) -> None:
    ex = exchange()
    ex.deadline = deadline
    assert may_retry(ex, stale(), now=1000.0) is may


async def test_one_attempt_is_enough_when_it_goes_well() -> None:
    ex, attempts = exchange(), Attempts()
    await retry()(attempts)(ex)
    assert (ex.status, ex.attempts, attempts.seen) == (200, 1, [1])


async def test_a_stale_connection_is_made_good_by_a_second_attempt() -> None:
    ex, attempts = exchange(), Attempts(stale())
    await retry(Clock())(attempts)(ex)
    assert (ex.status, ex.attempts, attempts.seen) == (200, 2, [1, 2])


async def test_there_is_never_a_third() -> None:
    second = stale()
    ex, attempts = exchange(), Attempts(stale(), second, stale())
    with pytest.raises(GatewayError) as caught:
        await retry(Clock())(attempts)(ex)
    assert caught.value is second
    assert second.__context__ is None, "the error of the first attempt is over and done with"
    assert (ex.attempts, attempts.seen) == (2, [1, 2])


@pytest.mark.parametrize("error", [GatewayError(UPSTREAM_RESET), ValueError("a defect")])
async def test_other_errors_pass(error: Exception) -> None:
    ex, attempts = exchange(), Attempts(error)
    with pytest.raises(type(error)) as caught:
        await retry(Clock())(attempts)(ex)
    assert caught.value is error
    assert ex.attempts == 1


@pytest.mark.parametrize(("deadline", "attempts"), [(1000.5, [1, 2]), (999.5, [1])])
async def test_the_deadline_is_looked_at_when_the_first_attempt_has_failed(
    deadline: float, attempts: list[int]
) -> None:
    ex, upstream = exchange(), Attempts(stale())
    ex.deadline = deadline
    with contextlib.suppress(GatewayError):
        await retry(Clock(1000.0))(upstream)(ex)
    assert upstream.seen == attempts


async def test_a_request_that_may_not_be_repeated_is_not() -> None:
    ex, attempts = exchange(b"POST"), Attempts(stale())
    with pytest.raises(GatewayError):
        await retry(Clock())(attempts)(ex)
    assert (ex.attempts, attempts.seen) == (1, [1])

from __future__ import annotations

import contextlib
from typing import Any, cast

import pytest
from unit.scene import Clock, exchange

from gateway.core.exchange import Exchange
from gateway.core.message import CHUNKED
from gateway.errors import UPSTREAM_RESET, GatewayError
from gateway.proxy.layers.retry import retry


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


@pytest.mark.parametrize("length", [1, 1000, CHUNKED])
async def test_a_body_that_was_relayed_is_not_sent_again(length: int) -> None:
    ex, attempts = exchange(b"PUT", length), Attempts(stale())
    ex.bytes_in = 1
    with pytest.raises(GatewayError):
        await retry(Clock())(attempts)(ex)
    assert attempts.seen == [1]


@pytest.mark.parametrize(("method", "seen"), [(b"PUT", [1, 2]), (b"DELETE", [1, 2]), (b"POST", [1]), (b"PATCH", [1])])
async def test_a_body_that_was_taken_whole_is_sent_again(method: bytes, seen: list[int]) -> None:
    ex, attempts = exchange(method, 4), Attempts(stale())
    ex.body = b"abcd"
    with contextlib.suppress(GatewayError):
        await retry(Clock())(attempts)(ex)
    assert attempts.seen == seen


@pytest.mark.parametrize(("complete", "seen"), [(False, [1, 2]), (True, [1])])
async def test_a_body_of_which_nothing_was_taken_is_relayed_then(complete: bool, seen: list[int]) -> None:
    ex, attempts = exchange(b"PUT", CHUNKED), Attempts(stale())
    ex.downstream.body_complete = complete  # type: ignore[misc] # no stream
    with contextlib.suppress(GatewayError):
        await retry(Clock())(attempts)(ex)
    assert attempts.seen == seen


class Kept:
    """The retries of an exchange, which may have kept what was relayed."""

    def __init__(self, *, replayable: bool) -> None:
        self.replayable = replayable


@pytest.mark.parametrize(("kept", "seen"), [(True, [1, 2]), (False, [1])])
async def test_a_body_that_was_relayed_is_sent_again_where_it_was_kept(kept: bool, seen: list[int]) -> None:
    ex, attempts = exchange(b"PUT", CHUNKED), Attempts(stale())
    ex.bytes_in = 4
    ex.retries = cast(Any, Kept(replayable=kept))
    with contextlib.suppress(GatewayError):
        await retry(Clock())(attempts)(ex)
    assert (attempts.seen, ex.failures) == (seen, ("stale",) * (len(seen) - 1))


async def test_what_the_endpoint_has_not_begun_with_is_sent_again_whatever_it_is() -> None:
    ex, attempts = exchange(b"POST", 4), Attempts(GatewayError(UPSTREAM_RESET, unprocessed=True))
    ex.body = b"abcd"
    await retry(Clock())(attempts)(ex)
    assert attempts.seen == [1, 2]


async def test_nothing_is_sent_again_after_the_first_byte() -> None:
    ex, attempts = exchange(), Attempts(stale())
    ex.committed = True
    with pytest.raises(GatewayError):
        await retry(Clock())(attempts)(ex)
    assert attempts.seen == [1]

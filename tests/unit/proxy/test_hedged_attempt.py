from __future__ import annotations

from typing import Any, cast

import pytest
from unit.scene import exchange, told

from gateway.core.attempt import Attempt
from gateway.core.exchange import Exchange
from gateway.core.hedge import Hedge
from gateway.core.message import UNTIL_CLOSE, ResponseHead
from gateway.proxy import hedged_attempt
from gateway.proxy.hedged_attempt import HedgedAttempt

ITS_OWN = {"downstream", "request", "start_at", "failures", "reason", "gone_at", "retries", "end_at", "place"}
"""What is passed on in another way, or is none of an attempt's."""


class Judge:
    discarding = False

    def begins(self, attempt: HedgedAttempt, head: ResponseHead, stream: object, later: object) -> Any:
        del later
        return attempt.discard_response(head, cast(Any, stream))

    def begun(self, attempt: HedgedAttempt) -> None:
        del attempt


class Stream:
    def __init__(self) -> None:
        self.failed: list[Any] = []

    def fail(self, error: Any) -> None:
        self.failed.append(error)


def head(length: int = 0, *, keep_alive: bool = True) -> ResponseHead:
    return ResponseHead(200, b"", 1, [], {}, length, keep_alive)


def test_every_fact_of_an_exchange_goes_one_way() -> None:
    groups = hedged_attempt._SHARED, hedged_attempt._CARRIED, hedged_attempt._FOUND, hedged_attempt._BEGUN, ITS_OWN
    named = [name for group in groups for name in group]
    assert sorted(named) == sorted(set(named)), "each in one group"
    assert set(named) == set(Exchange.__slots__)


async def test_it_goes_on_with_what_the_exchange_has() -> None:
    ex = told(request_id=b"id", proxy="p", deadline=1005.0, failures=("stale", "503"), attempts=2, retried=0.5)
    ex.hedge = Hedge()
    made = HedgedAttempt(ex, Judge(), 0.25).exchange
    assert (made.request_id, made.proxy, made.deadline, made.failures) == (b"id", "p", 1005.0, ("stale", "503"))
    assert (made.attempts, made.retried, made.hedge) == (2, 0.75, ex.hedge)
    assert (made.downstream, made.request, made.start_at) == (ex.downstream, ex.request, ex.start_at)


async def test_it_gives_back_what_it_has_found_and_its_failures_once() -> None:
    ex = exchange()
    attempt = HedgedAttempt(ex, Judge())
    made = attempt.exchange
    made.attempts, made.attempt, made.failures, made.tried = 2, Attempt("a:1"), ("stale",), ("m",)
    made.status, made.breaker, made.shadow = 200, "closed", "breaker_open"
    assert attempt.tries == 2
    attempt.give_back(3)
    assert (ex.attempts, ex.attempt, ex.failures, ex.tried) == (3, made.attempt, ("stale",), ("m",))
    assert (ex.status, ex.breaker, ex.shadow) == (200, "closed", "breaker_open")
    ex.failures = ("stale", "200")  # a retry follows
    made.committed, made.bytes_out = True, 7
    attempt.begun()
    assert (ex.committed, ex.bytes_out, ex.attempts, ex.failures) == (True, 7, 3, ("stale", "200"))


async def test_a_response_is_discarded_to_its_end_where_its_connection_serves_others() -> None:
    for kept, found in ((True, head()), (False, head(UNTIL_CLOSE)), (False, head(keep_alive=False))):
        attempt = HedgedAttempt(exchange(), Judge())
        sink, stream = attempt.discard(found, cast(Any, Stream())), attempt._discard
        assert sink is stream
        assert stream is not None
        assert attempt.discarding
        assert (stream._left > 0) is kept
        attempt.close()
        assert stream.over


async def test_that_of_a_loser_is_not_worth_the_wait() -> None:
    attempt = HedgedAttempt(exchange(), Judge())
    attempt.lost = True
    assert attempt.discarding
    attempt.discard(head(), cast(Any, Stream()))
    assert attempt._discard is not None
    assert attempt._discard._left == 0


async def test_before_a_response_nothing_is_discarded() -> None:
    attempt, judge = HedgedAttempt(exchange(), Judge()), Judge()
    assert not attempt.discarding
    judge.discarding = True
    assert HedgedAttempt(exchange(), judge).discarding


async def test_its_body_was_taken_before() -> None:
    attempt = HedgedAttempt(exchange(b"PUT", 4), Judge())
    assert (attempt.replayable, attempt.relayed, attempt.end_attempt()) == (True, False, True)
    with pytest.raises(AssertionError):
        attempt.keep(b"body")
    with pytest.raises(AssertionError):
        attempt.upload(cast(Any, None), lambda: None)


async def test_one_that_was_not_begun_can_be_cut() -> None:
    attempt = HedgedAttempt(exchange(), Judge())
    attempt.cut("client_gone", 3.0)
    assert (attempt.exchange.reason, attempt.exchange.gone_at, attempt.over) == ("client_gone", 3.0, False)
    attempt.close()
    assert attempt.over
    attempt.forget()
    assert attempt.exchange.retries is None

"""The layer of a call: how often it runs what is below, and what is left of an attempt before the next one."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from time import monotonic
from typing import Any, cast

import pytest

from gateway import errors
from gateway.actions.repeat import Patience, Running, repeat
from gateway.core.attempt import NO_ATTEMPT, Attempt
from gateway.core.exchange import Exchange
from gateway.core.limits import Limits
from gateway.core.message import RequestHead, ResponseHead
from gateway.core.peer import Peer
from gateway.errors import GatewayError
from gateway.wire.memory import MemoryStream

PEER = Peer("127.0.0.1", 0, b"http", lambda address: False)


def stream() -> MemoryStream:
    return MemoryStream(PEER, Limits())


def exchange() -> Exchange:
    return Exchange(stream(), RequestHead(b"GET", b"/", 1, [], {}, 0, True), monotonic())


@dataclass
class Policy(Patience):
    pauses: list[float | None]
    asked: list[tuple[int, str, float | None]] = field(default_factory=list)

    def pause(self, attempts: int, cause: str, asked: float | None, spent: float) -> float | None:
        self.asked.append((attempts, cause, asked))
        return self.pauses.pop(0)


@dataclass
class Below:
    """Plays one attempt after the other: a status, an error, or None for a wait that never ends."""

    plays: list[int | GatewayError | None]
    streams: list[object] = field(default_factory=list)
    clean: list[bool] = field(default_factory=list)

    async def __call__(self, ex: Exchange) -> None:
        self.streams.append(ex.downstream)
        self.clean.append(not ex.committed and ex.status == 0 and ex.attempt is NO_ATTEMPT)
        ex.attempt = Attempt("h:1")
        ex.queued = 0.5
        play = self.plays.pop(0)
        if play is None:
            await asyncio.Event().wait()
        elif isinstance(play, GatewayError):
            raise play
        else:
            ex.status, ex.committed = play, True
            head = ResponseHead(play, b"", 1, [b"Retry-After: 3"] if play == 429 else [], {}, 0, True)
            ex.downstream.begin(head, b"", None, None)
            ex.downstream.end([])


class Stage:
    def __init__(self, below: Below, patience: Policy | None, seconds: float = 60.0) -> None:
        self.ex = exchange()
        self.running = Running(stream(), patience, seconds, b"body")
        self.ex.downstream = self.running.stream
        self.slept: list[float] = []
        self.handle = repeat({self.ex: self.running}, sleep=self._sleep)(below.__call__)

    async def _sleep(self, seconds: float) -> None:
        self.slept.append(seconds)

    async def run(self) -> None:
        await self.handle(self.ex)


async def test_each_attempt_has_a_stream_and_an_exchange_without_a_past() -> None:
    below = Below([503, 429, 200])
    stage = Stage(below, Policy([1.0, 2.0, None]))
    await stage.run()
    assert stage.slept == [1.0, 2.0]
    assert (len(set(below.streams)), below.clean) == (3, [True] * 3)
    assert stage.running.patience.asked == [(1, "503", None), (2, "429", 3.0), (3, "200", None)]  # type: ignore[union-attr]
    ex = stage.ex
    assert (ex.status, ex.failures, ex.queued) == (200, ("503", "429"), 1.5)
    assert ex.downstream is below.streams[-1]


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (GatewayError(errors.DIAL_FAILED), "connect"),
        (GatewayError(errors.HEADER_TIMEOUT), "timeout"),
        (GatewayError(errors.TOTAL_TIMEOUT), "timeout"),
        (GatewayError(errors.UPSTREAM_RESET, unprocessed=True), "refused_stream"),
    ],
)
async def test_failures_have_the_words_of_retries(error: GatewayError, cause: str) -> None:
    stage = Stage(Below([error, 200]), Policy([0.0, None]))
    await stage.run()
    assert stage.ex.failures == (cause,)
    assert stage.running.error is None


@pytest.mark.parametrize(
    "reason", [errors.BREAKER_OPEN, errors.CONCURRENCY_LIMIT, errors.OVERLOADED, errors.ANSWER_TOO_LARGE]
)
async def test_refusals_of_our_own_are_final(reason: errors.Reason) -> None:
    patience = Policy([])
    stage = Stage(Below([GatewayError(reason, retry_after=9)]), patience)
    with pytest.raises(GatewayError) as caught:
        await stage.run()
    assert (caught.value.reason, stage.running.error, patience.asked) == (reason, caught.value, [])


async def test_a_call_waits_for_a_token_of_the_connection_and_looks_like_one_that_was_not_refused() -> None:
    policy = Policy([4.0, None])
    stage = Stage(Below([GatewayError(errors.RATE_LIMIT, retry_after=4), 200]), policy)
    stage.ex.quota = cast(Any, object())
    await stage.run()
    assert policy.asked == [(1, "429", 4.0), (2, "200", None)]
    assert (stage.slept, stage.ex.status, stage.ex.failures, stage.ex.quota) == ([4.0], 200, ("429",), None)


@pytest.mark.parametrize("pause", [None, 3.9, 60.0])
async def test_a_call_that_cannot_wait_long_enough_for_a_token_ends_at_once(pause: float | None) -> None:
    """The policy does not wait at all, not so long, or longer than the call may take."""
    error = GatewayError(errors.RATE_LIMIT, retry_after=4)
    stage = Stage(Below([error]), Policy([pause]), seconds=60.0)
    with pytest.raises(GatewayError) as caught:
        await stage.run()
    assert (caught.value, stage.running.error, stage.slept) == (error, error, [])


async def test_without_patience_one_attempt_is_all() -> None:
    stage = Stage(Below([503]), None)
    await stage.run()
    assert (stage.ex.status, stage.slept) == (503, [])


async def test_a_pause_beyond_the_deadline_is_not_begun() -> None:
    stage = Stage(Below([503]), Policy([61.0]), seconds=60.0)
    await stage.run()
    assert (stage.ex.status, stage.slept) == (503, [])


async def test_the_time_of_the_call_ends_an_attempt() -> None:
    stage = Stage(Below([None]), Policy([]), seconds=0.01)
    with pytest.raises(GatewayError) as caught:
        await stage.run()
    assert caught.value.reason is errors.TOTAL_TIMEOUT
    assert "0.01 s" in caught.value.details
    assert stage.running.error is caught.value


async def test_a_caller_who_leaves_is_no_timeout() -> None:
    stage = Stage(Below([None]), Policy([]))
    task = asyncio.create_task(stage.run())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert stage.running.error is None

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
from gateway.core.layer import Handler
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
    waits: float = 0.0
    waited: list[int] = field(default_factory=list)

    def pause(self, attempts: int, cause: str, asked: float | None, spent: float) -> float | None:
        self.asked.append((attempts, cause, asked))
        return self.pauses.pop(0)

    def wait(self, attempts: int, spent: float) -> float:
        self.waited.append(attempts)
        return self.waits


class Token:
    """An access token that is there."""

    waits = False

    async def head(self, head: RequestHead) -> RequestHead:
        return head


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


@dataclass
class Line:
    """A `gateway.core.quota.Place` that comes at once: ``comes`` says whether it does. ``used``: what became of it."""

    comes: bool = True
    latest: list[float] = field(default_factory=list)
    used: list[str] = field(default_factory=list)
    held: bool = False

    async def reach(self, latest: float) -> bool:
        self.latest.append(latest)
        self.held = self.comes
        return self.comes

    def take(self) -> bool:
        held, self.held = self.held, False
        return held

    def leave(self) -> None:
        self.used += ["given back"] if self.take() else ["gone"]


def refusal() -> GatewayError:
    return GatewayError(errors.RATE_LIMIT, retry_after=4)


def in_line(below: Handler, line: Line, *, taken: bool = True) -> Any:
    """``below`` behind a rate limit whose refusals give the place ``line``. ``taken``: what comes with a token uses
    it."""

    async def handle(ex: Exchange) -> None:
        if taken:
            line.take()
        ex.place = line
        await below(ex)

    return handle


async def test_a_call_waits_for_its_token_and_looks_like_one_that_was_not_refused() -> None:
    policy, below, line = Policy([None], waits=9.0), Below([refusal(), 200]), Line()
    stage = Stage(below, policy, seconds=60.0)
    stage.ex.quota = cast(Any, object())
    began = monotonic()
    await repeat({stage.ex: stage.running})(in_line(below, line))(stage.ex)
    assert policy.asked == [(1, "200", None)], "the wait is no attempt, and takes none of its retries"
    assert (stage.ex.status, stage.ex.failures, stage.ex.quota, below.clean) == (200, (), None, [True, True])
    assert line.used == ["gone"]
    assert line.latest[0] == pytest.approx(began + 9.0, abs=1.0)
    assert (len(set(below.streams)), stage.ex.downstream) == (2, below.streams[-1])


async def test_each_attempt_may_wait_for_a_token() -> None:
    policy, below, line = Policy([0.0, 0.0, None], waits=9.0), Below([503, refusal(), 503, refusal(), 200]), Line()
    stage = Stage(below, policy)
    await repeat({stage.ex: stage.running})(in_line(below, line))(stage.ex)
    assert policy.asked == [(1, "503", None), (2, "503", None), (3, "200", None)]
    assert policy.waited == [1, 2], "attempts that have failed"
    assert (stage.ex.status, stage.ex.failures, stage.ex.queued) == (200, ("503", "503"), pytest.approx(2.5, abs=0.1))


async def test_a_token_that_something_above_the_limit_made_useless_goes_to_the_next_in_line() -> None:
    line, below = Line(), Below([refusal(), GatewayError(errors.BREAKER_OPEN)])
    stage = Stage(below, Policy([], waits=9.0))
    with pytest.raises(GatewayError) as caught:
        await repeat({stage.ex: stage.running})(in_line(below, line, taken=False))(stage.ex)
    assert (caught.value.reason, line.used) == (errors.BREAKER_OPEN, ["given back"])


async def test_a_token_goes_to_the_next_in_line_when_there_is_no_access_token_for_the_request() -> None:
    """The one before has expired in the wait."""

    class Expired(Token):
        times = 0

        async def head(self, head: RequestHead) -> RequestHead:
            self.times += 1
            if self.times == 2:
                raise GatewayError(errors.TOKEN_UNAVAILABLE)
            return head

    line, below = Line(), Below([refusal()])
    stage = Stage(below, Policy([], waits=9.0))
    stage.running.token = cast(Any, Expired())
    with pytest.raises(GatewayError) as caught:
        await repeat({stage.ex: stage.running})(in_line(below, line))(stage.ex)
    assert (caught.value.reason, line.used) == (errors.TOKEN_UNAVAILABLE, ["given back"])


async def test_the_wait_for_a_token_is_time_in_a_queue() -> None:
    """The breaker sees it as time before the attempt, which is not to blame for it."""
    now, seen = [monotonic()], []

    class Slow(Line):
        async def reach(self, latest: float) -> bool:
            now[0] += 7.0
            return await super().reach(latest)

    async def below(ex: Exchange) -> None:
        seen.append((ex.queued, ex.retried))
        now[0] += 1.0
        ex.queued = 0.25
        if len(seen) == 1:
            raise refusal()
        ex.status = 503 if len(seen) == 2 else 200

    stage = Stage(Below([]), Policy([2.0, None], waits=9.0))
    stage.ex.start_at = now[0]

    async def sleep(seconds: float) -> None:
        now[0] += seconds

    line = Slow()
    await repeat({stage.ex: stage.running}, clock=lambda: now[0], sleep=sleep)(in_line(below, line))(stage.ex)
    assert seen == [(0.0, 0.0), (0.0, 8.0), (0.0, 11.0)]
    assert (stage.ex.queued, stage.ex.retried) == (7.75, 11.0 - 7.5)


@pytest.mark.parametrize(("waits", "comes"), [(0.0, True), (9.0, False)])
async def test_a_call_that_may_not_wait_for_its_token_ends_at_once(waits: float, comes: bool) -> None:
    """Its policy does not wait, or not so long."""
    error, line = refusal(), Line(comes)
    below = Below([error])
    stage = Stage(below, Policy([], waits=waits))
    with pytest.raises(GatewayError) as caught:
        await repeat({stage.ex: stage.running})(in_line(below, line))(stage.ex)
    assert (caught.value, stage.running.error, len(line.latest)) == (error, error, 1 if waits else 0)


async def test_it_waits_for_a_token_no_longer_than_the_call_may_take() -> None:
    line, below = Line(comes=False), Below([refusal()])
    stage = Stage(below, Policy([], waits=3600.0), seconds=2.0)
    with pytest.raises(GatewayError):
        await repeat({stage.ex: stage.running})(in_line(below, line))(stage.ex)
    assert line.latest == [stage.ex.deadline]


async def test_a_call_that_may_not_be_sent_twice_waits_for_no_token() -> None:
    """It has no patience, and an access token, so that it may have a second attempt."""
    line, below = Line(), Below([refusal()])
    stage = Stage(below, None)
    stage.running.token = cast(Any, Token())
    with pytest.raises(GatewayError):
        await repeat({stage.ex: stage.running})(in_line(below, line))(stage.ex)
    assert line.latest == []


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

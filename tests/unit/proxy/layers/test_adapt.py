from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any, cast

import pytest
from unit.scene import exchange

from gateway import errors
from gateway.core.attempt import Attempt
from gateway.core.exchange import Exchange
from gateway.errors import GatewayError
from gateway.policy.adaptive import Adaptive
from gateway.policy.learned import Learned
from gateway.policy.lessons import Bounds
from gateway.policy.limiter import Limiter
from gateway.proxy.layers.adapt import AttemptAtWork, adapt

BOUNDS = Bounds(4, 1, 8)


class Seen:
    """Of the events of a response."""

    def __init__(self, first_at: float, count: int = 1, since: float = 0.0, longest_gap: float = 0.0) -> None:
        self.first_at, self.count, self.since, self.longest_gap = first_at, count, since, longest_gap


async def answer(ex: Exchange) -> None:
    raise AssertionError


def learnt(end: Callable[[Exchange], object], *, attempted: bool = True) -> Learned:
    """What an attempt teaches that ends so; the request was sent at 10.0."""
    now = 20.0
    adaptive = Adaptive(Limiter(4), BOUNDS, clock=lambda: now)
    adaptive.configure(BOUNDS)

    async def handle(ex: Exchange) -> None:
        if attempted:
            ex.attempt = Attempt("")
            ex.attempt.sent_at = 10.0
        end(ex)

    async def run() -> None:
        ex = exchange()
        ex.attempt.sent_at = 1.0
        ex.concurrent = 3
        with contextlib.suppress(GatewayError, asyncio.CancelledError):
            await adapt(adaptive)(handle)(ex)
        adaptive.look()

    asyncio.run(run())
    return adaptive.store.read()


def status(number: int, grpc: int = -1) -> Callable[[Exchange], None]:
    def end(ex: Exchange) -> None:
        ex.status, ex.grpc_status, ex.attempt.first_byte_at = number, grpc, 12.0

    return end


def error(reason: errors.Reason) -> Callable[[Exchange], None]:
    def end(ex: Exchange) -> None:
        raise GatewayError(reason)

    return end


def test_off_it_is_not_there() -> None:
    assert adapt(None)(answer) is answer


@pytest.mark.parametrize("number", [101, 200, 204, 302, 304])
def test_a_response_teaches_when_it_began(number: int) -> None:
    found = learnt(status(number))
    assert (found.samples, found.timely, found.dropped) == ([2.0], 1.0, 0.0)


@pytest.mark.parametrize(("number", "grpc"), [(429, -1), (503, -1), (200, 8), (200, 14)])
def test_a_refusal_for_load_is_a_drop(number: int, grpc: int) -> None:
    found = learnt(status(number, grpc))
    assert (found.samples, found.dropped) == ([], 1.0)


@pytest.mark.parametrize("number", [400, 404, 500, 502])
def test_other_errors_teach_nothing(number: int) -> None:
    found = learnt(status(number))
    assert (found.samples, found.timely, found.late, found.dropped) == ([], 0.0, 0.0, 0.0)


@pytest.mark.parametrize("reason", errors.REASONS.values(), ids=lambda reason: reason.code)
def test_a_timeout_of_the_upstream_is_a_drop_and_no_other_failure(reason: errors.Reason) -> None:
    late = ("dial_timeout", "tls_timeout", "header_timeout", "body_idle_timeout", "stream_stalled")
    found = learnt(error(reason))
    assert (found.samples, found.dropped) == ([], float(reason.code in late))


@pytest.mark.parametrize(("reason", "dropped"), [("total_timeout", 1.0), ("client_gone", 0.0), ("", 0.0)])
def test_the_total_timeout_is_a_drop_and_a_caller_who_leaves_teaches_nothing(reason: str, dropped: float) -> None:
    def end(ex: Exchange) -> None:
        ex.reason, ex.deadline = reason, ex.start_at + 100.0
        ex.attempt.first_byte_at = 12.0
        raise asyncio.CancelledError

    found = learnt(end)
    assert (found.samples, found.dropped) == ([], dropped)


def test_the_attempt_before_does_not_count() -> None:
    assert learnt(status(200), attempted=False).samples == []


async def test_it_looks_while_requests_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.proxy.layers.adapt.LOOK_SECONDS", 0.001)
    looks = list[bool]()

    class Watched(Adaptive):
        def look(self) -> bool:
            looks.append(super().look())
            ended.set() if not looks[-1] else None
            if len(looks) == 3:
                over.set()
            return looks[-1]

    over, ended = asyncio.Event(), asyncio.Event()
    adaptive = Watched(Limiter(4), BOUNDS)
    adaptive.configure(BOUNDS)

    async def handle(ex: Exchange) -> None:
        await over.wait()

    serve = adapt(adaptive)(handle)
    await asyncio.gather(serve(exchange()), serve(exchange()))
    await ended.wait()
    assert looks == [True, True, True, False]


def test_a_response_has_begun_with_the_first_byte_or_the_first_data() -> None:
    ex = exchange()
    works = [AttemptAtWork(ex, by_event=by_event) for by_event in (False, True)]
    assert [work.begun_at for work in works] == [0.0, 0.0]
    ex.attempt = Attempt("")
    assert [(work.sent_at, work.begun_at) for work in works] == [(0.0, 0.0)] * 2
    ex.attempt.sent_at, ex.commit_at = 5.0, 6.0
    assert [(work.sent_at, work.begun_at) for work in works] == [(5.0, 6.0)] * 2
    ex.events = cast(Any, Seen(0.0))
    assert [work.begun_at for work in works] == [6.0, 0.0]
    ex.events, ex.attempt.first_byte_at = cast(Any, Seen(8.0)), 5.5
    assert [work.begun_at for work in works] == [5.5, 8.0]


@pytest.mark.parametrize(
    ("events", "full", "silence"),
    [
        (Seen(1.0, 8, 10.0, 0.1), False, 1.0),
        (Seen(1.0, 8, 10.0, 2.0), False, 6.0),
        (Seen(1.0, 7, 10.0, 0.1), False, None),  # its own gaps are not known yet
        (Seen(1.0, 8, 10.0, 0.1), True, None),  # it is the caller who takes nothing
        (None, False, None),
    ],
)
def test_a_stream_waits_again_when_it_is_silent_for_longer_than_before(
    events: Seen | None, full: bool, silence: float | None
) -> None:
    ex = exchange()
    ex.events = cast(Any, events)
    ex.downstream.full = full  # type: ignore[misc] # of a stream that is none
    assert not AttemptAtWork(ex, by_event=False).stalls(10_000.0)
    work = AttemptAtWork(ex, by_event=True)
    if silence is None:
        assert not work.stalls(10_000.0)
    else:
        assert not work.stalls(10.0 + silence)
        assert work.stalls(10.0 + silence + 0.001)

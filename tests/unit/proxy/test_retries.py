"""The retries of one exchange, apart from the layer that makes them and from any connection."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, cast

import pytest
from unit.scene import Clock, exchange

from gateway import errors
from gateway.config import records
from gateway.core.message import CHUNKED, UNTIL_CLOSE, ResponseHead
from gateway.errors import GatewayError
from gateway.policy.budget import RetryBudget
from gateway.proxy.discard import Discard
from gateway.proxy.retries import ExchangeRetries, Means
from gateway.wire.buffers import BufferPool

RESET = GatewayError(errors.UPSTREAM_RESET)
EPOCH = 784111777.0


class Caller:
    """A stream whose body is whole, or piped to one sink."""

    body_complete = True

    def __init__(self) -> None:
        self.sink: Any = None
        self.stopped = 0

    def pipe(self, sink: Any, on_end: Callable[[], None]) -> None:
        self.sink, self.on_end = sink, on_end
        sink.begin_body(self, CHUNKED)

    def stop_body(self) -> None:
        self.stopped += 1

    def hold(self) -> None:
        pass

    def resume(self) -> None:
        pass


class Target:
    full = False

    def begin_body(self, source: object, length: int) -> None:
        del source, length

    def pieces(self, parts: list[memoryview], *, pooled: bool) -> None:
        del parts, pooled

    def data(self, piece: memoryview, *, pooled: bool) -> None:
        del piece, pooled

    def end(self, trailers: list[bytes]) -> None:
        del trailers


class Scene:
    def __init__(self, method: bytes = b"GET", length: int = 0, *lines: bytes, **settings: Any) -> None:
        self.clock = Clock()
        self.budget = RetryBudget()
        self.buffers = BufferPool(2)
        self.settings = replace(records.Retries(3, ("reset", "503", "refused_stream", "connect")), **settings)
        means = Means(self.settings, self.budget, self.buffers, self.clock, lambda: EPOCH, lambda: 0.5)
        self.exchange = exchange(method, length)
        self.exchange.request.fields.extend(lines)
        self.exchange.attempt.asked_at = 1.0
        self.exchange.attempts = 1
        self.exchange.downstream = self.caller = cast(Any, Caller())
        self.retries = ExchangeRetries(self.exchange, means)

    def begins(self, status: int, *lines: bytes, length: int = 0, keep_alive: bool = True) -> bool:
        """A response begins; whether it is not for the caller."""
        head = ResponseHead(status, b"", 1, list(lines), {}, length, keep_alive)
        return self.retries.discard(head, cast(Any, None)) is not None


async def test_a_response_that_is_not_listed_passes_and_pays_in() -> None:
    scene = Scene(budget=0.5)
    assert scene.budget.try_withdraw(10)
    assert not scene.begins(200)
    assert (scene.budget.left(10), scene.retries.withheld, scene.retries.due_at) == (9.5, "", 0.0)


async def test_only_the_first_attempt_pays_in() -> None:
    scene = Scene(budget=0.25)
    for _ in range(3):
        scene.budget.try_withdraw(10)
    assert scene.retries.failed(RESET)
    assert scene.budget.left(10) == 6.25
    assert scene.retries.failed(RESET)
    assert scene.budget.left(10) == 5.25


async def test_a_request_of_which_no_attempt_was_made_pays_nothing() -> None:
    scene = Scene(budget=0.25)
    scene.budget.try_withdraw(10)
    scene.exchange.attempts = 0
    assert not scene.retries.failed(GatewayError(errors.BREAKER_OPEN))
    assert scene.budget.left(10) == 9.0


async def test_what_is_sent_again_waits_for_its_pause() -> None:
    scene = Scene()
    assert scene.retries.failed(RESET)
    assert scene.exchange.failures == ("reset",)
    assert scene.retries.due_at == 1000.0125  # half of the base
    scene.clock.now += 0.0025
    assert scene.retries.begin_wait() == pytest.approx(0.01)
    assert scene.retries.waiting
    scene.clock.now += 1
    assert scene.retries.begin_wait() == 0.0
    scene.retries.end_wait()
    assert (scene.retries.waiting, scene.retries.due_at) == (False, 0.0)
    assert scene.retries.failed(RESET)
    assert scene.retries.due_at - scene.clock() == pytest.approx(0.0375)
    assert not scene.retries.failed(RESET)
    assert (scene.exchange.failures, scene.retries.withheld) == (("reset", "reset"), "attempts")


@pytest.mark.parametrize(
    ("lines", "settings", "due", "withheld"),
    [
        ([], {}, 1000.0125, ""),
        ([b"Retry-After: 2"], {}, 1002.0125, ""),
        ([b"Retry-After: 3"], {}, 0.0, "retry_after"),
        ([b"Retry-After: 3"], {"max_retry_after": 3.0}, 1003.0125, ""),
        ([b"Retry-After: 3"], {"respect_retry_after": False}, 1000.0125, ""),
        ([b"Retry-After: Sun, 06 Nov 1994 08:49:38 GMT"], {}, 1001.0125, ""),
        ([b"Retry-After: later"], {}, 1000.0125, ""),
    ],
)
async def test_the_time_that_the_upstream_asks_for(
    lines: list[bytes], settings: dict[str, Any], due: float, withheld: str
) -> None:
    scene = Scene(**settings)
    assert scene.begins(503, *lines) is (not withheld)
    assert (scene.retries.due_at, scene.retries.withheld) == (pytest.approx(due), withheld)


@pytest.mark.parametrize(
    ("facts", "withheld"),
    [
        ({"committed": True}, ""),
        ({"gone_at": 1.0}, ""),
        ({"deadline": 1000.01}, "deadline"),
        ({"deadline": 1001.0}, None),
    ],
)
async def test_what_the_exchange_says_against_it(facts: dict[str, Any], withheld: str | None) -> None:
    scene = Scene()
    for name, value in facts.items():
        setattr(scene.exchange, name, value)
    assert scene.retries.failed(RESET) is (withheld is None)
    assert scene.retries.withheld == (withheld or "")


@pytest.mark.parametrize(
    ("method", "line", "methods", "sent"),
    [
        (b"POST", b"X: 1", "idempotent", False),
        (b"POST", b"IDEMPOTENCY-key: k", "idempotent", True),
        (b"POST", b"X: 1", "all", True),
        (b"DELETE", b"X: 1", "idempotent", True),
    ],
)
async def test_methods(method: bytes, line: bytes, methods: str, sent: bool) -> None:
    scene = Scene(method, 0, line, methods=methods)
    assert scene.retries.failed(RESET) is sent
    assert scene.retries.withheld == ("" if sent else "method")


@pytest.mark.parametrize(
    "error", [GatewayError(errors.UPSTREAM_RESET, unprocessed=True), GatewayError(errors.DIAL_FAILED)]
)
async def test_a_post_of_which_nothing_was_done_is_sent_again(error: GatewayError) -> None:
    scene = Scene(b"POST")
    if error.reason is errors.DIAL_FAILED:
        scene.exchange.attempt.asked_at = 0.0
    assert scene.retries.failed(error)


async def test_shadow_mode_takes_of_the_budget_and_sends_nothing() -> None:
    scene = Scene(b"PUT", 4, mode="shadow", burst=1)
    scene.exchange.bytes_in = 4
    assert not scene.begins(503)
    assert (scene.retries.shadowed, scene.retries.withheld, scene.exchange.failures) == ("503", "", ())
    assert not scene.retries.failed(RESET)
    assert scene.retries.withheld == "budget"


class Seen:
    """What retries read of a stream of events."""

    def __init__(self, first_at: float) -> None:
        self.first_at = first_at


@pytest.mark.parametrize(
    ("mode", "on", "first_at", "shadowed"),
    [
        ("shadow", ("stall",), 0.0, "stall"),
        ("shadow", ("stall",), 1.0, ""),
        ("enforce", ("stall",), 0.0, ""),
        ("shadow", ("reset",), 0.0, ""),
    ],
)
async def test_shadow_mode_sees_a_stall_behind_the_head(
    mode: str, on: tuple[str, ...], first_at: float, shadowed: str
) -> None:
    scene = Scene(mode=mode, on=on)
    scene.exchange.committed = True
    scene.exchange.events = cast(Any, Seen(first_at))
    assert not scene.retries.failed(GatewayError(errors.STREAM_STALLED))
    assert scene.retries.shadowed == shadowed


# -- bodies that are whole


async def test_a_body_is_kept_until_the_caller_gets_a_response() -> None:
    scene = Scene(b"PUT", 4)
    assert scene.retries.keep(b"body")
    scene.exchange.body, scene.exchange.bytes_in = b"body", 4
    assert (scene.buffers.kept, scene.retries.replayable, scene.retries.relayed) == (4, True, False)
    assert scene.begins(503)
    assert scene.buffers.kept == 4
    assert not scene.begins(200)
    assert scene.buffers.kept == 4, "the caller has nothing of it yet"
    scene.retries.begun()
    assert (scene.buffers.kept, scene.exchange.body) == (0, None)


@pytest.mark.parametrize(
    ("method", "settings", "kept"),
    [
        (b"PUT", {}, True),
        (b"PUT", {"replay_buffer": 3}, False),
        (b"POST", {}, False),
        (b"PUT", {"mode": "shadow"}, False),
    ],
)
async def test_which_bodies_are_kept(method: bytes, settings: dict[str, Any], kept: bool) -> None:
    scene = Scene(method, 4, **settings)
    assert scene.retries.keep(b"body") is kept
    assert scene.buffers.kept == (4 if kept else 0)
    scene.retries.close()
    assert scene.buffers.kept == 0


async def test_without_room_a_body_is_not_kept() -> None:
    scene = Scene(b"PUT", 4)
    scene.buffers.capacity = 0
    assert not scene.retries.keep(b"body")


async def test_a_body_that_was_taken_and_is_gone_is_not_sent_again() -> None:
    scene = Scene(b"PUT", 4)
    scene.exchange.bytes_in = 4
    assert not scene.retries.replayable
    assert not scene.retries.failed(RESET)
    assert scene.retries.withheld == "body"


async def test_a_body_that_another_rule_has_kept_counts_as_long_as_it_is_short_enough() -> None:
    scene = Scene(b"PUT", 4, replay_buffer=3)
    scene.exchange.body, scene.exchange.bytes_in = b"body", 4
    assert scene.retries.replayable
    assert not scene.retries.failed(RESET)


# -- bodies that are relayed


async def test_a_body_that_may_be_needed_is_relayed_by_way_of_what_keeps_it() -> None:
    scene = Scene(b"PUT", CHUNKED)
    target = cast(Any, Target())
    scene.retries.upload(target, lambda: None)
    assert scene.caller.sink is not target
    assert scene.retries.relayed
    scene.caller.sink.pieces([memoryview(b"half")], pooled=False)
    scene.exchange.bytes_in = 4
    assert not scene.retries.end_attempt()
    assert scene.retries.failed(RESET)
    scene.retries.upload(cast(Any, Target()), lambda: None)
    scene.caller.sink.end([])
    scene.caller.on_end()
    assert scene.retries.end_attempt(), "the second one had all of it"
    scene.retries.close()
    assert (scene.buffers.kept, scene.caller.stopped) == (0, 1)


@pytest.mark.parametrize(
    ("method", "length", "version", "kept"),
    [
        (b"PUT", 65536, "1.1", True),
        (b"PUT", 65537, "1.1", False),
        (b"POST", CHUNKED, "1.1", False),
        (b"POST", CHUNKED, "2", True),
    ],
)
async def test_which_bodies_are_relayed_so(method: bytes, length: int, version: str, kept: bool) -> None:
    """In HTTP/2 an endpoint may say that it has done nothing with a request, so there any method may be sent again."""
    scene = Scene(method, length)
    scene.exchange.attempt.http_version = version
    target = cast(Any, Target())
    scene.retries.upload(target, lambda: None)
    assert (scene.caller.sink is not target, scene.retries.relayed) == (kept, kept)


@pytest.mark.parametrize(("complete", "stopped"), [(True, 0), (False, 1)])
async def test_a_body_that_is_not_kept_is_stopped_with_its_attempt(complete: bool, stopped: int) -> None:
    scene = Scene(b"PUT", 4)
    scene.caller.body_complete = complete
    assert scene.retries.end_attempt() is complete
    assert scene.caller.stopped == stopped


# -- responses that are not used


@pytest.mark.parametrize(
    ("length", "keep_alive", "complete", "awaited"),
    [
        (5, True, True, True),
        (CHUNKED, True, True, True),
        (5, False, True, False),
        (UNTIL_CLOSE, True, True, False),
        (5, True, False, False),
    ],
)
async def test_a_response_is_read_to_its_end_where_that_keeps_a_connection(
    length: int, keep_alive: bool, complete: bool, awaited: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    worth: list[bool] = []
    monkeypatch.setattr(Discard, "__init__", lambda self, stream, **of: worth.append(of["worth"]), raising=True)
    monkeypatch.setattr(Discard, "close", lambda self: None)
    scene = Scene()
    scene.caller.body_complete = complete
    scene.begins(503, length=length, keep_alive=keep_alive)
    assert worth == [awaited]


async def test_what_is_discarded_is_over_with_its_attempt() -> None:
    scene = Scene()
    scene.exchange.status = 503
    assert not scene.retries.discarding
    assert scene.begins(503)
    assert scene.retries.discarding
    scene.retries.begin_wait()
    assert (scene.retries.discarding, scene.exchange.status) == (False, 0)
    assert scene.begins(503)
    scene.retries.close()
    assert not scene.retries.discarding

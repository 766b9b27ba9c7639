from __future__ import annotations

import gc
import weakref
from contextlib import nullcontext
from typing import Any, cast

import pytest
from unit.machines import full_limiter
from unit.scene import Nobody, exchange, told

from gateway.config.fallback import Fallback, FixedResponse
from gateway.config.records import Cors
from gateway.core.attempt import NO_ATTEMPT, Attempt
from gateway.core.clock import monotonic
from gateway.core.exchange import Exchange
from gateway.core.layer import Handler
from gateway.core.message import HTTP_2, ResponseHead
from gateway.core.stream import Sink
from gateway.errors import (
    BREAKER_OPEN,
    DIAL_FAILED,
    LOCAL_RESOURCES,
    QUEUE_FULL,
    TOTAL_TIMEOUT,
    UPSTREAM_RESET,
    GatewayError,
    Reason,
)
from gateway.policy.limiter import Limiter
from gateway.proxy.layers.fall_back import discards_for, fall_back, fallback_line, takes_over
from gateway.proxy.layers.limit import limit
from gateway.wire.buffers import BUFFER_SIZE, BufferPool

ON = ("connect", "reset", "breaker", "queue", "deadline")
OPEN_PAGES = Cors(("*",), ())


class Caller(Nobody):
    """Keeps what it is told."""

    body_out = 0

    def __init__(self) -> None:
        super().__init__()
        self.told: tuple[int, bytes, bytes] | None = None

    def respond(self, status: int, lines: bytes, body: bytes) -> None:
        self.told = status, lines, body


class Second:
    """The chain of the other upstream; it may fail, too."""

    def __init__(self, error: GatewayError | None = None, **facts: Any) -> None:
        self.error = error
        self.facts = facts
        self.seen: list[Exchange] = []
        self.attempt: Attempt | None = None

    async def __call__(self, ex: Exchange) -> None:
        self.seen.append(ex)
        self.attempt = ex.attempt
        for name, value in self.facts.items():
            setattr(ex, name, value)
        if self.error is not None:
            raise self.error
        ex.status = 200


def failing(error: BaseException | None, **facts: Any) -> Handler:
    async def handle(ex: Exchange) -> None:
        for name, value in facts.items():
            setattr(ex, name, value)
        if error is not None:
            raise error
        ex.status = 200

    return handle


def discarding(status: int, **facts: Any) -> Handler:
    """A response with ``status`` came, and was left to the fallback."""

    async def handle(ex: Exchange) -> None:
        await failing(None, discarded=Rest(), **facts)(ex)
        ex.status = status

    return handle


class Rest:
    def close(self) -> None: ...


def asking(ex: Exchange) -> Attempt:
    ex.attempt, ex.attempts = Attempt("first:1"), 1
    ex.attempt.asked_at = monotonic()
    return ex.attempt


def fresh(method: bytes = b"GET", length: int = 0) -> Exchange:
    ex = exchange(method, length, monotonic())
    ex.downstream = Caller()  # type: ignore[assignment] # no stream
    ex.request_id = b"id1"
    return ex


def said(ex: Exchange) -> tuple[int, bytes, bytes]:
    caller: Any = ex.downstream
    assert caller.told is not None
    return caller.told  # type: ignore[no-any-return]


def test_without_a_fallback_there_is_no_layer() -> None:
    handler = failing(None)
    assert fall_back(None, None, None, Cors())(handler) is handler


async def test_what_goes_well_and_what_is_not_listed_passes() -> None:
    second = Second()
    layer = fall_back(Fallback(("connect",), upstream="spare"), second, None, Cors())
    ex = fresh()
    await layer(failing(None))(ex)
    assert ex.status == 200
    for error in (GatewayError(UPSTREAM_RESET), ValueError("a defect")):
        with pytest.raises(type(error)) as caught:
            await layer(failing(error))(fresh())
        assert caught.value is error
    assert second.seen == []
    assert (ex.fallback, fallback_line(ex)) == (None, b"")


async def test_the_second_upstream_finds_an_exchange_that_has_tried_nothing() -> None:
    second = Second(queued=0.25)
    ex = fresh()
    before = asking(ex)
    facts = {"breaker": "closed", "concurrent": 3, "tried": ("an endpoint",), "retries": Told()}
    first = failing(GatewayError(UPSTREAM_RESET), queued=0.5, **facts)
    await fall_back(Fallback(ON, upstream="spare"), second, full_limiter(), Cors())(first)(ex)
    behind = ex.fallback
    assert behind is not None
    assert (behind.cause, behind.reason, behind.endpoint, behind.attempts) == ("reset", "upstream_reset", "first:1", 1)
    assert second.attempt is NO_ATTEMPT
    assert before.asked_at
    assert (ex.status, ex.breaker, ex.concurrent, ex.queued, ex.tried) == (200, "", 0, 0.75, ())
    assert ex.retries is None
    assert fallback_line(ex) == b"X-Gateway-Fallback: reset\r\n"


class Told:
    """What an exchange knows of its retries."""

    withheld, shadowed = "budget", "reset"


@pytest.mark.parametrize(("retries", "noted"), [(Told(), ("budget", "reset")), (None, ("", ""))])
async def test_what_the_retries_before_have_noted_is_kept(retries: Told | None, noted: tuple[str, str]) -> None:
    ex = fresh()
    first = failing(GatewayError(UPSTREAM_RESET), retries=retries)
    await fall_back(Fallback(ON, upstream="spare"), Second(), full_limiter(), Cors())(first)(ex)
    assert ex.fallback is not None
    assert (ex.fallback.withheld, ex.fallback.shadowed) == noted


class Stream:
    """The gateway has begun a stream of events for the caller."""

    def __init__(self) -> None:
        self.appended: list[bytes] = []

    def takes_fixed(self, status: int, content_type: str) -> bool:
        return content_type == "text/event-stream"

    def append(self, body: bytes) -> None:
        self.appended.append(body)


@pytest.mark.parametrize(("kind", "appended"), [("text/event-stream", [b"data: x\n\n"]), ("text/plain", [])])
async def test_a_fixed_response_goes_on_in_a_stream_that_takes_it(kind: str, appended: list[bytes]) -> None:
    ex, stream = fresh(), Stream()
    ex.opened = stream  # type: ignore[assignment] # no more of it is used
    fallback = Fallback(ON, response=FixedResponse(200, "data: x\n\n", kind))
    error = GatewayError(BREAKER_OPEN)
    with nullcontext() if appended else pytest.raises(GatewayError):
        await fall_back(fallback, None, None, Cors())(failing(error))(ex)
    assert stream.appended == appended
    caller: Any = ex.downstream
    assert caller.told is None


async def test_a_response_that_was_discarded_has_a_status_and_no_reason() -> None:
    second = Second()
    ex = fresh()
    await fall_back(Fallback((), ((503, 503),), "spare"), second, None, Cors())(discarding(503))(ex)
    assert ex.fallback is not None
    assert (ex.fallback.cause, ex.fallback.reason, ex.status) == ("503", "", 200)


async def test_what_the_second_raises_is_the_end() -> None:
    last = GatewayError(DIAL_FAILED)
    second = Second(last)
    ex = fresh()
    with pytest.raises(GatewayError) as caught:
        await fall_back(Fallback(ON, upstream="spare"), second, None, Cors())(failing(GatewayError(BREAKER_OPEN)))(ex)
    assert caught.value is last
    assert last.__context__ is None
    assert len(second.seen) == 1


@pytest.mark.parametrize("facts", [{"committed": True}, {"bytes_in": 1}])
async def test_nothing_goes_to_the_second_after_commit_or_without_the_body(facts: dict[str, Any]) -> None:
    second, error = Second(), GatewayError(UPSTREAM_RESET)
    ex = fresh(b"POST", 4)
    with pytest.raises(GatewayError) as caught:
        await fall_back(Fallback(ON, upstream="spare"), second, None, Cors())(failing(error, **facts))(ex)
    assert caught.value is error
    assert second.seen == []


@pytest.mark.parametrize(
    ("first", "ends"),
    [
        (failing(GatewayError(UPSTREAM_RESET)), UPSTREAM_RESET),
        (failing(GatewayError(TOTAL_TIMEOUT)), TOTAL_TIMEOUT),
        (discarding(503), TOTAL_TIMEOUT),
    ],
)
async def test_no_time_is_left_for_the_second(first: Handler, ends: object) -> None:
    second = Second()
    ex = fresh()
    ex.deadline = monotonic() - 0.001
    with pytest.raises(GatewayError) as caught:
        await fall_back(Fallback(ON, upstream="spare"), second, None, Cors())(first)(ex)
    assert caught.value.reason is ends
    assert second.seen == []


async def test_the_second_has_what_is_left_of_the_time() -> None:
    second = Second()
    ex = fresh()
    end = monotonic() + 60.0
    layer = fall_back(Fallback(ON, upstream="spare"), second, None, Cors())
    await layer(failing(GatewayError(UPSTREAM_RESET), deadline=end))(ex)
    assert ex.deadline == pytest.approx(end, abs=1.0)
    assert ex.status == 200


@pytest.mark.parametrize(
    ("first", "cause"),
    [
        (failing(GatewayError(TOTAL_TIMEOUT), reason="total_timeout"), b"deadline"),
        (discarding(500), b"500"),
        (failing(GatewayError(QUEUE_FULL)), b"queue"),
    ],
)
async def test_a_fixed_response(first: Handler, cause: bytes) -> None:
    ex = fresh(b"POST", 4)
    ex.bytes_in, ex.queued = 1, 0.5
    asking(ex)
    fixed = Fallback(ON, ((500, 599),), response=FixedResponse(200, "b\u00fcsy", "text/x"))
    await fall_back(fixed, None, None, Cors())(first)(ex)
    lines = b"Content-Type: text/x\r\nX-Request-Id: id1\r\nX-Gateway-Fallback: %b\r\n" % cause
    assert said(ex) == (200, lines, "b\u00fcsy".encode())
    assert (ex.committed, ex.status, ex.reason, ex.bytes_out, ex.queued) == (True, 200, "", 5, 0.5)
    assert (ex.attempt, ex.discarded) == (NO_ATTEMPT, None)


class Quota:
    limited: tuple[int, ...] = ()
    shown = True

    def lines(self) -> bytes:
        return b'RateLimit: "client";r=3\r\n'


async def test_a_fixed_response_says_what_is_left_of_rate_limits() -> None:
    ex = fresh()
    ex.quota = Quota()
    await fall_back(Fallback(ON, response=FixedResponse(200)), None, None, Cors())(discarding(500))(ex)
    assert said(ex)[1].endswith(b'RateLimit: "client";r=3\r\n')


@pytest.mark.parametrize(("status", "comes_back"), [(503, True), (429, True), (200, False), (404, False)])
async def test_a_fixed_refusal_says_when_to_come_back(status: int, comes_back: bool) -> None:
    ex = fresh()
    ex.timed = True
    fixed = Fallback(ON, response=FixedResponse(status))
    await fall_back(fixed, None, None, OPEN_PAGES)(failing(GatewayError(QUEUE_FULL, retry_after=7)))(ex)
    _, lines, body = said(ex)
    assert (b"Retry-After: 7\r\n" in lines) is comes_back
    assert b"Access-Control-Allow-Origin: *\r\n" in lines
    assert b"Server-Timing: " in lines
    assert body == b""


async def test_grpc_gets_no_fixed_response() -> None:
    ex = fresh(b"POST", 4)
    ex.request.minor = HTTP_2
    ex.request.fields.append(b"content-type: application/grpc+proto")
    with pytest.raises(GatewayError):
        await fall_back(Fallback(ON, response=FixedResponse()), None, None, Cors())(failing(GatewayError(DIAL_FAILED)))(
            ex
        )


@pytest.mark.interpreted  # compiled exceptions have no weak references
async def test_the_first_failure_is_not_kept_by_its_own_frames() -> None:
    async def handle(ex: Exchange) -> None:
        raise kept.pop()

    kept = [GatewayError(DIAL_FAILED)]
    gone = weakref.ref(kept[0])
    gc.disable()
    try:
        await fall_back(Fallback(ON, upstream="spare"), Second(), None, Cors())(handle)(fresh())
        assert gone() is None
    finally:
        gc.enable()


@pytest.mark.parametrize("linger", [0.0, 0.02])
async def test_the_first_permit_is_back_before_the_second_upstream_is_asked(linger: float) -> None:
    limiter = Limiter(1, linger=linger)
    seen: list[int] = []

    async def cut_in_the_middle(ex: Exchange) -> None:
        asking(ex)
        raise GatewayError(UPSTREAM_RESET)

    async def second(ex: Exchange) -> None:
        seen.append(limiter.in_flight)

    layer = fall_back(Fallback(ON, upstream="spare"), second, limiter, Cors())
    await layer(limit(limiter)(cut_in_the_middle))(fresh())
    assert seen == [0]


BUSY = ((500, 503),)


@pytest.mark.parametrize("fallback", [None, Fallback(("connect",), upstream="spare")])
def test_without_a_listed_status_nothing_is_looked_at(fallback: Fallback | None) -> None:
    assert discards_for(fallback) is None


def test_a_listed_status_is_discarded_when_the_request_can_be_sent_again() -> None:
    discards = discards_for(Fallback((), BUSY, "spare"))
    assert discards is not None
    assert [discards(exchange(), status) for status in (499, 500, 503, 504)] == [False, True, True, False]
    relayed = exchange(b"POST", length=4)
    relayed.bytes_in = 4
    assert not discards(relayed, 503)
    relayed.body = b"kept"
    assert discards(relayed, 503)


def test_for_a_fixed_response_the_body_does_not_matter_but_grpc_does() -> None:
    discards = discards_for(Fallback((), BUSY, response=FixedResponse()))
    assert discards is not None
    assert discards(told(bytes_in=4), 503)
    call = exchange(b"POST", length=4)
    call.request.minor = HTTP_2
    call.request.fields.append(b"Content-Type: application/grpc")
    assert not discards(call, 503)


TO_SMALL = Fallback(("connect",), ((503, 503),), "spare", rewrite=(("model", "small"),))


async def test_the_second_upstream_gets_another_model() -> None:
    second = Second()
    ex = fresh(b"POST", 15)
    ex.body = b'{"model": "big"}'
    await fall_back(TO_SMALL, second, None, Cors())(failing(GatewayError(DIAL_FAILED)))(ex)
    assert ex.body == b'{"model": "small"}'
    assert second.seen == [ex]
    assert ex.request.length == len(ex.body)


@pytest.mark.parametrize(("length", "possible"), [(1000, True), (2**20 + 1, False), (-1, False)])
async def test_a_body_that_cannot_be_changed_leaves_the_first_error(length: int, possible: bool) -> None:
    ex = fresh(b"POST", length)
    ex.downstream.body_complete = False  # type: ignore[misc] # nothing of it was taken
    discards = discards_for(TO_SMALL)
    assert discards is not None
    assert discards(ex, 503) is possible
    if not possible:
        with pytest.raises(GatewayError) as caught:
            await fall_back(TO_SMALL, Second(), None, Cors())(failing(GatewayError(DIAL_FAILED)))(ex)
        assert caught.value.reason is DIAL_FAILED


class Uploading(Caller):
    """Its body is there as soon as it is asked for."""

    body_complete = False

    def take_body(self) -> bytes:
        return b'{"model": "big"}'


@pytest.mark.parametrize("fails", [False, True])
async def test_a_body_that_is_collected_has_room_in_the_budget_of_the_buffers_until_the_end(fails: bool) -> None:
    buffers = BufferPool(1)
    kept: list[int] = []

    async def second(ex: Exchange) -> None:
        kept.append(buffers.kept)
        if fails:
            raise GatewayError(DIAL_FAILED)

    ex = fresh(b"POST", 16)
    ex.downstream = Uploading()  # type: ignore[assignment] # no stream
    handle = fall_back(TO_SMALL, second, None, Cors(), buffers)(failing(GatewayError(DIAL_FAILED)))
    with pytest.raises(GatewayError) if fails else nullcontext():
        await handle(ex)
    assert (kept, buffers.kept) == ([16], 0)
    ex = fresh(b"POST", 16)
    ex.body = b'{"model": "big"}'
    with pytest.raises(GatewayError) if fails else nullcontext():
        await handle(ex)
    assert (kept, buffers.kept) == ([16, 16], 0), "one that another layer has left behind counts too"


async def test_what_is_kept_for_the_second_is_let_go_when_it_is_not_needed() -> None:
    buffers, kept = BufferPool(1), list[int]()

    async def first(ex: Exchange) -> None:
        assert ex.keeper is not None
        for size, room in ((16, True), (BUFFER_SIZE + 1, False), (BUFFER_SIZE, True), (10, True)):
            assert ex.keeper.keep(size) is room
            kept.append(buffers.kept)
        ex.keeper.forget()
        ex.keeper.forget()
        kept.append(buffers.kept)
        assert ex.keeper.keep(5)

    await fall_back(TO_SMALL, Second(), None, Cors(), buffers)(first)(fresh())
    assert (kept, buffers.kept) == ([16, 16, BUFFER_SIZE, BUFFER_SIZE, 0], 0)


@pytest.mark.parametrize("fallback", [Fallback(ON, response=FixedResponse()), None], ids=["response", "none"])
async def test_nothing_is_kept_where_no_other_upstream_may_be_asked(fallback: Fallback | None) -> None:
    seen: list[Exchange] = []

    async def first(ex: Exchange) -> None:
        seen.append(ex)

    await fall_back(fallback, None, None, Cors(), BufferPool(1))(first)(fresh())
    assert seen[0].keeper is None


@pytest.mark.parametrize(
    ("first", "reason"), [(failing(GatewayError(DIAL_FAILED)), DIAL_FAILED), (discarding(503), LOCAL_RESOURCES)]
)
async def test_without_room_the_failure_stands(first: Handler, reason: Reason) -> None:
    buffers = BufferPool(1)
    assert buffers.keep(BUFFER_SIZE - 15)
    ex = fresh(b"POST", 16)
    ex.downstream = Uploading()  # type: ignore[assignment] # no stream
    second = Second()
    with pytest.raises(GatewayError) as caught:
        await fall_back(TO_SMALL, second, None, Cors(), buffers)(first)(ex)
    assert caught.value.reason is reason
    assert (second.seen, buffers.kept) == ([], BUFFER_SIZE - 15)


class Kept(Caller):
    """The caller, who gets the response of the first upstream late: ``full`` until the kernel has it."""

    blocked = 0.0

    def __init__(self, *, full: bool = False) -> None:
        super().__init__()
        self.full = full
        self.given: list[bytes] = []

    def later(self, ex: Exchange, head: ResponseHead) -> Sink:
        ex.committed = True
        return cast(Any, self)

    def whole(self, body: memoryview) -> None:
        self.given.append(bytes(body))

    async def sent(self) -> float:
        self.full = False
        return 0.25


def responding(body: bytes | None) -> Handler:
    """The first upstream responds with 503, whose ``body`` is there as a whole, or is not."""

    async def handle(ex: Exchange) -> None:
        asking(ex)
        caller: Any = ex.downstream
        assert ex.keeper is not None
        head = ResponseHead(503, b"", 1, [], {}, 2, keep_alive=True)
        ex.discarded = sink = ex.keeper.discard(head, cast(Any, None), caller.later, complete=True)
        ex.status = 503
        if body is not None:
            cast(Sink, sink).whole(memoryview(body))

    return handle


TO_OTHER = Fallback(ON, ((503, 503),), "other")


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize(("reason", "word"), [(BREAKER_OPEN, "breaker"), (QUEUE_FULL, "queue")])
async def test_a_second_that_rejects_leaves_the_response_of_the_first(full: bool, reason: Reason, word: str) -> None:
    buffers, ex = BufferPool(1), fresh()
    caller = Kept(full=full)
    ex.downstream = caller  # type: ignore[assignment] # no stream
    second = Second(GatewayError(reason), breaker="open", concurrent=9)
    await fall_back(TO_OTHER, second, None, Cors(), buffers)(responding(b"no"))(ex)
    assert (ex.status, caller.given, buffers.kept, ex.blocked) == (503, [b"no"], 0, 0.25 if full else 0.0)
    assert (ex.attempt.endpoint, ex.attempts, ex.breaker, ex.concurrent) == ("first:1", 1, "", 0)
    assert ex.fallback is not None
    assert (ex.fallback.cause, ex.fallback.rejected) == ("503", word)


@pytest.mark.parametrize("buffers", [BufferPool(1), BufferPool(0)], ids=["not whole", "no room"])
async def test_a_rejection_stands_where_the_response_was_not_kept(buffers: BufferPool) -> None:
    ex = fresh()
    ex.downstream = caller = Kept()  # type: ignore[assignment] # no stream
    body = None if buffers.capacity else b"no"
    with pytest.raises(GatewayError) as caught:
        await fall_back(TO_OTHER, Second(GatewayError(QUEUE_FULL)), None, Cors(), buffers)(responding(body))(ex)
    assert (caught.value.reason, caller.given, buffers.kept) == (QUEUE_FULL, [], 0)


async def test_a_second_that_rejects_leaves_the_failure_of_the_first() -> None:
    failure, ex = GatewayError(DIAL_FAILED), fresh()
    with pytest.raises(GatewayError) as caught:
        await fall_back(TO_OTHER, Second(GatewayError(BREAKER_OPEN)), None, Cors(), BufferPool(1))(failing(failure))(ex)
    assert caught.value is failure


async def test_a_second_that_has_sent_something_is_the_end() -> None:
    """A retry of its own was rejected behind it, say."""
    ex = fresh()
    second = Second(GatewayError(BREAKER_OPEN), attempts=2)
    with pytest.raises(GatewayError) as caught:
        await fall_back(TO_OTHER, second, None, Cors(), BufferPool(1))(failing(GatewayError(DIAL_FAILED)))(ex)
    assert caught.value.reason is BREAKER_OPEN


@pytest.mark.parametrize(("reason", "taken"), [(DIAL_FAILED, True), (TOTAL_TIMEOUT, True), (LOCAL_RESOURCES, False)])
def test_what_it_takes_over_from(reason: Reason, taken: bool) -> None:
    takes = takes_over(TO_OTHER)
    assert takes is not None
    assert takes(fresh(), GatewayError(reason)) is taken
    assert takes_over(None) is None


async def test_without_room_for_the_body_the_response_of_the_first_stands() -> None:
    buffers, ex, second = BufferPool(1), fresh(b"POST", BUFFER_SIZE), Second()
    ex.downstream = caller = Kept()  # type: ignore[assignment] # no stream
    ex.body = bytes(BUFFER_SIZE)
    await fall_back(TO_OTHER, second, None, Cors(), buffers)(responding(b"no"))(ex)
    assert (ex.status, caller.given, second.seen, buffers.kept) == (503, [b"no"], [], 0)

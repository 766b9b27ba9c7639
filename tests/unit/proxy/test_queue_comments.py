"""When those who wait get comments, on a clock turned by hand."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from unit.machines import full_limiter, turns
from unit.scene import Clock

from gateway.config.records import Cors
from gateway.core.exchange import Exchange
from gateway.core.limits import Limits
from gateway.core.message import RequestHead
from gateway.core.peer import Peer
from gateway.policy.limiter import Limiter, Waiter
from gateway.proxy.queue_comments import QueueComments, accepts_events
from gateway.wire.memory import MemoryStream

ACCEPTS = b"Accept: text/event-stream"


def asked(*fields: bytes, method: bytes = b"GET", known: dict[bytes, bytes] | None = None) -> Exchange:
    down = MemoryStream(Peer("192.0.2.1", 1, b"http", lambda address: False), Limits())
    ex = Exchange(down, RequestHead(method, b"/", 1, list(fields), known or {}, 0, True), 0.0)
    ex.request_id = b"7"
    return ex


class Alarm:
    """One call that is due, in place of the timers of an event loop."""

    def __init__(self) -> None:
        self.due: Callable[[], None] | None = None
        self.after = 0.0

    def call_later(self, after: float, call: Callable[[], None]) -> Alarm:
        assert self.due is None, "one timer for all"
        self.after, self.due = after, call
        return self

    def cancel(self) -> None:
        self.due = None


class Scene:
    def __init__(self, interval: float = 5.0, cors: Cors = Cors()) -> None:  # noqa: B008 - frozen
        self.clock = Clock()
        self.limiter: Limiter = full_limiter(clock=self.clock)
        self.alarm = Alarm()
        self.comments = QueueComments(self.limiter, interval, cors, self.alarm.call_later)

    def join(self, ex: Exchange | None = None) -> tuple[Exchange, Waiter]:
        ex = ex or asked(ACCEPTS)
        waiter = self.limiter.join()
        assert waiter is not None
        self.comments.enter(ex, waiter)
        return ex, waiter

    def go_on(self, seconds: float) -> None:
        self.clock.now += seconds
        due, self.alarm.due = self.alarm.due, None
        assert due is not None
        due()


def got(ex: Exchange) -> bytes:
    down = ex.downstream
    assert isinstance(down, MemoryStream)
    return bytes(down.received)


async def test_all_get_their_positions_with_each_look_once_they_have_waited() -> None:
    scene = Scene()
    (first, waiter), (second, _) = scene.join(), scene.join()
    assert scene.alarm.after == 5.0
    scene.clock.now += 2.0
    third, _ = scene.join()
    scene.go_on(3.0)
    assert (got(first), got(second), got(third)) == (b": queued position=1\n\n", b": queued position=2\n\n", b"")
    assert third.opened is None, "its rejection still has a status"
    scene.limiter.leave(waiter)
    await turns()
    scene.go_on(5.0)
    assert got(first) == b": queued position=1\n\n", "it does not wait any more"
    assert (got(second), got(third)) == (
        b": queued position=2\n\n: queued position=1\n\n",
        b": queued position=2\n\n",
    )


async def test_the_timer_runs_only_while_someone_waits() -> None:
    scene = Scene()
    assert scene.alarm.due is None
    _, waiter = scene.join()
    assert scene.alarm.due is not None
    scene.limiter.leave(waiter)
    await turns()
    assert scene.alarm.due is None
    scene.comments.look()
    assert scene.alarm.due is None


async def test_the_head_has_what_pages_and_operators_need() -> None:
    scene = Scene(cors=Cors(("https://app.test",)))
    ex, _ = scene.join(asked(ACCEPTS, b"Origin: https://app.test"))
    scene.go_on(5.0)
    down = ex.downstream
    assert isinstance(down, MemoryStream)
    assert b"X-Request-Id: 7\r\n" in down.lines
    assert b"Access-Control-Allow-Origin: https://app.test\r\n" in down.lines
    assert not ex.committed


@pytest.mark.parametrize(
    ("fields", "accepts"),
    [
        ([ACCEPTS], True),
        ([b"accept:text/html , Text/Event-Stream;q=0.5"], True),
        ([b"Accept: application/json", b"Accept: text/event-stream"], True),
        ([b"Accept: text/event-stream; q=1"], True),
        ([b"Accept: text/event-stream;Q=0.000, */*"], False),
        ([b"Accept: text/event-stream ; q = 0"], False),
        ([b"Accept: */*"], False),
        ([b"Accept: text/event-streams"], False),
        ([b"X-Accept: text/event-stream"], False),
        ([], False),
    ],
)
def test_who_accepts_events(fields: list[bytes], accepts: bool) -> None:
    assert accepts_events(asked(*fields).request) is accepts


async def test_some_who_accept_them_get_none() -> None:
    comments = Scene().comments
    assert comments.are_for(asked(ACCEPTS))
    assert not comments.are_for(asked(ACCEPTS, method=b"HEAD"))
    upgrade = {b"upgrade": b"websocket", b"connection": b"upgrade"}
    assert not comments.are_for(asked(ACCEPTS, known=upgrade))

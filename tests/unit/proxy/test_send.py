"""One attempt and its reply: a caller in memory, and an endpoint on a link without a socket."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from time import monotonic
from typing import Any, Final

import pytest
from harness.scripted import ScriptedTransport

from gateway import errors
from gateway.config.records import Header, Retries, Route
from gateway.core.exchange import Exchange
from gateway.core.limits import Limits
from gateway.core.peer import Peer
from gateway.errors import GatewayError
from gateway.policy.group import Condition
from gateway.policy.member import Member
from gateway.proxy import reply
from gateway.proxy.send import send
from gateway.upstream.endpoint import Endpoint
from gateway.upstream.origin import Origin
from gateway.wire.buffers import BufferPool
from gateway.wire.h1.client import H1Client
from gateway.wire.h1.head import HeadParser
from gateway.wire.memory import MemoryStream

pytestmark = pytest.mark.interpreted  # `Caller` inherits from a class of the gateway's

URL = "http://up.test:9/base"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Caller(MemoryStream):
    """It awaits a ``100 Continue`` before it sends its body, when it ``expects`` one."""

    __slots__ = ("expects",)

    def __init__(self, body: bytes = b"", *, expects: bool = False) -> None:
        super().__init__(Peer("192.0.2.1", 5, b"http", lambda address: False), Limits(), body)
        self.expects = expects

    @property
    def awaits_continue(self) -> bool:
        return self.expects


class Pool:
    """Its connections are made by the test, or in `dial`."""

    absolute_form = b""
    proxy_fields: Final[list[tuple[bytes, bytes]]] = []

    def __init__(self) -> None:
        self.connector = self
        self.idle: list[H1Client] = []
        self.transports: list[ScriptedTransport] = []

    def connection(self) -> H1Client:
        made = H1Client(asyncio.get_running_loop(), BufferPool(), HeadParser())
        made.on_idle = self.idle.append
        self.transports.append(ScriptedTransport(made))
        return made

    def take(self) -> H1Client | None:
        return self.idle.pop() if self.idle else None

    async def dial(self) -> H1Client:
        return self.connection()


class Stage:
    def __init__(self, response_header: float = 30.0, **settings: Any) -> None:
        self.pool = Pool()
        endpoint = Endpoint(Origin.of(URL), self.pool, None, Condition(Member(URL)))  # type: ignore[arg-type]
        route = replace(Route("p", "/p", "p", access_rule="true"), **settings)
        self.handle = send(route, endpoint, response_header)
        self.exchange: Exchange
        self.task: asyncio.Future[None]

    async def begin(self, caller: MemoryStream, method: bytes = b"GET", length: int = 0, *lines: bytes) -> None:
        head = HeadParser().request(b"\r\n".join((method + b" /p/x?q HTTP/1.1", b"Host: a", *lines)), Limits())
        head.length = length
        self.exchange = Exchange(caller, head, monotonic())
        self.exchange.request_id = b"id1"
        await self.again()

    async def again(self) -> None:
        self.task = asyncio.ensure_future(self.handle(self.exchange))
        for _ in range(3):
            await asyncio.sleep(0)

    @property
    def endpoint(self) -> ScriptedTransport:
        return self.pool.transports[-1]


async def test_what_the_endpoint_gets_and_the_caller_too() -> None:
    stage = Stage(headers=(Header("X-Key", ("k",)),))
    caller = Caller()
    await stage.begin(caller, b"GET", 0, b"X-Key: mine")
    assert stage.endpoint.taken == (
        b"GET /base/x?q HTTP/1.1\r\nHost: up.test:9\r\nX-Forwarded-For: 192.0.2.1\r\nX-Forwarded-Host: a\r\n"
        b"X-Forwarded-Proto: http\r\nX-Forwarded-Prefix: /p\r\nVia: 1.1 breakwater\r\nX-Key: k\r\n"
        b"X-Request-Id: id1\r\n\r\n"
    )
    stage.endpoint.say(OK)
    await stage.task
    assert (caller.status, bytes(caller.received), caller.complete) == (200, b"ok", True)
    assert caller.lines == b"X-Request-Id: id1\r\n"
    assert len(stage.pool.idle) == 1


async def test_the_facts_of_two_attempts_stay_apart() -> None:
    stage = Stage()
    stage.pool.idle.append(stage.pool.connection())
    await stage.begin(Caller())
    first = stage.exchange.attempt
    assert (first.reused, first.endpoint, first.asked_at > 0) == (True, "up.test:9", True)
    stage.endpoint.lose()
    with pytest.raises(GatewayError) as caught:
        await stage.task
    assert caught.value.reason is errors.UPSTREAM_RESET
    await stage.again()
    second = stage.exchange.attempt
    assert second is not first
    assert (second.reused, second.first_byte_at, stage.exchange.attempts) == (False, 0.0, 2)
    assert stage.exchange.retried > 0
    stage.endpoint.say(OK)
    await stage.task
    assert second.first_byte_at >= second.asked_at
    assert first.first_byte_at == 0.0


async def test_a_cancelled_attempt_closes_its_connection() -> None:
    stage = Stage()
    await stage.begin(Caller())
    stage.exchange.gone_at = 7.0
    stage.task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await stage.task
    assert stage.endpoint.lost
    assert stage.pool.idle == []


@pytest.mark.parametrize("answers", [True, False])
async def test_a_body_waits_for_100_continue(answers: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reply, "CONTINUE_SECONDS", 0.0 if not answers else 60.0)
    stage = Stage()
    caller = Caller(b"body", expects=True)
    await stage.begin(caller, b"POST", 4, b"Content-Length: 4", b"Expect: 100-continue")
    if answers:
        assert not stage.endpoint.taken.endswith(b"body")
        stage.endpoint.say(b"HTTP/1.1 100 Continue\r\n\r\n")
    else:
        await asyncio.sleep(0.01)
    assert stage.endpoint.taken.endswith(b"\r\n\r\nbody")
    assert [head.status for head in caller.interims] == [100]
    if not answers:
        stage.endpoint.say(b"HTTP/1.1 100 Continue\r\n\r\n")
        assert len(caller.interims) == 1, "one that comes after ours is one too many"
    stage.endpoint.say(OK)
    await stage.task
    assert (caller.status, stage.exchange.attempt.sent_at > 0) == (200, True)


async def test_a_final_response_instead_of_100_continue_leaves_the_body_unsent() -> None:
    stage = Stage()
    await stage.begin(Caller(b"body", expects=True), b"POST", 4, b"Content-Length: 4", b"Expect: 100-continue")
    stage.endpoint.say(OK.replace(b"200 OK", b"413 Too Large"))
    await stage.task
    assert not stage.endpoint.taken.endswith(b"body")
    assert stage.endpoint.lost, "the endpoint was promised a body"


async def test_interim_responses_pass_but_for_a_100_behind_a_sent_body() -> None:
    stage = Stage()
    caller = Caller(b"body")
    await stage.begin(caller, b"POST", 4, b"Content-Length: 4")
    stage.endpoint.say(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\n\r\n")
    stage.endpoint.say(OK)
    await stage.task
    assert [head.status for head in caller.interims] == [103]


class Told:
    """Retries that say what they are told."""

    relayed = False

    def __init__(self, *, discarding: bool) -> None:
        self.discarding = discarding
        self.begins = 0

    def discard(self, head: object, stream: object, later: object) -> None:
        del head, stream, later

    def begun(self) -> None:
        self.begins += 1

    def end_attempt(self) -> bool:
        return True


@pytest.mark.parametrize("discarding", [False, True])
async def test_no_interim_response_of_an_attempt_that_is_discarded(discarding: bool) -> None:
    stage, caller = Stage(), Caller()
    await stage.begin(caller)
    stage.exchange.retries = told = Told(discarding=discarding)  # type: ignore[assignment] # as much as is asked
    stage.endpoint.say(b"HTTP/1.1 103 Early Hints\r\n\r\n")
    assert len(caller.interims) == (0 if discarding else 1)
    assert told.begins == 0
    stage.endpoint.say(OK)
    await stage.task
    assert (caller.status, told.begins) == (200, 1)


@pytest.mark.parametrize(("failures", "dialled"), [(("stale",), True), (("503",), False), (("stale", "reset"), False)])
async def test_only_what_met_a_stale_connection_gets_a_new_one(failures: tuple[str, ...], dialled: bool) -> None:
    stage = Stage()
    stage.pool.idle.append(stage.pool.connection())
    await stage.begin(Caller())
    stage.endpoint.lose()
    with pytest.raises(GatewayError):
        await stage.task
    stage.pool.idle.append(stage.pool.connection())
    stage.exchange.failures = failures
    await stage.again()
    assert (stage.exchange.attempt.reused, len(stage.pool.idle)) == (not dialled, int(dialled))
    stage.endpoint.say(OK)
    await stage.task


async def test_the_time_of_earlier_attempts_and_of_pauses_adds_up(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr("gateway.proxy.send.monotonic", lambda: now)
    stage = Stage()
    for at in (1000.0, 1002.5, 1007.0):
        now = at
        if at == 1000.0:
            await stage.begin(Caller())
        else:
            await stage.again()
        stage.endpoint.lose()
        with pytest.raises(GatewayError):
            await stage.task
    assert (stage.exchange.retried, stage.exchange.attempts) == (7.0, 3)


@pytest.mark.parametrize(
    ("response_header", "settings", "bound"),
    [
        (0.0, Retries(2, ("timeout",), per_try_timeout=3.0), 3.0),
        (2.0, Retries(2, ("timeout",), per_try_timeout=3.0), 2.0),
        (5.0, Retries(2, ("timeout",), per_try_timeout=3.0), 3.0),
        (5.0, Retries(2, ("timeout",)), 5.0),
        (5.0, Retries(2, ("timeout",), per_try_timeout=3.0, mode="shadow"), 5.0),
        (5.0, Retries(1, (), per_try_timeout=3.0), 5.0),
        (0.0, Retries(1, (), per_try_timeout=3.0), 0.0),
    ],
)
@pytest.mark.parametrize("body", [b"", b"whole", b"held"])
async def test_the_head_of_a_response_is_due_by_the_shorter_time(
    response_header: float, settings: Retries, bound: float, body: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[float] = []
    monkeypatch.setattr("gateway.proxy.send.monotonic", lambda: 1000.0)
    monkeypatch.setattr("gateway.proxy.reply.monotonic", lambda: 1000.0)
    monkeypatch.setattr(H1Client, "expect_by", lambda self, at, reason: asked.append(at))
    stage = Stage(response_header, retries=settings)
    await stage.begin(Caller(body, expects=body == b"held"), b"PUT", len(body), b"Content-Length: %d" % len(body))
    assert [at for at in asked if at] == ([1000.0 + bound] if bound else [])
    stage.endpoint.say(OK)
    await stage.task


async def test_the_time_to_connect_is_a_part_of_the_time_of_an_attempt(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[float] = []
    times = iter([1000.0, 1000.5, 1000.5, 1002.0, 1002.0, 1002.0])
    monkeypatch.setattr("gateway.proxy.send.monotonic", lambda: next(times, 1002.0))
    monkeypatch.setattr(H1Client, "expect_by", lambda self, at, reason: asked.append(at))
    stage = Stage(9.0, retries=Retries(2, ("timeout",), per_try_timeout=3.0))
    await stage.begin(Caller())
    assert asked == [1003.0]
    stage.endpoint.say(OK)
    await stage.task


async def test_a_connection_that_does_not_open_in_the_time_of_an_attempt(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = Stage(retries=Retries(2, ("timeout",), per_try_timeout=0.001))

    async def never() -> H1Client:
        await asyncio.get_running_loop().create_future()
        raise AssertionError

    monkeypatch.setattr(stage.pool, "dial", never)
    await stage.begin(Caller())
    with pytest.raises(GatewayError) as caught:
        await stage.task
    assert caught.value.reason is errors.DIAL_TIMEOUT
    assert "per_try_timeout" in caught.value.details

"""Which requests share which connection, when one is dialled, and when one is closed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from math import inf

import pytest
from unit.scene import Clock

from gateway import errors
from gateway.config.tls_context import client_context
from gateway.errors import GatewayError
from gateway.upstream.pool import IdleBudget, Keeping
from gateway.upstream.sessions import SessionPool
from gateway.upstream.tls import EndpointTls
from gateway.wire.connect import Dialled


class Stream:
    http_version = "2"

    def __init__(self, session: Session) -> None:
        self.session = session
        self.over = False

    def abandon(self, gone_at: float) -> None:
        if not self.over:
            self.over = True
            self.session.streams -= 1
            if self.session.leaving:
                self.session.check()
            elif self.session.on_free is not None:
                self.session.on_free(self.session)


class Session:
    """A connection for ``limit`` requests at a time."""

    def __init__(self, limit: int = 100, address: str = "192.0.2.1") -> None:
        self.loop = asyncio.get_running_loop()
        self.transport = None
        self.on_lost: Callable[[object], None] | None = None
        self.on_free: Callable[[object], None] | None = None
        self.on_http_1_1: Callable[[], bool] | None = None
        self.on_abandoned: object = None
        self.body_idle = 0.0
        self.leaving = False
        self.closed = False
        self.streams = 0
        self.limit = limit
        self.address = address

    @property
    def room(self) -> int:
        return 0 if self.leaving or self.closed else self.limit - self.streams

    def open(self) -> Stream:
        self.streams += 1
        return Stream(self)

    def leave(self) -> None:
        self.leaving = True
        self.check()

    def check(self) -> None:
        if not self.streams:
            self.lose()

    def lose(self) -> None:
        if not self.closed:
            self.closed = True
            assert self.on_lost is not None
            self.on_lost(self)


class Transport:
    """One that is open."""

    def is_closing(self) -> bool:
        return False


class Connection:
    """For one request at a time."""

    http_version = "1.1"
    named_body = False
    idle_limit = inf
    abandoned_at = 0.0

    def __init__(self) -> None:
        self.transport: Transport | None = Transport()
        self.on_lost: Callable[[object], None] | None = None
        self.on_idle: Callable[[object], None] | None = None

    def abort(self) -> None:
        self.transport = None
        if self.on_lost is not None:
            self.on_lost(self)

    close = abort


class Connector:
    """Each dial waits until the test `answer`s it."""

    def __init__(self) -> None:
        context = client_context()
        self.tls = EndpointTls(context, context, http_1_1=context)
        self.only_http_1_1 = False
        self.current: frozenset[str] | None = None
        self.stale_at = inf
        self.on_moved: Callable[[], object] = lambda: None
        self.dials: list[asyncio.Future[Dialled]] = []
        self.closed = False

    async def dial_any(self) -> Dialled:
        self.dials.append(asyncio.get_running_loop().create_future())
        return await self.dials[-1]

    def address_of(self, connection: object) -> str:
        return str(getattr(connection, "address", "192.0.2.1"))

    def follow(self) -> None:
        self.stale_at = inf

    async def aclose(self) -> None:
        self.closed = True


class Stage:
    def __init__(self, **settings: float) -> None:
        self.clock = Clock()
        self.connector = Connector()
        self.budget = IdleBudget()
        idle = settings.pop("idle", 90.0)
        self.pool = SessionPool(
            self.connector,  # type: ignore[arg-type]
            Keeping(idle, 300.0, self.budget, clock=self.clock, **settings),  # type: ignore[arg-type]
        )
        self.sessions: list[Session] = []

    async def ask(self, count: int = 1) -> list[asyncio.Future[Stream]]:
        asked = [asyncio.ensure_future(self._ask()) for _ in range(count)]
        await turn()
        return asked

    async def _ask(self) -> Stream:
        stream = self.pool.take()
        return stream if stream is not None else await self.pool.dial()  # type: ignore[return-value]

    async def answer(self, limit: int = 100, address: str = "192.0.2.1") -> Session:
        """The oldest dial finds an endpoint that speaks HTTP/2."""
        self.sessions.append(Session(limit, address))
        self._oldest().set_result(Dialled(session=self.sessions[-1]))  # type: ignore[arg-type]
        await turn()
        return self.sessions[-1]

    async def answer_alone(self) -> Connection:
        made = Connection()
        self._oldest().set_result(Dialled(made))  # type: ignore[arg-type]
        await turn()
        return made

    async def fail(self, error: BaseException) -> None:
        self._oldest().set_exception(error)
        await turn()

    def _oldest(self) -> asyncio.Future[Dialled]:
        return next(dial for dial in self.connector.dials if not dial.done())


async def turn() -> None:
    for _ in range(6):
        await asyncio.sleep(0)


async def test_a_cold_burst_is_one_dial() -> None:
    stage = Stage()
    asked = await stage.ask(100)
    assert len(stage.connector.dials) == 1
    session = await stage.answer()
    assert all(request.done() for request in asked)
    assert session.streams == 100
    assert (stage.pool.open, stage.pool.idle, stage.pool.dials) == (1, 0, 1)


async def test_a_limit_that_is_known_makes_as_many_dials_as_are_needed() -> None:
    stage = Stage()
    asked = await stage.ask(25)
    await stage.answer(limit=10)
    assert [request.done() for request in asked].count(True) == 10
    assert len(stage.connector.dials) == 3
    await stage.answer(limit=10)
    await stage.answer(limit=10)
    assert all(request.done() for request in asked)
    assert sorted(session.streams for session in stage.sessions) == [5, 10, 10]


async def test_a_place_that_becomes_free_goes_to_one_who_waits() -> None:
    stage = Stage()
    (first,) = await stage.ask()
    await stage.answer(limit=1)
    (second,) = await stage.ask()
    assert (second.done(), len(stage.connector.dials)) == (False, 2)
    first.result().abandon(0.0)
    await turn()
    assert second.done()
    spare = await stage.answer(limit=1)
    assert (stage.pool.idle, spare.streams) == (1, 0)


async def test_the_session_that_has_had_room_for_the_longest_time_is_taken() -> None:
    stage = Stage()
    asked = await stage.ask(2)
    one = await stage.answer(limit=1)
    two = await stage.answer(limit=2)
    assert (one.streams, two.streams) == (1, 1)
    asked[0].result().abandon(0.0)
    (third,) = await stage.ask()
    assert third.result().session is two
    assert stage.pool.take() is not None
    assert (stage.pool.take(), stage.pool.reuses) == (None, 2)


async def test_a_dial_that_fails_fails_all_that_wait_each_with_its_own_error() -> None:
    stage = Stage()
    asked = await stage.ask(3)
    await stage.fail(GatewayError(errors.DIAL_TIMEOUT, "why", retry_after=3))
    found = [request.exception() for request in asked]
    assert len({id(error) for error in found}) == 3
    for error in found:
        assert isinstance(error, GatewayError)
        assert (error.reason, error.details, error.retry_after) == (errors.DIAL_TIMEOUT, "why", 3)
    await stage.ask()
    assert len(stage.connector.dials) == 2


async def test_a_defect_in_a_dial_leaves_no_one_waiting() -> None:
    heard: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: heard.append(context))
    stage = Stage()
    (request,) = await stage.ask()
    await stage.fail(ValueError("a defect"))
    assert isinstance(request.exception(), GatewayError)


async def test_an_endpoint_that_allows_nothing() -> None:
    stage = Stage()
    (request,) = await stage.ask()
    await stage.answer(limit=0)
    error = request.exception()
    assert isinstance(error, GatewayError)
    assert error.reason is errors.DIAL_FAILED
    assert len(stage.connector.dials) == 1


async def test_who_leaves_while_it_waits_takes_no_place() -> None:
    stage = Stage()
    one, two = await stage.ask(2)
    one.cancel()
    await turn()
    session = await stage.answer()
    assert (session.streams, two.done()) == (1, True)


async def test_who_leaves_as_it_gets_a_place_gives_it_back() -> None:
    stage = Stage()
    (request,) = await stage.ask()
    session = Session()
    stage.pool._waiting.popleft().set_result(session.open())  # type: ignore[arg-type]
    request.cancel()
    await turn()
    assert request.cancelled()
    assert session.streams == 0
    await stage.answer()


async def test_all_leave_and_the_connection_is_kept() -> None:
    stage = Stage()
    (request,) = await stage.ask()
    request.cancel()
    await turn()
    await stage.answer()
    assert (stage.pool.open, stage.pool.idle, stage.budget.used) == (1, 1, 1)
    assert stage.pool.take() is not None
    assert (stage.pool.idle, stage.budget.used) == (0, 0)


async def test_http_1_1_is_remembered_and_forgotten() -> None:
    stage = Stage()
    asked = await stage.ask(3)
    connection = await stage.answer_alone()
    assert len(stage.connector.dials) == 3, "the other two dial for themselves"
    for _ in range(2):
        await stage.answer_alone()
    assert all(request.done() for request in asked)
    assert asked[0].result() is connection
    stage.pool.give_back(connection)  # type: ignore[arg-type]
    assert stage.pool.take() is connection
    more = await stage.ask(2)
    assert len(stage.connector.dials) == 5
    session = await stage.answer()
    assert (more[0].done(), session.streams) == (True, 1)
    await stage.answer_alone()
    assert more[1].done()


async def test_an_endpoint_that_requires_http_1_1_is_asked_again_later() -> None:
    stage = Stage()
    (first,) = await stage.ask()
    session = await stage.answer(limit=1)
    await stage.ask()
    assert session.on_http_1_1 is not None
    assert session.on_http_1_1()
    assert stage.connector.only_http_1_1
    late = await stage.answer()  # it was dialled before
    assert (session.leaving, late.streams) == (True, 1)
    await stage.ask()
    assert (len(stage.connector.dials), late.streams) == (3, 1)
    connection = await stage.answer_alone()
    connection.abort()
    stage.clock.now += 300
    await stage.ask()
    assert not stage.connector.only_http_1_1
    assert (await stage.answer()).streams == 1
    await stage.ask()
    assert len(stage.connector.dials) == 4
    (await first).abandon(0.0)
    assert session.closed


async def test_where_http_1_1_may_not_be_spoken() -> None:
    stage = Stage()
    stage.connector.tls = stage.connector.tls._replace(http_1_1=None)
    await stage.ask()
    session = await stage.answer()
    assert session.on_http_1_1 is not None
    assert not session.on_http_1_1()
    assert (stage.connector.only_http_1_1, session.leaving) == (False, False)


async def test_no_one_waits_for_the_connection_that_alpn_chose() -> None:
    stage = Stage()
    (request,) = await stage.ask()
    request.cancel()
    await turn()
    await stage.answer_alone()
    assert (stage.pool.open, stage.pool.idle) == (1, 1)


async def test_an_idle_session_is_closed_in_time() -> None:
    stage = Stage(idle=10.0)
    (request,) = await stage.ask()
    session = await stage.answer()
    request.result().abandon(0.0)
    assert stage.pool.idle == 1
    stage.clock.now += 9
    stage.pool.sweep()
    assert not session.closed
    stage.clock.now += 2
    assert stage.pool.take() is None, "it may be closing"
    assert (session.closed, stage.pool.open, stage.pool.idle, stage.budget.used) == (True, 0, 0, 0)


async def test_a_sweep_closes_it_too() -> None:
    stage = Stage(idle=10.0)
    (request,) = await stage.ask()
    session = await stage.answer()
    request.result().abandon(0.0)
    stage.clock.now += 10
    stage.pool.sweep()
    assert session.closed


@pytest.mark.parametrize("how", ["age", "renew", "moved"])
async def test_a_session_that_is_used_no_more_lives_to_the_end_of_its_streams(how: str) -> None:
    stage = Stage(max_age=100.0)
    (request,) = await stage.ask()
    session = await stage.answer()
    if how == "age":
        stage.clock.now += 101
    elif how == "renew":
        stage.pool.renew()
    else:
        stage.connector.current = frozenset({"192.0.2.2"})
        stage.connector.on_moved()
    assert stage.pool.take() is None
    assert (session.leaving, session.closed, stage.pool.open) == (True, False, 1)
    request.result().abandon(0.0)
    assert (session.closed, stage.pool.open) == (True, 0)


async def test_an_old_session_is_left_at_the_end_of_a_stream() -> None:
    stage = Stage(max_age=100.0)
    one, _ = await stage.ask(2)
    session = await stage.answer()
    stage.clock.now += 101
    one.result().abandon(0.0)
    assert (session.leaving, session.closed) == (True, False)


async def test_a_dial_from_before_the_renewal_serves_those_that_wait_alone() -> None:
    stage = Stage()
    asked = await stage.ask(2)
    stage.pool.renew()
    session = await stage.answer()
    assert all(request.done() for request in asked)
    assert session.leaving
    assert stage.pool.take() is None


async def test_a_session_that_is_lost() -> None:
    stage = Stage()
    (request,) = await stage.ask()
    session = await stage.answer()
    request.result().abandon(0.0)
    session.lose()
    assert (stage.pool.open, stage.pool.idle, stage.budget.used) == (0, 0, 0)
    assert stage.pool.take() is None


async def test_a_full_budget_keeps_no_idle_session() -> None:
    stage = Stage()
    stage.budget.limit = 0
    (request,) = await stage.ask()
    session = await stage.answer()
    request.result().abandon(0.0)
    assert session.closed


async def test_the_end_waits_for_the_streams_and_for_the_dials() -> None:
    stage = Stage()
    (request,) = await stage.ask()
    session = await stage.answer(limit=1)
    (late,) = await stage.ask()
    closing = asyncio.ensure_future(stage.pool.aclose())
    await turn()
    assert session.leaving
    other = await stage.answer(limit=1)
    assert late.done()
    assert not closing.done()
    request.result().abandon(0.0)
    late.result().abandon(0.0)
    await closing
    assert (session.closed, other.closed, stage.connector.closed) == (True, True, True)


async def test_a_name_is_followed_while_its_sessions_are_in_use() -> None:
    stage = Stage()
    one, _ = await stage.ask(2)
    await stage.answer()
    stage.connector.stale_at = stage.clock.now + 10
    one.result().abandon(0.0)
    assert stage.pool._sweeper.expires_at == stage.clock.now + 10
    stage.pool._sweeper.close()

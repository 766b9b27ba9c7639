"""The connections of an endpoint that speaks HTTP/2, or may: many requests share one.

A request takes a place on a session that has one, the oldest first, so that a burst's surplus grows idle and is
closed. Without a place it waits for a dial that it shares with others: a cold burst opens as many connections as it has
requests divided by the streams that the endpoint allows, and no more. Where ALPN chooses HTTP/1.1 that is remembered,
and each request has a connection of its own, as in `Pool`. So it is for some time, too, where the endpoint requires
HTTP/1.1 in the middle of HTTP/2 (RFC 9113 7), as a server does that asks for client certificates within TLS.
"""

from __future__ import annotations

import asyncio
from collections import deque
from math import inf

from gateway import errors
from gateway.core.stream import ClientStream
from gateway.core.tasks import Tasks
from gateway.errors import GatewayError
from gateway.upstream.connector import HardenedConnector
from gateway.upstream.pool import Keeping, Pool
from gateway.wire.connections import ClientConnection, ClientSession

_HTTP_1_1_SECONDS = 300.0
"""For which an endpoint that requires HTTP/1.1 is spoken to so: it may require it for a few requests alone."""
_MOST_STREAMS = 100
"""What a session is expected to allow, until one has said it."""


class SessionPool(Pool):
    """As `Pool`, whose face it has."""

    def __init__(self, connector: HardenedConnector, keeping: Keeping) -> None:
        super().__init__(connector, keeping)
        self._sessions: dict[ClientSession, tuple[float, str]] = {}
        """All that are open; value: until when one begins streams, and the address that it leads to."""
        self._free: dict[ClientSession, None] = {}
        """Those with room, the one that has had it for the longest time first."""
        self._unused: dict[ClientSession, float] = {}
        """Those without a stream; value: until when one is kept."""
        self._waiting: deque[asyncio.Future[ClientStream | None]] = deque()
        """Requests without a place. The result is one; None: each dials for itself."""
        self._dialling = 0
        """Dials that run for them."""
        self._dials_running = Tasks()
        self._expected = _MOST_STREAMS
        """Streams that the next session will allow."""
        self._shares = True
        """The endpoint speaks HTTP/2, as far as is known."""
        self._http_1_1_until = 0.0
        """The endpoint has required HTTP/1.1; when it is asked again what it speaks."""

    @property
    def idle(self) -> int:
        return super().idle + len(self._unused)

    @property
    def open(self) -> int:
        """Connections, idle and in use."""
        return super().open + len(self._sessions)

    @property
    def sessions(self) -> int:
        """As `Pool.sessions`."""
        return len(self._sessions)

    @property
    def streams(self) -> int:
        """As `Pool.streams`."""
        return sum([session.streams for session in self._sessions])

    @property
    def requests(self) -> int:
        """As `Pool.requests`."""
        return super().requests + self.streams

    # -- a place for a request

    def take(self) -> ClientStream | None:
        """As `Pool.take`."""
        stream = self._place()
        if stream is not None:
            self.reuses += 1
            return stream
        return super().take()

    def _place(self) -> ClientStream | None:
        while self._free:
            session = next(iter(self._free))
            kept_until, _ = self._sessions[session]
            if session.room < 1:
                del self._free[session]
            elif self._clock() >= min(kept_until, self._unused.get(session, inf)):
                self._retire(session)
            else:
                return self._open_on(session)
        return None

    def _open_on(self, session: ClientSession) -> ClientStream:
        self._forget_unused(session)
        stream = session.open()
        if session.room < 1:
            self._free.pop(session, None)
        return stream

    async def dial(self) -> ClientStream:
        """A stream on a connection that was opened for this request, or for it and others.

        Raises what `HardenedConnector.dial_any` raises.
        """
        if 0.0 < self._http_1_1_until <= self._clock():
            self._http_1_1_until = 0.0
            self.connector.only_http_1_1 = False
        stream: ClientStream | None = None
        while stream is None:
            if not self._shares:
                return await self._dial_alone()
            stream = self._place()
            if stream is None:
                stream = await self._wait()
        return stream

    async def _wait(self) -> ClientStream | None:
        place: asyncio.Future[ClientStream | None] = asyncio.get_running_loop().create_future()
        self._waiting.append(place)
        self._dial_for_them()
        try:
            return await place
        except asyncio.CancelledError:
            if place.done() and not place.cancelled() and place.exception() is None:
                given = place.result()
                if given is not None:
                    given.abandon(0.0)
            raise

    async def _dial_alone(self) -> ClientStream:
        self.dials += 1
        generation = self._generation
        dialled = await self.connector.dial_any()
        if dialled.session is not None:
            self._adopt_session(dialled.session, generation)
            stream = self._open_on(dialled.session)
            self._on_free(dialled.session)
            return stream
        assert dialled.connection is not None, "nothing was dialled"
        self._adopt(dialled.connection, generation)
        return dialled.connection

    # -- shared dials

    def _dial_for_them(self) -> None:
        """Dial as many sessions as those that wait will need."""
        waiting = sum(1 for place in self._waiting if not place.done())
        while self._dialling * self._expected < waiting:
            self._dialling += 1
            self._dials_running.start(self._dial_one(), "dial a session")

    async def _dial_one(self) -> None:
        self.dials += 1
        generation = self._generation
        try:
            dialled = await self.connector.dial_any()
        except GatewayError as error:
            self._dialling -= 1
            self._refuse(error)
            return
        except BaseException:
            self._dialling -= 1
            self._refuse(GatewayError(errors.DIAL_FAILED))
            raise
        self._dialling -= 1
        if dialled.session is not None:
            self._adopt_session(dialled.session, generation)
            # An upstream that takes no request on a new connection takes none on the next: dials would go on and on.
            if dialled.session.room < 1:
                self._refuse(GatewayError(errors.DIAL_FAILED, "The upstream allows no request on its connections"))
            self._serve(dialled.session)  # first, because it may be of no use to later ones
            self._on_free(dialled.session)
            self._dial_for_them()
        elif dialled.connection is not None:
            self._adopt(dialled.connection, generation)
            self._give_alone(dialled.connection)

    def _adopt_session(self, session: ClientSession, generation: int) -> None:
        self._shares = not self._http_1_1_until
        self._expected = max(1, session.limit)
        session.on_lost = self._on_session_lost
        session.on_free = self._on_free
        session.on_http_1_1 = self._fall_back
        session.on_abandoned = self._on_abandoned
        session.body_idle = self._body_idle
        self._sessions[session] = self._kept_until(generation), self.connector.address_of(session)

    def _give_alone(self, connection: ClientConnection) -> None:
        """ALPN chose HTTP/1.1: one request gets the ``connection``, all others dial for themselves."""
        self._shares = False
        taken = False
        while self._waiting:
            place = self._waiting.popleft()
            if not place.done():
                place.set_result(None if taken else connection)
                taken = True
        if not taken:
            self.give_back(connection)

    def _refuse(self, error: GatewayError) -> None:
        """No dial succeeds for those that wait."""
        while self._waiting:
            place = self._waiting.popleft()
            if not place.done():  # each its own: a traceback grows on it
                place.set_exception(GatewayError(error.reason, error.details, retry_after=error.retry_after))

    def _serve(self, session: ClientSession) -> None:
        """Give the places of ``session`` to those that wait."""
        while self._waiting and session.room > 0:
            place = self._waiting.popleft()
            if not place.done():
                place.set_result(self._open_on(session))

    # -- sessions

    def _fall_back(self) -> bool:
        """Speak HTTP/1.1 for some time, where that may be spoken."""
        if self.connector.tls.http_1_1 is None:
            return False
        if not self._http_1_1_until:
            self.connector.only_http_1_1 = True
            self._http_1_1_until = self._clock() + _HTTP_1_1_SECONDS
            self._shares = False
            self.renew()
        return True

    def _on_free(self, session: ClientSession) -> None:
        """There is room on ``session``, or a stream of it has ended."""
        known = self._sessions.get(session)
        if known is None:
            return
        now = self._clock()
        until, address = known
        current = self.connector.current
        if self._closed or now >= until or (current is not None and address not in current):
            self._retire(session)
            self._dial_for_them()
            return
        if session.room > 0:
            self._free[session] = None
            self._serve(session)
        if not session.streams:
            self._let_idle(session, now)
        else:
            self._sweep_at(inf)  # the name is followed while it is in use, too

    def _let_idle(self, session: ClientSession, now: float) -> None:
        budget = self._budget
        if session in self._unused:
            return
        if self.idle >= self._max_idle or budget.used >= budget.limit:
            self._retire(session)
            return
        until = now + self._idle_timeout if self._idle_timeout else inf
        self._unused[session] = until
        budget.used += 1
        self._sweep_at(until)

    def _forget_unused(self, session: ClientSession) -> None:
        if self._unused.pop(session, None) is not None:
            self._budget.used -= 1

    def _retire(self, session: ClientSession) -> None:
        """No more streams begin on it; those that run live to their end."""
        self._free.pop(session, None)
        self._forget_unused(session)
        session.leave()

    def _on_session_lost(self, session: ClientSession) -> None:
        self._free.pop(session, None)
        self._forget_unused(session)
        self._sessions.pop(session, None)
        self._check_drained()

    # -- as Pool

    def sweep(self) -> None:
        """As `Pool.sweep`."""
        super().sweep()
        now = self._clock() + 0.001
        for session in [session for session, until in self._unused.items() if now >= until]:
            self._retire(session)
        if self._unused:
            self._sweep_at(min(self._unused.values()))

    def follow(self) -> None:
        """As `Pool.follow`; a session in use begins no more streams."""
        super().follow()
        current = self.connector.current
        if current is not None:
            for session in [session for session, (_, address) in self._sessions.items() if address not in current]:
                self._retire(session)

    def renew(self) -> None:
        """As `Pool.renew`; a session in use begins no more streams."""
        super().renew()
        for session in list(self._sessions):
            self._retire(session)

    async def aclose(self) -> None:
        """As `Pool.aclose`."""
        self._closed = True
        for session in list(self._sessions):
            self._retire(session)
        await self._dials_running.finish()
        await super().aclose()

"""Calls a server of MCP: requests of HTTP like those of other actions, each with a message as its body."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import count
from time import monotonic
from typing import Any, Final

import orjson

from gateway.actions import eras
from gateway.actions.call import Ended, Prepared
from gateway.actions.cancellations import Cancellations, Make, cancellation, ended_here
from gateway.actions.prepare import Entry, Ready, prepare_message
from gateway.actions.tool_messages import (
    Arrival,
    Request,
    Response,
    Session,
    discovery,
    has_events,
    initialization,
    request,
    response,
)
from gateway.config.actions import Connection
from gateway.core.message import ResponseHead
from gateway.errors import UPSTREAM_BAD_RESPONSE, GatewayError, Reason
from gateway.wire.memory import Enough

SAID_NO: Final = 422
"""The status of a result that is an error: the server was asked, and says that it could not do it."""
_WRONG: Final = frozenset((eras.INVALID_PARAMS, eras.INVALID_REQUEST, eras.METHOD_NOT_FOUND))
_OLDEST: Final = "2024-11-05"


class Sessions:
    """Those with the servers of one data plane, by the TRN of their connection."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[Connection, Session]] = {}
        self._numbers = count(1)
        self.cancellations = Cancellations()

    def number(self) -> int:
        """The id of a request: another one each time."""
        return next(self._numbers)

    def of(self, connection: Connection) -> Session | None:
        """None: there is none, or the connection has changed since."""
        found = self._known.get(connection.trn)
        return found[1] if found is not None and found[0] == connection else None

    def keep(self, connection: Connection, session: Session) -> None:
        self._known[connection.trn] = connection, session

    def forget(self, connection: Connection) -> None:
        self._known.pop(connection.trn, None)


@dataclass(frozen=True, slots=True)
class Operation:
    """What a server is asked for: a method of its, with parameters."""

    method: str
    params: Mapping[str, Any] = field(default_factory=dict, repr=False)


def call_of(entry: Entry, given: Mapping[str, Any]) -> Operation:
    """The call of the tool of ``entry``. Raises `InvalidCallError` for input that does not fit."""
    assert entry.action is not None
    entry.check(given)
    return Operation("tools/call", {"name": entry.action.tool, "arguments": dict(given)})


def planned(entry: Entry, operation: Operation, known: Session | None) -> Ready:
    """The operation itself, as it would be sent. Raises `InvalidCallError`."""
    made = request(known or Session(eras.MODERN[0]), operation.method, operation.params)
    return prepare_message(entry, *_parts(made))


def _parts(made: Request) -> tuple[Mapping[str, str], Mapping[str, Any]]:
    return made.fields, made.message


class ServerCall:
    """One call of a server. ``seconds``: for all of its exchanges."""

    def __init__(self, sessions: Sessions, entry: Entry, make: Make, aside: Make, seconds: float) -> None:
        """``aside``: makes an exchange without a permit, for a message about one that is over."""
        self._sessions = sessions
        self.entry = entry
        self._make = make
        self._aside = aside
        self._until = monotonic() + seconds

    async def result(self, operation: Operation) -> Ended:
        """The exchange that decided how the operation ended: its response is the result, or why there is none."""
        connection = self.entry.connection
        session = self._sessions.of(connection)
        for last in (False, True):
            if session is None:
                opened = await self._open()
                if isinstance(opened, Ended):
                    return opened
                session = opened
                self._sessions.keep(connection, session)
            ended, found = await self._ask(request(session, operation.method, operation.params), session)
            if last or not _has_lost(ended, found, session):
                return _judged(ended, found)
            # The server has forgotten the session, or speaks another era now: nothing was done.
            self._sessions.forget(connection)
            session = None
        raise AssertionError("the second attempt is the last one")

    async def _open(self) -> Session | Ended:
        """A session, or the exchange that failed to give one."""
        ended, found = await self._ask(discovery())
        if ended.error is not None:
            return ended
        if found is not None and found.result is not None and _supports(found.result.get("supportedVersions")):
            return Session(eras.MODERN[0])
        ended, found = await self._ask(initialization())
        if found is None or found.result is None:
            return _judged(ended, found)
        version = found.result.get("protocolVersion")
        if version not in (*eras.LEGACY, _OLDEST):
            return broken(ended, "The server of MCP speaks no version of the protocol that the gateway speaks")
        session = Session(version, _field(ended.stream.head, b"mcp-session-id"))
        ended, found = await self._ask(request(session, "notifications/initialized", {}, notifies=True))
        return session if ended.error is None and ended.stream.status < 300 else _judged(ended, found)

    async def _ask(self, made: Request, session: Session | None = None) -> tuple[Ended, Response | None]:
        """``session``: in which the request is cancelled when its time is over, or its caller leaves.

        Each attempt has an id of its own, so that a response to the one before is none to it.
        """
        number, prepared = self._numbered(made)

        def again(failed: GatewayError | None) -> Prepared:
            nonlocal number
            if ended_here(failed):
                self._cancel(session, number, prepared)
            number, another = self._numbered(made)
            return another

        prepared.seconds = max(min(prepared.seconds, self._until - monotonic()), 0.001)
        prepared.again = again
        try:
            ended = await self._make(prepared)
        except asyncio.CancelledError:
            self._cancel(session, number, prepared)
            raise
        found = _response_of(ended, number)
        if ended.error is not None and found is not None and ended.stream.status < 300:
            ended.error = None  # it broke off, or its time was over, behind the response
            ended.stream.end([])
        if ended_here(ended.error):
            self._cancel(session, number, prepared)
        return ended, None if ended.error is not None else found

    def _numbered(self, made: Request) -> tuple[int, Prepared]:
        """``made`` with an id that no other request has."""
        number = self._sessions.number()
        prepared = prepare_message(self.entry, *_parts(made.numbered(number))).prepared
        prepared.enough = _arrival(number)
        return number, prepared

    def _cancel(self, session: Session | None, number: int, prepared: Prepared) -> None:
        made = cancellation(session, number)
        if made is not None and prepared.asked:
            self._sessions.cancellations.send(self._aside, prepare_message(self.entry, *_parts(made)).prepared)


def _arrival(number: int) -> Enough:
    found = Arrival(number)
    return lambda stream: has_events(_field(stream.head, b"content-type")) and found(stream.received)


def _supports(versions: object) -> bool:
    return isinstance(versions, list) and eras.MODERN[0] in versions


def _has_lost(ended: Ended, found: Response | None, session: Session) -> bool:
    """Whether the server does not know the session any more (2025-11-25, basic/transports: 404)."""
    if ended.error is not None:
        return False
    if session.modern:
        return ended.stream.status == 400 and (found is None or found.modern)
    return ended.stream.status == 404 and bool(session.id)


def _response_of(ended: Ended, number: int) -> Response | None:
    return response(bytes(ended.stream.received), _field(ended.stream.head, b"content-type"), number)


def _judged(ended: Ended, found: Response | None) -> Ended:
    """``ended`` with the result of the tool as its response, in JSON. What the breaker has learnt stays: the server has
    responded, whatever the tool said."""
    if ended.error is not None:
        return ended
    if found is None:
        if ended.stream.status < 300:
            return broken(ended, "The response holds no message of JSON-RPC")
        return ended
    if found.result is not None:
        status = SAID_NO if found.result.get("isError") is True else 200
        responding(ended, status, {name: each for name, each in found.result.items() if name != "resultType"})
    elif found.error is not None:
        wrong = found.error.get("code") in _WRONG
        responding(ended, 400 if wrong else 502, {"error": found.error})
    return ended


def broken(ended: Ended, details: str, reason: Reason = UPSTREAM_BAD_RESPONSE) -> Ended:
    """``ended`` as a call with no usable response, because of ``details``."""
    ended.error = GatewayError(reason, details)
    return ended


def responding(ended: Ended, status: int, value: Mapping[str, Any]) -> Ended:
    """``ended`` with ``value`` as its response, in JSON."""
    try:
        body = orjson.dumps(value)
    except orjson.JSONEncodeError:
        return broken(ended, "The result is nested too deeply to be passed on")
    stream = ended.stream
    fields = [b"Content-Type: application/json"]
    stream.head = ResponseHead(status, b"", 1, fields, {}, len(body), True)
    stream.status, stream.received = status, bytearray(body)
    return ended


def _field(head: ResponseHead | None, name: bytes) -> str:
    """The value of a field; empty: there is none."""
    for line in () if head is None else head.fields:
        found, _, value = line.partition(b":")
        if found.lower() == name:
            return value.strip(b" \t").decode("latin-1")
    return ""

"""The actions of a data plane: found by name, prepared and called; and what is said about them."""

from __future__ import annotations

import time
from collections.abc import Callable, Coroutine
from functools import partial
from typing import TYPE_CHECKING, Final

from gateway.actions.bodies import Bodies, until_taken
from gateway.actions.call import Ended, Prepared, call
from gateway.actions.cancellations import Make
from gateway.actions.errors import InvalidCallError
from gateway.actions.prepare import Entry, Index, dry_run, prepare
from gateway.actions.repeat import Running, repeat
from gateway.actions.tokens import CallToken, Tokens
from gateway.actions.tool_call import ServerCall, Sessions, call_of, planned
from gateway.actions.tool_list import all_tools, first_page
from gateway.config.actions import REQUESTS
from gateway.config.networks import Destinations
from gateway.config.records import Document, Route
from gateway.core.exchange import Exchange
from gateway.core.layer import Handler
from gateway.core.message import ResponseHead
from gateway.errors import CONCURRENCY_LIMIT, INTERNAL, GatewayError
from gateway.ipc.calls import ActionSummary, Asked, Called, ConnectionSummary, Failure, Planned
from gateway.ipc.explanation import Explanation
from gateway.policy.limiter import Limiter
from gateway.policy.machine import REFUSED
from gateway.proxy.server import Server
from gateway.proxy.snapshot import Served
from gateway.upstream.endpoint import Endpoint

if TYPE_CHECKING:
    from gateway.actions.performers import Performers

Work = Callable[[], Coroutine[None, None, Ended]]
_MAX_ID: Final = 128
_TOO_MANY: Final = "%d calls run, which is governance.max_concurrent; call again when one has ended"
_STATUSES: Final = {"validation": 400, "forbidden": 403, "not_found": 404, "conflict": 409}
_TITLES: Final = {400: "Validation failed", 403: "Access Denied", 404: "Not Found", 409: "Conflict"}


class Actions:
    """Those of one data plane, with the calls that run."""

    def __init__(self) -> None:
        self.running: dict[Exchange, Running] = {}
        self.repeat = repeat(self.running)
        self._sessions = Sessions()
        self.tokens = Tokens()
        self.bodies = Bodies()
        self._index = Index((), ())
        self._most = 0.0
        self._limiter: Limiter | None = None
        self.generation = 0
        """Another one after each `adopt`."""
        self._performers: Performers | None = None
        """None: no connection has needed a connector."""

    def perform(self, route: Route, endpoint: Endpoint) -> Handler | None:
        """What makes the calls of ``route``; None: they are requests of HTTP."""
        if not route.connection:
            return None
        # here, because connectors bring the sections of the configuration, which others do not need
        from gateway.actions.perform import performing

        return performing(self.running, self._connectors(), route, endpoint.origin.url)

    def _connectors(self) -> Performers:
        if self._performers is None:
            from gateway.actions.performers import Performers  # as above

            self._performers = Performers()
        return self._performers

    async def prepare(self, document: Document) -> None:
        """Make the connectors that ``document`` needs; nothing changes yet. Raises OSError."""
        if self._performers is not None or any(each.kind not in REQUESTS for each in document.connections):
            await self._connectors().prepare(document.connections, Destinations.of(document))

    def abandon(self) -> None:
        """Give up what was prepared."""
        if self._performers is not None:
            self._performers.abandon()

    def adopt(self, document: Document, limiter: Limiter | None = None) -> None:
        """Serve the actions of ``document``, which was prepared, from now on. ``limiter``: of all calls together, over
        all workers; None: there is no such limit."""
        self._limiter = limiter
        self._index = Index(document.connections, document.actions, document.governance)
        self._most = document.governance.timeout
        self.generation += 1
        if self._performers is not None:
            self._performers.adopt(Destinations.of(document))

    async def cancel_calls(self) -> None:
        """Let servers of MCP know that the calls are over which a cut has ended. Returns within a second."""
        await self._sessions.cancellations.aclose()

    async def aclose(self) -> None:
        """End calls whose bodies are not taken, and close the connectors."""
        self.bodies.close()
        if self._performers is not None:
            await self._performers.aclose()

    def _ready(self, entry: Entry, asked: Asked) -> tuple[Prepared, Callable[[], Planned]]:
        """A call, and what says in a dry run how it would be made. Raises `InvalidCallError`."""
        if entry.is_tool or _lists_tools(asked):
            operation = call_of(entry, asked.input) if entry.is_tool else first_page(entry)
            ready = planned(entry, operation, self._sessions.of(entry.connection))
        elif entry.connection.kind in REQUESTS:
            ready = prepare(entry, asked, most=self._most)
        else:
            from gateway.actions.connector_call import dry_run_call, prepare_call  # as in `perform`

            made = prepare_call(entry, asked, self._most)
            return made.prepared, partial(dry_run_call, entry, made)
        return ready.prepared, partial(dry_run, entry, ready)

    def connections(self, tenant: str) -> list[ConnectionSummary]:
        return self._index.connection_summaries(tenant)

    def actions(self, tenant: str) -> list[ActionSummary]:
        return self._index.action_summaries(tenant)

    def entries(self, tenant: str) -> list[Entry]:
        """The actions of ``tenant``."""
        return self._index.actions_of(tenant)

    def explain_token(self, found: Explanation) -> None:
        """Add to ``found`` how the access token stands, where it is about calls that need one.

        What would become of a call is decided by it first: without a token it reaches no other protection.
        """
        connection = self._index.connection_with_tokens(found["proxy"])
        if connection is None:
            return
        found["token"] = token = self.tokens.told(connection)
        if token["failure"] and not token["live"]:
            found["verdict"], found["reason"], found["sentence"] = "refuse", token["failure"], token["details"]

    async def call(self, server: Server, asked: Asked) -> Called:
        """Make the call to its end; when this is cancelled, its caller has left."""
        began = time.monotonic()
        trn = asked.action or ("" if asked.adhoc is None else asked.adhoc.connection)
        try:
            entry = self._index.find(asked)
            trn = entry.trn
            prepared, plan = self._ready(entry, asked)
            if asked.dry_run:
                return {**_blank(trn, asked), "planned": plan()}
        except InvalidCallError as error:
            return {**_blank(trn, asked), "failure": _refused(error)}
        served = server.snapshot.served[entry.label]
        token = CallToken(self.tokens, entry.connection.trn) if entry.connection.auth.has_tokens else None
        request_id = _id(asked.request_id)
        make = partial(call, server, self.running, served, request_id=request_id, token=token)
        try:
            if asked.pieces and not (entry.is_tool or _lists_tools(asked)):
                return await self.bodies.begin(
                    lambda opening: self._permitted(lambda: until_taken(make(prepared, opening=opening), opening)),
                    lambda found: result_of(trn, found, time.monotonic() - began),
                    failure_of,
                )
            if entry.is_tool or _lists_tools(asked):
                work = partial(self._of_server, entry, asked, make, server, served, token)
            else:
                work = partial(make, prepared)
            return result_of(trn, await self._permitted(work), time.monotonic() - began)
        except GatewayError as error:
            return {**_blank(trn, asked), "failure": _failed(error)}

    def _permitted(self, work: Work) -> Coroutine[None, None, Ended]:
        """``work`` with a permit of those for all calls. Raises `GatewayError` when there is none."""
        return work() if self._limiter is None else _with_permit(self._limiter, work)

    async def _of_server(
        self, entry: Entry, asked: Asked, make: Make, server: Server, served: Served, token: CallToken | None
    ) -> Ended:
        """A call of a server of MCP."""
        made = ServerCall(
            self._sessions,
            entry,
            make,
            # With an id of its own, because that of the call leads to the line of the call.
            lambda message: call(server, self.running, server.aside(served), message, b"", token=token, aside=True),
            entry.bounded(self._most, asked.timeout),
        )
        with self._sessions.cancellations.possible():
            return await (made.result(call_of(entry, asked.input)) if entry.is_tool else all_tools(made))


async def _with_permit(limiter: Limiter, work: Work) -> Ended:
    permit = limiter.try_acquire()
    if permit == REFUSED:
        raise GatewayError(CONCURRENCY_LIMIT, _TOO_MANY % limiter.max, retry_after=limiter.reserve_retry_after())
    since = limiter.clock()
    try:
        return await work()
    finally:
        limiter.release(permit, seconds=limiter.clock() - since)


def _lists_tools(asked: Asked) -> bool:
    return asked.adhoc is not None and asked.adhoc.tools


def _id(given: str) -> bytes:
    sane = len(given) <= _MAX_ID and given.isascii() and given.isprintable() and " " not in given
    return given.encode() if sane else b""


def _blank(trn: str, asked: Asked) -> Called:
    return {
        "action": trn,
        "request_id": asked.request_id,
        "failure": None,
        "planned": None,
        "status": 0,
        "headers": [],
        "body": b"",
        "attempts": 0,
        "seconds": 0.0,
    }


def _refused(error: InvalidCallError) -> Failure:
    status = _STATUSES.get(error.code.partition(".")[0], 400)
    made: Failure = {
        "status": status,
        "code": error.code,
        "title": _TITLES[status],
        "message": error.message,
    }
    if error.fields:
        made["fields"] = error.fields
    return made


def result_of(trn: str, ended: Ended, seconds: float) -> Called:
    """What the caller of ``trn`` gets. A part of a response looks like no response."""
    exchange, stream, failure = ended.exchange, ended.stream, failure_of(ended)
    whole = failure is None
    head = stream.head
    return {
        "action": trn,
        "request_id": exchange.request_id.decode("latin-1"),
        "failure": failure,
        "planned": None,
        "status": stream.status if whole else 0,
        "headers": _fields(head) if whole and head is not None else [],
        "body": bytes(stream.received) if whole else b"",
        "attempts": exchange.attempts,
        "seconds": seconds,
    }


def failure_of(ended: Ended) -> Failure | None:
    """Why there is no whole response; None: there is one."""
    if ended.error is not None:
        return _failed(ended.error)
    if ended.stream.head is None or not ended.stream.complete:
        return _failed(GatewayError(INTERNAL))  # of the chain itself, which has logged it
    return None


def _failed(error: GatewayError) -> Failure:
    reason = error.reason
    made: Failure = {
        "status": reason.status,
        "code": reason.code,
        "title": reason.title,
        "message": error.details,
    }
    if error.retry_after:
        made["retry_after"] = error.retry_after
    return made


def _fields(head: ResponseHead) -> list[tuple[str, str]]:
    if not head.fields:
        return []
    # One text instead of two for each line: no line has a line break in it.
    lines = [line.partition(":") for line in b"\n".join(head.fields).decode("latin-1").split("\n")]
    return [(name, value.strip(" \t")) for name, _, value in lines]

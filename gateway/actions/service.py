"""The actions of a data plane: found by name, prepared and called; and what is said about them."""

from __future__ import annotations

import time
from typing import Final

from gateway.actions.call import Ended, call
from gateway.actions.errors import InvalidCallError
from gateway.actions.prepare import Index, dry_run, prepare
from gateway.actions.repeat import Running, repeat
from gateway.config.records import Document
from gateway.core.exchange import Exchange
from gateway.core.message import ResponseHead
from gateway.errors import INTERNAL, GatewayError
from gateway.ipc.calls import ActionSummary, Asked, Called, ConnectionSummary, Failure
from gateway.proxy.server import Server

_MAX_ID: Final = 128
_STATUSES: Final = {"validation": 400, "forbidden": 403, "not_found": 404, "conflict": 409}
_TITLES: Final = {400: "Validation failed", 403: "Access Denied", 404: "Not Found", 409: "Conflict"}


class Actions:
    """Those of one data plane, with the calls that run."""

    def __init__(self) -> None:
        self.running: dict[Exchange, Running] = {}
        self.repeat = repeat(self.running)
        self._index = Index((), ())
        self._most = 0.0

    def adopt(self, document: Document) -> None:
        """Serve the actions of ``document`` from now on."""
        self._index = Index(document.connections, document.actions, document.governance)
        self._most = document.governance.timeout

    def connections(self, tenant: str) -> list[ConnectionSummary]:
        return self._index.connection_summaries(tenant)

    def actions(self, tenant: str) -> list[ActionSummary]:
        return self._index.action_summaries(tenant)

    async def call(self, server: Server, asked: Asked) -> Called:
        """Make the call to its end; when this is cancelled, its caller has left."""
        began = time.monotonic()
        trn = asked.action or ("" if asked.adhoc is None else asked.adhoc.connection)
        try:
            entry = self._index.find(asked)
            trn = entry.trn
            ready = prepare(entry, asked, most=self._most)
            if asked.dry_run:
                return {**_blank(trn, asked), "planned": dry_run(entry, ready)}
        except InvalidCallError as error:
            return {**_blank(trn, asked), "failure": _refused(error)}
        served = server.snapshot.served[entry.label]
        ended = await call(server, self.running, served, ready.prepared, _id(asked.request_id))
        return result_of(trn, ended, time.monotonic() - began)


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
    exchange, stream, error = ended.exchange, ended.stream, ended.error
    if error is None and (stream.head is None or not stream.complete):
        error = GatewayError(INTERNAL)  # of the chain itself, which has logged it
    whole = error is None
    head = stream.head
    return {
        "action": trn,
        "request_id": exchange.request_id.decode("latin-1"),
        "failure": None if error is None else _failed(error),
        "planned": None,
        "status": stream.status if whole else 0,
        "headers": _fields(head) if whole and head is not None else [],
        "body": bytes(stream.received) if whole else b"",
        "attempts": exchange.attempts,
        "seconds": seconds,
    }


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

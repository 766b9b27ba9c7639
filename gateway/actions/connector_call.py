"""From a call by name to what a connector does: the counterpart of `gateway.actions.prepare` for what is no HTTP."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

from gateway.actions.call import Prepared
from gateway.actions.errors import InvalidCallError
from gateway.actions.patience import PolicyPatience
from gateway.actions.performers import AnyConnector
from gateway.actions.prepare import Entry
from gateway.actions.redaction import Redaction
from gateway.connectors.connector import Call
from gateway.ipc.calls import Asked, Planned

_TESTED: Final = {"reached": True}


@dataclass(frozen=True, slots=True)
class ReadyCall:
    """A call that is ready to be made, and its input with all defaults."""

    given: Mapping[str, Any] = field(repr=False)
    prepared: Prepared


def prepare_call(entry: Entry, asked: Asked, most: float = 0.0) -> ReadyCall:
    """``most``: seconds that no call exceeds; 0: those of its action.

    Raises `InvalidCallError`: nothing is sent then.
    """
    connection, record = entry.connection, entry.action
    if record is None:
        if asked.adhoc is None or not asked.adhoc.test:
            message = f"a connection of {connection.kind} is called by its actions alone; write an action"
            raise InvalidCallError(message)
        return ReadyCall({}, _prepared(entry, asked, _test, most, once=True))
    if asked.overrides is not None:
        raise InvalidCallError(f"an action of {connection.kind} has no parts that a call may override; leave them out")
    entry.check(asked.input)
    action = entry.spoken.action
    assert action is not None
    given = {each.name: each.default for each in record.parameters if each.default is not None} | dict(asked.input)
    missing = [name for name in action.names() if name not in given]
    if missing:
        raise InvalidCallError("the input lacks names that the action uses; add them", [(missing[0], "is required")])
    call = Call(action, given, record.max_bytes or connection.max_bytes)

    async def work(connector: AnyConnector) -> object:
        return await connector.perform(call)

    policy = record.retry or connection.retry
    once = policy is None or not (action.repeatable() or policy.non_idempotent)
    return ReadyCall(given, _prepared(entry, asked, work, most, once=once))


async def _test(connector: AnyConnector) -> object:
    await connector.test()
    return _TESTED


def _prepared(entry: Entry, asked: Asked, work: Any, most: float, *, once: bool) -> Prepared:
    policy = (None if entry.action is None else entry.action.retry) or entry.connection.retry
    patience = None if once or policy is None or not policy.retries else PolicyPatience(policy)
    # The log and the metrics of requests name a method and a path.
    method = entry.connection.kind.upper().encode()
    return Prepared(method, b"/", [], b"", entry.bounded(most, asked.timeout), patience, work)


def dry_run_call(entry: Entry, ready: ReadyCall) -> Planned:
    """What would be done, without secrets: the values of names that speak of one are hidden."""
    spoken = entry.spoken
    hidden = (*entry.connection.hidden, *(() if entry.action is None else entry.action.hidden))
    shown = Redaction((*spoken.connection.secrets(), *hidden))
    plan = {} if spoken.action is None else spoken.action.plan(ready.given)
    return {
        "method": entry.connection.kind.upper(),
        "url": entry.origin.url,
        "headers": [],
        "body": orjson.dumps(shown.json(plan), default=str).decode(),
        "warnings": [],
    }

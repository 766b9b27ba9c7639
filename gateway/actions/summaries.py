"""What is said about a connection or an action to those who may call it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final
from urllib.parse import urlsplit

from gateway.actions.governance import allowed
from gateway.actions.redaction import Redaction, of_variables
from gateway.config.actions import Action, Connection, Governance
from gateway.config.calls import name_of, name_of_action
from gateway.core import trn
from gateway.ipc.calls import ActionSummary, ConnectionSummary
from gateway.upstream.origin import Origin

_ALL_ALLOWED: Final = Governance()


def longest_call(connection: Connection, action: Action | None) -> float:
    """Seconds that a call may take at most, with its repetitions."""
    own = 0.0 if action is None else action.timeout
    # What a strict connection sets is not overridden.
    return connection.timeout if not own or connection.bounds_time else own


def connection_summary(connection: Connection, actions: Iterable[str]) -> ConnectionSummary:
    """``actions``: the TRNs of its actions."""
    own = trn.parse(connection.trn)
    return {
        "trn": connection.trn,
        "name": own.name,
        "connector": own.connector,
        "base_url": _shown_url(connection),
        "auth": connection.auth.kind,
        "merge": connection.merge,
        "upstream": name_of(connection),
        "description": connection.description,
        "actions": sorted(name_in(each) for each in actions),
    }


def action_summary(action: Action, connection: Connection, rules: Governance = _ALL_ALLOWED) -> ActionSummary:
    # here, because the validator is code of megabytes, which a gateway without actions does not need
    from gateway.actions.input import schema_of

    own = trn.parse(action.trn)
    schema = schema_of(action)
    return {
        "trn": action.trn,
        "name": name_in(action.trn),
        "connector": own.connector,
        "connection": action.connection,
        "method": action.method,
        "path": Redaction(of_variables(action.hidden)).text(action.path),
        "description": action.description,
        "input_schema": None if schema is None else dict(schema),
        "explained_as": name_of_action(action),
        "seconds": min(filter(None, (longest_call(connection, action), rules.timeout))),
        "pagination": action.pagination,
        "allowed": allowed(rules, action.trn),
    }


def _shown_url(connection: Connection) -> str:
    if not connection.hidden:
        return connection.base_url
    path = urlsplit(connection.base_url).path
    return f"{Origin.of(connection.base_url).url}{Redaction(of_variables(connection.hidden)).text(path)}"


def name_in(text: str) -> str:
    """The name in a TRN, with its version behind it unless that is 1."""
    own = trn.parse(text)
    return trn.short(own.name, own.version)

"""The routes of the gateway's own calls: one for each connection, and one for each action.

They are routes like those of proxies, so that limits, breakers, metrics and explanations know them. No path leads to
them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final
from urllib.parse import urlsplit

from gateway.config import header_template
from gateway.config.actions import DEFAULT_TENANT, REQUESTS, Action, Connection
from gateway.config.records import NAMED, Route
from gateway.core import trn

ACTION: Final = "action/"
"""Begins the name of an action there."""
LONGEST: Final = 64
"""Characters of a name in metrics: the room in `gateway.observe.counters`."""


def name_of(connection: Connection) -> str:
    """By which proxies, log, metrics and explanations know a connection."""
    return connection.upstream.removeprefix(NAMED)


def name_of_action(action: Action) -> str:
    """By which log, metrics and explanations know an action."""
    tenant, _, _, name, version = trn.parse(action.trn)
    return known_as(tenant, trn.short(name, version))


def known_as(tenant: str, name: str) -> str:
    """By which log, metrics and explanations know the action ``name`` (with its version, unless that is 1)."""
    return f"{ACTION}{name}" if tenant == DEFAULT_TENANT else f"{ACTION}{tenant}/{name}"


def routes(connections: Sequence[Connection], actions: Sequence[Action]) -> Iterator[Route]:
    """``actions`` name ``connections`` alone."""
    by_trn = {each.trn: each for each in connections}
    for connection in connections:
        yield _route(name_of(connection), connection, connection.max_bytes)
    for action in actions:
        connection = by_trn[action.connection]
        yield _route(name_of_action(action), connection, action.max_bytes or connection.max_bytes, action)


def _route(name: str, connection: Connection, most: int, action: Action | None = None) -> Route:
    if connection.kind not in REQUESTS:
        # No forward proxy is on the way of a connector, so that nothing is kept from one.
        return Route(name, "/", connection.upstream, own=True, answer_limit=most, connection=connection.trn)
    return Route(
        name,
        # The target of a call holds the base path, because a signature covers it; that of the endpoint replaces it.
        urlsplit(connection.base_url).path.rstrip("/") or "/",
        connection.upstream,
        own=True,
        answer_limit=most,
        credential=connection.auth.kind != "none"
        or any(map(header_template.is_credential, _names(connection, action))),
        tokens=connection.auth.has_tokens,
    )


def _names(connection: Connection, action: Action | None) -> Iterator[str]:
    yield from (*connection.headers, *connection.query, *connection.body)
    if action is not None:
        yield from (*action.headers, *action.query)
        if action.body is not None and isinstance(action.body.value, Mapping):
            yield from action.body.value

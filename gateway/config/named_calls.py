"""Connections and actions with their names, from the file and from the database, as one data plane serves them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from types import MappingProxyType

from gateway.config import actions as records
from gateway.config.schema.actions import Action
from gateway.config.schema.connections import Connection
from gateway.config.schema.connector import ConnectorAction, ConnectorConnection
from gateway.config.schema.proxy import Proxy
from gateway.config.schema.upstream import Upstream

Key = tuple[str, str]
"""(tenant, name)"""


@dataclass(frozen=True, slots=True)
class NamedConnection:
    """``hidden``: values in it that are shown nowhere, because they came from variables."""

    name: str
    definition: Connection | ConnectorConnection
    hidden: tuple[str, ...] = field(default=(), repr=False)

    @property
    def key(self) -> Key:
        return self.definition.tenant, self.name

    @property
    def trn(self) -> str:
        return str(self.definition.trn(self.name))

    @property
    def shared_name(self) -> str:
        """By which proxies name its upstream."""
        return self.definition.shared_name(self.name)

    @property
    def upstream(self) -> Upstream:
        """As an entry of `upstreams` would have it."""
        return self.definition.upstream(self.name)


@dataclass(frozen=True, slots=True)
class NamedAction:
    """``name``: with its version, unless that is 1. ``hidden``: values in it that are shown nowhere, because they came
    from variables or are secrets."""

    tenant: str
    name: str
    definition: Action | ConnectorAction
    hidden: tuple[str, ...] = field(default=(), repr=False)

    @property
    def key(self) -> Key:
        return self.tenant, self.name

    @property
    def connection(self) -> Key:
        return self.tenant, self.definition.connection

    @property
    def trn(self) -> str:
        return str(self.definition.trn(self.name, self.tenant))


@dataclass(frozen=True, slots=True)
class NamedCalls:
    """Each name of a tenant once, and with each action its connection."""

    connections: Sequence[NamedConnection] = ()
    actions: Sequence[NamedAction] = ()

    @property
    def upstreams(self) -> tuple[Upstream, ...]:
        """Those of the connections, which proxies can name."""
        return tuple(each.upstream for each in self.connections)

    @property
    def without_requests(self) -> frozenset[str]:
        """The shared names of connections that take no HTTP requests, so that no proxy can have them as upstream."""
        return frozenset(each.shared_name for each in self.connections if each.definition.kind not in records.REQUESTS)

    def urls(self, proxy: Proxy) -> list[str]:
        """Where requests of ``proxy`` go that names some of the connections."""
        names = proxy.named_upstreams()
        return [each.definition.base_url for each in self.connections if each.shared_name in names]

    def records(self) -> tuple[tuple[records.Connection, ...], tuple[records.Action, ...]]:
        """For the data plane, without actions that are switched off."""
        trns = {each.key: each.definition.trn(each.name) for each in self.connections}
        return (
            tuple(replace(each.definition.record(each.name), hidden=each.hidden) for each in self.connections),
            tuple(
                replace(each.definition.record(each.name, trns[each.connection]), hidden=each.hidden)
                for each in self.actions
                if each.definition.enabled
            ),
        )


def declared(
    connections: Mapping[str, Connection | ConnectorConnection],
    actions: Mapping[str, Action | ConnectorAction],
    inserted: Mapping[tuple[str, str], Collection[str]] = MappingProxyType({}),
) -> NamedCalls:
    """Those of a file, where no two tenants share a name. Each of ``actions`` has its connection there.

    ``inserted``: what variables have put into them, by ``connections`` or ``actions`` and name.
    """
    return NamedCalls(
        tuple(
            NamedConnection(name, each, tuple(inserted.get(("connections", name), ())))
            for name, each in connections.items()
        ),
        tuple(
            NamedAction(connections[each.connection].tenant, name, each, tuple(inserted.get(("actions", name), ())))
            for name, each in actions.items()
        ),
    )


def together(
    file: NamedCalls, connections: Iterable[NamedConnection], actions: Iterable[NamedAction]
) -> tuple[NamedCalls, dict[str, str]]:
    """Those of ``file`` and of the database, and why some of the database are left out, by TRN.

    The file has precedence: what it has by the same name hides what the database has, which is no problem.
    """
    known = {each.key: each for each in file.connections}
    places = {each.key: each for each in chain(connections, file.connections)}
    taken = {each.key for each in file.actions}
    served, problems = list(file.actions), {}
    for action in actions:
        if action.key in taken:
            continue
        place = places.get(action.connection)
        if place is None:
            problems[action.trn] = (
                f"action {action.trn} of the database: its connection {action.definition.connection} is neither in the "
                "file nor in the database; create it, or delete the action"
            )
        elif place.definition.kind != action.definition.speaks:
            problems[action.trn] = (
                f"action {action.trn} of the database: its connection {place.name} is of the kind "
                f"{place.definition.kind}; change the action"
            )
        else:
            served.append(action)
    return NamedCalls((*known.values(), *(places[key] for key in places if key not in known)), tuple(served)), problems

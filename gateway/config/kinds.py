"""The kinds of connections: `http`, and connectors that are found by their name when a connection needs one.

A connector of another distribution names its class in the entry point group `gateway.connectors`. Nothing of a
connector is imported before a configuration has a connection of its kind.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from functools import cache
from pkgutil import resolve_name
from typing import TYPE_CHECKING, ClassVar, Final, Protocol

from gateway.config.actions import REQUESTS

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

    from gateway.config.schema.connector import ConnectorAction, ConnectorConnection

GROUP: Final = "gateway.connectors"
BUILT_IN: Final[Mapping[str, str]] = {
    "sql": "gateway.connectors.sql:Sql",
    "redis": "gateway.connectors.redis:Redis",
    "mongodb": "gateway.connectors.mongodb:Mongo",
}
"""The connectors of this distribution: kind -> module and class."""


class Kind(Protocol):
    """What the configuration needs of a connector; `gateway.connectors.connector.Connector` has the rest."""

    Connection: ClassVar[type[ConnectorConnection]]
    Action: ClassVar[type[ConnectorAction]]


class UnknownKindError(ValueError):
    """There is no such connector, or it cannot be used. The message says how to fix it."""


@cache
def _installed() -> Mapping[str, EntryPoint]:
    """Those of other distributions. `http` and the built-in ones cannot be replaced."""
    from importlib.metadata import entry_points  # here, because it brings a megabyte of what most gateways do not need

    return {each.name: each for each in entry_points(group=GROUP) if each.name not in (*REQUESTS, *BUILT_IN)}


def kinds() -> list[str]:
    """Every kind that a connection may have."""
    return [*REQUESTS, *BUILT_IN, *sorted(_installed())]


@cache
def kind_of(name: str) -> type[Kind]:
    """The class of connector ``name``, which is not `http`. Raises `UnknownKindError`."""
    if name in BUILT_IN:
        found: type[Kind] = resolve_name(BUILT_IN[name])
        return found
    point = _installed().get(name)
    if point is None:
        known = ", ".join(kinds())
        raise UnknownKindError(f"there is no such connector; write one of {known}, or install the package that has it")
    try:
        found = point.load()
    except (Exception, SystemExit) as error:  # code of others, which may fail in every way
        why = f"{type(error).__name__}: {error}"
        raise UnknownKindError(
            f"the connector {name} ({point.value}) cannot be loaded: {why}; repair its package"
        ) from None
    from gateway.config.schema.connector import ConnectorAction, ConnectorConnection  # here, because they import this

    for key, section in (("Connection", ConnectorConnection), ("Action", ConnectorAction)):
        own = getattr(found, key, None) if isinstance(found, type) else None
        if not (isinstance(own, type) and issubclass(own, section)):
            said = "a class with Connection and Action, which extend ConnectionSection and ActionSection"
            raise UnknownKindError(f"{point.value} is no connector; name {said}, there")
    return found


def require(module: str, extra: str) -> None:
    """Raises `UnknownKindError` where ``module``, which the extra ``extra`` brings, is not installed."""
    if importlib.util.find_spec(module) is None:
        raise UnknownKindError(f"needs the package {module}; run pip install 'breakwater-gateway[{extra}]'")

"""Connections and actions in files that commands read and write, in both forms of the configuration file."""

from __future__ import annotations

import pathlib
from collections.abc import Iterator, Mapping
from typing import Any, Literal

from gateway.cli.client import BadFile
from gateway.cli.types import Json
from gateway.config.actions import HTTP, REQUESTS

Form = Literal["flat", "grouped"]
Kind = Literal["connection", "action"]
KINDS: tuple[Kind, ...] = ("connection", "action")


def calls(file: pathlib.Path, document: Mapping[str, object], tenant: str) -> dict[Kind, dict[str, Json]]:
    """The connections and actions of ``tenant`` in a file, by TRN, each as the API takes it. Raises `BadFile`.

    An action has the tenant and the kind of its connection; one whose connection stands elsewhere belongs to
    ``tenant``, and says its kind itself.
    """
    connections = dict(_entries(file, document, "connections"))
    actions = {
        name: _as_its_connection(each, connections.get(str(each.get("connection"))), tenant)
        for name, each in _entries(file, document, "actions")
    }
    return {
        "connection": dict(_checked(file, "connection", connections, tenant)),
        "action": dict(_checked(file, "action", actions, tenant)),
    }


def _as_its_connection(action: dict[str, Any], connection: Mapping[str, Any] | None, tenant: str) -> dict[str, Any]:
    if connection is None:
        return {**action, "tenant": tenant}
    kind = connection.get("kind", HTTP)
    own = {} if kind in REQUESTS else {"kind": kind}  # those of HTTP say it by `tool`
    return {**own, **action, "tenant": str(connection.get("tenant", "default"))}


def _entries(file: pathlib.Path, document: Mapping[str, object], key: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Those below ``key``, and below ``connectors``. The same name twice is an error."""
    groups = document.get("connectors", {})
    if not isinstance(groups, Mapping):
        raise BadFile(f"{file}: connectors: must be a mapping of connectors")
    places = [(key, document.get(key, {}))]
    for kind, group in groups.items():
        inner = group.get(key, {}) if isinstance(group, Mapping) else None
        places.append((f"connectors.{kind}.{key}", _of_kind(str(kind), inner)))
    seen: dict[str, str] = {}
    for place, entries in places:
        if not isinstance(entries, Mapping):
            raise BadFile(f"{file}: {place}: must be a mapping of names")
        for name, entry in entries.items():
            if not isinstance(entry, dict):
                raise BadFile(f"{file}: {place}.{name}: must be a mapping of keys")
            if name in seen:
                raise BadFile(f"{file}: {place}.{name}: the same name stands below {seen[name]}; remove one of the two")
            seen[name] = place
            yield str(name), entry


def _of_kind(kind: str, entries: Any) -> Any:
    """What stands below a connector is of its kind."""
    if kind == HTTP or not isinstance(entries, Mapping):
        return entries
    return {name: {"kind": kind, **each} if isinstance(each, dict) else each for name, each in entries.items()}


def _checked(
    file: pathlib.Path, kind: Kind, entries: Mapping[str, dict[str, Any]], tenant: str
) -> Iterator[tuple[str, Json]]:
    from gateway.config import single_call
    from gateway.config.errors import ConfigError

    for name, entry in entries.items():
        if str(entry.get("tenant", "default")) == tenant:
            settings = {**entry, "name": name}
            try:
                yield single_call.trn_of(kind, settings, name=f"{file}: {kind}s.{name}"), settings
            except ConfigError as error:
                raise BadFile(str(error)) from None


def document(connections: Mapping[str, Json], actions: Mapping[str, Json], form: Form) -> dict[str, Json]:
    """The file that has these settings, by TRN. Raises nothing: they come from the database."""
    from gateway.core import trn

    made: dict[str, Json] = {}
    for key, entries in (("connections", connections), ("actions", actions)):
        for name, settings in entries.items():
            own = {k: v for k, v in settings.items() if k != "name" and not _implied(key, k, v)}
            connector = trn.parse(name).connector
            place = made if form == "flat" else made.setdefault("connectors", {}).setdefault(connector, {})
            place.setdefault(key, {})[settings["name"]] = own
    return made


def _implied(key: str, name: str, value: object) -> bool:
    """The tenant of an action is that of its connection, and the first one is the default."""
    return name == "tenant" and (key == "actions" or value == "default")

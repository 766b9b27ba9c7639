"""The actions of a front door as tools: their names, what clients are shown of them, and who may have which."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, Final

from gateway.actions.errors import InvalidCallError
from gateway.actions.input import schema_of
from gateway.actions.prepare import Entry
from gateway.config.actions import REQUESTS, Action
from gateway.config.mcp import Mcp
from gateway.config.placeholders import placeholders
from gateway.core import trn
from gateway.core.exchange import Exchange
from gateway.identity.access import admission

_ILLEGAL: Final = re.compile(r"[^A-Za-z0-9_-]")
_LONGEST: Final = 64
_READS: Final = frozenset(("GET", "HEAD", "OPTIONS"))
_REPEATABLE: Final = _READS | {"PUT", "DELETE"}  # RFC 9110 9.2.2


@dataclass(frozen=True, slots=True)
class Tool:
    """``action``: its TRN. ``label``: the name of its route. ``definition``: what clients are shown. ``rules``: each
    must admit a caller."""

    name: str
    action: str
    label: str
    definition: Mapping[str, Any]
    rules: Sequence[Callable[[Exchange], bool]]

    def admits(self, ex: Exchange) -> bool:
        """Whether the caller of ``ex`` may see and call it."""
        return all(rule(ex) for rule in self.rules)


def tools_of(door: Mcp, entries: Iterable[Entry]) -> dict[str, Tool]:
    """The tools of ``door`` by name, in the order of their names. ``entries``: all actions of its tenant."""
    rules = [(rule.actions, admission(rule.access_rule)) for rule in door.rules]
    found = []
    for name, entry in names_of(entries).items():
        own = trn.parse(entry.trn)
        known = own.name, f"{own.connector}.{own.name}"
        if _matches(door.allow, known) and not _matches(door.deny, known) and entry.action is not None:
            judges = [judge for patterns, judge in rules if _matches(patterns, known)]
            shown = definition(name, own.name, entry.action, effects(entry))
            found.append(Tool(name, entry.trn, entry.label, shown, judges))
    return {tool.name: tool for tool in sorted(found, key=lambda tool: tool.name)}


def names_of(entries: Iterable[Entry]) -> dict[str, Entry]:
    """A name for each action that all clients and models take: up to 64 letters, digits, ``_`` and ``-``.

    Of several versions of an action the newest has it. A name that several actions would have goes to none of them but
    the one that is called so: others get a digest of their TRN, so that their names do not depend on one another.
    """
    newest: dict[str, tuple[int, Entry]] = {}
    for entry in entries:
        own = trn.parse(entry.trn)
        known = str(own._replace(version=0))
        if known not in newest or newest[known][0] < own.version:
            newest[known] = own.version, entry
    wished: dict[str, list[str]] = {}
    for known in newest:
        wished.setdefault(_plain(trn.parse(known).name), []).append(known)
    found = {}
    for name, wishing in wished.items():
        exact = [known for known in wishing if trn.parse(known).name == name]
        for known in wishing:
            alone = len(wishing) == 1 or exact == [known]
            found[name if alone else _distinct(name, known)] = newest[known][1]
    return found


def _plain(name: str) -> str:
    return _ILLEGAL.sub("_", name)[:_LONGEST]


def _distinct(name: str, known: str) -> str:
    digest = hashlib.sha256(known.encode()).hexdigest()[:8]
    return f"{name[: _LONGEST - 9]}_{digest}"


@dataclass(frozen=True, slots=True)
class Effects:
    """``reads``: a call changes nothing. ``repeatable``: a second one does no harm."""

    reads: bool
    repeatable: bool


def effects(entry: Entry) -> Effects:
    """Those of calls of ``entry``: by its method, or as its connector says."""
    assert entry.action is not None
    if entry.connection.kind in REQUESTS:
        return Effects(entry.action.method in _READS, entry.action.method in _REPEATABLE)
    try:
        spoken = entry.spoken.action
    except InvalidCallError:  # its calls say so
        spoken = None
    return Effects(False, False) if spoken is None else Effects(spoken.reads(), spoken.repeatable())


def definition(name: str, title: str, action: Action, found: Effects) -> dict[str, Any]:
    """What ``tools/list`` has of ``action``, whose calls have the effects ``found``."""
    shown: dict[str, Any] = {"name": name, "title": title}
    if action.description:
        shown["description"] = action.description
    shown["inputSchema"] = input_schema(action)
    shown["annotations"] = {
        "readOnlyHint": found.reads,
        "destructiveHint": not found.reads,
        "idempotentHint": found.repeatable,
        "openWorldHint": True,
    }
    return shown


def input_schema(action: Action) -> dict[str, Any]:
    """The JSON Schema of the input. Of an action without one: the names that stand in it."""
    schema = schema_of(action)
    if schema is not None:
        return {**_without_fields(schema), "type": "object"}
    in_path = list(placeholders(action.path))
    body = action.body and action.body.value
    names = dict.fromkeys([*in_path, *placeholders((action.headers, action.query, body))])
    found: dict[str, Any] = {"type": "object", "properties": {each: {"type": "string"} for each in names}}
    return found | ({"required": in_path} if in_path else {})


def _without_fields(schema: Any) -> Any:
    """Without ``x-mcp-header``: the input is that of the body, so that no header field has to agree with it."""
    if isinstance(schema, Mapping):
        return {
            key: _without_fields(value)
            for key, value in schema.items()
            if key != "x-mcp-header" or not isinstance(value, str)
        }
    return [_without_fields(each) for each in schema] if isinstance(schema, list | tuple) else schema


def _matches(patterns: Sequence[str], names: Sequence[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns for name in names)

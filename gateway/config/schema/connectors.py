"""Connections and actions of every connector: which section one is follows from its kind."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, ClassVar, TypeVar

from pydantic import ConfigDict, Field, ValidationError, ValidationInfo, WithJsonSchema, WrapValidator, model_validator
from pydantic_core import InitErrorDetails, PydanticCustomError

from gateway.config import kinds
from gateway.config.actions import HTTP, REQUESTS
from gateway.config.schema.actions import Action
from gateway.config.schema.connections import Connection, Name, VersionedName
from gateway.config.schema.connector import ConnectorAction, ConnectorConnection
from gateway.config.schema.mongodb import MongoAction, MongoConnection
from gateway.config.schema.redis import RedisAction, RedisConnection
from gateway.config.schema.section import Section
from gateway.config.schema.sql import SqlAction, SqlConnection
from gateway.config.validation_messages import findings

_S = TypeVar("_S", bound=Section)


def _connection(value: object, handler: object, info: ValidationInfo) -> Connection | ConnectorConnection:
    kind = _kind_in(value)
    if kind is None:
        return Connection.model_validate(value, context=info.context)
    return _validated(kind.Connection, value, info)


def _action(value: object, handler: object, info: ValidationInfo) -> Action | ConnectorAction:
    kind = _kind_in(value)
    if kind is None:
        return Action.model_validate(value, context=info.context)
    return _validated(kind.Action, value, info)


def _kind_in(value: object) -> type[kinds.Kind] | None:
    """The connector that is named; None: `http`, or what is no name, which the section of `http` reports."""
    name = value.get("kind") if isinstance(value, Mapping) else None
    return None if not isinstance(name, str) or name in ("", *REQUESTS) else _known(name, "kind")


def _known(name: str, key: str) -> type[kinds.Kind]:
    """The connector ``name``, which stands at ``key``."""
    try:
        return kinds.kind_of(name)
    except kinds.UnknownKindError as error:
        said = str(error)
    raise _rejected((key,), said)


def _rejected(at: tuple[str, ...], said: str) -> ValidationError:
    custom = PydanticCustomError("connector", "{said}", {"said": said})
    return ValidationError.from_exception_data("kind", [InitErrorDetails(type=custom, loc=at, input=None)])


def _validated(section: type[_S], value: object, info: ValidationInfo) -> _S:
    """Findings become sentences here: the model that holds this one does not know the keys of every connector."""
    try:
        return section.model_validate(value, context=info.context)
    except ValidationError as error:
        details = [
            InitErrorDetails(type=PydanticCustomError("connector", "{said}", {"said": said}), loc=path, input=None)
            for path, said in findings(error, section)
        ]
    raise ValidationError.from_exception_data(section.__name__, details)


_Other = Annotated[
    dict[str, Any],
    WithJsonSchema(
        {
            "type": "object",
            "required": ["kind"],
            "properties": {"kind": {"type": "string", "not": {"enum": [*REQUESTS, *kinds.BUILT_IN]}}},
        }
    ),
]
"""In the JSON Schema: what connectors of other distributions have. Their keys are not known to it."""
_CONNECTIONS = Connection | SqlConnection | RedisConnection | MongoConnection | _Other
_ACTIONS = Action | SqlAction | RedisAction | MongoAction | _Other
AnyConnection = Annotated[
    Connection | ConnectorConnection, WrapValidator(_connection, json_schema_input_type=_CONNECTIONS)
]
AnyAction = Annotated[Action | ConnectorAction, WrapValidator(_action, json_schema_input_type=_ACTIONS)]


class Group(Section):
    """The connections and actions of one connector."""

    connections: dict[Name, AnyConnection] = Field(default={})
    """Connections by name."""
    actions: dict[VersionedName, AnyAction] = Field(default={})
    """Actions by name; `NAME@v2` for a version beside the first."""


class Connectors(Section):
    """Connections and actions, grouped by connector."""

    model_config = ConfigDict(extra="allow")
    further: ClassVar[type[Section] | None] = Group
    __pydantic_extra__: dict[str, Group] = Field(init=False)
    http: Group = Field(default=Group())
    """Those of HTTP. Those of another connector stand below its name."""

    @model_validator(mode="before")
    @classmethod
    def _of_a_kind(cls, data: object) -> object:
        """A group says the kind of what it holds."""
        if not isinstance(data, dict):
            return data
        for kind in data:
            if kind not in REQUESTS:
                _known(kind, kind)
        return {kind: _group(kind, group) for kind, group in data.items()}

    def groups(self) -> Iterator[tuple[str, Group]]:
        """Each with its kind."""
        yield HTTP, self.http
        yield from (self.__pydantic_extra__ or {}).items()


def _group(kind: str, group: Any) -> Any:
    if not isinstance(group, dict):
        return group
    named = ("connections", "actions")
    return {key: _kinds(kind, key, entries) if key in named else entries for key, entries in group.items()}


def _kinds(kind: str, key: str, entries: Any) -> Any:
    if not isinstance(entries, dict):
        return entries
    for name, each in entries.items():
        if isinstance(each, dict) and each.get("kind", kind) != kind:
            raise _rejected((kind, key, str(name), "kind"), f"is not the {kind} that it stands below; leave it out")
    return {name: {"kind": kind, **each} if isinstance(each, dict) else each for name, each in entries.items()}


def with_kinds(settings: dict[str, Any]) -> dict[str, Any]:
    """``settings``, the data of a file, with the kind of its connection in each action that has none."""
    connections, actions = settings.get("connections"), settings.get("actions")
    if not isinstance(connections, dict) or not isinstance(actions, dict):
        return settings
    known = {name: each["kind"] for name, each in connections.items() if isinstance(each, dict) and "kind" in each}
    return {**settings, "actions": {name: _with_kind(each, known) for name, each in actions.items()}}


def _with_kind(action: Any, known: Mapping[str, Any]) -> Any:
    named = action.get("connection") if isinstance(action, dict) else None
    kind = known.get(named) if isinstance(named, str) else None
    return action if kind is None else {"kind": kind, **action}

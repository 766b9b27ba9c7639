"""Connections and actions of the connector `mongodb`."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, Any, Final, Literal, Self

from pydantic import AfterValidator, Field, field_validator, model_validator

from gateway.config import kinds
from gateway.config.placeholders import PLACEHOLDER, placeholders
from gateway.config.schema.call_policy import Milliseconds
from gateway.config.schema.connector import ConnectorAction
from gateway.config.schema.outbound_auth import Basic
from gateway.config.schema.sql import Server, ServerConnection, ServerTls, server_url
from gateway.config.schema.types import Seconds

READS: Final = ("find", "find_one", "count_documents", "distinct", "aggregate")
WRITES: Final = (
    *("insert_one", "insert_many", "update_one", "update_many", "replace_one", "delete_one", "delete_many"),
)
ARGUMENTS: Final[Mapping[str, tuple[str, ...]]] = {
    "find": ("filter", "projection", "sort", "skip"),
    "find_one": ("filter", "projection", "sort", "skip"),
    "count_documents": ("filter",),
    "distinct": ("key", "filter"),
    "aggregate": ("pipeline",),
    "insert_one": ("document",),
    "insert_many": ("documents",),
    "update_one": ("filter", "update", "upsert"),
    "update_many": ("filter", "update", "upsert"),
    "replace_one": ("filter", "replacement", "upsert"),
    "delete_one": ("filter",),
    "delete_many": ("filter",),
}
"""What each operation takes."""
_CODE: Final = frozenset(("$where", "$function", "$accumulator"))
_STORES: Final = frozenset(("$out", "$merge"))
_EXPRESSIONS: Final = ("pipeline", "projection")
"""Arguments whose texts are expressions, where one that begins with $ is the path of a field."""
_NAME: Final = re.compile(r"[^\x00$. /\\\"]{1,63}")


def _mongo_url(url: str) -> str:
    made = Server(server_url(url, ("mongodb",)))
    if not _NAME.fullmatch(made.name):
        raise ValueError("must end with the name of a database; write mongodb://HOST:PORT/NAME")
    kinds.require("pymongo", "mongodb")
    return url


class MongoConnection(ServerConnection):
    """A database of MongoDB."""

    kind: str = Field(default="mongodb", examples=["mongodb"], json_schema_extra={"const": "mongodb"})
    """`mongodb`."""
    url: Annotated[str, AfterValidator(_mongo_url)] = Field(repr=False, examples=["mongodb://db.internal:27017/shop"])
    """Where it is: `mongodb://HOST:PORT/DATABASE`. A user and a password may stand in it, as `${VARIABLE}`; better in
    `auth`."""
    auth: Basic | None = Field(default=None, examples=[{"type": "basic", "username": "reader", "password": "secret"}])
    """The user and the password; `null`: those of the URL."""
    auth_database: str | None = Field(default=None, min_length=1, examples=["admin"])
    """The database that knows the user; `null`: that of the URL."""
    tls: ServerTls = Field(default=ServerTls())
    """TLS with the server."""
    connect_timeout_ms: Milliseconds = Field(default=5000, ge=1, le=60_000, examples=[2000])
    """For opening a connection, with the answer of the server and the log-in."""
    idle: Seconds = Field(default=60, gt=0, le=86_400, examples=[30])
    """Seconds after which a worker closes a connection that no call has used."""


def _collection(name: str) -> str:
    if not re.fullmatch(r"[^\x00$]{1,120}", name) or name.startswith("system."):
        raise ValueError("must be the name of a collection of yours, without $; write such a name")
    return name


class MongoAction(ConnectorAction):
    """An operation of a collection with places for values."""

    kind: str = Field(default="mongodb", examples=["mongodb"], json_schema_extra={"const": "mongodb"})
    """`mongodb`."""
    collection: Annotated[str, AfterValidator(_collection)] = Field(examples=["orders"])
    """The collection."""
    operation: Literal[
        "find",
        "find_one",
        "count_documents",
        "distinct",
        "aggregate",
        "insert_one",
        "insert_many",
        "update_one",
        "update_many",
        "replace_one",
        "delete_one",
        "delete_many",
    ] = Field(default="find", examples=["find_one"])
    """What is done."""
    arguments: dict[str, Any] = Field(default={}, repr=False, examples=[{"filter": {"state": "{state}"}}])
    """The arguments of the operation. A text `{name}` alone stands for a value of the input of any type, within a text
    for a part of it."""
    read_only: bool = Field(default=True, examples=[False])
    """`true`: only operations that change nothing."""
    max_rows: int = Field(default=1000, ge=1, le=1_000_000, examples=[100])
    """Most documents of a result. Further ones are left out, and `truncated` is `true` then."""

    @field_validator("arguments")
    @classmethod
    def _no_code(cls, arguments: dict[str, Any]) -> dict[str, Any]:
        for key in _keys(arguments):
            if key in _CODE:
                raise ValueError(f"{key} executes code at the server, which no action may; write operators instead")
        return arguments

    @model_validator(mode="after")
    def _accepted(self) -> Self:
        if self.read_only and self.operation in WRITES:
            raise ValueError(f"{self.operation} changes documents; write read_only: false")
        if self.read_only and (stored := _STORES.intersection(_keys(self.arguments))):
            raise ValueError(f"{min(stored)} changes a collection; write read_only: false")
        known = ARGUMENTS[self.operation]
        unknown = [name for name in self.arguments if name not in known]
        if unknown:
            raise ValueError(f"{self.operation} takes no {unknown[0]}; its arguments are {', '.join(known)}")
        return self

    def names(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(placeholders(self.arguments)))

    def repeatable(self) -> bool:
        return self.read_only

    def reads(self) -> bool:
        return self.read_only

    def summary(self) -> str:
        return f"{self.collection}.{self.operation}"

    def plan(self, given: Mapping[str, Any]) -> Mapping[str, Any]:
        return {
            "collection": self.collection,
            "operation": self.operation,
            "arguments": self.arguments,
            "values": {name: given.get(name) for name in self.names()},
            "max_rows": self.max_rows,
        }

    def filled(self, given: Mapping[str, Any], special: Callable[[str, Any], Any]) -> dict[str, Any]:
        """The arguments with the values of ``given``. ``special`` makes a value of ``{"$oid": ...}`` and the like.

        Raises ValueError for a value that has an operator in it, or that names a field within an expression: it would
        change what the operation asks for.
        """
        for name in self.names():
            if operator := next((key for key in _keys(given[name]) if key.startswith("$")), None):
                raise ValueError(f"{name} has the key {operator[:40]}, and no value may have one that begins with $")
        for key, value in self.arguments.items():
            # An update that is a list is a pipeline too.
            _check_paths(value, given, expression=key in _EXPRESSIONS or (key == "update" and isinstance(value, list)))
        return {key: _filled(value, given, special) for key, value in self.arguments.items()}


def _check_paths(value: Any, given: Mapping[str, Any], *, expression: bool) -> None:
    """Raises ValueError for a value of ``given`` that would be a field (MongoDB, "Aggregation Expressions").

    A filter has none but below ``$expr``, and so has the stage ``$match``. What stands below ``$literal`` is plain.
    """
    match value:
        case str() if expression and not value.startswith("$"):
            for name in placeholders(value):
                if _has_path(_filled(value, given, _unchanged)):
                    raise ValueError(
                        f"{name} begins with $, which means a field here; write another, "
                        f'or {{"$literal": "{{{name}}}"}} in the action'
                    )
        case Mapping():
            for key, each in value.items():
                inner = key == "$expr" or (expression and key not in ("$literal", "$match"))
                _check_paths(each, given, expression=inner)
        case list():
            for each in value:
                _check_paths(each, given, expression=expression)


def _has_path(value: object) -> bool:
    """Whether a text in it begins with ``$``."""
    match value:
        case str():
            return value.startswith("$")
        case Mapping():
            return any(map(_has_path, value.values()))
        case list():
            return any(map(_has_path, value))
    return False


def _unchanged(kind: str, value: Any) -> Any:
    del kind
    return value


def _filled(value: Any, given: Mapping[str, Any], special: Callable[[str, Any], Any]) -> Any:
    match value:
        case str():
            whole = PLACEHOLDER.fullmatch(value)
            if whole is not None:
                return given[whole[1]]
            return PLACEHOLDER.sub(lambda found: str(given[found[1]]), value)
        case Mapping():
            made = {key: _filled(each, given, special) for key, each in value.items()}
            (only, *more) = made or ("",)
            return special(only, made[only]) if only in ("$oid", "$date") and not more else made
        case list():
            return [_filled(each, given, special) for each in value]
    return value


def _keys(value: object) -> Iterator[str]:
    """Those of all mappings in it."""
    match value:
        case Mapping():
            for key, each in value.items():
                yield str(key)
                yield from _keys(each)
        case list():
            for each in value:
                yield from _keys(each)

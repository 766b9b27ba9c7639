"""Bodies of the routes that change connections and actions of the database."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, RootModel, WithJsonSchema

from gateway.api.action_schemas import CallRecord
from gateway.api.schemas import Answer, Applied
from gateway.config import single_call
from gateway.config.actions import DEFAULT_TENANT, REQUESTS
from gateway.config.kinds import BUILT_IN
from gateway.config.schema.connections import Name, Tenant, VersionedName
from gateway.config.schema.mongodb import MongoAction, MongoConnection
from gateway.config.schema.redis import RedisAction, RedisConnection
from gateway.config.schema.sql import SqlAction, SqlConnection

Version = Annotated[int | None, Field(ge=1, description="The version that is replaced; or send If-Match.")]


class NewConnection(single_call.StoredConnection):
    """A connection, as it would stand in the configuration file. In a PUT with the version that it replaces."""

    version: Version = None


class NewAction(single_call.StoredAction):
    """An action, as it would stand in the configuration file. In a PUT with the version that it replaces."""

    version: Version = None


class NewSqlConnection(SqlConnection):
    """A database, as `NewConnection`."""

    name: Name = Field(examples=["orders"])
    version: Version = None


class NewRedisConnection(RedisConnection):
    """A Redis or a Valkey, as `NewConnection`."""

    name: Name = Field(examples=["cache"])
    version: Version = None


class NewMongodbConnection(MongoConnection):
    """A database of MongoDB, as `NewConnection`."""

    name: Name = Field(examples=["documents"])
    version: Version = None


class NewSqlAction(SqlAction):
    """A statement, as `NewAction`."""

    name: VersionedName = Field(examples=["find-order"])
    tenant: Tenant = DEFAULT_TENANT
    version: Version = None


class NewRedisAction(RedisAction):
    """A command, as `NewAction`."""

    name: VersionedName = Field(examples=["get-user"])
    tenant: Tenant = DEFAULT_TENANT
    version: Version = None


class NewMongodbAction(MongoAction):
    """An operation of a collection, as `NewAction`."""

    name: VersionedName = Field(examples=["find-document"])
    tenant: Tenant = DEFAULT_TENANT
    version: Version = None


_Other = Annotated[
    dict[str, Any],
    WithJsonSchema(
        {
            "type": "object",
            "required": ["name", "kind"],
            "properties": {"kind": {"type": "string", "not": {"enum": [*REQUESTS, *BUILT_IN]}}},
        }
    ),
]
"""Of a connector of another distribution: `GET /kinds` has the schemas of its keys."""


class AnyNewConnection(
    RootModel[NewConnection | NewSqlConnection | NewRedisConnection | NewMongodbConnection | _Other]
):
    """A connection of any kind, as it would stand in the configuration file: `kind` says which schema it has."""


class AnyNewAction(RootModel[NewAction | NewSqlAction | NewRedisAction | NewMongodbAction | _Other]):
    """An action of any kind, as it would stand in the configuration file: `kind` says which schema it has."""


class CallPatch(BaseModel):
    """Some keys of a connection or an action (RFC 7396); null resets a key to its default."""

    model_config = ConfigDict(extra="allow")
    version: int | None = Field(default=None, ge=1)


class CallStored(Answer):
    """What was stored."""

    trn: str
    record: CallRecord
    applied: Applied


class CallDeleted(Answer):
    """What was deleted."""

    trn: str
    removed: list[str] = Field(description="The TRNs of the actions that went with their connection.")
    applied: Applied


class CallDryRun(Answer):
    """What a change would do. Nothing was changed."""

    dry_run: bool
    trn: str
    changes: list[str] = Field(description="The keys that would have another value; empty: none.")
    removes: list[str] = Field(description="The TRNs of the actions that would go with their connection.")

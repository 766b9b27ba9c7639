"""Connections and actions in the database, each in the shape in which the file has it below its name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.config import secret_values, single_call
from gateway.config.named_calls import Key, NamedAction, NamedConnection
from gateway.config.secret_values import Path
from gateway.core import trn
from gateway.store.audit import By
from gateway.store.authorizations import AuthorizationRepository
from gateway.store.database import Database
from gateway.store.errors import AlreadyExists, NotFound
from gateway.store.grants import GrantRepository
from gateway.store.keys import KeyRing
from gateway.store.repository import Guard, Kind, Record, Repository, Unique
from gateway.store.tables import ACTIONS, CONNECTIONS

StoredConnection = Record[NamedConnection]
StoredAction = Record[NamedAction]


def connection_taken(connection: NamedConnection) -> AlreadyExists:
    return AlreadyExists("name", f"there is a connection {connection.name} already; choose another name, or change it")


def action_taken(action: NamedAction) -> AlreadyExists:
    message = f"there is an action {action.name} already; choose another name or version, or change it"
    return AlreadyExists("name", message)


def _read_connection(settings: Mapping[str, object], place: str) -> NamedConnection:
    return single_call.connection(settings, name=place)


def _read_action(settings: Mapping[str, object], place: str) -> NamedAction:
    return single_call.action(settings, name=place)


def _dump_connection(connection: NamedConnection, complete: bool) -> dict[str, object]:
    return single_call.connection_settings(connection, complete=complete)


def _dump_action(action: NamedAction, complete: bool) -> dict[str, object]:
    return single_call.action_settings(action, complete=complete)


def _keys_of_connection(connection: NamedConnection) -> Mapping[str, object]:
    tenant, name = connection.key
    return {"trn": connection.trn, "tenant": tenant, "name": name}


def _keys_of_action(action: NamedAction) -> Mapping[str, object]:
    tenant, name = action.key
    return {"trn": action.trn, "tenant": tenant, "name": name, "connection": action.definition.connection}


def _secrets_of_connection(connection: NamedConnection, settings: Mapping[str, object]) -> Iterable[Path]:
    return secret_values.in_connection(connection.definition, settings)


def _secrets_of_action(action: NamedAction, settings: Mapping[str, object]) -> Iterable[Path]:
    return secret_values.in_action(action.definition, settings)


CONNECTION: Final = Kind(
    noun="connection",
    table=CONNECTIONS,
    read=_read_connection,
    dump=_dump_connection,
    keys=_keys_of_connection,
    unique=(
        Unique("connections_trn_key", "trn", connection_taken),
        Unique("connections_name_key", "tenant", connection_taken),
    ),
    identity="trn",
    secrets=_secrets_of_connection,
)
ACTION: Final = Kind(
    noun="action",
    table=ACTIONS,
    read=_read_action,
    dump=_dump_action,
    keys=_keys_of_action,
    unique=(Unique("actions_trn_key", "trn", action_taken), Unique("actions_name_key", "tenant", action_taken)),
    identity="trn",
    secrets=_secrets_of_action,
)


class ActionRepository(Repository[NamedAction]):
    """Records are found by TRN."""

    def __init__(self, database: Database, keys: KeyRing) -> None:
        super().__init__(database, ACTION, keys)

    @staticmethod
    def needs(key: Key) -> Guard:
        """A guard for a change of an action whose connection is stored, and may be deleted meanwhile."""

        async def check(connection: AsyncConnection) -> None:
            tenant, name = key
            here = (CONNECTIONS.c.tenant == tenant) & (CONNECTIONS.c.name == name)
            if (await connection.execute(select(CONNECTIONS.c.id).where(here))).first() is None:
                raise NotFound(f"there is no connection {name}; create it first")

        return check

    async def of(self, key: Key) -> list[str]:
        """The TRNs of the actions of a connection."""
        async with self._database.reading() as connection:
            return await self._of(connection, key)

    async def delete_of(self, connection: AsyncConnection, key: Key, actor: By) -> list[str]:
        """Delete the actions of a connection in the transaction of its own deletion; return their TRNs."""
        found = await self._of(connection, key)
        for each in found:
            await self._delete(connection, each, None, actor)
        return found

    @staticmethod
    async def _of(connection: AsyncConnection, key: Key) -> list[str]:
        tenant, name = key
        here = (ACTIONS.c.tenant == tenant) & (ACTIONS.c.connection == name)
        query = select(ACTIONS.c.trn).where(here).order_by(ACTIONS.c.trn)
        return [str(row.trn) for row in (await connection.execute(query)).all()]


class ConnectionRepository(Repository[NamedConnection]):
    """Records are found by TRN."""

    def __init__(self, database: Database, keys: KeyRing, actions: ActionRepository) -> None:
        super().__init__(database, CONNECTION, keys)
        self._actions = actions

    async def delete_with_actions(self, name: str, version: int | None, actor: By) -> list[str]:
        """As `delete`, with all of its actions: the TRNs of those. Both are gone in one transaction, and with them the
        tokens and what persons have begun to authorize, so that another connection of this name does not come into
        what a person has agreed to."""
        own = trn.parse(name)
        async with self._database.writing() as connection:
            await self._delete(connection, name, version, actor)
            await GrantRepository.remove_in(connection, name, actor)
            await AuthorizationRepository.remove_in(connection, name)
            return await self._actions.delete_of(connection, (own.tenant, own.name), actor)


async def connection_names(database: Database) -> set[Key]:
    """Tenant and name of each connection; needs no key. Raises `StoreUnavailable`."""
    async with database.reading() as connection:
        rows = await connection.execute(select(CONNECTIONS.c.tenant, CONNECTIONS.c.name))
        return {(row.tenant, row.name) for row in rows}

"""Actions in the database."""

from __future__ import annotations

from collections.abc import Sequence

from gateway.actions.summaries import action_summary, name_in
from gateway.admin.errors import validation
from gateway.admin.records import RecordAdministration, Settings
from gateway.admin.representations import Resource
from gateway.config import secret_values, single_call
from gateway.config.actions import REQUESTS
from gateway.config.calls import known_as
from gateway.config.errors import ConfigError
from gateway.config.named_calls import Key, NamedAction, NamedConnection
from gateway.core import trn
from gateway.store.calls import StoredAction
from gateway.store.repository import Guard, Repository, usable


class ActionRecords(RecordAdministration[NamedAction]):
    """All methods raise `AdminError`."""

    noun = "action"

    @property
    def _repository(self) -> Repository[NamedAction]:
        return self._store.actions

    def _read(self, settings: Settings) -> NamedAction:
        return single_call.action(settings)

    async def _completed(self, settings: Settings) -> Settings:
        """An action is of the kind of its connection, which decides what keys it has."""
        named, tenant = settings.get("connection"), settings.get("tenant")
        if settings.get("kind") is not None or not isinstance(named, str) or not isinstance(tenant, str):
            return settings
        place = await self._connection((tenant, named))
        known = place is None or place.definition.kind in REQUESTS  # those say it by `tool`
        return settings if known or place is None else {**settings, "kind": place.definition.kind}

    def _declared_names(self, tenant: str) -> set[str]:
        return {each.trn for each in self._declared.called.actions if each.key[0] == tenant}

    def declared_summaries(self, tenant: str) -> list[Resource]:
        connections, actions = self._declared.called.records()
        by_trn = {each.trn: each for each in connections}
        return [
            dict(action_summary(each, by_trn[each.connection]))
            for each in actions
            if trn.parse(each.trn).tenant == tenant
        ]

    async def summary(self, record: StoredAction) -> Resource:
        value = record.value
        place = None if isinstance(value, ConfigError) else await self._connection(value.connection)
        if not isinstance(value, ConfigError) and place is not None:
            connection = place.definition
            made = value.definition.record(value.name, connection.trn(place.name))
            return dict(action_summary(made, connection.record(place.name)))
        own = trn.parse(record.name)
        known = known_as(own.tenant, name_in(record.name))
        empty: Resource = dict.fromkeys(("connection", "method", "path", "description"), "")
        rest: Resource = {"input_schema": None, "explained_as": known, "seconds": 0.0}
        rest |= {"pagination": None, "allowed": True}
        return {"trn": record.name, "name": name_in(record.name), "connector": own.connector, **empty, **rest}

    async def _guard(
        self, value: NamedAction, current: NamedAction | None, kept: Sequence[secret_values.Path]
    ) -> Guard | None:
        """Its connection must be there, and secrets that were given for one do not go to another."""
        if kept and current is not None and current.connection != value.connection:
            shown = ", ".join(".".join(map(str, path)) for path in kept)
            message = f"is another one than the secrets of this action were stored for; send them again: {shown}"
            raise validation([("connection", message)])
        place = await self._connection(value.connection)
        if place is None:
            message = f"there is no connection {value.definition.connection}; create it first, or write another name"
            raise validation([("connection", message)])
        if value.definition.speaks != place.definition.kind:
            kind = place.definition.kind
            raise validation([("kind", f"is not that of its connection, {kind}; write the same, or leave it out")])
        return None if place in self._declared.called.connections else self._store.actions.needs(value.connection)

    async def _connection(self, key: Key) -> NamedConnection | None:
        """That of the file before that of the database."""
        known = (*self._declared.called.connections, *usable(await self._store.connections.list()))
        return next((each for each in known if each.key == key), None)

"""Connections in the database."""

from __future__ import annotations

from collections.abc import Sequence

from gateway.actions.summaries import connection_summary, name_in
from gateway.admin.actor import Actor
from gateway.admin.errors import conflict, validation
from gateway.admin.records import RecordAdministration, Settings
from gateway.admin.representations import Resource
from gateway.config import secret_values, single_call, values
from gateway.config.errors import ConfigError
from gateway.config.named_calls import NamedConnection
from gateway.config.schema.connections import shared_name
from gateway.config.schema.oauth import SignedJwt
from gateway.core import trn
from gateway.store.calls import StoredConnection
from gateway.store.repository import Guard, Repository, usable


class ConnectionRecords(RecordAdministration[NamedConnection]):
    """All methods raise `AdminError`."""

    noun = "connection"

    @property
    def _repository(self) -> Repository[NamedConnection]:
        return self._store.connections

    def _read(self, settings: Settings) -> NamedConnection:
        return single_call.connection(settings, destinations=self._declared.destinations)

    def _declared_names(self, tenant: str) -> set[str]:
        return {each.trn for each in self._declared.called.connections if each.key[0] == tenant}

    def declared_summaries(self, tenant: str) -> list[Resource]:
        called = self._declared.called
        return [
            dict(
                connection_summary(
                    each.definition.record(each.name), [own.trn for own in called.actions if own.connection == each.key]
                )
            )
            for each in called.connections
            if each.key[0] == tenant
        ]

    async def summary(self, record: StoredConnection) -> Resource:
        own = trn.parse(record.name)
        actions = await self._store.actions.of((own.tenant, own.name))
        if not isinstance(record.value, ConfigError):
            return dict(connection_summary(record.value.definition.record(own.name), actions))
        known = {"upstream": shared_name(own.tenant, own.name), "actions": sorted(map(name_in, actions))}
        empty = dict.fromkeys(("base_url", "auth", "merge", "description"), "")
        return {"trn": record.name, "name": own.name, "connector": own.connector, **empty, **known}

    async def _guard(
        self, value: NamedConnection, current: NamedConnection | None, kept: Sequence[secret_values.Path]
    ) -> Guard | None:
        """What was given for one origin does not go to another: who may write connections would read all secrets."""
        if current is None:
            return None
        _check_providers(current, value, kept)
        if current.definition.receiver() == value.definition.receiver():
            return None
        key = next((".".join(path) for path, _ in value.definition.urls()), "") or "kind"
        if kept:
            shown = ", ".join(".".join(map(str, path)) for path in kept)
            raise validation(
                [(key, f"leads to another origin than the secrets were stored for; send them again: {shown}")]
            )
        actions = [
            each.trn
            for each in usable(await self._store.actions.list())
            if each.connection == current.key and self._store.actions.secrets(each)
        ]
        if actions:
            message = "leads to another origin than the secrets of these actions were stored for; delete them first: "
            raise validation([(key, message + ", ".join(actions))])
        return None

    async def _removed_with(self, current: StoredConnection) -> list[str]:
        own = trn.parse(current.name)
        if current.name in self._declared_names(own.tenant):
            return []  # its actions have the connection of the file
        shared = shared_name(own.tenant, own.name)
        proxies = [*self._declared.proxies(), *usable(await self._store.proxies.list())]
        if users := sorted(proxy.name for proxy in proxies if shared in proxy.named_upstreams()):
            raise conflict("in_use", f"proxies name this connection: {', '.join(users)}; change them first")
        return await self._store.actions.of((own.tenant, own.name))

    async def _delete(self, current: StoredConnection, version: int | None, actor: Actor) -> list[str]:
        if current.name in self._declared_names(trn.parse(current.name).tenant):
            await self._store.connections.delete(current.name, version, actor.author)
            return []
        return await self._store.connections.delete_with_actions(current.name, version, actor.author)


def _check_providers(current: NamedConnection, value: NamedConnection, kept: Sequence[secret_values.Path]) -> None:
    """A client secret, or what is signed with a key, goes to its identity provider alone. Raises `AdminError`."""
    shown = ", ".join(".".join(map(str, path)) for path in kept if path[0] == "auth")
    known = set(_providers(current).values())
    moved = [place for place, origin in _providers(value).items() if origin not in known]
    if shown and moved:
        message = f"leads to another origin than the secrets were stored for; send them again: {shown}"
        raise validation([(place, message) for place in moved])


def _providers(connection: NamedConnection) -> dict[str, str]:
    """The origins of its identity provider, by their place; without one, where it sends what it signs itself."""
    urls = ((".".join(path), url) for path, url in connection.definition.urls() if path[:1] == ("auth",))
    found = {place: values.origin(url.partition("?")[0]) for place, url in urls}
    if not found and isinstance(getattr(connection.definition, "auth", None), SignedJwt):
        found["auth.token_url"] = values.origin(connection.definition.base_url)
    return found

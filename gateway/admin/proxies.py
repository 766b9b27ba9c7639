"""Proxies: list, change and delete them, and compute beforehand what a change would touch."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from gateway.admin import pages
from gateway.admin import representations as resource
from gateway.admin.actor import Actor
from gateway.admin.declared import Declared
from gateway.admin.errors import (
    AdminError,
    already_exists,
    conflict,
    invalid,
    not_found,
    unavailable,
    validation,
    version_conflict,
    version_required,
)
from gateway.admin.impact import Impact, impact
from gateway.admin.live import Live
from gateway.admin.merge_patch import merged
from gateway.admin.precedence import Settings, effective, shadowed
from gateway.admin.representations import Resource
from gateway.admin.rights import superusers_only
from gateway.config import single
from gateway.config.errors import ConfigError
from gateway.config.named_calls import NamedCalls, together
from gateway.config.schema.proxy import Proxy
from gateway.ipc.channel import ChannelError
from gateway.ipc.messages import Inspection, ProxyState
from gateway.store.errors import AlreadyExists, NotFound
from gateway.store.proxies import StoredProxy, hosts_key, name_taken, path_taken
from gateway.store.repository import VersionConflict, usable
from gateway.store.store import Store


class ProxyAdministration:
    """All methods raise `AdminError`."""

    def __init__(self, store: Store, declared: Declared, live: Live, plane: Inspection) -> None:
        self._store = store
        self._declared = declared
        self._live = live
        self._plane = plane

    async def find(self, actor: Actor, *, page: int = 1, per_page: int = 50, search: str = "") -> Resource:
        """Proxies of the file and of the database, by name. ``search`` matches name, path, upstream and hosts."""
        superusers_only(actor)
        found = [item for item in await self._all() if _matches(item, search)]
        applied = self._live.applied()
        return pages.page_of(found, page, per_page) | {
            "applied": {"generation": applied.generation, "error": applied.error}
        }

    async def get(self, actor: Actor, name: str) -> Resource:
        superusers_only(actor)
        for proxy in self._declared.proxies():  # the file has precedence
            if proxy.name == name:
                return resource.declared_proxy(proxy, f"file:{self._declared.name}", await self._state())
        for stored in await self._store.proxies.list():
            if stored.name == name:
                return resource.stored_proxy(stored, self._shadow(stored), await self._state())
        raise not_found(f"there is no proxy {name}")

    async def create(self, actor: Actor, settings: Settings, *, dry_run: bool = False) -> Resource:
        superusers_only(actor)
        checked = await self._checked(settings)
        stored = await self._store.proxies.list()
        before = usable(stored)
        after = [*before, checked]
        if dry_run:
            _check_free(checked, stored)
            return await self._described(checked, before, after)
        try:
            made = await self._store.proxies.create(checked, actor.author)
        except AlreadyExists as error:
            raise already_exists(error) from None
        return await self._done(made, before, after)

    async def replace(
        self, actor: Actor, name: str, settings: Settings, version: int | None, *, dry_run: bool = False
    ) -> Resource:
        """Replace ``version`` by ``settings``; missing keys get their defaults."""
        superusers_only(actor)
        current, stored = await self._writable(name)
        expected = self._expected(version, current)
        checked = await self._checked(settings)
        before = usable(stored)
        after = [*(proxy for proxy in before if proxy.name != name), checked]
        if dry_run:
            _check_free(checked, [proxy for proxy in stored if proxy.name != name])
            return await self._described(checked, before, after)
        try:
            made = await self._store.proxies.update(name, checked, expected, actor.author)
        except AlreadyExists as error:
            raise already_exists(error) from None
        except NotFound as error:
            raise not_found(str(error)) from None
        except VersionConflict as error:
            raise self._stale(error.current) from None
        return await self._done(made, before, after)

    async def patch(
        self, actor: Actor, name: str, patch: Settings, version: int | None, *, dry_run: bool = False
    ) -> Resource:
        """Change some keys (RFC 7396): null resets a key to its default, mappings are merged."""
        superusers_only(actor)
        current, _ = await self._writable(name)
        changed = merged(current.settings, patch)
        return await self.replace(actor, name, changed, version, dry_run=dry_run)

    async def delete(self, actor: Actor, name: str, version: int | None = None, *, dry_run: bool = False) -> Resource:
        superusers_only(actor)
        current, stored = await self._writable(name)
        if version is not None:
            self._expected(version, current)
        before = usable(stored)
        after = [proxy for proxy in before if proxy.name != name]
        if dry_run:
            touched = await self._impact(before, after)
            return {"dry_run": True, "proxy": resource.stored_settings(current), "impact": touched}
        try:
            await self._store.proxies.delete(name, version, actor.author)
        except NotFound as error:
            raise not_found(str(error)) from None
        except VersionConflict as error:
            raise self._stale(error.current) from None
        return await self._done(None, before, after)

    async def validate(self, actor: Actor, settings: Settings) -> Resource:
        """Check a new or existing proxy: what it would touch, or what is wrong with it."""
        superusers_only(actor)
        names = {proxy.name: proxy for proxy in await self._store.proxies.list()}
        known = names.get(str(settings.get("name")))
        if known is None:
            return await self.create(actor, settings, dry_run=True)
        return await self.replace(actor, known.name, settings, known.version, dry_run=True)

    async def reset_breaker(self, actor: Actor, name: str) -> Resource:
        superusers_only(actor)
        await self.get(actor, name)
        try:
            reset = await self._plane.reset_breaker(name, actor.name)
        except ChannelError as error:
            raise unavailable(str(error)) from None
        if not reset:
            raise conflict("no_breaker", f"proxy {name} has no circuit breaker that runs")
        await self._store.audit.add(actor.author, "breaker.reset", name)
        return await self.get(actor, name)

    async def users_of_secret(self, key: str) -> list[str]:
        """Names of the proxies, of file and database, whose headers name the secret."""
        stored = await self._store.proxies.list()
        headers: list[tuple[str, object]] = [(proxy.name, proxy.headers) for proxy in self._declared.proxies()]
        headers += [(proxy.name, proxy.settings.get("headers")) for proxy in stored]  # unusable proxies too
        return sorted(name for name, fields in headers if f"secret.{key}" in single.references(fields))

    async def strays(self, key: str, origins: Collection[str]) -> list[str]:
        """Names of the proxies, of file and database, that would send the secret to another origin than these."""
        called = await self._called()
        everything = [(proxy, [*self._declared.urls(proxy), *called.urls(proxy)]) for proxy in self._declared.proxies()]
        stored = usable(await self._store.proxies.list())
        everything += [(proxy, [*proxy.own_urls(), *called.urls(proxy)]) for proxy in stored]
        return sorted(proxy.name for proxy, urls in everything if single.misdirected(proxy, urls, {key: origins}))

    async def _called(self) -> NamedCalls:
        """The connections of file and database."""
        return together(self._declared.called, usable(await self._store.connections.list()), ())[0]

    async def _state(self) -> Mapping[str, ProxyState]:
        """The current state by proxy; empty while the data plane is away."""
        try:
            return await self._plane.state()
        except ChannelError:
            return {}

    async def _all(self) -> list[Resource]:
        declared = self._declared.proxies()
        stored = await self._store.proxies.list()
        hidden = shadowed(declared, usable(stored), self._declared.doors())
        state = await self._state()
        source = f"file:{self._declared.name}"
        items = [resource.declared_proxy(proxy, source, state) for proxy in declared]
        items += [resource.stored_proxy(p, source if p.name in hidden else None, state) for p in stored]
        return sorted(items, key=lambda item: str(item["name"]))  # stable: the file before the database

    def _shadow(self, stored: StoredProxy) -> str | None:
        """The proxy or route that is served instead of a stored proxy, if any."""
        hidden = shadowed(self._declared.proxies(), usable([stored]), self._declared.doors())
        return f"file:{self._declared.name}" if stored.name in hidden else None

    async def _writable(self, name: str) -> tuple[StoredProxy, Sequence[StoredProxy]]:
        stored = await self._store.proxies.list()
        for proxy in stored:
            if proxy.name == name:
                return proxy, stored
        if any(proxy.name == name for proxy in self._declared.proxies()):
            raise conflict("read_only", f"proxy {name} stands in {self._declared.name}; change it there")
        raise not_found(f"there is no proxy {name}")

    def _expected(self, version: int | None, current: StoredProxy) -> int:
        if version is None:
            raise version_required(current.version)
        if version != current.version:
            raise self._stale(current)
        return version

    def _stale(self, current: StoredProxy) -> AdminError:
        return version_conflict(current.version, resource.stored_proxy(current, None, {}))

    async def _checked(self, settings: Settings) -> Proxy:
        secrets = await self._store.secrets.list()
        keys = {secret.key for secret in secrets}
        try:
            checked = single.proxy(
                settings,
                env=self._declared.env,
                secrets=keys,
                listed=self._declared.template_env,
                destinations=self._declared.destinations,
            )
        except ConfigError as error:
            raise invalid(error) from None
        called = await self._called()
        if lost := sorted(checked.named_upstreams() - {each.shared_name for each in called.connections}):
            field = "upstream" if checked.upstream in lost else "fallback.upstream"
            raise validation([(field, f"there is no {lost[0]}; create this connection first, or write a URL")])
        if unfit := checked.named_upstreams() & called.without_requests:
            field = "upstream" if checked.upstream in unfit else "fallback.upstream"
            raise validation([(field, "is a connection that takes no HTTP requests; write an action of it")])
        bound = {secret.key: secret.origins for secret in secrets if secret.origins}
        if wrong := single.misdirected(checked, [*checked.own_urls(), *called.urls(checked)], bound):
            told = "; ".join(f"the secret {key} may be sent to {', '.join(bound[key])} alone" for key in wrong)
            places = called.urls(checked) if checked.names_upstream else checked.urls
            own = single.misdirected(checked, places, bound)
            field = "upstream" if own else "fallback.upstream"
            raise validation([(field, f"{told}; bind it to this origin too, or name another secret in headers")])
        return checked

    async def _impact(self, before: Sequence[Proxy], after: Sequence[Proxy]) -> Impact:
        declared = self._declared.proxies()
        return impact(effective(declared, before), effective(declared, after), await self._state())

    async def _described(self, proxy: Proxy, before: Sequence[Proxy], after: Sequence[Proxy]) -> Resource:
        touched = await self._impact(before, after)
        return {"dry_run": True, "proxy": resource.settings_of(proxy), "impact": touched}

    async def _done(self, made: StoredProxy | None, before: Sequence[Proxy], after: Sequence[Proxy]) -> Resource:
        touched = await self._impact(before, after)
        applied = await self._live.apply()
        answer: Resource = {}
        if made is not None:
            answer = resource.stored_proxy(made, self._shadow(made), await self._state())
        return answer | {
            "impact": touched,
            "applied": {"generation": applied.generation, "error": applied.error},
        }


def _matches(item: Resource, search: str) -> bool:
    hosts = item["hosts"]
    assert isinstance(hosts, list)
    texts = [item["name"], item["path"], item["upstream"], *hosts]
    return any(search.lower() in str(text).lower() for text in texts)


def _check_free(proxy: Proxy, others: Sequence[StoredProxy]) -> None:
    """The conflict checks of the database, for a dry run."""
    if any(other.name == proxy.name for other in others):
        raise already_exists(name_taken(proxy))
    route = proxy.path, hosts_key(proxy.hosts)
    if any((other.path, hosts_key(other.hosts)) == route for other in usable(others)):
        raise already_exists(path_taken(proxy))

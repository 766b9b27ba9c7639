"""What connections and actions of the database have in common: they are created, changed and deleted one at a time.

A record is found by its TRN or its name, within the tenant of the request: what belongs to another one is not there.
Secrets are shown as `[REDACTED]`, and a client that sends this back keeps them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Container, Mapping, Sequence
from typing import Generic, Protocol, TypeVar

from gateway.admin import representations
from gateway.admin.actor import Actor
from gateway.admin.declared import Declared
from gateway.admin.errors import (
    AdminError,
    already_exists,
    conflict,
    invalid,
    not_found,
    validation,
    version_conflict,
    version_required,
)
from gateway.admin.live import Live
from gateway.admin.merge_patch import merged
from gateway.admin.representations import Resource
from gateway.admin.rights import superusers_only
from gateway.config import secret_values
from gateway.config.errors import ConfigError
from gateway.core import trn
from gateway.store.errors import AlreadyExists, NotFound
from gateway.store.repository import Guard, Record, Repository, VersionConflict
from gateway.store.store import Store

Settings = Mapping[str, object]


class Named(Protocol):
    """A connection or an action with its name."""

    @property
    def trn(self) -> str: ...


T = TypeVar("T", bound=Named)


class RecordAdministration(ABC, Generic[T]):
    """All methods raise `AdminError`. ``named``: a TRN, with or without its version, or a name."""

    noun: str

    def __init__(self, store: Store, declared: Declared, live: Live) -> None:
        self._store = store
        self._declared = declared
        self._live = live

    @property
    @abstractmethod
    def _repository(self) -> Repository[T]: ...

    @abstractmethod
    def _read(self, settings: Settings) -> T:
        """Raises `ConfigError`."""

    async def _completed(self, settings: Settings) -> Settings:
        """``settings`` with what follows from other records."""
        return settings

    @abstractmethod
    async def _guard(self, value: T, current: T | None, kept: Sequence[secret_values.Path]) -> Guard | None:
        """Check what ``value`` needs; the guard checks it again in the transaction.

        ``kept``: the places of secrets that stay as they are. Raises `AdminError`.
        """

    @abstractmethod
    def _declared_names(self, tenant: str) -> set[str]:
        """The TRNs of the file."""

    @abstractmethod
    async def summary(self, record: Record[T]) -> Resource:
        """What the data plane would say of it, for one that it does not serve."""

    @abstractmethod
    def declared_summaries(self, tenant: str) -> list[Resource]:
        """What the data plane would say of those of the file."""

    async def beside(self, served: Sequence[Resource], tenant: str) -> list[Resource]:
        """``served``, each with its record, and the records that are not served; by name."""
        records, declared = await self.of(tenant), self._declared_names(tenant)
        shown = {each.name: self._resource(each, declared) for each in records}
        own = {name: each for name, each in shown.items() if not each["shadowed_by"]}
        items = [{**each, "record": own.get(str(each["trn"]))} for each in served]
        there = {each["trn"] for each in items if each["record"] is not None}
        items += [
            {**await self.summary(each), "record": shown[each.name]} for each in records if each.name not in there
        ]
        return sorted(items, key=lambda each: str(each["name"]))  # stable: what is served comes first

    async def of(self, tenant: str) -> list[Record[T]]:
        """The records of ``tenant``, by TRN."""
        return [each for each in await self._repository.list() if trn.parse(each.name).tenant == tenant]

    def resource(self, record: Record[T]) -> Resource:
        """What the database has of it, without secrets."""
        return self._resource(record, self._declared_names(trn.parse(record.name).tenant))

    def _resource(self, record: Record[T], declared: Container[str]) -> Resource:
        value = record.value
        return {
            "version": record.version,
            "created": representations.shown_time(record.created),
            "updated": representations.shown_time(record.updated),
            "shadowed_by": f"file:{self._declared.name}" if record.name in declared else None,
            "problem": str(value) if isinstance(value, ConfigError) else "",
            "settings": dict(record.settings),
        }

    async def reveal(self, actor: Actor, tenant: str) -> dict[str, Mapping[str, object]]:
        """The settings with their secrets, by TRN. No route calls this: they are only for those who can read the
        database and its key."""
        superusers_only(actor)
        found = {each.name: each for each in await self.of(tenant)}
        values = [each.value for each in found.values() if not isinstance(each.value, ConfigError)]
        await self._store.audit.add(actor.author, f"{self.noun}.export", tenant, {"count": len(values)})
        return {
            value.trn: secret_values.with_values(found[value.trn].settings, self._repository.secrets(value))
            for value in values
        }

    async def create(self, actor: Actor, tenant: str, settings: Settings, *, dry_run: bool = False) -> Resource:
        superusers_only(actor)
        value = await self._checked(_in_tenant(settings, tenant))
        guard = await self._guard(value, None, ())
        if dry_run:
            if any(each.name == value.trn for each in await self._repository.list()):
                raise conflict("already_exists", f"there is {value.trn} already; change it, or choose another name")
            return {"dry_run": True, "trn": value.trn, "changes": sorted(settings), "removes": []}
        try:
            made = await self._repository.create(value, actor.author, guard)
        except AlreadyExists as error:
            raise already_exists(error) from None
        except NotFound as error:
            raise validation([("connection", str(error))]) from None
        return await self._done(made)

    async def replace(
        self, actor: Actor, tenant: str, named: str, settings: Settings, version: int | None, *, dry_run: bool = False
    ) -> Resource:
        """Replace ``version`` by ``settings``; missing keys get their defaults, redacted secrets stay."""
        superusers_only(actor)
        current = await self._writable(tenant, named)
        expected = self._expected(version, current)
        before = None if isinstance(current.value, ConfigError) else current.value
        given = {"name": current.settings.get("name"), **_in_tenant(settings, tenant)}
        kept = {} if before is None else secret_values.kept(given, self._repository.secrets(before))
        value = await self._checked(secret_values.with_values(given, kept))
        if value.trn != current.name:
            details = f"the body is about {value.trn}, and the path about {current.name}; create another one instead"
            raise AdminError(400, "validation.trn_mismatch", "Validation failed", details, [("name", details)])
        guard = await self._guard(value, before, [*kept])
        if dry_run:
            changes = sorted(settings) if before is None else [*self._repository.changes(before, value)]
            return {"dry_run": True, "trn": value.trn, "changes": changes, "removes": []}
        try:
            made = await self._repository.update(current.name, value, expected, actor.author, guard)
        except NotFound as error:
            raise not_found(str(error)) from None
        except VersionConflict as error:
            raise self._stale(error.current) from None
        return await self._done(made)

    async def patch(
        self, actor: Actor, tenant: str, named: str, patch: Settings, version: int | None, *, dry_run: bool = False
    ) -> Resource:
        """Change some keys (RFC 7396): null resets a key to its default, mappings are merged."""
        superusers_only(actor)
        current = await self._writable(tenant, named)
        settings = merged(current.settings, patch)
        return await self.replace(actor, tenant, current.name, settings, version, dry_run=dry_run)

    async def delete(
        self, actor: Actor, tenant: str, named: str, version: int | None = None, *, dry_run: bool = False
    ) -> Resource:
        superusers_only(actor)
        current = await self._writable(tenant, named)
        if version is not None:
            self._expected(version, current)
        removes = await self._removed_with(current)
        if dry_run:
            return {"dry_run": True, "trn": current.name, "changes": [], "removes": removes}
        try:
            removed = await self._delete(current, version, actor)
        except NotFound as error:
            raise not_found(str(error)) from None
        except VersionConflict as error:
            raise self._stale(error.current) from None
        return {"trn": current.name, "removed": removed, **await self._applied()}

    async def _removed_with(self, current: Record[T]) -> list[str]:
        """The TRNs of what is deleted with it. Raises `AdminError` when it may not be deleted."""
        return []

    async def _delete(self, current: Record[T], version: int | None, actor: Actor) -> list[str]:
        await self._repository.delete(current.name, version, actor.author)
        return []

    async def _writable(self, tenant: str, named: str) -> Record[T]:
        found = [each for each in await self.of(tenant) if named in names_of(each.name)]
        exact = [each for each in found if named == each.name]
        if len(exact or found) == 1:
            return (exact or found)[0]
        if not found and any(named in names_of(each) for each in self._declared_names(tenant)):
            raise conflict("read_only", f"{self.noun} {named} stands in {self._declared.name}; change it there")
        raise missing(self.noun, named, [each.name for each in found])

    def _expected(self, version: int | None, current: Record[T]) -> int:
        if version is None:
            raise version_required(current.version)
        if version != current.version:
            raise self._stale(current)
        return version

    def _stale(self, current: Record[T]) -> AdminError:
        return version_conflict(current.version, {"trn": current.name, "record": self.resource(current)})

    async def _checked(self, settings: Settings) -> T:
        try:
            return self._read(await self._completed(settings))
        except ConfigError as error:
            raise invalid(error) from None

    async def _done(self, made: Record[T]) -> Resource:
        return {"trn": made.name, "record": self.resource(made), **await self._applied()}

    async def _applied(self) -> Resource:
        applied = await self._live.apply()
        return {"applied": {"generation": applied.generation, "error": applied.error}}


def _in_tenant(settings: Settings, tenant: str) -> dict[str, object]:
    """``settings`` with the tenant of the request, which says whose it is."""
    own = settings.get("tenant", tenant)
    if own != tenant:
        raise validation([("tenant", f"is not that of the request, {tenant}; write the same in ?tenant=")])
    return {**settings, "tenant": tenant}


def names_of(text: str) -> tuple[str, ...]:
    """What stands for the TRN ``text`` within its tenant."""
    own = trn.parse(text)
    return text, str(own._replace(version=0)), own.name, f"{own.name}@v{own.version}"


def missing(noun: str, named: str, found: Sequence[str], version: str = "") -> AdminError:
    """None is meant by ``named``, of this version if one is asked for, or several are: the TRNs ``found``."""
    if found:
        details = f"{len(found)} {noun}s have the name {named}; write the TRN of one: {', '.join(found)}"
        return AdminError(409, f"conflict.{noun}", "Conflict", details, (), {"message": details})
    if named.startswith("trn:"):
        try:
            trn.parse(named)
        except trn.InvalidTrnError as error:
            details = str(error)
            return AdminError(400, "validation.invalid_trn", "Validation failed", details, (), {"message": details})
    named += f" of version {version}" if version.isdigit() else ""
    details = f"there is no {noun} {named}; gateway {noun} list shows them"
    return AdminError(404, f"not_found.{noun}", "Not Found", details, (), {"message": details})

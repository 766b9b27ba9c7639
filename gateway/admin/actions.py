"""Connections and actions: list them, call them. A data plane does the work; here it gets its form."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Final

import orjson

from gateway.actions.pages import Walk
from gateway.admin.action_records import ActionRecords
from gateway.admin.actor import Actor
from gateway.admin.call_results import RawResponse, asked_of_plane, raw, result
from gateway.admin.connection_records import ConnectionRecords
from gateway.admin.errors import validation
from gateway.admin.idempotency import Idempotency
from gateway.admin.kinds import kinds
from gateway.admin.pages import page_of
from gateway.admin.records import missing, names_of
from gateway.admin.representations import Resource
from gateway.admin.rights import superusers_only
from gateway.admin.tool_lists import tools_of
from gateway.admin.walks import every_page
from gateway.config.actions import Pagination
from gateway.core import trn
from gateway.core.clock import Clock
from gateway.ipc.calls import ActionSummary, AdHoc, Asked, Called, Calls, ConnectionSummary, Overrides
from gateway.ipc.channel import ChannelError

LATEST: Final = "latest"
_RETRIED: Final = frozenset((408, 425, 429))
"""Statuses below 500 after which a caller may well send the same again, so that no result of them is kept."""


@dataclass(frozen=True, slots=True)
class Options:
    """How a call is made. ``timeout``: seconds; 0: those of the action. ``version``: of the action, `LATEST`, or "".

    ``idempotency_key`` "": there is none.
    """

    timeout: float = 0.0
    dry_run: bool = False
    request_id: str = ""
    version: str = ""
    idempotency_key: str = ""
    all_pages: bool = False
    overrides: Overrides | None = None


@dataclass(frozen=True, slots=True)
class Filter:
    """Which actions or connections are listed. Empty texts: all. ``most`` 0: no limit."""

    connector: str = ""
    connection: str = ""
    search: str = ""
    offset: int = 0
    """Those that are left out at the beginning, where ``most`` is given instead of a page."""
    most: int = 0


_ALL: Final = Filter()


class ActionAdministration:
    """All methods raise `AdminError`. What belongs to another tenant is not there."""

    def __init__(
        self,
        calls: Calls,
        connections: ConnectionRecords | None = None,
        actions: ActionRecords | None = None,
        clock: Clock = time.monotonic,
    ) -> None:
        """``connections`` and ``actions``: those of the database; None: there is none."""
        self._calls = calls
        self._connections = connections
        self._actions = actions
        self._clock = clock
        self._once: Idempotency[Called] = Idempotency(_weight, clock)
        self._walks: Idempotency[Resource] = Idempotency(_weight_of_pages, clock)

    def kinds(self, actor: Actor) -> Resource:
        """The connectors, each with the JSON Schemas of its connections and actions."""
        superusers_only(actor)
        items = kinds()
        return {"items": items, "total": len(items)}

    async def stats(self, actor: Actor, tenant: str) -> Resource:
        """How much there is of what."""
        superusers_only(actor)
        return {
            "connections": len(await self._all_connections(tenant)),
            "actions": len(await self._all_actions(tenant)),
            "idempotency_keys": len(self._once) + len(self._walks),
        }

    async def connections(self, actor: Actor, tenant: str, page: int, per_page: int, wanted: Filter = _ALL) -> Resource:
        superusers_only(actor)
        return _shown(await self._all_connections(tenant), page, per_page, wanted)

    async def connection(self, actor: Actor, tenant: str, named: str) -> Resource:
        superusers_only(actor)
        return await self.summary(tenant, named)

    async def actions(self, actor: Actor, tenant: str, page: int, per_page: int, wanted: Filter = _ALL) -> Resource:
        superusers_only(actor)
        return _shown(await self._all_actions(tenant), page, per_page, wanted)

    async def action(self, actor: Actor, tenant: str, named: str, version: str = "") -> Resource:
        superusers_only(actor)
        return await self._action(tenant, named, version)

    async def schema(self, actor: Actor, tenant: str, named: str, version: str = "") -> Resource:
        """The JSON Schema of its input; the one that admits every object when it has none."""
        superusers_only(actor)
        found = (await self._action(tenant, named, version))["input_schema"]
        return dict(found) if isinstance(found, Mapping) else {"type": "object"}

    async def test(self, actor: Actor, tenant: str, named: str, options: Options) -> Resource:
        """Whether the connection's base URL responds, with its credentials. Any status is a response."""
        superusers_only(actor)
        connection = await self.summary(tenant, named)
        adhoc = AdHoc(str(connection["trn"]), "GET", "", test=True)
        asked = Asked(tenant, adhoc=adhoc, timeout=options.timeout, request_id=options.request_id)
        called = await asked_of_plane(self._calls.call(asked))
        failure = called["failure"]
        return {
            "trn": adhoc.connection,
            "reached": failure is None,
            "status": called["status"],
            "code": "" if failure is None else failure["code"],
            "message": "" if failure is None else failure["message"],
        }

    async def tools(self, actor: Actor, tenant: str, named: str, options: Options) -> Resource:
        """What a server of MCP offers, asked of it now."""
        superusers_only(actor)
        connection = await self.summary(tenant, named)
        adhoc = AdHoc(str(connection["trn"]), tools=True)
        return tools_of(await asked_of_plane(self._calls.call(self._adhoc(tenant, adhoc, options))))

    async def execute(
        self, actor: Actor, tenant: str, action: str, given: Mapping[str, object], options: Options
    ) -> Resource:
        """A call of an action, or of all its pages."""
        superusers_only(actor)
        asked = await self._asked(tenant, action, given, options)
        if options.all_pages and not options.dry_run:
            return await self._walk(asked, options)
        return await result(await self._call(asked, options))

    async def execute_raw(
        self, actor: Actor, tenant: str, action: str, given: Mapping[str, object], options: Options
    ) -> RawResponse:
        """As `execute`, with the body as it came."""
        superusers_only(actor)
        return await self._raw(await self._asked(tenant, action, given, options), options)

    async def execute_adhoc(self, actor: Actor, tenant: str, adhoc: AdHoc, options: Options) -> Resource:
        superusers_only(actor)
        return await result(await self._call(self._adhoc(tenant, adhoc, options), options))

    async def execute_adhoc_raw(self, actor: Actor, tenant: str, adhoc: AdHoc, options: Options) -> RawResponse:
        superusers_only(actor)
        return await self._raw(self._adhoc(tenant, adhoc, options), options)

    async def _raw(self, asked: Asked, options: Options) -> RawResponse:
        """A result that is kept for others with the same key is kept as a whole."""
        pieces = not options.idempotency_key
        return raw(await self._call(replace(asked, pieces=pieces), options), self._calls)

    async def _asked(self, tenant: str, action: str, given: Mapping[str, object], options: Options) -> Asked:
        if options.version:
            action = str((await self._action(tenant, action, options.version))["trn"])
        return Asked(
            tenant, action, given, None, options.timeout, options.dry_run, options.request_id, options.overrides
        )

    @staticmethod
    def _adhoc(tenant: str, adhoc: AdHoc, options: Options) -> Asked:
        return Asked(tenant, "", {}, adhoc, options.timeout, options.dry_run, options.request_id)

    async def _call(self, asked: Asked, options: Options) -> Called:
        """One call, or the result of another caller's with the same key."""
        if not options.idempotency_key or asked.dry_run:
            return await asked_of_plane(self._calls.call(asked))
        scope = (asked.tenant, await self._target(asked), options.idempotency_key)
        called, joined = await self._once.once(scope, _given(asked), partial(_call, self._calls, asked))
        return {**called, "replayed": True} if joined else called

    async def _target(self, asked: Asked) -> str:
        """The TRN of what is called, by whichever name."""
        if asked.adhoc is not None:
            named = asked.adhoc.connection
            return str(_one("connection", named, await self._all_connections(asked.tenant))["trn"])
        return str((await self._action(asked.tenant, asked.action))["trn"])

    async def _walk(self, asked: Asked, options: Options) -> Resource:
        """All pages, each of which is a call of its own, with its own limits and retries."""
        found = str((await self._action(asked.tenant, asked.action))["trn"])
        served = await asked_of_plane(self._calls.actions(asked.tenant))
        rules = next((each["pagination"] for each in served if each["trn"] == found), None)
        if rules is None:
            message = "is for actions with pagination, which this one has not; write it into the action"
            raise validation([("options.all_pages", message)])
        walk = Walk(rules, asked.input)
        work = partial(every_page, self._calls, asked, walk, self._clock)
        if not options.idempotency_key:
            return await work()
        scope = (asked.tenant, found, options.idempotency_key)
        made, joined = await self._walks.once(scope, _given(asked), work)
        return {**made, "replayed": True} if joined else made

    async def summary(self, tenant: str, named: str) -> Resource:
        """The connection of this TRN or name."""
        return _one("connection", named, await self._all_connections(tenant))

    async def _action(self, tenant: str, named: str, version: str = "") -> Resource:
        found = await self._all_actions(tenant)
        return _one("action", named, _of_version(found, version) if version else found, version)

    async def _all_connections(self, tenant: str) -> list[Resource]:
        return await _all(self._calls.connections(tenant), self._connections, tenant)

    async def _all_actions(self, tenant: str) -> list[Resource]:
        found = await _all(self._calls.actions(tenant), self._actions, tenant)
        return [_with_digest(each) for each in found]


async def _all(
    served: Awaitable[Sequence[ConnectionSummary] | Sequence[ActionSummary]],
    records: ConnectionRecords | ActionRecords | None,
    tenant: str,
) -> list[Resource]:
    """What is served, each with what the database has of it, and what is stored without being served; by name."""
    if records is None:
        return [{**each, "record": None} for each in await asked_of_plane(served)]
    try:
        summaries: Sequence[Resource] = [dict(each) for each in await served]
    except ChannelError:
        summaries = records.declared_summaries(tenant)
    return await records.beside(summaries, tenant)


def _one(kind: str, named: str, items: list[Resource], version: str = "") -> Resource:
    """The item of this TRN or name; without a version the newest, if one is served that one. Raises `AdminError`."""
    exact = [each for each in items if each["trn"] == named]
    if exact:
        return exact[0]
    found = [each for each in items if named in names_of(str(each["trn"]))]
    if len({str(each["connector"]) for each in found}) != 1:
        raise missing(kind, named, [str(each["trn"]) for each in found], version)
    return max(found, key=_precedence)


def _precedence(item: Resource) -> tuple[bool, int]:
    record = item["record"]
    served = True
    if isinstance(record, dict):
        served = not record["shadowed_by"] and record["settings"].get("enabled", True)
    return served, trn.parse(str(item["trn"])).version


async def _call(calls: Calls, asked: Asked) -> Called:
    return await asked_of_plane(calls.call(asked))


def _shown(items: Sequence[Resource], page: int, per_page: int, wanted: Filter) -> Resource:
    """A page of those that are wanted; with ``wanted.most`` a part that begins anywhere."""
    found = [
        each
        for each in items
        if wanted.connector in ("", each["connector"])
        and wanted.connection in ("", *names_of(str(each.get("connection") or each["trn"])))
        and wanted.search in str(each["name"])
    ]
    if not wanted.most:
        return page_of(found, page, per_page)
    return {"items": found[wanted.offset :][: wanted.most], "total": len(found)}


def _of_version(found: Sequence[Resource], version: str) -> list[Resource]:
    """Those of ``version``. Raises `AdminError` for what is no version."""
    if version == LATEST:
        return list(found)
    if not (version.isascii() and version.isdigit() and len(version) < 10):
        raise validation([("version", f"must be {LATEST} or a number; write one of these")])
    return [each for each in found if trn.parse(str(each["trn"])).version == int(version)]


def _with_digest(action: Resource) -> Resource:
    text = orjson.dumps(action["input_schema"] or {}, option=orjson.OPT_SORT_KEYS)
    pagination = action["pagination"]
    return {
        **action,
        "pagination": asdict(pagination) if isinstance(pagination, Pagination) else None,
        "input_schema_digest": f"sha256:{hashlib.sha256(text).hexdigest()}",
    }


def _given(asked: Asked) -> object:
    """What must be the same for two calls to be one: all of it but the time and the id of the request."""
    return {"input": asked.input, "adhoc": asked.adhoc, "overrides": asked.overrides}


def _weight(called: Called) -> int | None:
    """The bytes of a result that is kept: that of a call which the third party has done, whether it likes it or not."""
    if called["failure"] is not None or called["status"] in _RETRIED or called["status"] >= 500:
        return None
    return len(called["body"])


def _weight_of_pages(found: Resource) -> int | None:
    return len(orjson.dumps(found["items"])) if found["complete"] else None

"""Connections and actions: list them, call them. A data plane makes the calls; here they get their form."""

from __future__ import annotations

import asyncio
import hashlib
from base64 import b64encode
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

import orjson

from gateway.admin.action_records import ActionRecords
from gateway.admin.actor import Actor
from gateway.admin.connection_records import ConnectionRecords
from gateway.admin.errors import AdminError, unavailable
from gateway.admin.pages import page_of
from gateway.admin.records import missing, names_of
from gateway.admin.representations import Resource
from gateway.admin.rights import superusers_only
from gateway.core import trn
from gateway.ipc.calls import ActionSummary, AdHoc, Asked, Called, Calls, ConnectionSummary, Failure
from gateway.ipc.channel import ChannelError

Answer = TypeVar("Answer")

_LARGE: Final = 1 << 18
"""Bytes of JSON whose parsing would keep the event loop from others."""


@dataclass(frozen=True, slots=True)
class Options:
    """How a call is made. ``timeout``: seconds; 0: those of the action."""

    timeout: float = 0.0
    dry_run: bool = False
    request_id: str = ""


class ActionAdministration:
    """All methods raise `AdminError`. What belongs to another tenant is not there."""

    def __init__(
        self, calls: Calls, connections: ConnectionRecords | None = None, actions: ActionRecords | None = None
    ) -> None:
        """``connections`` and ``actions``: those of the database; None: there is none."""
        self._calls = calls
        self._connections = connections
        self._actions = actions

    async def connections(self, actor: Actor, tenant: str, page: int, per_page: int) -> Resource:
        superusers_only(actor)
        return page_of(await self._all_connections(tenant), page, per_page)

    async def connection(self, actor: Actor, tenant: str, named: str) -> Resource:
        superusers_only(actor)
        return _one("connection", named, await self._all_connections(tenant))

    async def actions(self, actor: Actor, tenant: str, page: int, per_page: int) -> Resource:
        superusers_only(actor)
        return page_of(await self._all_actions(tenant), page, per_page)

    async def action(self, actor: Actor, tenant: str, named: str) -> Resource:
        superusers_only(actor)
        return _one("action", named, await self._all_actions(tenant))

    async def schema(self, actor: Actor, tenant: str, named: str) -> Resource:
        """The JSON Schema of its input; the one that admits every object when it has none."""
        superusers_only(actor)
        found = _one("action", named, await self._all_actions(tenant))["input_schema"]
        return dict(found) if isinstance(found, Mapping) else {"type": "object"}

    async def test(self, actor: Actor, tenant: str, named: str, options: Options) -> Resource:
        """Whether the connection's base URL responds, with its credentials. Any status is a response."""
        superusers_only(actor)
        connection = _one("connection", named, await self._all_connections(tenant))
        adhoc = AdHoc(str(connection["trn"]), "GET", "")
        asked = Asked(tenant, adhoc=adhoc, timeout=options.timeout, request_id=options.request_id)
        called = await _asked(self._calls.call(asked))
        failure = called["failure"]
        return {
            "trn": adhoc.connection,
            "reached": failure is None,
            "status": called["status"],
            "code": "" if failure is None else failure["code"],
            "message": "" if failure is None else failure["message"],
        }

    async def execute(
        self, actor: Actor, tenant: str, action: str, given: Mapping[str, object], options: Options
    ) -> Resource:
        superusers_only(actor)
        asked = Asked(tenant, action, given, None, options.timeout, options.dry_run, options.request_id)
        return await _result(await _asked(self._calls.call(asked)))

    async def execute_adhoc(self, actor: Actor, tenant: str, adhoc: AdHoc, options: Options) -> Resource:
        superusers_only(actor)
        asked = Asked(tenant, "", {}, adhoc, options.timeout, options.dry_run, options.request_id)
        return await _result(await _asked(self._calls.call(asked)))

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
        return [{**each, "record": None} for each in await _asked(served)]
    try:
        summaries: Sequence[Resource] = [dict(each) for each in await served]
    except ChannelError:
        summaries = records.declared_summaries(tenant)
    return await records.beside(summaries, tenant)


def _one(kind: str, named: str, items: list[Resource]) -> Resource:
    """The item of this TRN or name; without a version the newest, if one is served that one. Raises `AdminError`."""
    exact = [each for each in items if each["trn"] == named]
    if exact:
        return exact[0]
    found = [each for each in items if named in names_of(str(each["trn"]))]
    if len({str(each["connector"]) for each in found}) != 1:
        raise missing(kind, named, [str(each["trn"]) for each in found])
    return max(found, key=_precedence)


def _precedence(item: Resource) -> tuple[bool, int]:
    record = item["record"]
    served = True
    if isinstance(record, dict):
        served = not record["shadowed_by"] and record["settings"].get("enabled", True)
    return served, trn.parse(str(item["trn"])).version


async def _asked(answer: Awaitable[Answer]) -> Answer:
    """Raises `AdminError` while the data plane is away."""
    try:
        return await answer
    except ChannelError as error:
        raise unavailable(str(error)) from None


def _with_digest(action: Resource) -> Resource:
    text = orjson.dumps(action["input_schema"] or {}, option=orjson.OPT_SORT_KEYS)
    return {**action, "input_schema_digest": f"sha256:{hashlib.sha256(text).hexdigest()}"}


async def _result(called: Called) -> Resource:
    """The response of a call. Raises `AdminError` when there is none of the upstream's."""
    if (failure := called["failure"]) is not None:
        raise _error(failure, called)
    about = {"action_trn": called["action"], "request_id": called["request_id"]}
    if (planned := called["planned"]) is not None:
        return {**about, "dry_run": True, "request": planned}
    body, encoding = await _decoded(called["body"], called["headers"])
    return {
        "status": called["status"],
        "headers": called["headers"],
        "body": body,
        "body_encoding": encoding,
        **about,
        "attempts": called["attempts"],
        "execution_time_ms": round(called["seconds"] * 1000, 3),
    }


async def _decoded(body: bytes, headers: list[tuple[str, str]]) -> tuple[object, str]:
    """The body for JSON, and how it stands there: ``json``, ``text`` or ``base64``."""
    kinds = [value for name, value in headers if name.lower() == "content-type"]
    coded = any(name.lower() == "content-encoding" and value != "identity" for name, value in headers)
    kind = kinds[0].partition(";")[0].strip().lower() if kinds else ""
    if not coded and body and (kind == "application/json" or kind.endswith("+json")):
        try:
            return (await asyncio.to_thread(orjson.loads, body) if len(body) > _LARGE else orjson.loads(body)), "json"
        except orjson.JSONDecodeError:
            pass
    if not coded:
        try:
            return body.decode(), "text"
        except UnicodeDecodeError:
            pass
    return b64encode(body).decode(), "base64"


def _error(failure: Failure, called: Called) -> AdminError:
    extra: dict[str, object] = {"message": failure["message"], "action_trn": called["action"]}
    if called["attempts"]:
        extra["attempts"] = called["attempts"]
    if retry_after := failure.get("retry_after"):
        extra["retry_after"] = retry_after
    fields = failure.get("fields", [])
    return AdminError(failure["status"], failure["code"], failure["title"], failure["message"], fields, extra)

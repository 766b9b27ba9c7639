"""Connections and actions: list them, call them. A data plane does the work; here it gets its form."""

from __future__ import annotations

import asyncio
import hashlib
from base64 import b64encode
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass
from typing import Final, TypeVar

import orjson

from gateway.admin.actor import Actor
from gateway.admin.errors import AdminError, not_found, unavailable
from gateway.admin.representations import Resource
from gateway.admin.rights import superusers_only
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

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    async def connections(self, actor: Actor, tenant: str) -> Resource:
        superusers_only(actor)
        items = await _asked(self._calls.connections(tenant))
        return {"items": [_connection(each) for each in items], "total": len(items)}

    async def connection(self, actor: Actor, tenant: str, trn: str) -> Resource:
        superusers_only(actor)
        return _connection(await self._connection(tenant, trn))

    async def actions(self, actor: Actor, tenant: str) -> Resource:
        superusers_only(actor)
        items = await _asked(self._calls.actions(tenant))
        return {"items": [_action(each) for each in items], "total": len(items)}

    async def action(self, actor: Actor, tenant: str, trn: str) -> Resource:
        superusers_only(actor)
        return _action(await self._action(tenant, trn))

    async def schema(self, actor: Actor, tenant: str, trn: str) -> Resource:
        """The JSON Schema of its input; the one that admits every object when it has none."""
        superusers_only(actor)
        return dict((await self._action(tenant, trn))["input_schema"] or {"type": "object"})

    async def test(self, actor: Actor, tenant: str, trn: str, options: Options) -> Resource:
        """Whether the connection's base URL responds, with its credentials. Any status is a response."""
        superusers_only(actor)
        connection = await self._connection(tenant, trn)
        adhoc = AdHoc(connection["trn"], "GET", "")
        asked = Asked(tenant, adhoc=adhoc, timeout=options.timeout, request_id=options.request_id)
        called = await _asked(self._calls.call(asked))
        failure = called["failure"]
        return {
            "trn": connection["trn"],
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

    async def _connection(self, tenant: str, trn: str) -> ConnectionSummary:
        found = [each for each in await _asked(self._calls.connections(tenant)) if trn in (each["trn"], each["name"])]
        if len(found) != 1:
            raise _missing("connection", trn, len(found))
        return found[0]

    async def _action(self, tenant: str, trn: str) -> ActionSummary:
        found = [each for each in await _asked(self._calls.actions(tenant)) if trn in (each["trn"], each["name"])]
        if len(found) != 1:
            raise _missing("action", trn, len(found))
        return found[0]


def _missing(kind: str, trn: str, found: int) -> AdminError:
    if found:
        details = f"{found} {kind}s have the name {trn}; write the TRN of one"
        return AdminError(409, f"conflict.{kind}", "Conflict", details, (), {"message": details})
    error = not_found(f"there is no {kind} {trn}; see GET /{kind}s")
    return AdminError(404, f"not_found.{kind}", error.title, error.details, (), {"message": error.details})


async def _asked(answer: Awaitable[Answer]) -> Answer:
    """Raises `AdminError` while the data plane is away."""
    try:
        return await answer
    except ChannelError as error:
        raise unavailable(str(error)) from None


def _connection(summary: ConnectionSummary) -> Resource:
    return dict(summary)


def _action(summary: ActionSummary) -> Resource:
    schema = summary["input_schema"]
    text = orjson.dumps(schema or {}, option=orjson.OPT_SORT_KEYS)
    return {**summary, "input_schema_digest": f"sha256:{hashlib.sha256(text).hexdigest()}"}


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

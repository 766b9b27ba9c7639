"""What a server of MCP offers, as it is shown."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import orjson

from gateway.admin.call_results import error_of
from gateway.admin.errors import AdminError
from gateway.admin.representations import Resource
from gateway.core.text import printable
from gateway.errors import UPSTREAM_BAD_RESPONSE
from gateway.ipc.calls import Called

_MOST_SHOWN: Final = 200
"""Characters of a sentence of a server."""


def tools_of(called: Called) -> Resource:
    """The tools, in the order of the server. Raises `AdminError` when it has listed none."""
    if (failure := called["failure"]) is not None:
        raise error_of(failure, called)
    if called["status"] != 200:
        raise _refused(called)
    items = [_shown(each) for each in orjson.loads(called["body"])["tools"]]
    return {"trn": called["action"], "items": items, "total": len(items)}


def _shown(tool: Mapping[str, Any]) -> Resource:
    schema = tool.get("inputSchema")
    return {
        "name": tool["name"],
        "title": _text(tool.get("title")),
        "description": _text(tool.get("description")),
        "input_schema": schema if isinstance(schema, dict) else None,
    }


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _refused(called: Called) -> AdminError:
    """The server has responded, with an error of its own."""
    reason = UPSTREAM_BAD_RESPONSE
    message = f"The server of MCP lists no tools: it responds with {_said(called)}; see its log, or the credentials"
    extra = {"message": message, "action_trn": called["action"], "attempts": called["attempts"]}
    return AdminError(reason.status, reason.code, reason.title, message, extra=extra)


def _said(called: Called) -> str:
    try:
        error = orjson.loads(called["body"])["error"]
        text = _text(error.get("message"))[:_MOST_SHOWN]
        # A terminal must not obey it.
        return f"the error {int(error['code'])} ({printable(text)})"
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError, AttributeError):
        return f"status {called['status']}"

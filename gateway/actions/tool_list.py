"""Lists the tools of a server of MCP: one request for each page of ``tools/list`` (2025-11-25, server/tools)."""

from __future__ import annotations

from typing import Any, Final

import orjson

from gateway.actions.call import Ended
from gateway.actions.errors import InvalidCallError
from gateway.actions.prepare import Entry
from gateway.actions.tool_call import Operation, ServerCall, broken, responding
from gateway.config.actions import MCP
from gateway.errors import ANSWER_TOO_LARGE

MOST_PAGES: Final = 100
"""A server that always names a further page must not hold a call until its deadline."""
_METHOD: Final = "tools/list"


def first_page(entry: Entry) -> Operation:
    """Raises `InvalidCallError` when ``entry`` is no server of MCP."""
    kind = entry.connection.kind
    if kind != MCP:
        message = f"{entry.trn} is a connection of the kind {kind}, which has no tools; name one of the kind {MCP}"
        raise InvalidCallError(message, code="validation.no_tools")
    return Operation(_METHOD)


async def all_tools(call: ServerCall) -> Ended:
    """The exchange of the last page, with ``{"tools": [...]}`` of all pages as its response; or the first exchange that
    is no page. All pages together have at most the bytes that one response of the connection may have."""
    operation, size = first_page(call.entry), 0
    tools: list[Any] = []
    most = call.entry.connection.max_bytes
    seen: set[str] = set()
    while True:
        ended = await call.result(operation)
        if ended.error is not None or ended.stream.status != 200:
            return ended
        size += len(ended.stream.received)
        page = orjson.loads(ended.stream.received)
        listed, cursor = page.get("tools"), page.get("nextCursor")
        if not isinstance(listed, list) or not all(map(_is_tool, listed)):
            return broken(ended, "The server of MCP responds with no list of tools that have names")
        if size > most:
            details = f"The server lists tools of more than {most} bytes, the max_response_bytes of its connection"
            return broken(ended, details, ANSWER_TOO_LARGE)
        tools += listed
        if cursor is None:
            return responding(ended, 200, {"tools": tools})
        if not isinstance(cursor, str) or cursor in seen:
            return broken(ended, "The server of MCP names a page of its tools that it has given before")
        seen.add(cursor)
        if len(seen) == MOST_PAGES:
            return broken(ended, f"The server of MCP lists its tools on more than {MOST_PAGES} pages")
        operation = Operation(_METHOD, {"cursor": cursor})


def _is_tool(found: object) -> bool:
    return isinstance(found, dict) and isinstance(found.get("name"), str) and found["name"] != ""

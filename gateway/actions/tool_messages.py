"""The messages of a client of the Model Context Protocol: the requests that it sends, and the responses to them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson

import gateway
from gateway.actions import eras

_CLIENT: Final = {"name": "breakwater", "version": gateway.__version__}
_LINE: Final = re.compile(rb"\r\n|\n|\r")
FIRST: Final = 1
"""The id of a request that stands alone."""


@dataclass(frozen=True, slots=True)
class Session:
    """How a server is spoken to. ``version``: of the protocol; ``id``: of its session, empty: it keeps none."""

    version: str
    id: str = ""

    @property
    def modern(self) -> bool:
        """Each request says by itself what the older era says once."""
        return self.version in eras.MODERN


@dataclass(frozen=True, slots=True)
class Request:
    """``fields``: header fields. ``message``: the body."""

    fields: Mapping[str, str]
    message: Mapping[str, Any]

    def numbered(self, number: int) -> Request:
        """With this id, unless it is a notification. No two requests of a session have the same one, because a server
        finds the place for its response by it (2025-11-25, basic: Requests)."""
        return Request(self.fields, {**self.message, "id": number}) if "id" in self.message else self


def request(session: Session | None, method: str, params: Mapping[str, Any], *, notifies: bool = False) -> Request:
    """A request, or a notification, in ``session``; None: before there is one."""
    fields = {"Accept": "application/json, text/event-stream"}
    given = dict(params)
    if session is not None:
        fields["MCP-Protocol-Version"] = session.version
        if session.id:
            fields["Mcp-Session-Id"] = session.id
        if session.modern:
            given["_meta"] = {eras.VERSION_KEY: session.version, eras.CAPABILITIES_KEY: {}, eras.CLIENT_KEY: _CLIENT}
            fields["Mcp-Method"] = method
            if method in eras.NAMED:
                fields["Mcp-Name"] = eras.encoded(str(given[eras.NAMED[method]]))
    message: dict[str, Any] = {"jsonrpc": "2.0", "method": method}
    if not notifies:
        message["id"] = FIRST
    return Request(fields, message | ({"params": given} if given else {}))


def discovery() -> Request:
    """What a server of the newer era understands alone."""
    return request(Session(eras.MODERN[0]), "server/discover", {})


def initialization() -> Request:
    """What begins a session of the older era."""
    told = {"protocolVersion": eras.LEGACY[0], "capabilities": {}, "clientInfo": _CLIENT}
    return request(None, "initialize", told)


@dataclass(frozen=True, slots=True)
class Response:
    """``result`` or ``error`` of JSON-RPC."""

    result: Mapping[str, Any] | None
    error: Mapping[str, Any] | None

    @property
    def modern(self) -> bool:
        """It is an error that only servers of the newer era give."""
        return self.error is not None and self.error.get("code") in (eras.HEADER_MISMATCH, eras.UNSUPPORTED_VERSION)


def response(body: bytes, content_type: str, number: int = FIRST) -> Response | None:
    """The response to the request ``number`` that ``body`` holds, as JSON or in a stream of events; None: it holds
    none."""
    kind = content_type.partition(";")[0].strip().lower()
    for text in _events(body) if kind == "text/event-stream" else (body,):
        try:
            found = orjson.loads(text)
        except orjson.JSONDecodeError:
            continue
        # An error may have no id, because the request could not be read.
        if isinstance(found, dict) and found.get("id") in (number, None):
            result, error = found.get("result"), found.get("error")
            if isinstance(result, dict) or isinstance(error, dict):
                return Response(
                    result if isinstance(result, dict) else None, error if isinstance(error, dict) else None
                )
    return None


def _events(body: bytes) -> Iterator[bytes]:
    """The data of each event (WHATWG HTML 9.2.6)."""
    data: list[bytes] = []
    for line in _LINE.split(body.removeprefix(b"\xef\xbb\xbf")):
        if not line and data:
            yield b"\n".join(data)
            data = []
        elif line.startswith(b"data:"):
            data.append(line[5:].removeprefix(b" "))
    if data:
        yield b"\n".join(data)

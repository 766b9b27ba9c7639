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
_BLANK: Final = re.compile(rb"(?:\r\n|\n|\r(?!\n))(?:\r\n|\n|\r(?!\n))")
"""The end of an event."""
_LONGEST_BLANK: Final = 4
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
    offered = {"protocolVersion": eras.LEGACY[0], "capabilities": {}, "clientInfo": _CLIENT}
    return request(None, "initialize", offered)


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
    for text in _events(body) if has_events(content_type) else (body,):
        found = _response(text, number)
        if found is not None:
            return found
    return None


def has_events(content_type: str) -> bool:
    return content_type.partition(";")[0].strip().lower() == "text/event-stream"


class Arrival:
    """Looks for the response to the request ``number`` in a stream of events that grows. A server should end the stream
    behind it, and need not (2025-11-25, basic/transports: Sending Messages to the Server)."""

    def __init__(self, number: int) -> None:
        self._number = number
        self._body: bytearray | None = None
        self._begun = 0
        """Where the event begins that has not ended."""
        self._scanned = 0

    def __call__(self, body: bytearray) -> bool:
        """Whether it is in ``body``. That of another attempt is another object."""
        if body is not self._body:
            self._body, self._begun, self._scanned = body, 0, 0
        ends = [found.end() for found in _BLANK.finditer(body, max(self._begun, self._scanned - _LONGEST_BLANK))]
        self._scanned = len(body)
        if not ends:
            return False
        events, self._begun = bytes(body[self._begun : ends[-1]]), ends[-1]
        return any(_response(text, self._number) is not None for text in _events(events))


def _response(text: bytes, number: int) -> Response | None:
    """What ``text`` holds, if it is a message of JSON-RPC that responds to the request ``number``."""
    try:
        found = orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
    # An error may have no id, because the request could not be read.
    if not isinstance(found, dict) or found.get("id") not in (number, None):
        return None
    result, error = found.get("result"), found.get("error")
    if not isinstance(result, dict) and not isinstance(error, dict):
        return None
    return Response(result if isinstance(result, dict) else None, error if isinstance(error, dict) else None)


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

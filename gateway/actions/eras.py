"""The words of the Model Context Protocol that both of its eras use, and those in which they differ.

Until 2025-11-25 a client opens with ``initialize``. From 2026-07-28 on each request says its version by itself, in
``_meta`` and in header fields (basic/versioning, basic/transports/streamable-http).
"""

from __future__ import annotations

import binascii
from typing import Final

MODERN: Final = ("2026-07-28",)
LEGACY: Final = ("2025-11-25", "2025-06-18", "2025-03-26")
"""The newest first."""
SUPPORTED: Final = (*MODERN, *LEGACY)

VERSION_FIELD: Final = b"mcp-protocol-version"
METHOD_FIELD: Final = b"mcp-method"
NAME_FIELD: Final = b"mcp-name"
NAMED: Final = {"tools/call": "name", "prompts/get": "name", "resources/read": "uri"}
"""Methods whose requests carry a parameter in `NAME_FIELD`, and that parameter."""

VERSION_KEY: Final = "io.modelcontextprotocol/protocolVersion"
CAPABILITIES_KEY: Final = "io.modelcontextprotocol/clientCapabilities"
CLIENT_KEY: Final = "io.modelcontextprotocol/clientInfo"
SERVER_KEY: Final = "io.modelcontextprotocol/serverInfo"
"""Keys of ``_meta``."""

PARSE_ERROR: Final = -32700
INVALID_REQUEST: Final = -32600
METHOD_NOT_FOUND: Final = -32601
INVALID_PARAMS: Final = -32602
HEADER_MISMATCH: Final = -32020
UNSUPPORTED_VERSION: Final = -32022

_STATUSES: Final = {
    PARSE_ERROR: 400,
    INVALID_REQUEST: 400,
    HEADER_MISMATCH: 400,
    UNSUPPORTED_VERSION: 400,
}
_MODERN_STATUSES: Final = {INVALID_PARAMS: 400, METHOD_NOT_FOUND: 404}


def status_of(code: int, *, modern: bool) -> int:
    """The HTTP status of a response with the error ``code``. In the older era an error that has the id of its request
    is a response like any other."""
    return _STATUSES.get(code) or (_MODERN_STATUSES.get(code, 200) if modern else 200)


def encoded(value: str) -> str:
    """``value`` as `NAME_FIELD` carries it: in ASCII, or as ``=?base64?...?=`` (streamable-http, "Value Encoding")."""
    plain = value.isascii() and value.isprintable() and value == value.strip(" ")
    if plain and not (value.startswith("=?base64?") and value.endswith("?=")):
        return value
    return f"=?base64?{binascii.b2a_base64(value.encode(), newline=False).decode()}?="

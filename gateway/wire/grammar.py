"""The character classes and small regular expressions of RFC 9110 and RFC 9112 that the parsers share."""

from __future__ import annotations

import re

# RFC 9110 5.6.2: tchar
TOKEN_BYTES = b"!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
# RFC 9110 5.5: field-vchar, obs-text, SP, HTAB. All else in a head may only be the CRLF between two lines.
FIELD_BYTES = bytes([9, *range(0x20, 0x7F), *range(0x80, 0x100)])
# RFC 9112 3.2: a request-target is visible US-ASCII here; a fragment is never part of one (RFC 9110 7.1).
TARGET_BYTES = bytes(b for b in range(0x21, 0x7F) if b != ord("#"))

# RFC 9112 7.1.1: chunk-ext = *( BWS ";" BWS chunk-ext-name [ BWS "=" BWS chunk-ext-val ] )
_TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]++"
_QUOTED = rb'"(?:[\t\x20\x21\x23-\x5b\x5d-\x7e\x80-\xff]|\\[\t\x20-\x7e\x80-\xff])*+"'
CHUNK_LINE = re.compile(
    rb"([0-9A-Fa-f]{1,15})((?:[ \t]*+;[ \t]*+"
    + _TOKEN
    + rb"(?:[ \t]*+=[ \t]*+(?:"
    + _TOKEN
    + rb"|"
    + _QUOTED
    + rb"))?)*+)"
)

# RFC 9110 7.2, RFC 3986 3.2: uri-host [ ":" port ], user information excluded (RFC 9110 4.2.4).
HOST = re.compile(rb"((?:[A-Za-z0-9\-._~!$&'()*+,;=]|%[0-9A-Fa-f]{2})++|\[[0-9A-Fa-f:.]++\])(?::([0-9]{0,5}))?")

# RFC 9112 4: status-line. Statuses outside 100-599 are not HTTP (RFC 9110 15).
STATUS_LINE = re.compile(rb"HTTP/1\.([01]) ([1-5][0-9][0-9])(?: ([\t\x20-\x7e\x80-\xff]*))?")

BARE_LINE_END = re.compile(rb"(?<!\r)\n|\r(?!\n|\Z)")


def tokens(value: bytes) -> list[bytes]:
    """Members of a comma-separated list in lower case, empty ones left out (RFC 9110 5.6.1)."""
    return [member for part in value.split(b",") if (member := part.strip(b" \t").lower())]

"""Heads of requests and responses: bytes in, `RequestHead` or `ResponseHead` out, or a `GatewayError`.

Own code and not llhttp, for reasons that were measured or seen: llhttp rejects methods that it does not list although
RFC 9110 9.1 leaves them open; on a request with ``Upgrade`` it takes the body for another protocol, where a gateway
that ignores the upgrade must still frame the body; through its callbacks the original bytes of a field line are
lost; what it accepts (``gzip, chunked``, HTTP/1.0 with chunked, other versions, absolute-form against Host) had
to be rejected by our own rules anyway; and it costs no more. llhttp and h11 are the second opinions in the property
tests.

The rule throughout: what two recipients could read in two ways is rejected. There is no lenient mode.
"""

from __future__ import annotations

from math import inf
from typing import Final, NoReturn

from gateway import errors
from gateway.core.limits import Limits
from gateway.core.message import CHUNKED, UNTIL_CLOSE, RequestHead, ResponseHead
from gateway.errors import GatewayError, Reason
from gateway.wire.fields import (
    CLAIM,
    KEEP,
    NOT_SERVED,
    REQUEST_FIELDS,
    RESPONSE_FIELDS,
    SINGLE,
    comparable_authority,
    content_length,
    kind_of_stranger,
)
from gateway.wire.grammar import FIELD_BYTES, HOST, STATUS_LINE, TARGET_BYTES, TOKEN_BYTES, tokens

# Framing and routing fields stay even when a Connection field lists them: otherwise the body would lose its length.
_NEVER_LISTED = frozenset({b"content-length", b"host", b"transfer-encoding", b"trailer", b"via"})
_LISTED_ANYWAY = frozenset({b"close", b"keep-alive", b"te", b"upgrade", b"http2-settings", b"proxy-connection"})

_PERSISTENT = frozenset({b"keep-alive", b"Keep-Alive"})
_CRLF: Final = b"\r\n"
_MAX_REMEMBERED: Final = 2048
_MAX_REMEMBERED_LINE: Final = 256


def _refuse(reason: Reason, details: str) -> NoReturn:
    raise GatewayError(reason, details)


class _Lines:
    """Checks field lines and remembers those that it has seen: connections repeat most of their lines in each head.

    Every line is checked whole and on its own, so that the memory changes the cost and never the result.
    """

    __slots__ = ("_bad", "_of_requests", "_seen", "_table")

    def __init__(self, table: dict[bytes, int], bad: Reason) -> None:
        self._table = table
        self._of_requests = table is REQUEST_FIELDS
        self._bad = bad
        self._seen: dict[bytes, tuple[bytes, bytes, int]] = {}

    def read(self, lines: list[bytes], fields: list[bytes], claims: list[bytes]) -> dict[bytes, bytes]:
        """Check ``lines[1:]``; return the known fields' values.

        Lines that travel on untouched are appended to ``fields``, those that do so for a trusted peer to ``claims``.
        """
        known: dict[bytes, bytes] = {}
        seen = self._seen
        first = True
        for line in lines:
            if first:
                first = False
                continue
            entry = seen.get(line)
            if entry is None:
                entry = self._learn(line)
            name, value, kind = entry
            if kind & KEEP:
                fields.append(line)
            elif kind & CLAIM:
                claims.append(line)
            if not name:
                continue
            if name in known:
                if kind & SINGLE:
                    _refuse(self._bad, f"The header field {name.decode()} is repeated")
                value = known[name] + b", " + value
            known[name] = value
        return known

    def _learn(self, line: bytes) -> tuple[bytes, bytes, int]:
        """(name, value, kind); the name is empty when nothing here reads the field (RFC 9112 5, RFC 9110 5.5)."""
        colon = line.find(b":")
        name = line[:colon].lower()
        # Folded lines, white space before the colon and a missing or empty name fail here (RFC 9112 5.1, 5.2).
        if colon < 1 or name.translate(None, TOKEN_BYTES):
            _refuse(self._bad, "A header line is not of the form name:value")
        if line.translate(None, FIELD_BYTES):
            _refuse(self._bad, "A control character, or a CR or LF that is not part of a CRLF, stands in a header line")
        kind = self._table.get(name)
        if kind is None:
            entry = (b"", b"", kind_of_stranger(name) if self._of_requests else KEEP)
        else:
            value = line[colon + 1 :].strip(b" \t")
            if name == b"host" and not HOST.fullmatch(value):
                _refuse(self._bad, "Host is not a valid name or address with an optional port")
            entry = (name, value, kind)
        if len(line) <= _MAX_REMEMBERED_LINE:
            if len(self._seen) >= _MAX_REMEMBERED:
                self._seen.clear()
            self._seen[line] = entry
        return entry


def _chunked(known: dict[bytes, bytes], minor: int, bad: Reason) -> None:
    """Transfer-Encoding must be a single ``chunked``, in HTTP/1.1, without Content-Length (RFC 9112 6.1, 6.3)."""
    if minor == 0:
        _refuse(bad, "Transfer-Encoding does not exist in HTTP/1.0")
    if b"content-length" in known:
        _refuse(bad, "Content-Length and Transfer-Encoding stand in one message")
    if known[b"transfer-encoding"].lower() != b"chunked":
        _refuse(bad, "Transfer-Encoding is not a single chunked")


def _connection(value: bytes, minor: int, fields: list[bytes]) -> bool:
    """Whether the connection persists (RFC 9112 9.3); fields listed by Connection are taken out of ``fields``."""
    if value in _PERSISTENT:
        return True
    options = tokens(value)
    listed = set(options) - _LISTED_ANYWAY - _NEVER_LISTED
    if listed:
        fields[:] = [line for line in fields if line[: line.find(b":")].lower() not in listed]
    return b"close" not in options and (minor == 1 or b"keep-alive" in options)


def _origin_form(method: bytes, target: bytes, known: dict[bytes, bytes]) -> bytes:
    """Split a target in another form (RFC 9112 3.2); it must agree with Host."""
    if target == b"*" and method == b"OPTIONS":
        return target
    host = known.get(b"host")
    scheme, separator, rest = target.partition(b"://")
    scheme = scheme.lower()
    if not separator or scheme not in (b"http", b"https"):
        _refuse(errors.BAD_REQUEST, "The request target is neither a path nor an http or https URL")
    cut = min((i for i in (rest.find(b"/"), rest.find(b"?")) if i >= 0), default=len(rest))
    authority, path = rest[:cut], rest[cut:]
    if not HOST.fullmatch(authority):
        _refuse(errors.BAD_REQUEST, "The authority of the request target is not valid")
    if host is None:
        known[b"host"] = authority
    elif comparable_authority(authority, scheme) != comparable_authority(host, scheme):
        # RFC 9112 3.2.2 lets the target win; two recipients would read two hosts, so it is rejected instead.
        _refuse(errors.BAD_REQUEST, "The request target and Host name different authorities")
    if method == b"OPTIONS" and not path:
        return b"*"
    return path if path[:1] == b"/" else b"/" + path


def _idle_limit(value: bytes) -> float:
    """Seconds that Keep-Alive names as ``timeout`` (RFC 2068 19.7.1.1, still in use); inf when it names none."""
    for parameter in value.lower().split(b","):
        name, _, seconds = parameter.partition(b"=")
        seconds = seconds.strip(b' \t"')
        if name.strip(b" \t") == b"timeout" and seconds.isdigit() and len(seconds) < 10:
            return float(seconds)
    return inf


class HeadParser:
    """Parses the heads of one event loop's connections."""

    __slots__ = ("_request_lines", "_response_lines", "_statuses")

    def __init__(self) -> None:
        self._request_lines = _Lines(REQUEST_FIELDS, errors.BAD_REQUEST)
        self._response_lines = _Lines(RESPONSE_FIELDS, errors.UPSTREAM_BAD_RESPONSE)
        self._statuses: dict[bytes, tuple[int, int, bytes]] = {}

    def request(self, head: bytes, limits: Limits) -> RequestHead:
        """Parse a request's head, given without the empty line that ends it.

        Raises `GatewayError`: ``bad_request``, ``bad_framing``, ``uri_too_long``, ``headers_too_large``,
        ``body_too_large``, ``not_implemented`` (CONNECT and TRACE).
        """
        lines = head.split(_CRLF)
        parts = lines[0].split(b" ")
        if len(parts) != 3:
            _refuse(errors.BAD_REQUEST, "The request line is not of the form method SP target SP version")
        method, target, version = parts
        if len(target) > limits.max_uri:
            _refuse(errors.URI_TOO_LONG, f"The request target exceeds {limits.max_uri} bytes")
        if version == b"HTTP/1.1":
            minor = 1
        elif version == b"HTTP/1.0":
            minor = 0
        else:
            _refuse(errors.BAD_REQUEST, "The version is neither HTTP/1.1 nor HTTP/1.0")
        if not method or method.translate(None, TOKEN_BYTES):
            _refuse(errors.BAD_REQUEST, "The method is not a token")
        if not target or target.translate(None, TARGET_BYTES):
            _refuse(errors.BAD_REQUEST, "The request target holds a character that must be percent-encoded")
        if len(lines) - 1 > limits.max_headers:
            _refuse(errors.HEADERS_TOO_LARGE, f"There are more than {limits.max_headers} header fields")
        fields: list[bytes] = []
        claims: list[bytes] = []
        known = self._request_lines.read(lines, fields, claims)
        keep_alive = minor == 1
        if b"connection" in known:
            keep_alive = _connection(known[b"connection"], minor, fields)
        length = 0
        if b"transfer-encoding" in known:
            _chunked(known, minor, errors.BAD_FRAMING)
            length = CHUNKED
        elif b"content-length" in known:
            length = content_length(known[b"content-length"], errors.BAD_FRAMING)
            if 0 < limits.max_body_bytes < length:
                _refuse(errors.BODY_TOO_LARGE, f"The request body exceeds {limits.max_body_bytes} bytes")
        if method in NOT_SERVED:
            _refuse(errors.NOT_IMPLEMENTED, f"The gateway does not serve {method.decode()}")
        if minor and b"host" not in known:
            _refuse(errors.BAD_REQUEST, "Host is missing")
        if target[0] != 0x2F:
            target = _origin_form(method, target, known)
        return RequestHead(method, target, minor, fields, known, length, keep_alive, claims or None)

    def response(self, head: bytes, *, to_head: bool) -> ResponseHead:
        """Parse a response's head, given without the empty line that ends it; ``to_head``: it responds to HEAD.

        Raises `GatewayError` ``upstream_bad_response``.
        """
        bad = errors.UPSTREAM_BAD_RESPONSE
        lines = head.split(_CRLF)
        minor, status, reason = self._statuses.get(lines[0]) or self._learn_status(lines[0])
        fields: list[bytes] = []
        known = self._response_lines.read(lines, fields, [])
        keep_alive = minor == 1
        if b"connection" in known:
            keep_alive = _connection(known[b"connection"], minor, fields)
        if b"transfer-encoding" in known:
            _chunked(known, minor, bad)
            length = CHUNKED
        elif b"content-length" in known:
            length = content_length(known[b"content-length"], bad)
        else:
            length = UNTIL_CLOSE
        if to_head or status < 200 or status in (204, 304):  # RFC 9112 6.3: no body, whatever the fields say
            names_body = length > 0 or length == CHUNKED or (to_head and length == UNTIL_CLOSE)
            # RFC 9110 8.6, RFC 9112 6.1: a 204 must not name one. A sender that breaks this rule may send a body too.
            response = ResponseHead(
                status, reason, minor, fields, known, 0, keep_alive and not (status == 204 and names_body)
            )
            response.names_body = names_body
        else:
            response = ResponseHead(status, reason, minor, fields, known, length, keep_alive)
        if b"keep-alive" in known:
            response.idle_limit = _idle_limit(known[b"keep-alive"])
        return response

    def _learn_status(self, line: bytes) -> tuple[int, int, bytes]:
        match = STATUS_LINE.fullmatch(line)
        if match is None:
            _refuse(errors.UPSTREAM_BAD_RESPONSE, "The status line is not valid")
        status = (int(match[1]), int(match[2]), match[3] or b"")
        if len(self._statuses) < _MAX_REMEMBERED and len(line) <= _MAX_REMEMBERED_LINE:
            self._statuses[line] = status
        return status

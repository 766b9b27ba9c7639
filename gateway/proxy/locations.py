"""Paths of an upstream, in the responses in which it names them, become the paths by which callers know them.

A proxy that strips a prefix, or puts a base path before, shows callers other paths than the upstream has. What the
upstream says in Location, Content-Location (RFC 9110 10.2.2, 8.7) and the Path of a cookie (RFC 6265 5.2.4) then leads
nowhere. A path that begins with the proxy's prefix already stays: the upstream knows X-Forwarded-Prefix.
"""

from __future__ import annotations

import re

from gateway.core.message import ResponseHead

_URL = re.compile(rb"(?:(https?):)?//([^/?#]*)", re.IGNORECASE)
_PATH_ATTRIBUTE = re.compile(rb"(;[ \t]*path[ \t]*=[ \t]*)([^;]*)", re.IGNORECASE)
_DEFAULT_PORTS = {b"http": b":80", b"https": b":443"}
_BOUND_TO_ROOT = b"__host-"
"""RFC 6265bis 4.1.3.2: a cookie with this prefix in its name is accepted only with the path /."""


class Locations:
    """How the paths of one proxy look on either side."""

    __slots__ = ("_authority", "_base", "_prefix", "_scheme")

    def __init__(self, scheme: bytes, authority: bytes, base: bytes, prefix: bytes) -> None:
        """The upstream, its ``base`` path, and the ``prefix`` that is stripped; both without a slash at the end."""
        self._scheme = scheme
        self._authority = _plain_authority(scheme, authority)
        self._base = base
        self._prefix = prefix

    def rewritten(self, response: ResponseHead, host: bytes) -> ResponseHead:
        """``response``, or one with other field lines when it names a path. ``host``: what the caller sent as Host."""
        fields = [self._line(line, host) for line in response.fields]
        if fields == response.fields:
            return response
        return with_fields(response, fields)

    def _line(self, line: bytes, host: bytes) -> bytes:
        name, _, value = line.partition(b":")
        kind = name.lower()
        if kind == b"location" or kind == b"content-location":
            value = value.strip(b" \t")
            location = self._location(value, host)
            return line if location == value else name + b": " + location
        if kind == b"set-cookie" and not value.lstrip(b" \t").lower().startswith(_BOUND_TO_ROOT):
            return name + b":" + _PATH_ATTRIBUTE.sub(self._cookie_path, value)
        return line

    def _location(self, value: bytes, host: bytes) -> bytes:
        match = _URL.match(value)
        if match is None:
            # A path without a slash at the beginning is relative to the caller's request target, and correct as it is.
            return (self._path(value) or value) if value[:1] == b"/" else value
        scheme = (match[1] or self._scheme).lower()
        authority = _plain_authority(scheme, match[2])
        rest = value[match.end() :]
        path = rest if rest[:1] == b"/" else b"/" + rest
        if scheme == self._scheme and authority == self._authority:
            return self._path(path) or value
        # An upstream that knows the caller's host builds its URLs with it, and may know the caller's scheme too.
        if authority == _plain_authority(scheme, host):
            path = self._path(path) or b""
            return match[0] + path if path else value
        return value

    def _path(self, value: bytes) -> bytes:
        """``value``, an absolute path with what follows it, for callers; empty when the proxy does not show it."""
        cut = min((i for i in (value.find(b"?"), value.find(b"#")) if i >= 0), default=len(value))
        path, rest = value[:cut], value[cut:]
        if self._is_known(path):
            return value
        if not _within(path, self._base):
            return b""
        path = self._prefix + path[len(self._base) :] or b"/"
        # RFC 3986 4.2: without its authority a path that begins with two slashes would name a host.
        return (b"/." + path if path[1:2] in (b"/", b"\\") else path) + rest

    def _cookie_path(self, match: re.Match[bytes]) -> bytes:
        path = match[2].strip(b" \t")
        if path[:1] != b"/" or self._is_known(path):
            return match[0]
        if _within(path, self._base):
            below = path[len(self._base) :].rstrip(b"/")
        elif _within(self._base, path.rstrip(b"/")):
            below = b""  # for more of the upstream than the proxy shows
        else:
            return match[0]
        return match[1] + (self._prefix + below or b"/")

    def _is_known(self, path: bytes) -> bool:
        return self._prefix != b"" and _within(path, self._prefix)


def _within(path: bytes, prefix: bytes) -> bool:
    return path.startswith(prefix) and path[len(prefix) : len(prefix) + 1] in (b"", b"/")


def _plain_authority(scheme: bytes, authority: bytes) -> bytes:
    return authority.lower().removesuffix(_DEFAULT_PORTS.get(scheme, b"-"))


def with_fields(response: ResponseHead, fields: list[bytes]) -> ResponseHead:
    """``response`` with other field lines."""
    return ResponseHead(
        response.status,
        response.reason,
        response.minor,
        fields,
        response.known,
        response.length,
        response.keep_alive,
    )

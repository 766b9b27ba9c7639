"""Host and longest prefix at a segment boundary -> route. The cost does not grow with the number of routes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

from gateway import errors
from gateway.core.layer import Handler
from gateway.errors import GatewayError


@dataclass(frozen=True, slots=True)
class Route:
    """``path`` without a trailing slash, empty for ``/``; ``hosts`` lower-case, ``*.name`` for any name below."""

    path: bytes
    hosts: tuple[bytes, ...]
    handle: Handler


class _Table:
    """Routes of one host by path."""

    __slots__ = ("depth", "routes")

    def __init__(self) -> None:
        self.routes: dict[bytes, Route] = {}
        self.depth = 0

    def add(self, route: Route) -> None:
        self.routes[route.path] = route
        self.depth = max(self.depth, route.path.count(b"/"))

    def match(self, path: bytes) -> Route | None:
        if not self.depth:
            return self.routes.get(b"")
        # Only as many segments as the deepest route has are looked at, however long the path is.
        parts = path.split(b"/", self.depth + 1)
        for count in range(min(len(parts) - 1, self.depth), -1, -1):
            route = self.routes.get(b"/".join(parts[: count + 1]))
            if route is not None:
                return route
        return None


class Router:
    """The routes of a named host are asked first, then those of ``*.domain``, then those of any host."""

    __slots__ = ("_any", "_exact", "_wildcard")

    def __init__(self, routes: Iterable[Route]) -> None:
        self._any = _Table()
        self._exact: dict[bytes, _Table] = {}
        self._wildcard: dict[bytes, _Table] = {}
        for route in routes:
            for host in route.hosts:
                if host.startswith(b"*."):
                    self._wildcard.setdefault(host[1:], _Table()).add(route)
                else:
                    self._exact.setdefault(host, _Table()).add(route)
            if not route.hosts:
                self._any.add(route)

    def match(self, host: bytes, path: bytes) -> Route | None:
        """``host`` as it stands in Host, port included; ``path`` raw, without its query.

        Raises `GatewayError` ``bad_request`` when dot segments lead out of the route's prefix: an upstream that
        resolves them would serve what another route, with another access rule, stands for (RFC 3986 5.2.4).
        """
        route = self._by_host(host, path) if self._exact or self._wildcard else None
        if route is None:
            route = self._any.match(path)
        if (b"/." in path or b"%" in path) and route is not None and _climbs(path[len(route.path) :]):
            raise GatewayError(errors.BAD_REQUEST, "The path's dot segments lead out of the proxy's prefix")
        return route

    def _by_host(self, host: bytes, path: bytes) -> Route | None:
        name = _without_port(host)
        table = self._exact.get(name)
        route = table.match(path) if table is not None else None
        dot = name.find(b".")
        while route is None and self._wildcard and dot >= 0:
            table = self._wildcard.get(name[dot:])
            route = table.match(path) if table is not None else None
            dot = name.find(b".", dot + 1)
        return route


def _without_port(host: bytes) -> bytes:
    name, colon, port = host.rpartition(b":")
    if colon and not port.strip(b"0123456789"):
        host = name
    return host.lower().strip(b"[]").rstrip(b".")


def _climbs(rest: bytes) -> bool:
    """Whether resolving ``rest`` would at any point leave its root, encoded and backslashed spellings included."""
    depth = 0
    for segment in unquote_to_bytes(rest).replace(b"\\", b"/").split(b"/"):
        if segment == b"..":
            depth -= 1
            if depth < 0:
                return True
        elif segment not in (b"", b"."):
            depth += 1
    return False

"""Host and longest prefix at a segment boundary -> route. The cost does not grow with the number of routes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from gateway import errors
from gateway.core import path as paths
from gateway.core.host import normal_host
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

    __slots__ = ("by_last", "depth", "routes")

    def __init__(self) -> None:
        self.routes: dict[bytes, Route] = {}
        self.depth = 0
        self.by_last: dict[bytes, list[Route]] = {}
        """The routes by their last segment, as a back end reads it."""

    def add(self, route: Route) -> None:
        self.routes[route.path] = route
        self.depth = max(self.depth, route.path.count(b"/"))
        for segments in paths.readings(route.path):
            if segments:
                self.by_last.setdefault(segments[-1], []).append(route)

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

    def others(self, route: Route, segments: list[bytes]) -> Iterator[Route]:
        """The routes below ``route`` to which ``segments``, those behind its prefix, could lead."""
        prefix = route.path + b"/"
        for last in set(segments):
            for other in self.by_last.get(last, ()):
                if other is not route and other.path.startswith(prefix):
                    ways = paths.readings(other.path[len(route.path) :])
                    if any(paths.leads_to(segments, wanted) for wanted in ways):
                        yield other


class Router:
    """The routes of a named host are searched first, then those of ``*.domain``, then those of any host."""

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

        Raises `GatewayError` ``bad_request`` when a back end could read another route in the path than the gateway
        does: it would then serve what stands behind another access rule. A path that selects no route is None in any
        case.
        """
        route = self._select(host, path)
        if route is not None and not paths.is_plain(path):
            self._check(host, path[len(route.path) :], route)
        return route

    def _select(self, host: bytes, path: bytes) -> Route | None:
        if self._exact or self._wildcard:
            for table in self._tables(host):
                route = table.match(path)
                if route is not None:
                    return route
            return None
        return self._any.match(path)

    def _tables(self, host: bytes) -> Iterator[_Table]:
        """The tables that ``host`` is looked up in, in this order."""
        name = normal_host(host)
        if (table := self._exact.get(name)) is not None:
            yield table
        if self._wildcard:
            dot = name.find(b".")
            while dot >= 0:
                if (table := self._wildcard.get(name[dot:])) is not None:
                    yield table
                dot = name.find(b".", dot + 1)
        yield self._any

    def _check(self, host: bytes, rest: bytes, route: Route) -> None:
        """``rest``: the path behind the prefix of ``route``, which is not plain."""
        ways = paths.readings(rest)
        if not ways:
            raise GatewayError(errors.BAD_REQUEST, "The path is encoded too many times")
        for segments in ways:
            if b".." in segments and paths.climbs(segments):
                raise GatewayError(errors.BAD_REQUEST, "The path's dot segments lead out of the proxy's prefix")
            for table in self._tables(host):
                for other in table.others(route, segments):
                    # A route of any host may stand behind one of this host, and then is never selected.
                    if self._select(host, other.path) is other:
                        raise GatewayError(
                            errors.BAD_REQUEST, "The path can be read as one of another proxy; write it plainly"
                        )

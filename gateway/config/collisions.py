"""Values that must be unique (addresses, names, (host, path) pairs, header names), and names that refer to nothing.

The check reads the plain data, not the model, so that it also reports when other values are wrong; the model reports
what is malformed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import TypeVar

from gateway.config import records, values
from gateway.config.actions import DEFAULT_TENANT, HTTP, MCP, REQUESTS
from gateway.config.calls import ACTION, LONGEST
from gateway.config.errors import Path, Problem
from gateway.config.formats.tree import Branch, locate
from gateway.config.kinds import kinds
from gateway.config.mcp import DOOR
from gateway.config.schema.connections import SHARED
from gateway.config.schema.protections import PROTECTIONS
from gateway.config.variables import Substituted
from gateway.core.address import Address

_Value = TypeVar("_Value")
_LIMIT = records.RateLimit("-", 0.0)
_RATE = {"rate": None, "per": _LIMIT.per, "burst": _LIMIT.burst, "max_keys": _LIMIT.max_keys}


@dataclass(slots=True)
class _Register:
    """The first use of each value; each later use is a `Problem` at its own line."""

    root: Branch
    what: str
    first: dict[object, Path] = field(default_factory=dict)
    numbers: dict[object, tuple[object, ...]] = field(default_factory=dict)
    """What each use must have in common with the first."""
    incomplete: bool = False
    """A value is wrong, so that another one may be missing here."""
    stored: bool = False
    """There is a database, which may have connections of other names."""
    without_requests: set[str] = field(default_factory=set)
    """The names of those that speak no HTTP."""

    def enter(self, value: object, path: Path) -> Iterator[Problem]:
        owner = self.first.setdefault(value, path)
        if owner != path:
            line, shown = locate(self.root, path)
            before = locate(self.root, owner)[0]
            yield Problem(f"{self.what} is already in line {before}; change or remove one of the two", shown, line)


def find(data: object, root: Branch) -> Iterator[Problem]:
    """Every second use in ``data``, the plain data of the file; ``root`` has its lines."""
    settings = _mapping(data)
    yield from _listeners(settings, root)
    shared = _Register(root, "the same limit")
    names, routes = _Register(root, "the same name"), _Register(root, "the same path for the same host")
    upstreams = _Register(root, "an upstream of this name", stored=settings.get("database") is not None)
    for index, upstream in enumerate(map(_mapping, _list(settings.get("upstreams")))):
        if isinstance(name := upstream.get("name"), str) and values.is_upstream_name(name):
            yield from upstreams.enter(name, ("upstreams", index, "name"))
        else:
            upstreams.incomplete = True
    yield from _connections(settings, upstreams)
    yield from _doors(settings, routes)
    for index, proxy in enumerate(map(_mapping, _list(settings.get("proxies")))):
        at: Path = ("proxies", index)
        if isinstance(name := proxy.get("name"), str):
            yield from names.enter(name, (*at, "name"))
        yield from _upstream(proxy, at, upstreams)
        second = _mapping(proxy.get("fallback")).get("upstream")
        yield from _unknown(second, (*at, "fallback", "upstream"), upstreams)
        yield from _routes(proxy, at, routes)
        yield from _headers(proxy, at, root)
        yield from _shared_limits(proxy, at, shared)


def _shared_limits(proxy: dict[str, object], at: Path, shared: _Register) -> Iterator[Problem]:
    """Limits that share their buckets have the same numbers, because a bucket has only one rate and one size."""
    for index, written in enumerate(map(_mapping, _list(proxy.get("rate_limits")))):
        limit = {key: each.resolved if isinstance(each, Substituted) else each for key, each in written.items()}
        if limit.get("shared") is not True:
            continue
        key = str(limit.get("key")).lower()
        buckets = limit.get("name") or key, key, limit.get("unit", _LIMIT.unit)
        numbers = tuple(limit.get(each, _RATE[each]) for each in ("rate", "per", "burst", "max_keys"))
        if shared.numbers.setdefault(buckets, numbers) == numbers:
            shared.first.setdefault(buckets, (*at, "rate_limits", index))
            continue
        line, shown = locate(shared.root, (*at, "rate_limits", index))
        before = locate(shared.root, shared.first[buckets])[0]
        message = (
            f"shares its buckets with the limit in line {before}; write the same rate, per, burst and max_keys there"
        )
        yield Problem(message, shown, line)


def _doors(settings: dict[str, object], routes: _Register) -> Iterator[Problem]:
    """The front doors: they are served by path, as proxies are."""
    names = _Register(routes.root, "the same name")
    for index, door in enumerate(map(_mapping, _list(settings.get("mcp")))):
        at: Path = ("mcp", index)
        if isinstance(name := door.get("name"), str):
            yield from names.enter(name, (*at, "name"))
            yield from _too_long(f"{DOOR}{name}", routes.root, (*at, "name"))
        yield from _routes(door, at, routes)


def _connections(settings: dict[str, object], upstreams: _Register) -> Iterator[Problem]:
    """Each name in one form of the file alone, and with each action its connection. Proxies may name them too."""
    forms: list[tuple[dict[str, object], Path]] = [(settings, ())]
    for kind, group in _mapping(settings.get("connectors")).items():
        forms.append((_mapping(group), ("connectors", kind)))
    names, actions = _Register(upstreams.root, "the same name"), _Register(upstreams.root, "the same name")
    tenants: dict[object, str] = {}
    of: dict[object, object] = {}
    for form, at in forms:
        for name, connection in _mapping(form.get("connections")).items():
            of.setdefault(name, _mapping(connection).get("kind", at[-1] if at else HTTP))
            yield from names.enter(name, (*at, "connections", name))
            known = f"{_of_tenant(connection)}{name}"
            upstreams.first.setdefault(f"{SHARED}{known}", (*at, "connections", name))
            yield from _too_long(f"{SHARED}{known}", upstreams.root, (*at, "connections", name))
            tenants.setdefault(name, _of_tenant(connection))
    for form, at in forms:
        for name, action in _mapping(form.get("actions")).items():
            yield from actions.enter(_without_first_version(name), (*at, "actions", name))
            named = _mapping(action).get("connection")
            if not isinstance(named, str):
                named = ""
            tenant = tenants.get(named, "")
            yield from _too_long(f"{ACTION}{tenant}{name}", upstreams.root, (*at, "actions", name))
            if named and named not in names.first:
                line, shown = locate(upstreams.root, (*at, "actions", name, "connection"))
                there = ", ".join(sorted(map(str, names.first)))
                known = f"the names are {there}; write one of them" if there else "add it below `connections`"
                yield Problem(f"there is no connection of this name; {known}", shown, line)
                continue
            group = at[-1] if at else None
            yield from _of_its_kind(_mapping(action), group, of.get(named), upstreams.root, (*at, "actions", name))
    others = (name for name in of if of[name] not in REQUESTS)
    upstreams.without_requests.update(f"{SHARED}{tenants[name]}{name}" for name in others)


def _of_its_kind(action: dict[str, object], group: object, theirs: object, root: Branch, at: Path) -> Iterator[Problem]:
    """An action is of the kind ``theirs`` of its connection. ``group``: the kind below which it stands."""
    own = action.get("kind") or group or theirs
    said = ""
    if theirs == MCP and not action.get("tool"):
        said = "its connection is a server of MCP; write the name of a tool in tool"
    elif theirs == HTTP and action.get("tool"):
        said = "it has a tool, and its connection is no server of MCP; write kind: mcp there, or remove tool"
    elif theirs is not None and own != theirs and own in kinds():
        said = f"is of {own}, and its connection of {theirs}; name a connection of {own}"
    if said:
        line, shown = locate(root, at)
        yield Problem(said, shown, line)


def _without_first_version(name: object) -> object:
    """``NAME@v1`` is the action ``NAME``."""
    return name.removesuffix("@v1") if isinstance(name, str) else name


def _of_tenant(connection: object) -> str:
    """What stands before the name of a connection, and of its actions, wherever proxies have theirs."""
    tenant = _mapping(connection).get("tenant", DEFAULT_TENANT)
    return "" if tenant == DEFAULT_TENANT else f"{tenant}/"


def _too_long(known: str, root: Branch, at: Path) -> Iterator[Problem]:
    """The counters of all workers have so much room for the name of a proxy, and count nothing of a longer one."""
    over = len(known) - LONGEST
    if over > 0:
        line, shown = locate(root, at)
        message = f"is known as {known}, which may have {LONGEST} characters; shorten the name or the tenant by {over}"
        yield Problem(message, shown, line)


def _upstream(proxy: dict[str, object], at: Path, upstreams: _Register) -> Iterator[Problem]:
    """A name must be that of an entry of `upstreams`, which then has the protections."""
    named = proxy.get("upstream")
    if not isinstance(named, str):
        return
    if not values.is_upstream_name(named):
        name = proxy.get("name")
        if isinstance(name, str) and name in upstreams.first:
            yield from upstreams.enter(name, (*at, "name"))
    elif named in upstreams.first:
        for key in ("endpoints", *PROTECTIONS):
            if key in proxy:
                line, shown = locate(upstreams.root, (*at, key))
                message = "belongs to the upstream that this proxy names; write it there, below `upstreams`"
                yield Problem(message, shown, line)
    yield from _unknown(named, (*at, "upstream"), upstreams)


def _unknown(named: object, at: Path, upstreams: _Register) -> Iterator[Problem]:
    """The name of an entry of `upstreams`, or of a connection, that is not there."""
    if not isinstance(named, str) or not values.is_upstream_name(named):
        return
    if upstreams.stored and named.startswith(SHARED) and named not in upstreams.first:
        return  # the composer looks for it when the database is read
    if named in upstreams.without_requests:
        line, shown = locate(upstreams.root, at)
        yield Problem("is a connection that takes no HTTP requests; write an action of it", shown, line)
    elif named not in upstreams.first and not upstreams.incomplete:
        line, shown = locate(upstreams.root, at)
        there = ", ".join(sorted(map(str, upstreams.first))) or "none"
        yield Problem(
            f"there is no upstream of this name below `upstreams`, where there is {there}; write one of those names, "
            "or a URL such as http://host:port",
            shown,
            line,
        )


def _listeners(settings: dict[str, object], root: Branch) -> Iterator[Problem]:
    addresses = _Register(root, "an address that overlaps this one")
    for path, text in _addresses(settings):
        address = _checked(values.address, text)
        if address is not None and address.port:
            other = next((each for each in addresses.first if _overlap(address, each)), address)
            yield from addresses.enter(other, path)


def _addresses(settings: dict[str, object]) -> Iterator[tuple[Path, object]]:
    """Of `listen`, which may be one or a list, and of the admin listener."""
    listen = settings.get("listen")
    if isinstance(listen, list):
        for index, entry in enumerate(listen):
            yield ("listen", index), _mapping(entry).get("address", entry)
    else:
        yield ("listen",), _mapping(listen).get("address", listen)
    yield ("admin", "listen"), _mapping(settings.get("admin")).get("listen")


def _overlap(one: object, other: object) -> bool:
    """Whether the system refuses the second of them (ip(7), ipv6(7): a wildcard takes the port of each address)."""
    assert isinstance(one, Address)
    assert isinstance(other, Address)
    first, second = _ip(one.host), _ip(other.host)
    if one.port != other.port or first is None or second is None:
        return one == other
    return first == second or (first.version == second.version and (first.is_unspecified or second.is_unspecified))


def _ip(host: str) -> IPv4Address | IPv6Address | None:
    """None: a name, of which the machine knows what it stands for."""
    try:
        return ip_address(host)
    except ValueError:
        return None


def _routes(proxy: dict[str, object], at: Path, routes: _Register) -> Iterator[Problem]:
    route = _checked(values.route_path, proxy.get("path"))
    hosts = _list(proxy.get("hosts", []))
    own = _Register(routes.root, "the same host")
    for index, text in enumerate(hosts):
        host = _checked(values.route_host, text)
        again = list(own.enter(host, (*at, "hosts", index))) if host else []
        yield from again
        if host and route and not again:
            yield from routes.enter((host, route), (*at, "hosts", index))
    if route and not hosts:
        yield from routes.enter((None, route), (*at, "path"))


def _headers(proxy: dict[str, object], at: Path, root: Branch) -> Iterator[Problem]:
    names = _Register(root, "the same header in other letters")
    for name in _mapping(proxy.get("headers")):
        yield from names.enter(name.lower(), (*at, "headers", name))


def _checked(check: Callable[[str], _Value], text: object) -> _Value | None:
    try:
        return check(text) if isinstance(text, str) else None
    except ValueError:
        return None


def _mapping(value: object) -> dict[str, object]:
    return value if isinstance(value, dict) else {}


def _list(value: object) -> list[object]:
    return value if isinstance(value, list) else []

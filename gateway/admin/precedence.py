"""Which proxies are served when the file and the database declare some: the file wins over the database."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import cast

Settings = Mapping[str, object]


def routes(settings: Settings) -> set[tuple[str, str]]:
    """The (host, path) pairs that a proxy serves; host "" for every host."""
    hosts = cast(Iterable[str], settings.get("hosts") or [""])
    return {(host, str(settings["path"])) for host in hosts}


def shadowed(declared: Sequence[Settings], stored: Iterable[Settings]) -> set[str]:
    """Names of the stored proxies that are not served, because the file has their name or one of their routes."""
    names = {str(settings["name"]) for settings in declared}
    taken = set().union(*map(routes, declared))
    return {str(s["name"]) for s in stored if str(s["name"]) in names or routes(s) & taken}


def effective(declared: Sequence[Settings], stored: Sequence[Settings]) -> list[Settings]:
    """The proxies that are served: those of the file, then those of the database that it does not shadow."""
    hidden = shadowed(declared, stored)
    return [*declared, *(settings for settings in stored if str(settings["name"]) not in hidden)]

"""The one table of the API's routes: routing, access and the OpenAPI document all come from it."""

from __future__ import annotations

import re
from itertools import chain
from typing import Final
from urllib.parse import unquote

from gateway.api.route import Route, routes_of
from gateway.api.routes import (
    actions,
    audit,
    auth,
    call_records,
    endpoints,
    health,
    inspection,
    proxies,
    secrets,
    superusers,
    tokens,
    workers,
)

_MODULES: Final = (
    *(auth, proxies, endpoints, actions, call_records, secrets, superusers, tokens),
    *(workers, audit, inspection, health),
)
ROUTES: Final[tuple[Route, ...]] = tuple(chain.from_iterable(map(routes_of, _MODULES)))


def find(method: str, path: str) -> tuple[Route, dict[str, str]] | None:
    """The route of a path below `BASE`, and its parameters; for callers without HTTP."""
    for route in ROUTES:
        pattern = re.sub(r"\\{(\w+)\\}", r"(?P<\1>[^/]+)", re.escape(route.path))
        match = re.fullmatch(pattern, path) if route.method == method else None
        if match is not None:
            return route, {name: unquote(value) for name, value in match.groupdict().items()}
    return None

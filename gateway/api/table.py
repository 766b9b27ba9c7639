"""The one table of the API's routes: routing, access and the OpenAPI document all come from it."""

from __future__ import annotations

import re
from itertools import chain
from typing import Final
from urllib.parse import unquote

from gateway.api.dialects import OWN
from gateway.api.route import Route, routes_of
from gateway.api.routes import (
    actions,
    audit,
    auth,
    call_records,
    endpoints,
    grants,
    health,
    inspection,
    kinds,
    other_paths,
    proxies,
    secrets,
    superusers,
    tokens,
    workers,
)

_MODULES: Final = (
    *(auth, proxies, endpoints, actions, call_records, grants, kinds, secrets),
    *(superusers, tokens, workers, audit, inspection, health),
)
ROUTES: Final[tuple[Route, ...]] = (*chain.from_iterable(map(routes_of, _MODULES)), *other_paths.ROUTES)


def find(method: str, path: str) -> tuple[Route, dict[str, str]] | None:
    """The route of a path below `BASE`, and its parameters; for callers without HTTP."""
    for route in ROUTES:
        if route.dialect is not OWN:
            continue
        pattern = re.sub(r"\\{(\w+)\\}", r"(?P<\1>[^/]+)", re.escape(route.path))
        match = re.fullmatch(pattern, path) if route.method == method else None
        if match is not None:
            return route, {name: unquote(value) for name, value in match.groupdict().items()}
    return None

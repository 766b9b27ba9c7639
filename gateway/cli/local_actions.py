"""Calls actions of a configuration file without a gateway that runs: by a data plane of this process alone.

It goes through the same routes as a call by --server, so that both give the same result. Limits and breakers are those
of this process; a gateway that runs has its own.
"""

from __future__ import annotations

import os
import pathlib
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import cast

from gateway.admin.actions import ActionAdministration
from gateway.admin.actor import Actor
from gateway.admin.errors import not_found
from gateway.admin.service import Administration
from gateway.api.call import Call, Health, LoginResult
from gateway.api.table import find
from gateway.cli.types import Json
from gateway.config import load
from gateway.workers.local_plane import LocalPlane

_ACTOR = Actor("cli", superuser=True, client="local")


@dataclass(frozen=True, slots=True)
class _ActionsAlone:
    """The part of `Administration` that the routes of actions use: there is no database for the rest."""

    actions: ActionAdministration


class LocalActions:
    """The routes of connections and actions without HTTP."""

    def __init__(self, plane: LocalPlane) -> None:
        self._administration = cast(Administration, _ActionsAlone(ActionAdministration(plane)))

    async def call(self, method: str, path: str, body: Mapping[str, object] | None = None, **query: object) -> Json:
        """As `gateway.cli.client.Caller.call`."""
        found = find(method, path)
        if found is None:
            raise not_found(f"there is no {path}")
        route, parameters = found
        given = {name: value for name, value in query.items() if value is not None}
        health = cast(Health, None)  # no route of actions looks at it
        call = Call(self._administration, health, _ACTOR, "local", parameters, given, body or {})
        answer = (await route.handler(call))[1]
        assert not isinstance(answer, LoginResult)
        return answer


@asynccontextmanager
async def local_actions(config: pathlib.Path) -> AsyncIterator[LocalActions]:
    """Raises `ConfigError` for the file, OSError for what it names and this machine lacks."""
    document = load.load(config, os.environ)
    plane = LocalPlane()
    try:
        # No listener, no proxy, no log: the calls alone.
        await plane.apply(replace(document, listen=(), routes=(), access_log=None, tracing=None))
        yield LocalActions(plane)
    finally:
        await plane.aclose()

"""The routes of the API without HTTP, for commands that do their work in their own process."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from gateway.admin.actor import Actor
from gateway.admin.errors import not_found
from gateway.admin.service import Administration
from gateway.api.call import Bytes, Call, Health, LoginResult, Text
from gateway.api.table import find
from gateway.cli.downloads import Download
from gateway.cli.types import Json

ACTOR: Final = Actor("cli", superuser=True, client="local")
Body = Mapping[str, object] | None


class InProcess:
    """As `gateway.cli.client.Caller`. Raises what the handlers raise."""

    def __init__(self, administration: Administration, health: Health) -> None:
        self._administration = administration
        self._health = health

    async def call(self, method: str, path: str, body: Body = None, **query: object) -> Json:
        answer = await self._answer(method, path, body, query)
        assert not isinstance(answer, Bytes)
        return answer.body if isinstance(answer, LoginResult) else answer

    async def download(self, path: str, body: Mapping[str, object], **query: object) -> Download:
        answer = await self._answer("POST", path, body, {"raw": True, **query})
        assert isinstance(answer, Bytes)
        return Download(answer.data, {name.lower(): value for name, value in answer.fields}, answer.rest)

    async def _answer(
        self, method: str, path: str, body: Body, query: Mapping[str, object]
    ) -> Mapping[str, object] | Text | Bytes | LoginResult | None:
        found = find(method, path)
        if found is None:
            raise not_found(f"there is no {path}")
        route, parameters = found
        given = {name: value for name, value in query.items() if value is not None}
        call = Call(self._administration, self._health, ACTOR, "local", parameters, given, body or {})
        return (await route.handler(call))[1]

"""Secrets: written, masked, named by header templates, never read back."""

from __future__ import annotations

import re
from collections.abc import Sequence

from gateway.admin import representations
from gateway.admin.actor import Actor
from gateway.admin.errors import conflict, not_found, validation
from gateway.admin.live import Live
from gateway.admin.proxies import ProxyAdministration
from gateway.admin.representations import Resource
from gateway.admin.rights import superusers_only
from gateway.config import values
from gateway.store.errors import NotFound
from gateway.store.secrets import Secret
from gateway.store.store import Store

_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,255}")
_MAX_BYTES = 4096
_MAX_DESCRIPTION = 1000


class SecretAdministration:
    """All methods raise `AdminError`."""

    def __init__(self, store: Store, proxies: ProxyAdministration, live: Live) -> None:
        self._store = store
        self._proxies = proxies
        self._live = live

    async def all(self, actor: Actor) -> Resource:
        superusers_only(actor)
        return {"items": [representations.secret(record) for record in await self._store.secrets.list()]}

    async def get(self, actor: Actor, key: str) -> Resource:
        superusers_only(actor)
        record = await self._store.secrets.get(key)
        if record is None:
            raise not_found(f"there is no secret {key}")
        return representations.secret(record) | {"used_by": await self._proxies.users_of_secret(key)}

    async def put(
        self,
        actor: Actor,
        key: str,
        value: str,
        description: str = "",
        origins: Sequence[str] | None = None,
    ) -> Resource:
        """``origins``: the only upstream origins that it may be sent to; []: every one; None: unchanged."""
        superusers_only(actor)
        _check(key, value, description)
        allowed = None if origins is None else await self._allowed(key, origins)
        record = await self._store.secrets.put(key, value, actor.author, description, allowed)
        return await self._done(record)

    async def bind(self, actor: Actor, key: str, origins: Sequence[str]) -> Resource:
        """Set the origins it may be sent to, as `put`. Rejected while a proxy would send it elsewhere."""
        superusers_only(actor)
        allowed = await self._allowed(key, origins)
        try:
            record = await self._store.secrets.bind(key, allowed, actor.author)
        except NotFound as error:
            raise not_found(str(error)) from None
        return await self._done(record)

    async def _allowed(self, key: str, origins: Sequence[str]) -> list[str]:
        """The origins in one form."""
        fields, found = [], set()
        for index, text in enumerate(origins):
            try:
                found.add(values.plain_origin(text))
            except ValueError as error:
                fields.append((f"origins.{index}", str(error)))
        if fields:
            raise validation(fields)
        if found and (strays := await self._proxies.strays(key, found)):
            raise conflict(
                "secret_in_use",
                f"proxies send this secret elsewhere: {', '.join(strays)}; change them first, or list their origins",
            )
        return sorted(found)

    async def _done(self, record: Secret) -> Resource:
        applied = await self._live.apply()
        return representations.secret(record) | {"applied": {"generation": applied.generation, "error": applied.error}}

    async def origins(self, actor: Actor) -> dict[str, list[str]]:
        """The origins of the secrets that are bound to some."""
        superusers_only(actor)
        return {key: sorted(found) for key, found in (await self._store.secrets.bound()).items()}

    async def reveal(self, actor: Actor) -> dict[str, str]:
        """The values. No route calls this: they are only for those who can read the database and its key."""
        superusers_only(actor)
        values = await self._store.secrets.reveal()
        await self._store.audit.add(actor.author, "secret.export", "*", {"count": len(values)})
        return values

    async def delete(self, actor: Actor, key: str, *, force: bool = False) -> Resource:
        """Rejected while proxies name it, unless ``force``: those proxies then respond 500 ``template_missing``."""
        superusers_only(actor)
        if await self._store.secrets.get(key) is None:
            raise not_found(f"there is no secret {key}")
        users = await self._proxies.users_of_secret(key)
        if users and not force:
            raise conflict("in_use", f"proxies name this secret: {', '.join(users)}; change them first, or force it")
        try:
            await self._store.secrets.delete(key, actor.author)
        except NotFound as error:
            raise not_found(str(error)) from None
        applied = await self._live.apply()
        return {"applied": {"generation": applied.generation, "error": applied.error}}


def _check(key: str, value: str, description: str) -> None:
    """The messages never hold the value."""
    fields = []
    if not _KEY.fullmatch(key):
        fields.append(("key", "must be 1 to 256 letters, digits and _, and not begin with a digit; choose such a key"))
    if not value or len(value.encode()) > _MAX_BYTES:
        fields.append(("value", f"must have 1 to {_MAX_BYTES} bytes; shorten it"))
    if any((ord(character) < 32 and character != "\t") or ord(character) == 127 for character in value):
        fields.append(("value", "holds a line break or another control character; remove it, also at the end"))
    if len(description) > _MAX_DESCRIPTION:
        fields.append(("description", f"must have at most {_MAX_DESCRIPTION} characters; shorten it"))
    if fields:
        raise validation(fields)

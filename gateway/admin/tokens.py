"""Tokens for callers and machines."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import orjson

from gateway.admin import representations
from gateway.admin.actor import Actor
from gateway.admin.errors import not_found, unauthenticated, validation
from gateway.admin.live import Live
from gateway.admin.representations import Resource
from gateway.admin.rights import superusers_only
from gateway.identity.tokens import digest, mint
from gateway.store.errors import NotFound
from gateway.store.store import Store

_MAX_CLAIMS = 10_000
_LONGEST = 10 * 365 * 86400
_SUPERUSER_TOKEN_SECONDS = 90 * 86400.0
"""A superuser token that no one remembers must end by itself."""
_OWN_CLAIMS = frozenset({"id", "name", "kind", "superuser"})


class TokenAdministration:
    """All methods raise `AdminError`. ``clock`` gives seconds of the epoch."""

    def __init__(self, store: Store, live: Live, clock: Callable[[], float]) -> None:
        self._store = store
        self._live = live
        self._clock = clock

    async def all(self, actor: Actor) -> Resource:
        superusers_only(actor)
        return {"items": [representations.token(record) for record in await self._store.tokens.list("token")]}

    async def create(
        self,
        actor: Actor,
        name: str,
        *,
        superuser: bool = False,
        metrics: bool = False,
        expires_in: float | None = None,
        claims: Mapping[str, object] | None = None,
    ) -> Resource:
        """A token; only this response shows its text. ``metrics``: it may read metrics, and nothing else.

        ``expires_in`` in seconds; 0: no expiry; None: 90 days for a superuser token, no expiry for others.
        A superuser token ends with the superuser who made it, or who made the token that made it.
        """
        superusers_only(actor)
        if metrics and (superuser or claims):
            raise validation([("metrics", "such a token is good for nothing else; leave superuser and claims out")])
        claims = dict(claims or {})
        _check(name, expires_in, claims)
        token = mint()
        if expires_in is None:
            expires_in = _SUPERUSER_TOKEN_SECONDS if superuser else 0.0
        expires_at = self._clock() + expires_in if expires_in else 0.0
        try:
            made = await self._store.tokens.create(
                name,
                digest(token),
                "token",
                superuser,
                actor.owner if superuser else None,
                expires_at,
                claims,
                actor.author,
                "metrics" if metrics else None,
            )
        except NotFound:
            raise unauthenticated("The superuser who makes this token was deleted meanwhile") from None
        await self._live.apply()
        return representations.token(made) | {"token": token}

    async def delete(self, actor: Actor, id: str) -> None:  # noqa: A002 - the resource's own word
        """Revoke a token, with immediate effect."""
        await revoke(self._store, self._live, actor, id, "token")


async def revoke(store: Store, live: Live, actor: Actor, id: str, kind: str) -> None:  # noqa: A002 - the resource's own word
    """Delete the token or login ``id``, and apply that before the response. Raises `AdminError`."""
    superusers_only(actor)
    try:
        await store.tokens.delete(id, actor.author, kind)
    except NotFound as error:
        raise not_found(str(error)) from None
    await live.apply()


def _check(name: str, expires_in: float | None, claims: Mapping[str, object]) -> None:
    fields = []
    if not 1 <= len(name) <= 100 or not name.isprintable():
        fields.append(("name", "must have 1 to 100 printable characters; choose such a name"))
    if expires_in and not 1 <= expires_in <= _LONGEST:
        fields.append(("expires_in", f"must be 1 to {_LONGEST} seconds; write 0 for a token without an end"))
    if own := sorted(_OWN_CLAIMS & claims.keys()):
        fields.append(("claims", f"the gateway itself sets {', '.join(own)}; choose other names"))
    if len(orjson.dumps(claims)) > _MAX_CLAIMS:
        fields.append(("claims", f"must have at most {_MAX_CLAIMS} bytes as JSON; shorten them"))
    if fields:
        raise validation(fields)

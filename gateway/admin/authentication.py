"""Authenticates a request by its token."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

from gateway.admin.actor import Actor
from gateway.identity.tokens import digest, looks_like_token
from gateway.store.accounts import Token
from gateway.store.store import Store


class Authentication:
    """Caches the tokens of the database until something changes there. ``clock`` gives seconds of the epoch."""

    def __init__(self, store: Store, clock: Callable[[], float]) -> None:
        self._store = store
        self._clock = clock
        self._tokens: Mapping[str, Token] = {}
        self._revision = -1
        self._looking: asyncio.Task[None] | None = None
        """The look at the database that runs, or ran last."""
        self._next_look: asyncio.Task[None] | None = None
        """The one that begins when that has ended."""

    async def authenticate(self, token: str, client: str = "") -> Actor | None:
        """The owner of this token; None when it is not valid."""
        return await self._actor(digest(token), client) if looks_like_token(token) else None

    async def still_good(self, actor: Actor) -> bool:
        """Whether the token of ``actor`` is still valid: neither revoked nor expired since."""
        return await self._actor(actor.digest) == actor

    async def _actor(self, key: str, client: str = "") -> Actor | None:
        await self._be_current()
        found = self._tokens.get(key)
        if found is None or 0 < found.expires_at <= self._clock():
            return None
        session = found.kind == "superuser"
        name = found.name if session else f"token:{found.name}"
        return Actor(name, found.superuser, key, found.scope, found.id, session, found.owner, client)

    async def _be_current(self) -> None:
        """Know the tokens as the database has them now, because one that was revoked ends at once.

        Requests that come while one looks share the look after it: a look of each would cost more than the request.
        """
        if self._next_look is None:
            self._next_look = asyncio.ensure_future(self._look(self._looking))
            self._next_look.add_done_callback(_seen)
        await asyncio.shield(self._next_look)

    async def _look(self, before: asyncio.Task[None] | None) -> None:
        if before is not None:
            await asyncio.wait({before})
        self._looking, self._next_look = self._next_look, None
        revision = await self._store.revision()
        if revision != self._revision:
            self._tokens = await self._store.tokens.all()
            self._revision = revision


def _seen(look: asyncio.Task[None]) -> None:
    """Its failure is known, also when all who wait for it have left."""
    if not look.cancelled():
        look.exception()

"""Superusers and their passwords."""

from __future__ import annotations

import re
from typing import Final

from gateway.admin import representations
from gateway.admin.actor import Actor
from gateway.admin.attempts import Attempts
from gateway.admin.errors import AdminError, conflict, not_found, validation
from gateway.admin.live import Live
from gateway.admin.password import PasswordHasher, check_strength
from gateway.admin.representations import Resource
from gateway.admin.rights import superusers_only
from gateway.store.errors import AlreadyExists, LastSuperuser, NotFound
from gateway.store.store import Store

_EMAIL: Final = re.compile(r"[^\s@\x00-\x1f]{1,64}@[^\s@\x00-\x1f]{1,189}")


class SuperuserAdministration:
    """All methods raise `AdminError`."""

    def __init__(self, store: Store, live: Live, passwords: PasswordHasher, attempts: Attempts) -> None:
        self._store = store
        self._live = live
        self._passwords = passwords
        self._attempts = attempts

    async def all(self, actor: Actor) -> Resource:
        superusers_only(actor)
        return {"items": [representations.superuser(record) for record in await self._store.superusers.list()]}

    async def create(self, actor: Actor, email: str, password: str) -> Resource:
        superusers_only(actor)
        if not is_email(email):
            raise validation([("email", "is no email address; write name@example.org")])
        _check_password(password)
        try:
            made = await self._store.superusers.create(email, await self._passwords.hash(password), actor.author)
        except AlreadyExists as error:
            raise AdminError(409, "already_exists", "Conflict", str(error), [(error.field, str(error))]) from None
        return representations.superuser(made)

    async def delete(self, actor: Actor, id: str) -> None:  # noqa: A002 - the resource's own word
        superusers_only(actor)
        try:
            await self._store.superusers.delete(id, actor.author)
        except NotFound as error:
            raise not_found(str(error)) from None
        except LastSuperuser as error:
            raise conflict("last_superuser", str(error)) from None
        await self._live.apply()

    async def change_password(self, actor: Actor, current: str, password: str) -> Resource:
        """Change the caller's own password: the other logins end. ``current``: a stolen login must not be enough."""
        superusers_only(actor)
        if not actor.session or actor.owner is None:
            details = "a token has no password; log in, or let a superuser set it by its account"
            raise conflict("no_password", details)
        _check_password(password)
        found = await self._store.superusers.by_email(actor.name)
        if found is None:
            raise not_found("this superuser was deleted meanwhile")
        with self._attempts.attempt(actor.client, actor.name):
            good = await self._passwords.verify(found[1], current[:1000])
        if not good:
            await self._store.audit.add(actor.author, "superuser.password_failed", actor.name)
            raise validation([("current", "is not the password; type the one with which you log in")])
        self._attempts.withdrawn(actor.client, actor.name)
        return await self._set_password(actor, actor.owner, password, keep=actor.digest)

    async def set_password(
        self,
        actor: Actor,
        id: str,  # noqa: A002 - the resource's own word
        password: str,
        *,
        tokens: bool = False,
    ) -> Resource:
        """Set another superuser's password: all their logins end, with ``tokens`` also their superuser tokens."""
        superusers_only(actor)
        if actor.session and actor.owner == id:
            raise conflict("own_password", "your own password is changed with the current one: POST /auth/password")
        _check_password(password)
        return await self._set_password(actor, id, password, tokens=tokens)

    async def _set_password(
        self,
        actor: Actor,
        id: str,  # noqa: A002 - the resource's own word
        password: str,
        *,
        keep: str = "",
        tokens: bool = False,
    ) -> Resource:
        hashed = await self._passwords.hash(password)
        try:
            email = await self._store.superusers.set_password(id, hashed, actor.author, keep=keep, tokens=tokens)
        except NotFound as error:
            raise not_found(str(error)) from None
        await self._live.apply()
        return {"id": id, "email": email}


def is_email(text: str) -> bool:
    return _EMAIL.fullmatch(text) is not None


def _check_password(password: str) -> None:
    """Raises `AdminError` for a password that is too easily guessed."""
    try:
        check_strength(password)
    except ValueError as error:
        raise validation([("password", str(error))]) from None

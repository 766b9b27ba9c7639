"""Logins of superusers: they begin with a password, and end by expiry or by a request."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from gateway.admin import representations
from gateway.admin.actor import Actor
from gateway.admin.attempts import Attempts
from gateway.admin.devices import Devices
from gateway.admin.errors import unauthenticated
from gateway.admin.live import Live
from gateway.admin.password import PasswordHasher
from gateway.admin.representations import Resource
from gateway.admin.rights import superusers_only
from gateway.admin.superusers import is_email
from gateway.admin.tokens import revoke
from gateway.identity.tokens import digest, mint
from gateway.store.audit import Author, moment
from gateway.store.errors import NotFound
from gateway.store.store import Store


@dataclass(frozen=True, slots=True)
class Login:
    """``session``: the response; ``device``: excludes the client's next logins from the count of unknown clients."""

    session: Resource
    device: str


class LoginAdministration:
    """All methods raise `AdminError`. ``clock`` gives seconds of the epoch."""

    def __init__(
        self,
        store: Store,
        live: Live,
        passwords: PasswordHasher,
        attempts: Attempts,
        session_ttl: float,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._live = live
        self._passwords = passwords
        self._attempts = attempts
        self._devices = Devices(store.keys, clock)
        self._session_ttl = session_ttl
        self._clock = clock

    async def login(self, email: str, password: str, client: str, device: str = "") -> Login:
        """A token for a superuser. ``client``: the peer's address; ``device``: the cookie of an earlier `Login`.

        An unknown account gets the same response after the same delay, so that no one learns which accounts exist.
        """
        account = email.lower()[:254]
        possible = is_email(account)
        found = await self._store.superusers.by_email(account) if possible and device else None
        known = "" if found is None else self._devices.recognise(device, found[0].id, found[1])
        with self._attempts.attempt(client, account, known):
            if found is None and possible:
                found = await self._store.superusers.by_email(account)
            good = await self._passwords.verify(found[1] if found else None, password[:1000])
        if found is None or not good:
            # A password may be typed in the email field: only an existing account is logged by name.
            who = Author(f"client {client}", client)
            await self._store.audit.add(who, "login.failed", found[0].email if found else "unknown")
            raise unauthenticated("The email or the password is wrong")
        self._attempts.succeeded(client, account, known)
        token, expires_at = mint(), self._clock() + self._session_ttl
        superuser, password_hash = found
        try:
            await self._store.tokens.create(
                superuser.email,
                digest(token),
                "superuser",
                True,
                superuser.id,
                expires_at,
                {"email": superuser.email},
                Author(superuser.email, client),
                password_hash=password_hash,
            )
        except NotFound:
            raise unauthenticated("The email or the password is wrong") from None
        await self._live.apply()
        return Login(
            {"token": token, "expires_at": _time(expires_at)}, self._devices.issue(superuser.id, password_hash)
        )

    async def logout(self, actor: Actor) -> None:
        await self._store.tokens.delete_by_digest(actor.digest, actor.author)
        await self._live.apply()

    async def sessions(self, actor: Actor) -> Resource:
        """Who is logged in."""
        superusers_only(actor)
        now = self._clock()
        found = [record for record in await self._store.tokens.list("superuser") if record.expires_at > now]
        return {"items": [representations.session(record, current=record.id == actor.credential) for record in found]}

    async def end_session(self, actor: Actor, id: str) -> None:  # noqa: A002 - the resource's own word
        """Revoke a login."""
        await revoke(self._store, self._live, actor, id, "superuser")


def _time(seconds: float) -> str:
    return moment(seconds).isoformat(timespec="seconds").replace("+00:00", "Z")

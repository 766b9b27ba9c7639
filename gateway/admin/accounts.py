"""Superusers, their logins, and tokens for callers and machines."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping

import orjson

from gateway.admin import resource
from gateway.admin.live import Actor, Live
from gateway.admin.problem import AdminError, conflict, not_found, unauthenticated, validation
from gateway.admin.resource import Resource
from gateway.admin.rights import superusers_only
from gateway.identity.password import PasswordHasher, check_strength
from gateway.identity.throttle import LoginThrottle
from gateway.identity.tokens import digest, looks_like_token, mint
from gateway.store.accounts import Token
from gateway.store.audit import moment
from gateway.store.problem import AlreadyExists, LastSuperuser, NotFound
from gateway.store.store import Store

_EMAIL = re.compile(r"[^\s@\x00-\x1f]{1,64}@[^\s@\x00-\x1f]{1,189}")
_MAX_CLAIMS = 10_000
_LONGEST = 10 * 365 * 86400
_OWN_CLAIMS = frozenset({"id", "name", "kind", "superuser"})


class AccountAdministration:
    """All methods raise `AdminError`. ``clock`` gives seconds of the epoch."""

    def __init__(
        self,
        store: Store,
        live: Live,
        passwords: PasswordHasher,
        throttle: LoginThrottle,
        session_ttl: float,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._live = live
        self._passwords = passwords
        self._throttle = throttle
        self._session_ttl = session_ttl
        self._clock = clock
        self._tokens: dict[str, Token] = {}
        self._revision = -1

    async def login(self, email: str, password: str, client: str) -> Resource:
        """A token for a superuser. ``client``: the peer's address. Who does not exist is answered alike, as slowly."""
        account = email.lower()[:254]
        wait = self._throttle.check(client, account)
        if wait:
            details = f"too many logins have failed; try again in {wait} seconds"
            raise AdminError(429, "too_many_logins", "Too Many Requests", details, (), {"retry_after": wait})
        # Counted before the slow hash, so that many tries at once are as many.
        self._throttle.failed(client, account)
        found = await self._store.superusers.by_email(account) if _EMAIL.fullmatch(account) else None
        good = await self._passwords.verify(found[1] if found else None, password[:1000])
        if found is None or not good:
            # What was typed as an email may be a password: only an account that exists is named.
            await self._store.audit.add(f"client {client}", "login.failed", found[0].email if found else "unknown")
            raise unauthenticated("The email or the password is wrong")
        self._throttle.succeeded(client, account)
        token, expires_at = mint(), self._clock() + self._session_ttl
        superuser = found[0]
        await self._store.tokens.create(
            superuser.email,
            digest(token),
            "superuser",
            True,
            superuser.id,
            expires_at,
            {"email": superuser.email},
            superuser.email,
        )
        await self._live.apply()
        return {"token": token, "expires_at": _time(expires_at)}

    async def logout(self, actor: Actor) -> None:
        await self._store.tokens.delete_by_digest(actor.digest, actor.name)
        await self._live.apply()

    async def authenticate(self, token: str) -> Actor | None:
        """Who shows this token; None when it is not good (any more)."""
        return await self._actor(digest(token)) if looks_like_token(token) else None

    async def still_good(self, actor: Actor) -> bool:
        """Whether the token that he showed once has not been revoked, and has not expired, since."""
        return await self._actor(actor.digest) == actor

    async def _actor(self, key: str) -> Actor | None:
        revision = await self._store.revision()
        if revision != self._revision:
            self._tokens = await self._store.tokens.all()
            self._revision = revision
        found = self._tokens.get(key)
        if found is None or 0 < found.expires_at <= self._clock():
            return None
        name = found.name if found.kind == "superuser" else f"token:{found.name}"
        return Actor(name, found.superuser, key, found.scope)

    async def superusers(self, actor: Actor) -> Resource:
        superusers_only(actor)
        return {"items": [resource.superuser(record) for record in await self._store.superusers.list()]}

    async def create_superuser(self, actor: Actor, email: str, password: str) -> Resource:
        superusers_only(actor)
        if not _EMAIL.fullmatch(email):
            raise validation([("email", "is no email address; write name@example.org")])
        try:
            check_strength(password)
        except ValueError as error:
            raise validation([("password", str(error))]) from None
        try:
            made = await self._store.superusers.create(email, await self._passwords.hash(password), actor.name)
        except AlreadyExists as error:
            raise AdminError(409, "already_exists", "Conflict", str(error), [(error.field, str(error))]) from None
        return resource.superuser(made)

    async def delete_superuser(self, actor: Actor, id: str) -> None:  # noqa: A002 - the resource's own word
        superusers_only(actor)
        try:
            await self._store.superusers.delete(id, actor.name)
        except NotFound as error:
            raise not_found(str(error)) from None
        except LastSuperuser as error:
            raise conflict("last_superuser", str(error)) from None
        await self._live.apply()

    async def tokens(self, actor: Actor) -> Resource:
        superusers_only(actor)
        return {"items": [resource.token(record) for record in await self._store.tokens.list("token")]}

    async def create_token(
        self,
        actor: Actor,
        name: str,
        *,
        superuser: bool = False,
        metrics: bool = False,
        expires_in: float | None = None,
        claims: Mapping[str, object] | None = None,
    ) -> Resource:
        """A token; its text stands in the answer this once. ``metrics``: it may read metrics, and nothing else."""
        superusers_only(actor)
        if metrics and (superuser or claims):
            raise validation([("metrics", "such a token is good for nothing else; leave superuser and claims out")])
        claims = dict(claims or {})
        _check(name, expires_in, claims)
        token = mint()
        expires_at = 0.0 if expires_in is None else self._clock() + expires_in
        made = await self._store.tokens.create(
            name,
            digest(token),
            "token",
            superuser,
            None,
            expires_at,
            claims,
            actor.name,
            "metrics" if metrics else None,
        )
        await self._live.apply()
        return resource.token(made) | {"token": token}

    async def delete_token(self, actor: Actor, id: str) -> None:  # noqa: A002 - the resource's own word
        """Revoked at once."""
        superusers_only(actor)
        try:
            await self._store.tokens.delete(id, actor.name)
        except NotFound as error:
            raise not_found(str(error)) from None
        await self._live.apply()


def _check(name: str, expires_in: float | None, claims: Mapping[str, object]) -> None:
    fields = []
    if not 1 <= len(name) <= 100 or not name.isprintable():
        fields.append(("name", "must have 1 to 100 printable characters; choose such a name"))
    if expires_in is not None and not 1 <= expires_in <= _LONGEST:
        fields.append(("expires_in", f"must be 1 to {_LONGEST} seconds; write null for a token without an end"))
    if own := sorted(_OWN_CLAIMS & claims.keys()):
        fields.append(("claims", f"the gateway itself sets {', '.join(own)}; choose other names"))
    if len(orjson.dumps(claims)) > _MAX_CLAIMS:
        fields.append(("claims", f"must have at most {_MAX_CLAIMS} bytes as JSON; shorten them"))
    if fields:
        raise validation(fields)


def _time(seconds: float) -> str:
    return moment(seconds).isoformat(timespec="seconds").replace("+00:00", "Z")

"""Superusers, their logins, and tokens for callers and machines."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import orjson

from gateway.admin import representations
from gateway.admin.actor import Actor
from gateway.admin.devices import Devices
from gateway.admin.errors import AdminError, conflict, not_found, unauthenticated, validation
from gateway.admin.live import Live
from gateway.admin.password import PasswordHasher, check_strength
from gateway.admin.representations import Resource
from gateway.admin.rights import superusers_only
from gateway.admin.throttle import Crowded, LoginThrottle, Turns
from gateway.identity.tokens import digest, looks_like_token, mint
from gateway.store.accounts import Token
from gateway.store.audit import Author, moment
from gateway.store.errors import AlreadyExists, LastSuperuser, NotFound
from gateway.store.store import Store

_EMAIL = re.compile(r"[^\s@\x00-\x1f]{1,64}@[^\s@\x00-\x1f]{1,189}")
_MAX_CLAIMS = 10_000
_LONGEST = 10 * 365 * 86400
_SUPERUSER_TOKEN_SECONDS = 90 * 86400.0
"""A superuser token that nobody remembers must end by itself."""
_OWN_CLAIMS = frozenset({"id", "name", "kind", "superuser"})


@dataclass(frozen=True, slots=True)
class Login:
    """``session``: the response; ``device``: what takes the client's next logins out of the count of strangers."""

    session: Resource
    device: str


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
        turns: Turns | None = None,
    ) -> None:
        self._store = store
        self._live = live
        self._passwords = passwords
        self._throttle = throttle
        self._turns = turns or Turns()
        self._devices = Devices(store.keys, clock)
        self._session_ttl = session_ttl
        self._clock = clock
        self._tokens: dict[str, Token] = {}
        self._revision = -1

    async def login(self, email: str, password: str, client: str, device: str = "") -> Login:
        """A token for a superuser. ``client``: the peer's address; ``device``: what an earlier `Login` gave it.

        Who does not exist is answered alike, as slowly.
        """
        account = email.lower()[:254]
        possible = _EMAIL.fullmatch(account) is not None
        found = await self._store.superusers.by_email(account) if possible and device else None
        known = "" if found is None else self._devices.recognise(device, found[0].id, found[1])
        with self._try(client, account, known):
            if found is None and possible:
                found = await self._store.superusers.by_email(account)
            good = await self._passwords.verify(found[1] if found else None, password[:1000])
        if found is None or not good:
            # What was typed as an email may be a password: only an account that exists is named.
            who = Author(f"client {client}", client)
            await self._store.audit.add(who, "login.failed", found[0].email if found else "unknown")
            raise unauthenticated("The email or the password is wrong")
        self._throttle.succeeded(client, account, known)
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

    @contextmanager
    def _try(self, client: str, account: str, device: str = "") -> Iterator[None]:
        """Around the slow part of a try: counted before it, so that many tries at once are as many."""
        wait = self._throttle.check(client, account, device)
        if wait:
            raise _too_many(f"too many logins have failed; try again in {wait} seconds", wait)
        self._throttle.failed(client, account, device)
        try:
            with self._turns.turn(client, known=bool(device)):
                yield
        except Crowded:
            self._throttle.withdrawn(client, account, device)
            raise _too_many("too many logins run at once; try again in a second", 1) from None

    async def logout(self, actor: Actor) -> None:
        await self._store.tokens.delete_by_digest(actor.digest, actor.author)
        await self._live.apply()

    async def change_password(self, actor: Actor, current: str, password: str) -> Resource:
        """Of the superuser who asks: the other logins end. ``current``: a stolen login must not be enough."""
        superusers_only(actor)
        if not actor.session or actor.owner is None:
            details = "a token has no password; log in, or let a superuser set it by its account"
            raise conflict("no_password", details)
        check_password(password)
        found = await self._store.superusers.by_email(actor.name)
        if found is None:
            raise not_found("this superuser was deleted meanwhile")
        with self._try(actor.client, actor.name):
            good = await self._passwords.verify(found[1], current[:1000])
        if not good:
            await self._store.audit.add(actor.author, "superuser.password_failed", actor.name)
            raise validation([("current", "is not the password; type the one with which you log in")])
        self._throttle.withdrawn(actor.client, actor.name)
        return await self._set_password(actor, actor.owner, password, keep=actor.digest)

    async def set_password(
        self,
        actor: Actor,
        id: str,  # noqa: A002 - the resource's own word
        password: str,
        *,
        tokens: bool = False,
    ) -> Resource:
        """Of another superuser: all logins of that one end, and with ``tokens`` the superuser tokens made by it."""
        superusers_only(actor)
        if actor.session and actor.owner == id:
            raise conflict("own_password", "your own password is changed with the current one: POST /auth/password")
        check_password(password)
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

    async def sessions(self, actor: Actor) -> Resource:
        """Who is logged in."""
        superusers_only(actor)
        now = self._clock()
        found = [record for record in await self._store.tokens.list("superuser") if record.expires_at > now]
        return {"items": [representations.session(record, current=record.id == actor.credential) for record in found]}

    async def end_session(self, actor: Actor, id: str) -> None:  # noqa: A002 - the resource's own word
        """A login is no good from now on."""
        superusers_only(actor)
        try:
            await self._store.tokens.delete(id, actor.author, "superuser")
        except NotFound as error:
            raise not_found(str(error)) from None
        await self._live.apply()

    async def authenticate(self, token: str, client: str = "") -> Actor | None:
        """Who shows this token; None when it is not good (any more)."""
        return await self._actor(digest(token), client) if looks_like_token(token) else None

    async def still_good(self, actor: Actor) -> bool:
        """Whether the token that he showed once has not been revoked, and has not expired, since."""
        return await self._actor(actor.digest) == actor

    async def _actor(self, key: str, client: str = "") -> Actor | None:
        revision = await self._store.revision()
        if revision != self._revision:
            self._tokens = await self._store.tokens.all()
            self._revision = revision
        found = self._tokens.get(key)
        if found is None or 0 < found.expires_at <= self._clock():
            return None
        session = found.kind == "superuser"
        name = found.name if session else f"token:{found.name}"
        return Actor(name, found.superuser, key, found.scope, found.id, session, found.owner, client)

    async def superusers(self, actor: Actor) -> Resource:
        superusers_only(actor)
        return {"items": [representations.superuser(record) for record in await self._store.superusers.list()]}

    async def create_superuser(self, actor: Actor, email: str, password: str) -> Resource:
        superusers_only(actor)
        if not _EMAIL.fullmatch(email):
            raise validation([("email", "is no email address; write name@example.org")])
        check_password(password)
        try:
            made = await self._store.superusers.create(email, await self._passwords.hash(password), actor.author)
        except AlreadyExists as error:
            raise AdminError(409, "already_exists", "Conflict", str(error), [(error.field, str(error))]) from None
        return representations.superuser(made)

    async def delete_superuser(self, actor: Actor, id: str) -> None:  # noqa: A002 - the resource's own word
        superusers_only(actor)
        try:
            await self._store.superusers.delete(id, actor.author)
        except NotFound as error:
            raise not_found(str(error)) from None
        except LastSuperuser as error:
            raise conflict("last_superuser", str(error)) from None
        await self._live.apply()

    async def tokens(self, actor: Actor) -> Resource:
        superusers_only(actor)
        return {"items": [representations.token(record) for record in await self._store.tokens.list("token")]}

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
        """A token; its text stands in the response this once. ``metrics``: it may read metrics, and nothing else.

        ``expires_in`` in seconds; 0: without an end; None: 90 days for a superuser token, without an end for others.
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

    async def delete_token(self, actor: Actor, id: str) -> None:  # noqa: A002 - the resource's own word
        """Revoked at once."""
        superusers_only(actor)
        try:
            await self._store.tokens.delete(id, actor.author, "token")
        except NotFound as error:
            raise not_found(str(error)) from None
        await self._live.apply()


def check_password(password: str) -> None:
    """Raises `AdminError` for one that is too easily guessed."""
    try:
        check_strength(password)
    except ValueError as error:
        raise validation([("password", str(error))]) from None


def _too_many(details: str, wait: int) -> AdminError:
    return AdminError(429, "too_many_logins", "Too Many Requests", details, (), {"retry_after": wait})


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


def _time(seconds: float) -> str:
    return moment(seconds).isoformat(timespec="seconds").replace("+00:00", "Z")

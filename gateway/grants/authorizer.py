"""Asks persons to agree: begins authorizations, takes what comes of them, and revokes grants.

A browser brings back a code with a state, which is used once and ends by itself. On another device a person types a
code, and each look at the authorization by a waiting client asks the provider, as often as that permits. What is
begun is in the database, so that it survives this process, and any process of the fleet may end it.
"""

from __future__ import annotations

import hashlib
import secrets
import time
from dataclasses import dataclass, field
from typing import Final, Literal, Protocol

from gateway.config.grants import Grant
from gateway.core.clock import Clock
from gateway.core.grant import IssuedTokens
from gateway.grants.broker import Broker
from gateway.grants.errors import GrantError, ProviderAwayError, ProviderRefusedError
from gateway.grants.provider import Provider
from gateway.store.audit import Author
from gateway.store.authorizations import PENDING, Authorization, AuthorizationRepository
from gateway.store.grants import GrantRepository

CODE_SECONDS: Final = 600.0
"""The time that a person has in the browser."""
AUTHORIZED: Final = "authorized"
FAILED: Final = "failed"
_STATE_CHARACTERS: Final = 43
_SLOWER_SECONDS: Final = 5.0
"""RFC 8628 3.5: after ``slow_down``."""
_STILL_PENDING: Final = "authorization_pending"
_SLOW_DOWN: Final = "slow_down"
_CHANGED: Final = "the grant is forgotten here; tell the provider by its own pages, the connection was changed since"
_DELETED: Final = "the connection was deleted meanwhile; create it, and begin the authorization again"
_REVOKED: Final = "the grant is forgotten here, and revoked at the provider"
_HALF_REVOKED: Final = (
    "the grant is forgotten here, and revoked at the provider, but for its access token, which ends by itself: the "
    "provider does not revoke those"
)
_FORGOTTEN: Final = "the grant is forgotten here; tell the provider by its own pages, there is no revoke_url"


class Credentials(Protocol):
    """Which tokens and logins of superusers are good."""

    async def good(self, id: str, now: float) -> bool:  # noqa: A002
        """Whether the one of this id is: it was not revoked, and has not expired."""
        ...


@dataclass(frozen=True, slots=True)
class Begun:
    """What a person needs. ``url``: to be opened in a browser. ``user_code``: to be typed there; empty for a code flow.

    ``poll_seconds``: how often to look what came of it.
    """

    id: str
    kind: Literal["code", "device"]
    url: str = field(repr=False)
    user_code: str
    complete_url: str
    expires: float
    poll_seconds: float


class Authorizer:
    """Methods raise `GrantError`, and `StoreError` when the database is away. ``clock``: seconds of the epoch."""

    def __init__(
        self,
        broker: Broker,
        provider: Provider,
        grants: GrantRepository,
        authorizations: AuthorizationRepository,
        credentials: Credentials,
        clock: Clock = time.time,
    ) -> None:
        self._broker = broker
        self._provider = provider
        self._grants = grants
        self._authorizations = authorizations
        self._credentials = credentials
        self._clock = clock

    async def begin(self, grant: Grant, author: Author) -> Begun:
        """Begin an authorization of ``grant``, for ``author``."""
        return await (self._begin_device(grant, author) if grant.oauth.device_url else self._begin_code(grant, author))

    async def redeem(self, state: str, code: str, error: str) -> tuple[Authorization, str]:
        """What a browser has brought back: the authorization, and why it has failed; empty: it has not.

        Raises `GrantError` for a state that is unknown, was used, or is too old.
        """
        found = await self._authorizations.take(_digest(state), self._clock()) if state else None
        if found is None:
            raise GrantError("this authorization is unknown, was used before, or is too old; begin it again")
        failure = await self._why_not(found, code, error)
        if not failure:
            try:
                await self._take_code(found, code)
            except GrantError as refused:
                failure = str(refused)
        await self._authorizations.end(found.id, FAILED if failure else AUTHORIZED, failure)
        return found, failure

    async def look(self, grant: Grant, id: str) -> Authorization | None:  # noqa: A002
        """What came of an authorization of ``grant``; None: there is none. It asks the provider where that is due."""
        found = await self._authorizations.get(id)
        if found is None or found.connection != grant.connection:
            return None
        if found.status == PENDING and self._clock() >= found.expires:
            await self._authorizations.end(id, FAILED, "no one agreed in time; begin it again")
        elif found.status == PENDING and found.poll_seconds:
            due = await self._authorizations.claim_poll(id, self._clock())
            if due is not None:
                await self._poll(grant, due)
        return await self._authorizations.get(id)

    async def revoke(self, grant: Grant, author: Author) -> str:
        """Forget the tokens of ``grant``, and revoke them where it has a `revoke_url`; a sentence for what was done."""
        stored = await self._grants.read(grant.connection)
        if stored is None:
            raise GrantError("there is no grant to revoke")
        await self._grants.remove(grant.connection, author)
        await self._broker.reset(grant.connection)
        if not grant.oauth.revoke_url:
            return _FORGOTTEN
        if stored.binding != grant.binding:
            return _CHANGED
        try:
            whole = await self._provider.revoke(grant.oauth, stored)
        except GrantError as error:
            return f"the grant is forgotten here; it could not be revoked at the provider: {error}"
        return _REVOKED if whole else _HALF_REVOKED

    async def _begin_code(self, grant: Grant, author: Author) -> Begun:
        from gateway.grants import flows  # as in `gateway.grants.provider`

        state, verifier = secrets.token_urlsafe(32), flows.new_verifier()
        new = self._new(grant, author, _digest(state), {"verifier": verifier}, CODE_SECONDS)
        await self._authorizations.add(new)
        url = flows.authorize_url(grant.oauth, state, verifier)
        return Begun(new.id, "code", url, "", "", new.expires, 2.0)

    async def _begin_device(self, grant: Grant, author: Author) -> Begun:
        code = await self._provider.begin_device(grant.oauth)
        hidden = {"device_code": code.device_code}
        state = _digest(secrets.token_urlsafe(32))  # no one has it: no browser comes back
        new = self._new(grant, author, state, hidden, code.expires_in, code.interval)
        await self._authorizations.add(new)
        shown = code.verification_uri, code.user_code, code.verification_uri_complete
        return Begun(new.id, "device", *shown, new.expires, code.interval)

    def _new(
        self,
        grant: Grant,
        author: Author,
        state: str,
        hidden: dict[str, str],
        life: float,
        interval: float = 0.0,
    ) -> Authorization:
        now = self._clock()
        return Authorization(
            secrets.token_urlsafe(16),
            state,
            grant.connection,
            grant.binding,
            hidden,
            author.name,
            author.credential,
            now,
            now + life,
            interval,
            now + interval,
        )

    async def _why_not(self, found: Authorization, code: str, error: str) -> str:
        if found.credential and not await self._credentials.good(found.credential, self._clock()):
            return "the login that began this authorization has ended; log in and begin it again"
        if error:
            return str(ProviderRefusedError(error))
        if not code or len(code) > 4096:
            return "the provider has sent no code; begin it again"
        return ""

    async def _take_code(self, found: Authorization, code: str) -> None:
        grant = self._grant_of(found)
        tokens = await self._provider.redeem(grant.oauth, code, found.secrets["verifier"], self._clock())
        await self._keep(grant, tokens, found)
        await self._broker.reset(grant.connection)

    async def _keep(self, grant: Grant, tokens: IssuedTokens, found: Authorization) -> None:
        author = Author(found.actor, "", found.credential)
        if not await self._grants.put(grant.connection, grant.binding, tokens, author, began=found.id):
            raise GrantError(_DELETED)

    def _grant_of(self, found: Authorization) -> Grant:
        grant = self._broker.grants.get(found.connection)
        if grant is None or grant.binding != found.binding:
            raise GrantError("the connection was changed meanwhile; begin it again")
        return grant

    async def _poll(self, grant: Grant, due: Authorization) -> None:
        now = self._clock()
        try:
            oauth = self._grant_of(due).oauth
            tokens = await self._provider.poll_device(oauth, due.secrets["device_code"], now)
            await self._keep(grant, tokens, due)
            await self._authorizations.end(due.id, AUTHORIZED, "")
            await self._broker.reset(grant.connection)
        except ProviderRefusedError as refused:
            if refused.error == _SLOW_DOWN:
                await self._authorizations.slow_down(due.id, _SLOWER_SECONDS, now)
            elif refused.error != _STILL_PENDING:
                await self._authorizations.end(due.id, FAILED, str(refused))
        except ProviderAwayError:
            return  # the next look asks again
        except GrantError as error:
            await self._authorizations.end(due.id, FAILED, str(error))


def _digest(state: str) -> str:
    """The state itself is not kept: who can read the database cannot end what another person has begun."""
    return hashlib.sha256(state[: 2 * _STATE_CHARACTERS].encode()).hexdigest()

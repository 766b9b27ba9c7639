"""Access tokens of connections: how they stand, and who may use a third party by them."""

from __future__ import annotations

import time
from collections.abc import Awaitable
from typing import Final, TypeVar

from gateway.admin.actions import ActionAdministration
from gateway.admin.actor import Actor
from gateway.admin.errors import AdminError, conflict, not_found, unavailable
from gateway.admin.live import ELSEWHERE
from gateway.admin.representations import Resource, moment_of
from gateway.admin.rights import superusers_only
from gateway.config.grants import Grant
from gateway.core.clock import Clock
from gateway.core.trn import parse
from gateway.grants.authorizer import Authorizer
from gateway.grants.broker import Broker
from gateway.grants.errors import GrantError, ProviderAwayError
from gateway.ipc.tokens import AccessToken
from gateway.store.authorizations import Authorization

Answer = TypeVar("Answer")

_WORDS: Final = {
    "ready": "calls can use it",
    "expiring_soon": "calls can use it; the next call after that gets another token",
    "expired": "the next call gets another token",
    "not_issued": "the first call gets a token",
    "unbound": "a person has to authorize it",
    "not_authorized": "a person has to authorize it again",
    "misconfigured": "the identity provider does not take what is configured",
}


class GrantAdministration:
    """All methods raise `AdminError`. What belongs to another tenant is not there. ``clock``: seconds of the epoch."""

    def __init__(
        self,
        actions: ActionAdministration,
        broker: Broker | None = None,
        authorizer: Authorizer | None = None,
        clock: Clock = time.time,
    ) -> None:
        """``broker`` None: this process gets no tokens. ``authorizer`` None: there is no database."""
        self._actions = actions
        self._broker = broker
        self._authorizer = authorizer
        self._clock = clock

    async def status(self, actor: Actor, tenant: str, trn: str) -> Resource:
        """How a connection authenticates, and whether calls can now."""
        superusers_only(actor)
        found = await self._actions.summary(tenant, trn)
        broker = self._present(self._broker)
        if found["trn"] in broker.grants:
            await broker.refresh()
        return self._status(found, broker)

    async def brief(self, actor: Actor, tenant: str, trn: str) -> str:
        """The status of a connection in one word; empty where this process does not know it."""
        return "" if self._broker is None else str((await self.status(actor, tenant, trn))["status"])

    async def authorize(self, actor: Actor, tenant: str, trn: str) -> Resource:
        """Begin an authorization: what a person has to open, and to type there."""
        superusers_only(actor)
        found, grant = await self._grant(tenant, trn)
        begun = await _done(self._present(self._authorizer).begin(grant, actor.author))
        return {
            "trn": found["trn"],
            "id": begun.id,
            "kind": begun.kind,
            "url": begun.url,
            "complete_url": begun.complete_url,
            "user_code": begun.user_code,
            "expires_at": moment_of(begun.expires),
            "poll_seconds": begun.poll_seconds,
        }

    async def authorization(self, actor: Actor, tenant: str, trn: str, id: str) -> Resource:  # noqa: A002
        """What came of an authorization. To look is what asks the provider, where a person types a code."""
        superusers_only(actor)
        found, grant = await self._grant(tenant, trn)
        begun = await _done(self._present(self._authorizer).look(grant, id))
        if begun is None or begun.credential != actor.credential:
            raise not_found(f"there is no such authorization of {found['trn']}; begin one")
        return {
            "trn": found["trn"],
            "id": id,
            "status": begun.status,
            "message": begun.message,
            "expires_at": moment_of(begun.expires),
            "poll_seconds": begun.poll_seconds or 2.0,
        }

    async def revoke(self, actor: Actor, tenant: str, trn: str) -> Resource:
        """Forget the grant of a connection, and revoke it at the provider where that has a `revoke_url`."""
        superusers_only(actor)
        found, grant = await self._grant(tenant, trn, interactive=False)
        done = await _done(self._present(self._authorizer).revoke(grant, actor.author))
        return {"trn": found["trn"], "message": done}

    async def redeem(self, state: str, code: str, error: str) -> tuple[str, str]:
        """What a browser has brought back, without a login: the name of the connection, and why it has failed.

        Only the state, which the superuser has got, says which authorization it is.
        """
        begun: tuple[Authorization, str] = await _done(self._present(self._authorizer).redeem(state, code, error))
        return parse(begun[0].connection).name, begun[1]

    async def _grant(self, tenant: str, trn: str, *, interactive: bool = True) -> tuple[Resource, Grant]:
        found = await self._actions.summary(tenant, trn)
        grant = self._present(self._broker).grants.get(str(found["trn"]))
        if grant is None or (interactive and not grant.interactive):
            why = "needs no person to agree" if interactive else "gets no tokens that could be revoked"
            kinds = "oauth2_authorization_code and oauth2_device" if interactive else "oauth2_* and jwt"
            details = f"{found['name']} has auth {found['auth']}, which {why}; that is for {kinds}"
            raise conflict("not_interactive", details, {"message": details})
        return found, grant

    @staticmethod
    def _present(part: Answer | None) -> Answer:
        if part is None:
            raise unavailable(ELSEWHERE)
        return part

    def _status(self, found: Resource, broker: Broker) -> Resource:
        now, grant = self._clock(), broker.grants.get(str(found["trn"]))
        token = AccessToken(1, "-") if grant is None else broker.token(str(found["trn"]))
        status = token.status(now)
        return {
            "trn": found["trn"],
            "name": found["name"],
            "auth": found["auth"],
            "status": status,
            "message": _message(found, token, status, now),
            "expires_at": moment_of(token.expires),
            "seconds_to_expiry": round(token.expires - now, 3) if token.expires else None,
            "has_grant": grant is not None and token.value != "",
            "version": 0 if grant is None else token.version,
            "asked_again_at": moment_of(token.until if now < token.until else 0.0),
        }


def _message(found: Resource, token: AccessToken, status: str, now: float) -> str:
    if found["auth"] == "none":
        return "calls carry no credential"
    if token.details:
        still = "calls still use the last token; " if token.live(now) else ""
        return f"{still}{token.details}"
    return _WORDS[status]


async def _done(work: Awaitable[Answer]) -> Answer:
    """Raises `AdminError` for what the broker, a provider or a person says."""
    try:
        return await work
    except ProviderAwayError as error:
        raise unavailable(str(error)) from None
    except GrantError as error:
        raise AdminError(409, "grant", "Conflict", str(error), (), {"message": str(error)}) from None

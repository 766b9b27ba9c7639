"""What a stored grant means for calls: whether it can be used, and whether a person has to agree first."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from gateway.config.grants import Grant
from gateway.core.grant import StoredGrant
from gateway.errors import NOT_AUTHORIZED
from gateway.grants.errors import NotAuthorizedError
from gateway.ipc.tokens import AccessToken

LOOK_AGAIN_SECONDS: Final = 2.0
"""So long it holds that a person has to agree: then the store is read again."""


def empty(grant: Grant, version: int) -> StoredGrant:
    """As if nothing were stored."""
    return StoredGrant(grant.connection, grant.binding, version=version)


def first(grant: Grant, version: int = 0) -> AccessToken:
    """Before anything is known."""
    return AccessToken(version, lack="unbound" if grant.interactive else "not_issued")


def known(grant: Grant, stored: StoredGrant | None, now: float) -> AccessToken:
    """What calls may use of ``stored``. ``now``: seconds of the epoch."""
    if stored is None or stored.binding != grant.binding:
        return first(grant, 0 if stored is None else stored.version)
    if not stored.access:
        return first(grant, stored.version)
    token = AccessToken(stored.version, stored.access, stored.issued, stored.expires, now)
    try:
        check_authorized(grant, stored)
    except NotAuthorizedError as error:
        until = now + LOOK_AGAIN_SECONDS
        return replace(token, lack=error.lack, failure=NOT_AUTHORIZED.code, details=str(error), until=until)
    return token


def check_authorized(grant: Grant, stored: StoredGrant) -> None:
    """Raises `NotAuthorizedError` when a person has to agree before the provider can be asked."""
    if not grant.interactive:
        return
    if stored.error:
        raise NotAuthorizedError(f"the authorization holds no longer ({stored.error}); {_how(grant)}", bound=True)
    if not stored.access:
        raise NotAuthorizedError(f"this connection is not authorized yet; {_how(grant)}", bound=False)


def ended(grant: Grant) -> NotAuthorizedError:
    """For a token that is over, and cannot be renewed."""
    text = f"the token holds no longer, and the provider gave none to renew it with; {_how(grant)}"
    return NotAuthorizedError(text, bound=True)


def holds(stored: StoredGrant, now: float) -> bool:
    """Whether its access token has not ended."""
    return not stored.expires or now < stored.expires


def _how(grant: Grant) -> str:
    return f"run: gateway connection authorize {grant.label.removeprefix('connection/')}"

"""From the Authorization field to a principal, by what the control process said last."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from gateway.config.document import Credentials, TokenRecord
from gateway.core.credential import TOKEN_PREFIX
from gateway.core.principal import Principal
from gateway.identity.jwt import JwtVerifier
from gateway.identity.tokens import digest

_SCHEME: Final = b"bearer "
_MAX_REMEMBERED: Final = 4096


class Authenticator:
    """Belongs to one event loop. ``wall_clock`` gives seconds of the epoch."""

    def __init__(self, wall_clock: Callable[[], float] = time.time) -> None:
        self._clock = wall_clock
        self._credentials = Credentials()
        self._jwt = JwtVerifier(())
        self._known: dict[bytes, tuple[TokenRecord, Principal, str]] = {}
        """By the field's value: who presented a good token before, so that it is not hashed each time."""
        self._used: dict[str, float] = {}

    @property
    def credentials(self) -> Credentials:
        return self._credentials

    @credentials.setter
    def credentials(self, credentials: Credentials) -> None:
        """In force at once: a token that is not among them any more proves nothing from now on."""
        if credentials.issuers != self._credentials.issuers:
            self._jwt = JwtVerifier(credentials.issuers)
        self._credentials = credentials
        self._known.clear()

    def authenticate(self, authorization: bytes | None) -> Principal | None:
        """Who asks; None for who proves nothing, be it for want of a token or because it is not good (any more)."""
        if authorization is None or authorization[:7].lower() != _SCHEME:
            return None
        known = self._known.get(authorization)
        if known is None:
            token = authorization[7:].strip(b" ").decode("latin-1")
            if not token.startswith(TOKEN_PREFIX):
                return self._jwt.verify(token, self._clock()) if token.count(".") == 2 else None
            known = self._look_up(authorization, token)
            if known is None:
                return None
        record, principal, key = known
        now = self._clock()
        if 0 < record.expires_at <= now:
            return None
        self._used[key] = now
        return principal

    def take_used(self) -> dict[str, float]:
        """The digests of the tokens used since the last call, and when."""
        used, self._used = self._used, {}
        return used

    def _look_up(self, authorization: bytes, token: str) -> tuple[TokenRecord, Principal, str] | None:
        key = digest(token)
        record = self._credentials.tokens.get(key)
        if record is None:
            return None
        claims = {
            **record.claims,
            "id": record.id,
            "name": record.name,
            "kind": record.kind,
            "superuser": record.superuser,
        }
        known = record, Principal(record.id, record.kind, record.superuser, claims), key
        if len(self._known) >= _MAX_REMEMBERED:
            self._known.clear()
        self._known[authorization] = known
        return known

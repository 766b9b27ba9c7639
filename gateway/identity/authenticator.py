"""From the Authorization field to a principal, by the credentials that the control process sent last."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from gateway.config.records import Credentials, TokenRecord
from gateway.core.credential import TOKEN_PREFIX, bearer
from gateway.core.memo import Memo
from gateway.core.once_a_second import OnceASecond
from gateway.core.principal import Principal
from gateway.identity.budget import FailureBudget, client_key
from gateway.identity.refusal import Refused, shown
from gateway.identity.tokens import digest

if TYPE_CHECKING:
    from gateway.identity.jwt import JwtVerifier

_log = logging.getLogger(__name__)

_MAX_REMEMBERED: Final = 4096


class Authenticator:
    """Belongs to one event loop. ``wall_clock`` gives seconds of the epoch.

    The reason why a token was rejected is logged, once a second at most; the token itself never is.
    """

    def __init__(self, wall_clock: Callable[[], float] = time.time) -> None:
        self._clock = wall_clock
        self._credentials = Credentials()
        self._jwt: JwtVerifier | None = None
        """Made when there are issuers, because its library takes 4 MiB that a worker without issuers does not need."""
        self._budget = FailureBudget()
        self._known: Memo[bytes, tuple[TokenRecord, Principal, str]] = Memo(_MAX_REMEMBERED)
        """By the field's value: the principals of valid tokens seen before, so that a token is not hashed each time."""
        self._used: dict[str, float] = {}
        self._throttle = OnceASecond(wall_clock)

    @property
    def credentials(self) -> Credentials:
        return self._credentials

    @credentials.setter
    def credentials(self, credentials: Credentials) -> None:
        """Applied at once: a token that is no longer among them proves nothing from now on."""
        if credentials.issuers != self._credentials.issuers:
            self._verifier().replace(credentials.issuers)
        self._credentials = credentials
        self._known.clear()

    def _verifier(self) -> JwtVerifier:
        if self._jwt is None:
            from gateway.identity.jwt import JwtVerifier

            self._jwt = JwtVerifier(())
        return self._jwt

    def authenticate(self, authorization: bytes | None, client: Callable[[], str] = str) -> Principal | None:
        """The caller's principal; None without a valid credential.

        ``client`` returns the address of the caller, also behind trusted proxies. It is called only when a token is
        rejected, or when a signature has to be verified.
        """
        if authorization is None:
            return None
        known = self._known.get(authorization)
        if known is None:
            token = bearer(authorization).decode("ascii")
            if not token:
                return None
            if not token.startswith(TOKEN_PREFIX):
                return self._verify(token, client)
            known = self._look_up(authorization, token)
            if known is None:
                self._refuse("no such token is stored", client)
                return None
        record, principal, key = known
        now = self._clock()
        if 0 < record.expires_at <= now:
            self._refuse(f"the token {shown(record.name)} has expired", client)
            return None
        self._used[key] = now
        return principal

    def take_used(self) -> dict[str, float]:
        """The digests of the tokens used since the last call, and when."""
        used, self._used = self._used, {}
        return used

    def take_wanted(self) -> list[str]:
        """Addresses of key sets to be fetched again: tokens named keys that are not in them."""
        return [] if self._jwt is None else self._jwt.take_wanted()

    def _verify(self, token: str, client: Callable[[], str]) -> Principal | None:
        if token.count(".") != 2:
            self._refuse("it is neither a token of the gateway nor a JSON Web Token", client)
            return None
        if self._jwt is None:
            self._refuse("it is a JSON Web Token, and there is no issuer in auth.jwt", client)
            return None
        now = self._clock()
        verdict = self._jwt.verify(token, now, lambda: self._budget.of(client_key(client()), now))
        if isinstance(verdict, Refused):
            self._refuse(verdict.reason, client)
            return None
        return verdict

    def _refuse(self, reason: str, client: Callable[[], str]) -> None:
        if (more := self._throttle.due()) is not None:
            _log.warning("a token from %s was rejected: %s%s", client() or "a caller", reason, more)

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
        self._known.put(authorization, known)
        return known

"""JSON Web Tokens of trusted issuers (RFC 7519, RFC 8725): verified once, remembered until they expire."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any, Final

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from gateway.config.document import JwtIssuer
from gateway.core.principal import Principal

LEEWAY: Final = 30
"""Seconds by which clocks may differ."""
_LATEST: Final = 253_402_300_800
"""The end of the year 9999: what lies beyond is no time, and a token would never end."""
_MAX_LENGTH: Final = 8192
_MAX_REMEMBERED: Final = 4096
_REFUSED_SECONDS: Final = 5.0


class _Issuer:
    def __init__(self, settings: JwtIssuer) -> None:
        self.settings = settings
        keys = json.loads(settings.keys)
        self.keys = KeySet.import_key_set(keys) if keys.get("keys") else None
        self.algorithms = list(settings.algorithms)

    def claims(self, token: str, now: float) -> dict[str, Any] | None:
        """The claims of a token that this issuer signed for us and that is valid ``now``; None else."""
        if self.keys is None:
            return None
        try:
            claims = jwt.decode(token, self.keys, algorithms=self.algorithms).claims
        except (JoseError, ValueError, TypeError, RecursionError):  # the last: JSON that is too deep
            return None
        return claims if self._is_for_us(claims) and _is_valid_at(claims, now) else None

    def _is_for_us(self, claims: dict[str, Any]) -> bool:
        audience = claims.get("aud")
        audiences = audience if isinstance(audience, list) else [audience]
        return claims.get("iss") == self.settings.issuer and any(a in audiences for a in self.settings.audience)


def _is_valid_at(claims: dict[str, Any], now: float) -> bool:
    """RFC 7519 4.1.4 to 4.1.6. A token without an end is not accepted."""
    times = {name: claims.get(name) for name in ("exp", "nbf", "iat")}
    if not all(t is None or _is_time(t) for t in times.values()):
        return False
    expires, begins, issued = times["exp"], times["nbf"], times["iat"]
    if expires is None or now >= expires + LEEWAY:
        return False
    return (begins is None or now >= begins - LEEWAY) and (issued is None or now >= issued - LEEWAY)


def _is_time(value: object) -> bool:
    """NumericDate (RFC 7519 2). JSON as Python reads it has NaN, infinities and integers of any size too."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < _LATEST


class JwtVerifier:
    """Verifies tokens of ``issuers``. A verified one costs a hash the next time, a refused one is refused again."""

    def __init__(self, issuers: Sequence[JwtIssuer]) -> None:
        self._issuers = [_Issuer(issuer) for issuer in issuers]
        self._remembered: dict[bytes, tuple[Principal | None, float]] = {}

    def verify(self, token: str, now: float) -> Principal | None:
        """Who the token speaks for at ``now`` (seconds of the epoch); None when it proves nothing."""
        if not self._issuers or len(token) > _MAX_LENGTH:
            return None
        key = hashlib.sha256(token.encode()).digest()
        known = self._remembered.get(key)
        if known is not None and now < known[1]:
            return known[0]
        principal, until = self._verify(token, now)
        if len(self._remembered) >= _MAX_REMEMBERED:
            del self._remembered[next(iter(self._remembered))]
        self._remembered.pop(key, None)
        self._remembered[key] = (principal, until)
        return principal

    def _verify(self, token: str, now: float) -> tuple[Principal | None, float]:
        for issuer in self._issuers:
            claims = issuer.claims(token, now)
            identity = None if claims is None else claims.get(issuer.settings.id_claim)
            if claims is not None and isinstance(identity, str) and identity:
                # What a token says of itself must not pass for what the gateway says.
                told = {k: v for k, v in claims.items() if k not in ("id", "kind", "superuser")}
                principal = Principal(identity, "jwt", claims={**told, "id": identity, "kind": "jwt"})
                return principal, float(claims["exp"]) + LEEWAY
        return None, now + _REFUSED_SECONDS

"""JSON Web Tokens of trusted issuers (RFC 7519, RFC 8725): verified once, remembered until they expire.

A signature costs up to a millisecond, all other checks a few microseconds. So the header and the claims are checked
first, as they stand in the token: they can only reject it. What is accepted is checked again after the signature.
"""

from __future__ import annotations

import base64
import binascii
import dataclasses
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple, Protocol

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, JWKRegistry, OctKey, OKPKey, RSAKey

from gateway.config.records import JwtIssuer
from gateway.core.memo import Memo
from gateway.core.principal import Principal
from gateway.identity.refusal import Refused, shown

LEEWAY: Final = 30
"""Seconds by which clocks may differ."""
_LATEST: Final = 253_402_300_800
"""The end of the year 9999: a later value is not accepted as a time, because the token would never expire."""
_MAX_LENGTH: Final = 8192
_MAX_REMEMBERED: Final = 4096
_REFUSED_SECONDS: Final = 5.0
_MAX_KEYS: Final = 16
"""Keys that are tried for one token; a set with more that fit should name them by ``kid``."""

_KEY_TYPES: Final[Mapping[str, tuple[str, str | None]]] = {
    **{f"HS{bits}": ("oct", None) for bits in (256, 384, 512)},
    **{f"{family}{bits}": ("RSA", None) for family in ("RS", "PS") for bits in (256, 384, 512)},
    "ES256": ("EC", "P-256"),
    "ES384": ("EC", "P-384"),
    "ES512": ("EC", "P-521"),
}
"""``kty`` and ``crv`` of the keys of an algorithm (RFC 7518 3.1)."""

_Key = OctKey | RSAKey | ECKey | OKPKey


class Budget(Protocol):
    """Bounds the signatures that fail, for each caller."""

    def allows(self, issuer: str, subject: str) -> bool:
        """Whether a signature of this token may be verified now. Both are claims that are not verified yet."""
        ...

    def succeeded(self, issuer: str, subject: str) -> None: ...

    def failed(self, issuer: str, subject: str, signatures: int) -> None: ...


class NoBudget:
    """Every signature is verified."""

    def allows(self, issuer: str, subject: str) -> bool:
        return True

    def succeeded(self, issuer: str, subject: str) -> None:
        return None

    def failed(self, issuer: str, subject: str, signatures: int) -> None:
        return None


class _Parsed(NamedTuple):
    """The header and the claims of a token whose signature is not checked yet."""

    alg: str
    kid: str | None
    claims: dict[str, Any]


class _Issuer:
    def __init__(self, settings: JwtIssuer) -> None:
        self.settings = settings
        self._keys: list[_Key] = []
        for given in json.loads(settings.keys)["keys"] if settings.keys else ():
            self._keys.append(JWKRegistry.import_key(given))

    def fitting(self, alg: str, kid: str | None) -> list[_Key] | Refused:
        """The keys that may have signed: by type, curve, ``alg``, ``use`` and ``key_ops``, with ``kid`` as a hint.

        ``kid`` is optional on both sides (RFC 7515 4.1.4, RFC 7517 4.5): a token without one is tried with every key
        that fits, and a key without one is tried for every token. A key of another name did not sign it.
        """
        if alg not in self.settings.algorithms:
            return Refused(f"its algorithm {shown(alg)} is not among those of the issuer {self.settings.issuer}")
        if not self._keys:
            return Refused(f"no keys of the issuer {self.settings.issuer} are known yet")
        fitting = [key for key in self._keys if _fits(key, alg)]
        if kid is None:
            return fitting[:_MAX_KEYS] or Refused(f"no key of the issuer {self.settings.issuer} is for {alg}")
        named = sorted((key for key in fitting if key.kid in (kid, None)), key=lambda key: key.kid is None)
        return named[:_MAX_KEYS] or Refused(f"the issuer {self.settings.issuer} has no key {shown(kid)} for {alg}")

    def knows(self, kid: str) -> bool:
        return any(key.kid == kid for key in self._keys)

    def objection(self, claims: Mapping[str, Any], now: float) -> Refused | None:
        """What is wrong with the claims of a token of this issuer at ``now``; None when nothing is."""
        audience = claims.get("aud")
        audiences = audience if isinstance(audience, list) else [audience]
        if claims.get("iss") != self.settings.issuer:
            return Refused("its issuer is not trusted")
        if not any(wanted in audiences for wanted in self.settings.audience):
            return Refused(f"it is for another audience than the issuer {self.settings.issuer} has here")
        identity = claims.get(self.settings.id_claim)
        if not isinstance(identity, str) or not identity:
            return Refused(f"its claim {self.settings.id_claim} is missing or is not text")
        return _objection_to_times(claims, now)


def _fits(key: _Key, alg: str) -> bool:
    kty, crv = _KEY_TYPES[alg]
    operations = key.get("key_ops")
    return (
        key.key_type == kty
        and (crv is None or key.get("crv") == crv)
        and key.get("alg") in (None, alg)
        and key.get("use") in (None, "sig")
        and (operations is None or "verify" in operations)
    )


def _objection_to_times(claims: Mapping[str, Any], now: float) -> Refused | None:
    """RFC 7519 4.1.4 to 4.1.6. A token without an expiry is not accepted."""
    times = {name: claims.get(name) for name in ("exp", "nbf", "iat")}
    for name, value in times.items():
        if value is not None and not _is_time(value):
            return Refused(f"its claim {name} is not a time")
    expires, begins, issued = times["exp"], times["nbf"], times["iat"]
    if expires is None:
        return Refused("it has no expiry (exp)")
    if now >= expires + LEEWAY:
        return Refused(f"it expired {now - expires:.0f} seconds ago")
    if begins is not None and now < begins - LEEWAY:
        return Refused(f"it is not valid before {begins - now:.0f} seconds from now (nbf)")
    if issued is not None and now < issued - LEEWAY:
        return Refused(f"it was issued {issued - now:.0f} seconds in the future (iat): compare the clocks")
    return None


def _is_time(value: object) -> bool:
    """NumericDate (RFC 7519 2). JSON as Python reads it has NaN, infinities and integers of any size too."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < _LATEST


class JwtVerifier:
    """Verifies tokens of ``issuers``. A verified one costs a hash the next time, a rejected one is rejected again.

    Verified and rejected tokens are remembered separately, so that bad tokens never evict good ones.
    """

    def __init__(self, issuers: Sequence[JwtIssuer]) -> None:
        self._issuers = [_Issuer(issuer) for issuer in issuers]
        self._good: Memo[bytes, tuple[Principal, float, _Issuer]] = Memo(_MAX_REMEMBERED)
        self._bad: Memo[bytes, tuple[Refused, float]] = Memo(_MAX_REMEMBERED)
        self._wanted: set[str] = set()

    def replace(self, issuers: Sequence[JwtIssuer]) -> None:
        """Trust ``issuers`` from now on. Issuers that have not changed keep what was verified.

        An issuer whose keys are not known (``keys`` is "") keeps those that it has here: an unreachable issuer, or a
        control process that has just started, revokes no valid key.
        """
        known = {issuer.settings.keys_url: issuer.settings.keys for issuer in self._issuers if issuer.settings.keys}
        same = {issuer.settings: issuer for issuer in self._issuers}
        made = []
        for settings in issuers:
            if not settings.keys and settings.keys_url in known:
                settings = dataclasses.replace(settings, keys=known[settings.keys_url])
            made.append(same.get(settings) or _Issuer(settings))
        self._issuers = made
        for key in [key for key, (_, _, issuer) in self._good.items() if issuer not in made]:
            del self._good[key]
        self._bad.clear()

    def take_wanted(self) -> list[str]:
        """Addresses of key sets in which a token's ``kid`` was missing since the last call."""
        wanted, self._wanted = self._wanted, set()
        return sorted(wanted)

    def verify(self, token: str, now: float, budget: Callable[[], Budget] = NoBudget) -> Principal | Refused:
        """The principal of the token at ``now`` (seconds of the epoch), or why it proves nothing.

        ``budget`` is called only when a signature has to be verified; the default sets no bound.
        """
        if len(token) > _MAX_LENGTH:
            return Refused(f"it is longer than {_MAX_LENGTH} characters")
        key = hashlib.sha256(token.encode()).digest()
        known = self._remembered(key, now)
        if known is not None:
            return known
        parsed = _parse(token)
        if isinstance(parsed, Refused):
            return parsed
        return self._verify(token, key, parsed, now, budget)

    def _remembered(self, key: bytes, now: float) -> Principal | Refused | None:
        good = self._good.get(key)
        if good is not None and now < good[1]:
            return good[0]
        bad = self._bad.get(key)
        return bad[0] if bad is not None and now < bad[1] else None

    def _verify(
        self, token: str, key: bytes, parsed: _Parsed, now: float, ask: Callable[[], Budget]
    ) -> Principal | Refused:
        refused = Refused("its issuer is not trusted")
        tried, subject = 0, ""
        budget: Budget | None = None
        for issuer in self._issuers:
            if parsed.claims.get("iss") != issuer.settings.issuer:
                continue
            keys = self._candidates(issuer, parsed, now)
            if isinstance(keys, Refused):
                refused = keys
                continue
            subject = str(parsed.claims[issuer.settings.id_claim])
            budget = budget or ask()
            if not budget.allows(issuer.settings.issuer, subject):
                return Refused("too many tokens from its address had a bad signature; this one was not verified")
            tried += len(keys)
            claims = _claims_by(token, parsed.alg, keys)
            if claims is None:
                refused = Refused(f"its signature is of no key of the issuer {issuer.settings.issuer} that fits")
                continue
            # The library parses the same bytes again; its result, not ours, decides.
            if (objection := issuer.objection(claims, now)) is not None:
                refused = objection
                continue
            budget.succeeded(issuer.settings.issuer, subject)
            return self._remember(key, issuer, claims)
        if budget is not None and tried:
            budget.failed(str(parsed.claims.get("iss")), subject, tried)
            self._bad.put(key, (refused, now + _REFUSED_SECONDS))
        return refused

    def _candidates(self, issuer: _Issuer, parsed: _Parsed, now: float) -> list[_Key] | Refused:
        """All checks that need no signature: the keys that may have signed, or why the token is rejected."""
        objection = issuer.objection(parsed.claims, now)
        if objection is not None:
            return objection
        keys = issuer.fitting(parsed.alg, parsed.kid)
        if isinstance(keys, Refused) and parsed.kid is not None and not issuer.knows(parsed.kid):
            self._want(issuer, parsed.alg)
        return keys

    def _want(self, issuer: _Issuer, alg: str) -> None:
        if issuer.settings.keys_url and alg in issuer.settings.algorithms:
            self._wanted.add(issuer.settings.keys_url)

    def _remember(self, key: bytes, issuer: _Issuer, claims: Mapping[str, Any]) -> Principal:
        identity = str(claims[issuer.settings.id_claim])
        # A claim of the token must not pass for a value that the gateway sets.
        kept = {k: v for k, v in claims.items() if k not in ("id", "kind", "superuser")}
        principal = Principal(identity, "jwt", claims={**kept, "id": identity, "kind": "jwt"})
        self._good.put(key, (principal, float(claims["exp"]) + LEEWAY, issuer))
        return principal


def _parse(token: str) -> _Parsed | Refused:
    """The parts of a token in compact form (RFC 7515 7.1), not verified."""
    head, body, *rest = token.split(".")
    header, claims = _object(head), _object(body)
    if len(rest) != 1 or header is None or claims is None:
        return Refused("it is not a JSON Web Token")
    alg, kid = header.get("alg"), header.get("kid")
    if not isinstance(alg, str) or alg not in _KEY_TYPES:
        return Refused("it names no algorithm that is known here")
    if kid is not None and not isinstance(kid, str):
        return Refused("its key id is not text")
    return _Parsed(alg, kid, claims)


def _object(part: str) -> dict[str, Any] | None:
    try:
        found = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    except (ValueError, RecursionError, binascii.Error):
        return None
    return found if isinstance(found, dict) else None


def _claims_by(token: str, alg: str, keys: Sequence[_Key]) -> dict[str, Any] | None:
    """The claims, when one of the keys signed them; None else."""
    return next(_decoded(token, alg, keys), None)


def _decoded(token: str, alg: str, keys: Sequence[_Key]) -> Iterator[dict[str, Any]]:
    for key in keys:
        try:
            yield jwt.decode(token, key, algorithms=[alg]).claims
        except (JoseError, ValueError, TypeError, RecursionError):  # the last: JSON that is too deep
            continue

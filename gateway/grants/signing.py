"""JSON Web Tokens that the gateway signs for itself: assertions (RFC 7523), and tokens of service accounts."""

from __future__ import annotations

import secrets
from typing import Final

from gateway.config.actions import OAuth
from gateway.core.grant import IssuedTokens
from gateway.grants.errors import ProviderRefusedError

_BEFORE: Final = 10.0
"""Seconds by which the clock of the other side may be late."""


def signed(oauth: OAuth, now: float) -> IssuedTokens:
    """A JWT with the claims of ``oauth``. Raises `ProviderRefusedError` for a key that cannot sign it."""
    from joserfc import jwt
    from joserfc.jwk import ECKey, OctKey, RSAKey

    claims: dict[str, object] = {"iss": oauth.issuer, "iat": int(now - _BEFORE), "exp": int(now + oauth.lifetime)}
    optional = {"sub": oauth.subject, "aud": oauth.audience}
    claims |= {name: value for name, value in optional.items() if value}
    if oauth.token_url:  # an assertion is used once (RFC 7523 3)
        claims["jti"] = secrets.token_hex(16)
        if oauth.scopes:
            claims["scope"] = oauth.scope_delimiter.join(oauth.scopes)
    header = {"alg": oauth.algorithm, "typ": "JWT"} | ({"kid": oauth.key_id} if oauth.key_id else {})
    key = oauth.key.replace("\\n", "\n") if oauth.key.startswith("-----BEGIN") else oauth.key
    kinds: dict[str, type[OctKey | RSAKey | ECKey]] = {"HS": OctKey, "ES": ECKey}
    try:
        imported = kinds.get(oauth.algorithm[:2], RSAKey).import_key(key)
        text = jwt.encode(header, claims, imported, algorithms=[oauth.algorithm])
    except Exception as error:  # of many types; a text of the library could hold a part of the key
        message = f"the key of the connection cannot sign {oauth.algorithm} ({type(error).__name__}); check auth.key"
        raise ProviderRefusedError("invalid_key", message) from None
    return IssuedTokens(text, "", now, now + oauth.lifetime)

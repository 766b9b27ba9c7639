"""How callers authenticate: issuers of JSON Web Tokens."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, ValidationInfo, field_validator

from gateway.config import values
from gateway.config.schema.section import Section
from gateway.config.schema.types import Listed

_ALGORITHMS = Literal[
    "HS256", "HS384", "HS512", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512"
]


class Jwt(Section):
    """An issuer whose JSON Web Tokens (RFC 7519) callers may present."""

    issuer: str = Field(min_length=1, examples=["https://login.example.org"])
    """The `iss` claim, exactly."""
    audience: Listed[str] = Field(min_length=1, examples=[["gateway"]])
    """One of these must be in the `aud` claim."""
    algorithms: Listed[_ALGORITHMS] = Field(min_length=1, examples=[["RS256"]])
    """The only signature algorithms that are accepted (RFC 7518): HS, RS, PS and ES, each with 256, 384 or 512."""
    jwks_url: Annotated[str, AfterValidator(values.key_set_url)] | None = Field(
        default=None, examples=["https://login.example.org/keys.json"]
    )
    """Where the issuer publishes its keys (RFC 7517): https, or http on loopback. Fetched by the gateway itself: at
    start, every 5 minutes, and when a token names a key that is not in it (not more than once in 15 seconds).
    `upstream_networks` holds for it. An issuer has this or a `secret`."""
    secret: str | None = Field(
        default=None, min_length=32, repr=False, validate_default=True, examples=["${JWT_SECRET}"]
    )
    """The shared secret of HS256, HS384 or HS512: 32 characters or more, best as a variable."""
    id_claim: str = Field(default="sub", min_length=1, examples=["sub"])
    """The claim that becomes `@request.auth.id`."""

    @field_validator("secret", mode="after")
    @classmethod
    def _one_source_of_keys(cls, secret: str | None, info: ValidationInfo) -> str | None:
        if (secret is None) == (info.data.get("jwks_url") is None):
            raise ValueError("an issuer has either a jwks_url or a secret; write one of the two")
        shared = [a.startswith("HS") for a in info.data.get("algorithms", ())]
        if shared and (all(shared) if secret is None else not all(shared)):
            raise ValueError("HS algorithms go with a secret, all others with a jwks_url; change algorithms")
        return secret


class Auth(Section):
    """How callers authenticate, besides the gateway's own tokens."""

    jwt: Listed[Jwt] = Field(default=())
    """Issuers of JSON Web Tokens (RFC 7519)."""
    keys_file: str | None = Field(default=None, min_length=1, examples=["/var/lib/gateway/keys.json"])
    """File that keeps keys from a `jwks_url` over restarts, for the time in which their issuer is unreachable. `null`:
    beside the configuration file, with `.keys` after its name. Read at start. With a `database` the keys are kept
    there, and this key is rejected."""

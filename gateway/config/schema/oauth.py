"""Access tokens that the gateway gets by itself: one section for each way to get one (RFC 6749, 7523, 8628)."""

from __future__ import annotations

import ipaddress
import re
from typing import Annotated, Any, Final, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, model_validator

from gateway.config import actions as records
from gateway.config import values
from gateway.config.schema.section import Section
from gateway.config.schema.types import DAY, Listed, Seconds, Secret

_OAUTH: Final = records.OAuth("")
_OWN: Final = frozenset(
    (
        *("grant_type", "client_id", "client_secret", "code", "code_verifier", "redirect_uri", "refresh_token"),
        *("device_code", "assertion", "client_assertion", "client_assertion_type", "scope", "state"),
        *("response_type", "code_challenge", "code_challenge_method"),
    )
)
"""Parameters that the grants set themselves."""


def _endpoint(text: str) -> str:
    """A URL to which secrets go: over TLS, except to this machine."""
    values.upstream_url(text.partition("?")[0])
    if "#" in text:
        raise ValueError("must not hold a fragment; remove it")
    parts = urlsplit(text)
    if parts.scheme != "https" and not _is_loopback(parts.hostname or ""):
        raise ValueError("secrets would be sent in the clear; write https:// (http:// is for this machine alone)")
    return text


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _parameters(given: dict[str, str]) -> dict[str, str]:
    if own := sorted(_OWN & given.keys()):
        raise ValueError(f"{own[0]} is set by the grant itself; remove it")
    return given


def _scopes(given: tuple[str, ...]) -> tuple[str, ...]:
    """RFC 6749 3.3."""
    for scope in given:
        if not re.fullmatch(r"[\x21\x23-\x5b\x5d-\x7e]+", scope):
            raise ValueError("a scope is a word of printable ASCII, without quotes; write one in each entry")
    return given


Endpoint = Annotated[str, AfterValidator(_endpoint)]
Parameters = Annotated[dict[str, str], AfterValidator(_parameters)]
Scopes = Annotated[Listed[str], AfterValidator(_scopes)]


class _Tokens(Section):
    """What all ways to a token have in common."""

    token_url: Endpoint = Field(examples=["https://login.example.org/oauth/token"])
    """The token endpoint (RFC 6749 3.2)."""
    scopes: Scopes = Field(default=_OAUTH.scopes, examples=[["orders.read"]])
    """What the token is to allow."""
    scope_delimiter: str = Field(default=_OAUTH.scope_delimiter, min_length=1, max_length=1, examples=[","])
    """What stands between scopes. A few providers want a comma."""
    token_params: Parameters = Field(default={}, repr=False, examples=[{"audience": "https://api.example.org"}])
    """Further parameters of each request to the token endpoint."""
    default_lifetime: Seconds = Field(default=_OAUTH.default_lifetime, ge=0, le=365 * DAY, examples=[900])
    """How long a token holds when the response does not say so. `0`: it has no end."""

    def common(self) -> dict[str, Any]:
        """The fields of the record."""
        return {
            "token_url": self.token_url,
            "scopes": self.scopes,
            "scope_delimiter": self.scope_delimiter,
            "token_params": self.token_params,
            "default_lifetime": self.default_lifetime,
        }


class _Client(_Tokens):
    client_id: str = Field(min_length=1, max_length=400, pattern=r"^[\x20-\x7e]+$", examples=["gateway"])
    """The id that the provider has given to this gateway."""
    client_auth: records.ClientAuth = Field(default=_OAUTH.client_auth, examples=["body"])
    """How the client authenticates at the token endpoint: `basic` (RFC 6749 2.3.1), `body` (parameters of the body), or
    `none` (a public client)."""
    revoke_url: Endpoint | None = Field(default=None, examples=["https://login.example.org/oauth/revoke"])
    """Where tokens are revoked (RFC 7009); `null`: `gateway connection revoke` only forgets them."""

    def common(self) -> dict[str, Any]:
        return super().common() | {
            "client_id": self.client_id,
            "client_auth": self.client_auth,
            "revoke_url": self.revoke_url or "",
        }


class _Public(_Client):
    """A client that may have no secret."""

    client_secret: str = Field(default="", repr=False, examples=["${CLIENT_SECRET}"])
    """Its secret, best as a variable; empty for a public client."""

    @model_validator(mode="after")
    def _with_its_secret(self) -> Self:
        if bool(self.client_secret) != (self.client_auth != "none"):
            raise ValueError("client_secret belongs to client_auth basic or body; write both, or client_auth: none")
        return self

    def common(self) -> dict[str, Any]:
        return super().common() | {"client_secret": self.client_secret}


class ClientCredentials(_Client):
    """A token for the gateway itself (RFC 6749 4.4)."""

    type: Literal["oauth2_client_credentials"] = Field(examples=["oauth2_client_credentials"])
    """`oauth2_client_credentials`."""
    client_auth: Literal["basic", "body"] = Field(default="basic", examples=["body"])
    """How the client authenticates at the token endpoint: `basic` (RFC 6749 2.3.1) or `body` (parameters of the
    body)."""
    client_secret: Secret
    """Its secret, best as a variable."""

    def record(self) -> records.Auth:
        oauth = records.OAuth(client_secret=self.client_secret, **self.common())
        return records.Auth("oauth2_client_credentials", oauth=oauth)


class AuthorizationCode(_Public):
    """A token for a person who agrees in a browser (RFC 6749 4.1, with PKCE). It needs a `database`."""

    type: Literal["oauth2_authorization_code"] = Field(examples=["oauth2_authorization_code"])
    """`oauth2_authorization_code`."""
    authorize_url: Endpoint = Field(examples=["https://login.example.org/oauth/authorize"])
    """Where the person agrees (RFC 6749 3.1)."""
    authorize_params: Parameters = Field(default={}, repr=False, examples=[{"prompt": "consent"}])
    """Further parameters there, as some providers need for a refresh token."""
    redirect_uri: Endpoint = Field(examples=["https://admin.example.org/api/gateway/oauth/callback"])
    """Where the provider sends the browser back to: the admin listener as browsers reach it, with the path
    `/api/gateway/oauth/callback`. It must be registered with the provider."""

    @model_validator(mode="after")
    def _leads_here(self) -> Self:
        if not urlsplit(self.redirect_uri).path.endswith(CALLBACK):
            raise ValueError(f"redirect_uri must end with {CALLBACK}, where the gateway takes the code; write it so")
        return self

    def record(self) -> records.Auth:
        oauth = records.OAuth(
            authorize_url=self.authorize_url,
            authorize_params=self.authorize_params,
            redirect_uri=self.redirect_uri,
            **self.common(),
        )
        return records.Auth("oauth2_authorization_code", oauth=oauth)


class Device(_Public):
    """A token for a person who agrees on another device (RFC 8628). It needs a `database`."""

    type: Literal["oauth2_device"] = Field(examples=["oauth2_device"])
    """`oauth2_device`."""
    device_url: Endpoint = Field(examples=["https://login.example.org/oauth/device"])
    """Where a code for the person is made (RFC 8628 3.1)."""

    def record(self) -> records.Auth:
        return records.Auth("oauth2_device", oauth=records.OAuth(device_url=self.device_url, **self.common()))


class SignedJwt(_Tokens):
    """A JWT that the gateway signs: it is exchanged for a token (RFC 7523 2.1), or is the token itself."""

    type: Literal["jwt"] = Field(examples=["jwt"])
    """`jwt`."""
    token_url: Endpoint | None = Field(default=None, examples=["https://login.example.org/oauth/token"])  # type: ignore[assignment]
    """The token endpoint that takes the JWT; `null`: the JWT itself is sent with calls."""
    key: Secret
    """The private key in PEM, or the shared secret of an HS algorithm, best as a variable."""
    algorithm: Literal["RS256", "RS384", "RS512", "PS256", "ES256", "ES384", "HS256", "HS512"] = Field(
        default="RS256", examples=["ES256"]
    )
    """How it is signed."""
    key_id: str = Field(default="", max_length=400, examples=["key-1"])
    """The name of the key at the provider; empty: it is not named."""
    issuer: str = Field(min_length=1, max_length=400, examples=["robot@example.org"])
    """The claim `iss`: the service account or the app."""
    subject: str = Field(default="", max_length=400, examples=["ann@example.org"])
    """The claim `sub`; empty: the issuer, where the JWT is exchanged, else none."""
    audience: str = Field(default="", max_length=2000, examples=["https://login.example.org/"])
    """The claim `aud`; empty: `token_url`, where the JWT is exchanged, else none."""
    lifetime: Seconds = Field(default=_OAUTH.lifetime, ge=30, le=3600, examples=[600])
    """Seconds for which a JWT holds."""

    def record(self) -> records.Auth:
        exchanged = self.token_url is not None
        oauth = records.OAuth(
            **(self.common() | {"token_url": self.token_url or ""}),
            client_auth="none",
            key=self.key,
            key_id=self.key_id,
            algorithm=self.algorithm,
            issuer=self.issuer,
            subject=self.subject or (self.issuer if exchanged else ""),
            audience=self.audience or self.token_url or "",
            lifetime=self.lifetime,
        )
        return records.Auth("jwt", oauth=oauth)


CALLBACK: Final = "/api/gateway/oauth/callback"
"""The path at which the admin API takes an authorization code."""

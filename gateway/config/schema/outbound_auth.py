"""How the calls of a connection authenticate: one section for each type."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from gateway.config import actions as records
from gateway.config import header_template
from gateway.config.schema.oauth import AuthorizationCode, ClientCredentials, Device, SignedJwt
from gateway.config.schema.section import Section
from gateway.config.schema.types import Secret


class NoAuth(Section):
    """Calls carry no credential."""

    type: Literal["none"] = Field(examples=["none"])
    """`none`."""

    def record(self) -> records.Auth:
        return records.Auth()


class ApiKey(Section):
    """A key in a header field or a query parameter."""

    type: Literal["api_key"] = Field(examples=["api_key"])
    """`api_key`."""
    name: str = Field(min_length=1, examples=["X-API-Key"])
    """Its field or parameter. `Authorization` sends it as `Bearer`."""
    value: Secret
    """The key, best as a variable."""
    place: records.Place = Field(default="auto", alias="in", examples=["header"])
    """`header`, `query`, or `auto`: a header field for `Authorization` and names with a `-`, else a parameter."""

    @model_validator(mode="after")
    def _a_field(self) -> Self:
        if self.place == "header" or (
            self.place == "auto" and (self.name.lower() == "authorization" or "-" in self.name)
        ):
            header_template.name(self.name)
        return self

    def record(self) -> records.Auth:
        return records.Auth("api_key", self.name, self.value, self.place)


class Basic(Section):
    """A user and a password (RFC 7617)."""

    type: Literal["basic"] = Field(examples=["basic"])
    """`basic`."""
    username: str = Field(pattern=r"^[^:\x00-\x1f\x7f]*$", examples=["reader"])
    """The user, without a colon."""
    password: Secret
    """The password, best as a variable."""

    def record(self) -> records.Auth:
        return records.Auth("basic", self.username, self.password)


class Bearer(Section):
    """A token (RFC 6750)."""

    type: Literal["bearer"] = Field(examples=["bearer"])
    """`bearer`."""
    token: Secret
    """The token, best as a variable."""

    def record(self) -> records.Auth:
        return records.Auth("bearer", "", self.token)


class SigV4(Section):
    """AWS Signature Version 4."""

    type: Literal["sigv4"] = Field(examples=["sigv4"])
    """`sigv4`."""
    access_key_id: str = Field(min_length=1, pattern=r"^[\x21-\x7e]+$", examples=["AKIDEXAMPLE"])
    """The id of the key."""
    secret_access_key: Secret
    """The key, best as a variable."""
    session_token: str = Field(default="", repr=False, examples=["${AWS_SESSION_TOKEN}"])
    """The token of a temporary key; empty: none."""
    region: str = Field(pattern=r"^[a-z0-9-]+$", examples=["eu-central-1"])
    """The region that signs."""
    service: str = Field(pattern=r"^[a-z0-9-]+$", examples=["execute-api"])
    """The service that signs."""

    def record(self) -> records.Auth:
        return records.Auth(
            "sigv4",
            self.access_key_id,
            self.secret_access_key,
            session=self.session_token,
            region=self.region,
            service=self.service,
        )


class Hmac(Section):
    """The HMAC-SHA256 of the body, in hexadecimal, in a header field."""

    type: Literal["hmac"] = Field(examples=["hmac"])
    """`hmac`."""
    header: Annotated[str, AfterValidator(header_template.name)] = Field(examples=["X-Signature"])
    """The field."""
    secret: Secret
    """The shared secret, best as a variable."""
    prefix: str = Field(default="", pattern=r"^[\x21-\x7e]*$", examples=["sha256="])
    """What stands before the signature."""

    def record(self) -> records.Auth:
        return records.Auth("hmac", self.header, self.secret, prefix=self.prefix)


Auth = Annotated[
    NoAuth | ApiKey | Basic | Bearer | SigV4 | Hmac | ClientCredentials | AuthorizationCode | Device | SignedJwt,
    Field(discriminator="type"),
]

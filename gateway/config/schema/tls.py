"""TLS of a listener: its certificates, and which certificates its callers must show."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, PrivateAttr, model_validator

from gateway.config import certificate_files, records
from gateway.config.certificate_files import Authorities, Sources
from gateway.config.schema.section import Section
from gateway.config.schema.types import Listed

ClientAuth = Literal["none", "optional", "required"]
Kind = Literal["uri", "dns", "cn"]
_KINDS: tuple[Kind, ...] = ("uri", "dns", "cn")


def _some(certificates: tuple[Certificate, ...]) -> tuple[Certificate, ...]:
    if not certificates:
        raise ValueError("must not be empty; name at least one certificate, as in {cert: a.pem, key: a.key}")
    return certificates


class Certificate(Section):
    """A certificate with its private key, for the names that stand in it."""

    cert: str = Field(examples=["a.pem"])
    """Path of the certificate in PEM, followed by those between it and its root. A change of the file is applied within
    seconds."""
    key: str = Field(examples=["a.key"])
    """Path of its private key in PEM, not encrypted."""
    client_auth: ClientAuth | None = Field(default=None, examples=["required"])
    """As `client_auth` of the listener, for the names of this certificate alone. `null`: as the listener says."""
    client_ca: str | None = Field(default=None, examples=["partners.pem"])
    """As `client_ca` of the listener, for the names of this certificate alone. `null`: as the listener says."""
    _loaded: certificate_files.Certificate = PrivateAttr()
    _authorities: Authorities | None = PrivateAttr(default=None)

    @model_validator(mode="after")
    def _read(self) -> Self:
        self._loaded = certificate_files.read_certificate(self.cert, self.key)
        if self.client_ca is not None:
            self._authorities = certificate_files.read_authorities("client_ca", self.client_ca)
        return self

    @property
    def sources(self) -> Sources:
        return {**self._loaded.sources, **({} if self._authorities is None else self._authorities.sources)}

    def record(self, client_auth: ClientAuth, authorities: Authorities | None) -> records.Certificate:
        """``client_auth`` and ``authorities`` of the listener."""
        wanted = self.client_auth or client_auth
        signers = self._authorities or authorities
        loaded = self._loaded
        return records.Certificate(
            loaded.chain,
            loaded.key,
            loaded.names,
            loaded.expires_at,
            wanted,
            signers.pem if signers is not None and wanted != "none" else "",
        )


class Tls(Section):
    """TLS of a listener."""

    certificates: Annotated[Listed[Certificate], AfterValidator(_some)] = Field(
        examples=[[{"cert": "a.pem", "key": "a.key"}]]
    )
    """The certificates. The name that the client asks for (SNI) chooses among them; the first one serves clients that
    ask for no name, or for an unknown one."""
    client_auth: ClientAuth = Field(default="none", examples=["required"])
    """Whether callers show a certificate: `none`, `optional` (one that is shown must be valid) or `required`."""
    client_ca: str | None = Field(default=None, examples=["callers.pem"])
    """Path of the certificates, in PEM, of the authorities that sign the callers' ones."""
    principal: Listed[Kind] = Field(default=_KINDS, examples=[["uri"]])
    """By which of the names in its certificate a caller is known, the preferred kind first: `uri` and `dns` are subject
    alternative names, `cn` is the common name. It is `@request.auth.id` for callers without another credential. `[]`:
    certificates give no identity."""
    min_version: Literal["1.2", "1.3"] = Field(default="1.2", examples=["1.3"])
    """The lowest version of TLS."""
    _authorities: Authorities | None = PrivateAttr(default=None)

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.client_ca is not None:
            self._authorities = certificate_files.read_authorities("client_ca", self.client_ca)
        for certificate in self.certificates:
            wanted = certificate.client_auth or self.client_auth
            if wanted != "none" and (certificate.client_ca or self.client_ca) is None:
                raise ValueError(f"client_auth: {wanted} needs client_ca, the authorities that sign the certificates")
        if self.client_ca is not None and all(
            (certificate.client_auth or self.client_auth) == "none" for certificate in self.certificates
        ):
            raise ValueError("client_ca has no effect while client_auth is none; set it to required or optional")
        return self

    def sources(self) -> Iterator[Sources]:
        """The files that it was read from."""
        for certificate in self.certificates:
            yield certificate.sources
        if self._authorities is not None:
            yield self._authorities.sources

    def record(self) -> records.Tls:
        return records.Tls(
            tuple(certificate.record(self.client_auth, self._authorities) for certificate in self.certificates),
            self.principal,
            self.min_version,
        )

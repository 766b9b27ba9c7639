"""TLS with an upstream: which authorities sign its certificate, and which certificate the gateway shows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Self

from pydantic import AfterValidator, Field, PrivateAttr, model_validator

from gateway.config import certificate_files, records, values
from gateway.config.certificate_files import Authorities, Certificate, Sources
from gateway.config.schema.section import Section


class UpstreamTls(Section):
    """TLS with an `https://` upstream. Its certificate and its name are verified always."""

    ca: str | None = Field(default=None, examples=["partners.pem"])
    """Path of the certificates, in PEM, of the authorities that sign the upstream's certificate; they replace those of
    the system. `null`: those of the system. A change of the file is applied within seconds."""
    client_cert: str | None = Field(default=None, examples=["a.pem"])
    """Path of the certificate, in PEM, that the gateway shows to an upstream that asks for one, followed by those
    between it and its root. It needs `client_key`. A change of the file is applied within seconds. `null`: none."""
    client_key: str | None = Field(default=None, examples=["a.key"])
    """Path of its private key in PEM, not encrypted."""
    server_name: Annotated[str, AfterValidator(values.server_name)] | None = Field(
        default=None, examples=["ai.internal.example.org"]
    )
    """The name that the gateway asks for (SNI) and that the upstream's certificate must hold. `null`: the host of the
    URL."""
    _authorities: Authorities | None = PrivateAttr(default=None)
    _certificate: Certificate | None = PrivateAttr(default=None)

    @model_validator(mode="after")
    def _read(self) -> Self:
        if self.ca is not None:
            self._authorities = certificate_files.read_authorities("ca", self.ca)
        if self.client_cert is not None and self.client_key is not None:
            self._certificate = certificate_files.read_certificate(
                self.client_cert, self.client_key, ("client_cert", "client_key")
            )
        elif self.client_cert is not None or self.client_key is not None:
            raise ValueError("client_cert and client_key belong together; write both, or neither")
        return self

    def sources(self) -> Iterator[Sources]:
        """The files that it was read from."""
        for part in (self._authorities, self._certificate):
            if part is not None:
                yield part.sources

    def record(self) -> records.UpstreamTls:
        loaded = self._certificate
        return records.UpstreamTls(
            "" if self._authorities is None else self._authorities.pem,
            None
            if loaded is None
            else records.ClientCertificate(loaded.chain, loaded.key, next(iter(loaded.names), ""), loaded.expires_at),
            self.server_name or "",
        )

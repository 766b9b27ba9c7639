"""Where the gateway listens: for callers, and for superusers."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import Field, ValidationInfo, field_validator

from gateway.config import records, values
from gateway.config.schema.section import Section
from gateway.config.schema.tls import Tls
from gateway.config.schema.types import DAY, AdminAddress, Host, Listed, ListenAddress, Seconds
from gateway.core.address import Address, UnixSocket

AUDIT_RETENTION = 365 * DAY
"""Seconds; also where there is no admin listener: the command line writes the audit trail too."""


def listed(value: object) -> object:
    """The entries of `listen`, which may be one alone. Raises ValueError for none."""
    if value == []:
        raise ValueError("must not be empty; write at least one address or remove the key")
    return tuple(value) if isinstance(value, list) else (value,)


def as_listener(value: object) -> object:
    """An entry of `listen` as a mapping. Raises ValueError for what is neither text nor mapping."""
    if isinstance(value, dict):
        return value
    if isinstance(value, str):
        return {"address": value}
    raise ValueError('must be an address; write "127.0.0.1:8080", a list of such, or {address: "127.0.0.1:8080"}')


class Listener(Section):
    """One address on which the gateway accepts connections."""

    address: ListenAddress = Field(examples=["127.0.0.1:8080"])
    """`host:port`; IPv6 in brackets, as in `[::1]:8080`; port 0 takes any free port."""
    http2: bool | None = Field(default=None, examples=[True])
    """Serve HTTP/2 besides HTTP/1.1. With TLS the handshake chooses (ALPN). Without TLS it is for clients that know
    beforehand that HTTP/2 is spoken here: `curl --http2-prior-knowledge`, gRPC without TLS, another proxy. `null`: with
    TLS alone."""
    tls: Tls | None = Field(default=None)
    """TLS with the callers. `null`: none, what they send is not encrypted."""

    def record(self) -> records.Listener:
        tls = None if self.tls is None else self.tls.record()
        return records.Listener(
            values.address(self.address), self.tls is not None if self.http2 is None else self.http2, tls
        )


class Admin(Section):
    """The control plane: REST API for superusers, health."""

    listen: AdminAddress = Field(default="127.0.0.1:8081", examples=["127.0.0.1:8081"])
    """`host:port`, or `unix:/path` for a Unix socket with mode 0660. Without `tls`, keep it on loopback."""
    tls: Tls | None = Field(default=None)
    """TLS with operators, with one certificate. A change of its files, and of its keys, is applied to new connections;
    whether there is TLS at all is read at start. `null`: none."""
    hosts: Listed[Host] = Field(default=(), examples=[["gateway-admin.example.org"]])
    """Names by which it may be called, besides `localhost` and its own address; other Host values are rejected (DNS
    rebinding)."""
    session_ttl: Seconds = Field(default=43200, ge=60, le=30 * DAY, examples=[3600])
    """Seconds that a login stays valid."""
    audit_retention: Seconds = Field(default=AUDIT_RETENTION, ge=0, le=100 * 365 * DAY, examples=[7776000])
    """Seconds that entries of the audit trail are kept; the default is a year. 0: forever."""

    @field_validator("tls", mode="after")
    @classmethod
    def _one_certificate(cls, tls: Tls | None, info: ValidationInfo) -> Tls | None:
        if tls is None:
            return None
        if str(info.data.get("listen", "")).startswith("unix:"):
            raise ValueError("has no effect on a Unix socket, which never leaves this machine; remove this key")
        if len(tls.certificates) > 1:
            raise ValueError("the admin listener shows one certificate; name that one in certificates")
        if "principal" in tls.model_fields_set:
            raise ValueError("principal has no effect: operators are known by their tokens; remove it")
        return tls

    @property
    def address(self) -> Address | UnixSocket:
        return values.admin_address(self.listen)

    @property
    def network_address(self) -> tuple[Address, ...]:
        """The address that other machines, or upstreams, could lead to; none for a Unix socket."""
        address = self.address
        return (address,) if isinstance(address, Address) else ()

    def records(self) -> Iterator[records.Listener]:
        """The network address with its TLS; none for a Unix socket."""
        for address in self.network_address:
            yield records.Listener(address, tls=None if self.tls is None else self.tls.record())

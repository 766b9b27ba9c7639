"""Connections in the file: third parties that are called by name."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Final

from pydantic import AfterValidator, Field

from gateway.config import actions as records
from gateway.config import header_template, values
from gateway.config import records as document
from gateway.config.actions import REQUESTS
from gateway.config.schema.call_policy import PRESETS, HttpPolicy, Milliseconds, RetryKey
from gateway.config.schema.endpoints import Endpoint
from gateway.config.schema.outbound_auth import Auth
from gateway.config.schema.protections import (
    CircuitBreaker,
    CircuitBreakerKey,
    Http2Key,
    Limiter,
    LimiterKey,
    MaxConcurrent,
    TimeoutConfig,
    TimeoutConfigKey,
    TlsKey,
)
from gateway.config.schema.queue import Queue, QueueKey
from gateway.config.schema.rate_limits import UpstreamRateLimitsKey
from gateway.config.schema.section import Section
from gateway.config.schema.types import Bytes, UpstreamUrl
from gateway.config.schema.upstream import Upstream
from gateway.core.trn import Trn, short, versioned

SHARED: Final = "connection/"
"""Begins the name by which a proxy names the upstream of a connection."""
MOST_BYTES: Final = 64 * 1024 * 1024
"""The largest bound of a response's body: it is kept in memory."""
_CONNECTION = records.Connection("-", "-", "-")
_DIALLED: Final = ("token_url", "device_url", "revoke_url")
_TENANT = re.compile(r"[A-Za-z0-9_.-]{1,64}")


def _kind(text: str) -> str:
    if text not in REQUESTS:
        raise ValueError("must be http or mcp, or the name of another connector; write it as text")
    return text


def _tenant(text: str) -> str:
    if not _TENANT.fullmatch(text):
        raise ValueError("must be 1 to 64 letters, digits, `_`, `.` or `-`; choose such a name")
    return text


def _versioned(text: str) -> str:
    name, version = versioned(text)
    return short(values.proxy_name(name), version)


def _plain_values(fields: dict[str, str]) -> dict[str, str]:
    for name, value in fields.items():
        header_template.name(name)
        if re.search(r"[\x00-\x08\x0a-\x1f\x7f]", value):
            raise ValueError(f"{name} holds a line break or another control character; remove it")
        try:
            value.encode("latin-1")
        except UnicodeEncodeError:
            raise ValueError(f"{name} holds a character outside Latin-1; write it in ASCII") from None
    return fields


Kind = Annotated[str, AfterValidator(_kind)]
Name = Annotated[str, AfterValidator(values.proxy_name)]
VersionedName = Annotated[str, AfterValidator(_versioned)]
"""The name of an action, with its version behind it unless that is 1: ``find-order@v2``."""
Tenant = Annotated[str, AfterValidator(_tenant)]
Fields = Annotated[dict[str, str], AfterValidator(_plain_values)]


def shared_name(tenant: str, name: str) -> str:
    """By which proxies name the upstream of connection ``name``."""
    return f"{SHARED}{name}" if tenant == records.DEFAULT_TENANT else f"{SHARED}{tenant}/{name}"


def key_of(shared: str) -> tuple[str, str]:
    """Tenant and name of the connection that proxies name so: the inverse of `shared_name`."""
    tenant, slash, name = shared.removeprefix(SHARED).rpartition("/")
    return (tenant, name) if slash else (records.DEFAULT_TENANT, name)


class Connection(Section):
    """A third party: where it is, how to authenticate there, and what protects it."""

    kind: Kind = Field(default="http", examples=["mcp"], json_schema_extra={"enum": ["http", "mcp"]})
    """The connector: `http`, or `mcp`: a server of the Model Context Protocol at `base_url`."""
    tenant: Tenant = Field(default=records.DEFAULT_TENANT, examples=["acme"])
    """Whose it is. What belongs to another tenant is not there for a caller."""
    description: str = Field(default="", max_length=1000, examples=["The API of the shop"])
    """What it is, for people."""
    base_url: UpstreamUrl = Field(examples=["https://api.example.org/v1"])
    """Where it is: `http://` or `https://`, with a base path."""
    auth: Auth | None = Field(default=None, examples=[{"type": "bearer", "token": "a token"}])
    """How calls authenticate; `null`: not at all."""
    headers: Fields = Field(default={}, repr=False, examples=[{"Accept": "application/json"}])
    """Header fields of each call."""
    query: dict[str, str] = Field(default={}, repr=False, examples=[{"api-version": "1"}])
    """Query parameters of each call."""
    body: dict[str, Any] = Field(default={}, repr=False, examples=[{"source": "gateway"}])
    """Members that the JSON body of each call gets."""
    merge: records.Merge = Field(default=_CONNECTION.merge, examples=["strict"])
    """`layered`: action and input replace what the connection sets. `strict`: they do not."""
    http_policy: HttpPolicy = Field(default=HttpPolicy())
    """Which header fields a call may have."""
    retry: RetryKey = Field(default=None, examples=["api"])
    """How often a call is made again: the name of a preset, or its keys. `null`: `standard`; with `merge: strict`
    not at all."""
    timeout_ms: Milliseconds | None = Field(default=None, ge=1, le=3_600_000, examples=[10000])
    """For a whole call, with its retries; `null`: 30 seconds. With a number `merge: strict` lets no action have another
    time."""
    max_response_bytes: Bytes = Field(default=_CONNECTION.max_bytes, ge=1, le=MOST_BYTES, examples=[65536])
    """The longest body of a response."""
    max_concurrent: MaxConcurrent = 0
    limiter: LimiterKey = Limiter()
    queue: QueueKey = Queue()
    rate_limits: UpstreamRateLimitsKey = ()
    circuit_breaker: CircuitBreakerKey = CircuitBreaker()
    timeout_config: TimeoutConfigKey = TimeoutConfig()
    tls: TlsKey = None
    http2: Http2Key = "auto"

    def receiver(self) -> object:
        """What says who gets its secrets: when it changes, they have to be given again."""
        return values.origin(self.base_url)

    @classmethod
    def of_this_machine(cls, settings: Mapping[str, object]) -> Iterator[tuple[str, ...]]:
        """The places in ``settings``, which were not checked, that name files of the gateway's machine."""
        if settings.get("tls") is not None:
            yield ("tls",)

    def urls(self) -> Iterator[tuple[tuple[str, ...], str]]:
        """Each URL that the gateway itself connects to, with its place. What a browser opens is none of them."""
        yield ("base_url",), self.base_url
        for key in _DIALLED:
            if url := getattr(self.auth, key, None):
                yield ("auth", key), url

    def shared_name(self, name: str) -> str:
        """By which proxies name its upstream."""
        return shared_name(self.tenant, name)

    def upstream(self, name: str) -> Upstream:
        """As an entry of `upstreams` would have it."""
        return Upstream.model_construct(
            name=self.shared_name(name),
            endpoints=(Endpoint(url=self.base_url),),
            max_concurrent=self.max_concurrent,
            limiter=self.limiter,
            queue=self.queue,
            rate_limits=self.rate_limits,
            circuit_breaker=self.circuit_breaker,
            timeout_config=self.timeout_config,
            tls=self.tls,
            http2=self.http2,
        )

    def unmet(self, *, database: object, admin: object) -> str:
        """What the file lacks for its way to authenticate; empty: nothing. None stands for a section that is absent."""
        kind = "none" if self.auth is None else self.auth.type
        if kind in records.INTERACTIVE_KINDS and database is None:
            return f"{kind} needs a database, which keeps what a person has agreed to; set sqlite:///gateway.db"
        if kind == "oauth2_authorization_code" and admin is None:
            return f"{kind} needs the admin listener, to which the browser comes back; write admin: {{}}"
        return ""

    def trn(self, name: str) -> Trn:
        return Trn(self.tenant, "connection", self.kind, name, 1)

    def record(self, name: str) -> records.Connection:
        """``name``: the key that it stands under."""
        retry = self.retry.record() if self.retry is not None else None
        if retry is None:
            retry = PRESETS["once" if self.merge == "strict" else "standard"]
        return records.Connection(
            trn=str(self.trn(name)),
            base_url=self.base_url,
            upstream=f"{document.NAMED}{self.shared_name(name)}",
            auth=self.auth.record() if self.auth is not None else records.Auth(),
            headers=self.headers,
            query=self.query,
            body=self.body,
            fields=self.http_policy.record(),
            retry=retry,
            timeout=_CONNECTION.timeout if self.timeout_ms is None else self.timeout_ms / 1000,
            bounds_time=self.merge == "strict" and self.timeout_ms is not None,
            merge=self.merge,
            max_bytes=self.max_response_bytes,
            description=self.description,
            kind=self.kind,
        )

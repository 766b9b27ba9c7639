"""The snapshot document: the whole configuration as plain frozen records, checked and with every default filled in.

This is all that the data plane ever sees of the configuration. A control process sends it to its workers as JSON, so it
holds nothing that JSON cannot hold. All times are seconds, all sizes bytes; 0 means "none" or "no limit" throughout.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

import msgspec

from gateway.config.actions import Action, Connection, Governance
from gateway.config.endpoints import (
    Balance as Balance,
)
from gateway.config.endpoints import (
    Capacity as Capacity,
)
from gateway.config.endpoints import (
    ClientCertificate as ClientCertificate,
)
from gateway.config.endpoints import (
    Ejection as Ejection,
)
from gateway.config.endpoints import (
    Endpoint as Endpoint,
)
from gateway.config.endpoints import (
    HealthCheck as HealthCheck,
)
from gateway.config.endpoints import (
    UpstreamTls as UpstreamTls,
)
from gateway.config.fallback import Fallback
from gateway.config.mcp import Mcp
from gateway.config.protections import (
    Adaptive as Adaptive,
)
from gateway.config.protections import (
    Backoff as Backoff,
)
from gateway.config.protections import (
    BreakerScope as BreakerScope,
)
from gateway.config.protections import (
    CircuitBreaker as CircuitBreaker,
)
from gateway.config.protections import (
    Codel as Codel,
)
from gateway.config.protections import (
    Hedge as Hedge,
)
from gateway.config.protections import (
    Limiter as Limiter,
)
from gateway.config.protections import (
    Mode as Mode,
)
from gateway.config.protections import (
    Priority as Priority,
)
from gateway.config.protections import (
    PriorityWord as PriorityWord,
)
from gateway.config.protections import (
    Queue as Queue,
)
from gateway.config.protections import (
    Retries as Retries,
)
from gateway.config.protections import (
    Stream as Stream,
)
from gateway.config.protections import (
    Timeouts as Timeouts,
)
from gateway.core.address import Address
from gateway.core.limits import Limits

Ai = Literal["none", "openai", "anthropic"]

Http2 = Literal["auto", "always", "never"]
"""Whether HTTP/2 is spoken to an upstream: ``auto`` where ALPN chooses it, so not without TLS."""


@dataclass(frozen=True, slots=True)
class Cors:
    """The CORS fields of the gateway's own responses (Fetch 3.3). On when there is an origin.

    ``allow_origins`` are serialized origins, or ``*`` alone, which never goes with ``allow_credentials``.
    """

    allow_origins: tuple[str, ...] = ()
    expose_headers: tuple[str, ...] = ("X-Request-Id", "X-Gateway-Reason", "Retry-After")
    allow_credentials: bool = False


class AuthField(msgspec.Struct, frozen=True, tag="auth"):
    """A place in a header's value for a claim of the authenticated caller, dotted when it is nested."""

    field: str


class Missing(msgspec.Struct, frozen=True, tag="missing"):
    """A place for something that is not set: requests that need it fail. ``reference`` as in ``secret.KEY``."""

    reference: str


Part = str | AuthField | Missing  # tagged structs, because JSON alone does not distinguish two records


@dataclass(frozen=True, slots=True)
class Header:
    """A field to set on each request. The parts may be secrets and are kept out of the representation.

    ``secret``: it holds a variable or a secret, or has the name of a credential.
    """

    name: str
    parts: tuple[Part, ...] = field(repr=False)
    secret: bool = False


NAMED = "upstream "
"""Begins the name of an `Upstream` that is an entry of `upstreams`. No proxy has such a name."""


@dataclass(frozen=True, slots=True)
class RateLimit:
    """Token buckets, one for each key: ``rate`` tokens in ``per`` seconds, up to ``burst`` (0: as many as ``rate``).

    ``key``: ``all``, ``client``, ``principal`` or ``header:name`` in lower case. ``name`` "": that of the key.
    ``shared``: with all proxies that have a shared limit of the same name and key. ``fields``: whether responses say
    what is left. ``unit``: what takes the tokens: each request, or the tokens of its response, when that has ended.
    """

    key: str
    rate: float
    per: float = 1.0
    burst: int = 0
    name: str = ""
    shared: bool = False
    max_keys: int = 100_000
    scope: Literal["machine"] = "machine"
    unit: Literal["requests", "tokens"] = "requests"
    fields: Literal["auto", "always", "never"] = "auto"
    mode: Mode = "enforce"

    @property
    def shown_name(self) -> str:
        """The name that callers and operators see."""
        return self.name or self.key

    @property
    def tokens(self) -> int:
        """The most that a bucket holds."""
        return self.burst or math.ceil(self.rate)


ALL_CALLS: Final = "all calls"
"""The name of the upstream whose limit is that of all calls of actions together. It has no endpoint, and no proxy has
its name, because that has a space."""


@dataclass(frozen=True, slots=True)
class Upstream:
    """A back end: where it is, and what protects it.

    Routes name it, and those that name the same one share its limiter, breaker and connections. A proxy with a URL of
    its own has an upstream of its own, which bears its name.
    """

    name: str
    endpoints: tuple[Endpoint, ...]
    max_concurrent: int = 0
    limiter: Limiter = Limiter()
    queue: Queue = Queue()
    circuit_breaker: CircuitBreaker = CircuitBreaker()
    timeouts: Timeouts = Timeouts()
    tls: UpstreamTls = UpstreamTls()
    http2: Http2 = "auto"
    balance: Balance = "least_request"
    hash_on: str = ""
    """``client``, ``header:NAME`` with a lower-case name, ``cookie:NAME``; empty: nothing."""
    hash_load: float = 1.25
    health: HealthCheck = HealthCheck()
    ejection: Ejection = Ejection()
    panic: float = 0.5
    slow_start: float = 0.0
    capacity: Capacity = Capacity()
    rate_limits: tuple[RateLimit, ...] = ()
    """Of all attempts that go there: their key is ``all``."""

    @property
    def limited(self) -> bool:
        """Whether it has a limiter."""
        return self.max_concurrent > 0 or self.limiter.adaptive is not None

    @property
    def shown_name(self) -> str:
        """The name in the file: of the entry of `upstreams`, or of the proxy."""
        return self.name.removeprefix(NAMED)


@dataclass(frozen=True, slots=True)
class Route:
    """What a proxy serves, and which callers it admits. ``name`` is the proxy's, ``upstream`` names an `Upstream`.

    ``path`` has no trailing slash unless it is ``/``; ``hosts`` are lower-case and without a port. ``headers`` have
    every variable and secret inserted already.
    """

    name: str
    path: str
    upstream: str
    hosts: tuple[str, ...] = ()
    strip_path: bool = True
    preserve_host: bool = False
    access_rule: str = ""
    headers: tuple[Header, ...] = ()
    active: bool = True
    server_timing: bool = False
    rewrite_location: bool = False
    cors: Cors = Cors()
    clear_text_proxy: bool = False
    """Secrets may be read by a forward proxy."""
    websocket: bool = False
    tunnel_idle: float = 300.0
    stream: Stream = Stream()
    retries: Retries = Retries()
    hedge: Hedge = Hedge()
    rate_limits: tuple[RateLimit, ...] = ()
    rate_weight: int = 1
    """Tokens that a request takes from each of ``rate_limits``."""
    fallback: Fallback | None = None
    ai: Ai = "none"
    """Whose format responses have in which the usage of a language model is read."""
    priority: Priority = Priority()
    own: bool = False
    """Its requests are the gateway's own, so that there is no caller to forward anything of."""
    answer_limit: int = 0
    """Bytes that the body of a response may have; 0: no limit."""
    credential: bool = False
    """Its requests carry a secret, besides those in ``headers``."""
    connection: str = ""
    """The TRN of the connection whose connector makes its calls; empty: they are requests of HTTP."""
    mcp: Mcp | None = None
    """It is a front door for MCP, and its upstream has no endpoint."""
    tokens: bool = False
    """It is an access token that the gateway gets by itself: a 401 says nothing about the endpoint."""

    def upstreams(self) -> tuple[str, ...]:
        """The names of all that it may send requests to."""
        second = self.fallback.upstream if self.fallback is not None else ""
        return (self.upstream, second) if second else (self.upstream,)


@dataclass(frozen=True, slots=True)
class UpstreamNetworks:
    """Addresses and networks (CIDR). ``deny`` adds to the built-in list; what ``allow`` contains is not denied."""

    deny: tuple[str, ...] = ()
    allow: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Tracing:
    """Spans over OTLP/HTTP. ``share`` of the requests without a trace of their own begin one."""

    endpoint: str
    share: float = 0.0
    service: str = "gateway"


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate of a listener: PEM texts, and what the certificate says. ``key`` is not encrypted.

    ``names``: DNS names, also ``*.name``, and IP addresses, lower-case; ``expires_at`` is seconds since the epoch.
    ``client_ca``: the authorities that sign the callers' certificates, PEM; "" where ``client_auth`` is ``none``.
    """

    chain: str = field(repr=False)
    key: str = field(repr=False)
    names: tuple[str, ...]
    expires_at: float
    client_auth: str = "none"
    client_ca: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Tls:
    """TLS of a listener. The first of ``certificates`` serves unknown names.

    ``principal``: by which names in its certificate a caller is known: ``uri``, ``dns``, ``cn``, the preferred first.
    """

    certificates: tuple[Certificate, ...]
    principal: tuple[str, ...] = ()
    min_version: str = "1.2"


@dataclass(frozen=True, slots=True)
class Listener:
    """An address on which callers are served, and what is spoken there.

    ``http2``: HTTP/2 is served besides HTTP/1.1, to callers that begin with its preface (RFC 9113 3.4).
    """

    address: Address
    http2: bool = False
    tls: Tls | None = None


@dataclass(frozen=True, slots=True)
class Document:
    """Everything. ``access_log`` is a path, ``-`` for standard output, or None for no access log.

    ``own_listeners`` are those besides ``listen``: the admin listener. ``via`` is this installation's name in Via;
    empty: one that is made up at start.
    """

    listen: tuple[Listener, ...] = (Listener(Address("127.0.0.1", 8080)),)
    access_log: str | None = "-"
    trusted_proxies: tuple[str, ...] = ()
    drain_timeout: float = 30.0
    limits: Limits = Limits()
    tracing: Tracing | None = None
    upstream_networks: UpstreamNetworks = UpstreamNetworks()
    own_listeners: tuple[Address, ...] = ()
    via: str = ""
    routes: tuple[Route, ...] = ()
    upstreams: tuple[Upstream, ...] = ()
    """Of distinct names, and with each name that a route has in ``upstream`` or in its fallback."""
    connections: tuple[Connection, ...] = ()
    actions: tuple[Action, ...] = ()
    governance: Governance = Governance()
    calls: tuple[Route, ...] = ()
    """What serves the gateway's own calls: a route for each connection and for each action."""

    @property
    def proxies(self) -> list[Route]:
        """The routes of proxies, without those of front doors."""
        return [route for route in self.routes if route.mcp is None]

    def everything(self) -> tuple[Route, ...]:
        """The proxies and front doors, and what serves the gateway's own calls."""
        return (*self.routes, *self.calls)

    def used_upstreams(self) -> list[Upstream]:
        """Those that an active route names, or a call; and the one whose limit is that of all calls."""
        used = {name for route in self.everything() if route.active for name in route.upstreams()}
        found = [upstream for upstream in self.upstreams if upstream.name in used]
        if self.calls and self.governance.max_concurrent:
            found.append(Upstream(ALL_CALLS, (), max_concurrent=self.governance.max_concurrent))
        return found

    def sharers(self) -> dict[str, list[str]]:
        """The names of the active proxies of each upstream that one names, other than as its fallback; those of calls
        too."""
        sharers: dict[str, list[str]] = {}
        for route in self.everything():
            if route.active:
                sharers.setdefault(route.upstream, []).append(route.name)
        return sharers


@dataclass(frozen=True, slots=True)
class TokenRecord:
    """An opaque token that callers may present. ``expires_at`` is seconds since the epoch, 0 for never."""

    id: str
    name: str
    kind: str = "token"
    superuser: bool = False
    expires_at: float = 0.0
    claims: Mapping[str, object] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class JwtIssuer:
    """An issuer whose JSON Web Tokens are trusted; ``keys`` is its key set (RFC 7517) as JSON text.

    ``keys`` "": they are not known, so a worker that has older ones of ``keys_url`` keeps them. ``keys_url``: where the
    issuer publishes them; "" for a shared secret.
    """

    issuer: str
    audience: tuple[str, ...]
    algorithms: tuple[str, ...]
    keys: str = field(repr=False)
    id_claim: str = "sub"
    keys_url: str = ""


@dataclass(frozen=True, slots=True)
class Credentials:
    """What callers may authenticate with. ``tokens`` by the hex SHA-256 of the whole token."""

    tokens: Mapping[str, TokenRecord] = field(default_factory=dict, repr=False)
    issuers: tuple[JwtIssuer, ...] = ()

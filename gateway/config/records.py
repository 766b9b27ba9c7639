"""The snapshot document: the whole configuration as plain frozen records, checked and with every default filled in.

This is all that the data plane ever sees of the configuration. A control process sends it to its workers as JSON, so it
holds nothing that JSON cannot hold. All times are seconds, all sizes bytes; 0 means "none" or "no limit" throughout.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import msgspec

from gateway.config.actions import Action, Connection
from gateway.config.fallback import Fallback
from gateway.core.address import Address
from gateway.core.limits import Limits

Mode = Literal["enforce", "shadow"]
"""The mode of a protection; ``shadow``: it counts what it would refuse, and refuses nothing."""


Ai = Literal["none", "openai", "anthropic"]

Http2 = Literal["auto", "always", "never"]
"""Whether HTTP/2 is spoken to an upstream: ``auto`` where ALPN chooses it, so not without TLS."""


@dataclass(frozen=True, slots=True)
class Adaptive:
    """A limit that is found while the upstream is used. ``signal``: what tells that a response has begun."""

    initial: int = 10
    min: int = 1
    max: int = 100
    signal: Literal["first_byte", "first_event"] = "first_byte"


@dataclass(frozen=True, slots=True)
class Limiter:
    mode: Mode = "enforce"
    adaptive: Adaptive | None = None


@dataclass(frozen=True, slots=True)
class Codel:
    """When the newest goes first. ``target``: seconds of waiting that are well; 0: always the oldest."""

    target: float = 0.0
    interval: float = 0.5


@dataclass(frozen=True, slots=True)
class Queue:
    """Wait instead of 429: on when both numbers are above 0.

    ``predict``: who would wait too long is rejected at once. ``fair``: whose requests take turns.
    """

    max_waiting: int = 0
    timeout: float = 0.0
    mode: Mode = "enforce"
    predict: bool = False
    fair: Literal["none", "client", "principal"] = "none"
    codel: Codel = Codel()


PriorityWord = Literal["high", "normal", "low"]


@dataclass(frozen=True, slots=True)
class Priority:
    """Who goes first in the queue: by the id of the principal, else by a header field, else ``default``.

    ``header`` "": no field is read.
    """

    default: PriorityWord = "normal"
    header: str = ""
    high: tuple[str, ...] = ()
    low: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class CircuitBreaker:
    """A rule is on when its number is above 0: ``failure_threshold``, ``failure_rate``, ``slow_rate``."""

    enabled: bool = False
    failure_threshold: int = 5
    recovery_timeout: float = 30.0
    half_open_requests: int = 1
    failure_rate: float = 0.0
    slow_call: float = 0.0
    slow_rate: float = 0.0
    window: float = 30.0
    minimum_requests: int = 20
    failure_statuses: tuple[str, ...] = ("500-599",)
    """Each is a status or a range, as in ``503`` and ``500-599``."""
    distinct_callers: int = 0
    mode: Mode = "enforce"


@dataclass(frozen=True, slots=True)
class Cors:
    """The CORS fields of the gateway's own responses (Fetch 3.3). On when there is an origin.

    ``allow_origins`` are serialized origins, or ``*`` alone, which never goes with ``allow_credentials``.
    """

    allow_origins: tuple[str, ...] = ()
    expose_headers: tuple[str, ...] = ("X-Request-Id", "X-Gateway-Reason", "Retry-After")
    allow_credentials: bool = False


@dataclass(frozen=True, slots=True)
class Timeouts:
    dial: float = 2.0
    tls_handshake: float = 5.0
    response_header: float = 30.0
    body_idle: float = 300.0
    idle: float = 90.0
    total: float = 0.0
    max_age: float = 3600.0


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


Balance = Literal["least_request", "round_robin", "random", "ring_hash"]
"""How one of several endpoints is chosen."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One address of an upstream, ``http://`` or ``https://``, with an optional base path.

    ``drain``: it gets no new requests. ``expand_dns``: each address of its name is an endpoint; the name is resolved
    every ``dns_interval`` seconds. ``address``: the one that this endpoint is; "": whatever the name leads to.
    """

    url: str
    weight: int = 1
    drain: bool = False
    expand_dns: bool = False
    dns_interval: float = 30.0
    address: str = ""


@dataclass(frozen=True, slots=True)
class HealthCheck:
    """Active checks of all endpoints. ``jitter``: share of ``interval``; ``expect_status``: ``503``, ``200-299``."""

    enabled: bool = False
    path: str = "/health"
    interval: float = 10.0
    jitter: float = 0.1
    timeout: float = 5.0
    healthy_after: int = 2
    unhealthy_after: int = 3
    expect_status: tuple[str, ...] = ("200-299",)
    expect_body: str = ""


@dataclass(frozen=True, slots=True)
class Ejection:
    """Endpoints that fail get no requests for a time. ``consecutive_failures``, ``failure_rate`` 0: no such rule."""

    enabled: bool = False
    consecutive_failures: int = 5
    failure_rate: float = 0.0
    window: float = 30.0
    minimum_requests: int = 20
    base_time: float = 30.0
    max_time: float = 300.0
    max_share: float = 0.5
    mode: Mode = "enforce"


@dataclass(frozen=True, slots=True)
class Capacity:
    """What endpoints report of themselves in the field ``header``. ``max_age``: seconds for which a report holds.
    ``forward``: callers get the field too.
    """

    enabled: bool = False
    header: str = "X-Capacity"
    max_age: float = 10.0
    forward: bool = False
    mode: Mode = "enforce"


@dataclass(frozen=True, slots=True)
class ClientCertificate:
    """A certificate that the gateway shows to an upstream: PEM texts, and what the certificate says.

    ``key`` is not encrypted. ``name``: the first name in it; "": none. ``expires_at`` is seconds since the epoch.
    """

    chain: str = field(repr=False)
    key: str = field(repr=False)
    name: str
    expires_at: float


@dataclass(frozen=True, slots=True)
class UpstreamTls:
    """TLS with an ``https://`` upstream. Its certificate is verified always.

    ``ca``: the authorities that sign it, PEM; "": those of the system. ``server_name``: the name that is asked for
    (SNI) and that the certificate must hold; "": the host of the URL.
    """

    ca: str = field(default="", repr=False)
    certificate: ClientCertificate | None = None
    server_name: str = ""


NAMED = "upstream "
"""Begins the name of an `Upstream` that is an entry of `upstreams`. No proxy has such a name."""


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

    @property
    def limited(self) -> bool:
        """Whether it has a limiter."""
        return self.max_concurrent > 0 or self.limiter.adaptive is not None

    @property
    def shown_name(self) -> str:
        """The name in the file: of the entry of `upstreams`, or of the proxy."""
        return self.name.removeprefix(NAMED)


@dataclass(frozen=True, slots=True)
class Stream:
    """How long a response of server-sent events may be without data.

    ``first_event``: seconds from the head of the response to the first event with data; ``event_gap``: from one such
    event to the next. ``on_stall``: what the caller gets: the stream is ``cut``, or ends with an event ``error``.
    """

    first_event: float = 0.0
    event_gap: float = 0.0
    on_stall: Literal["cut", "error_event"] = "cut"
    mode: Mode = "enforce"

    @property
    def watches(self) -> bool:
        """Whether there is anything to do for it."""
        return self.first_event > 0.0 or self.event_gap > 0.0 or self.on_stall != "cut"


@dataclass(frozen=True, slots=True)
class Backoff:
    """The pause before a retry: random, in a range that doubles from ``base`` up to ``max``."""

    base: float = 0.025
    max: float = 0.25


@dataclass(frozen=True, slots=True)
class Retries:
    """When a request that has failed is sent again. On when there are more attempts than one, and failures listed.

    ``attempts``: the first one included. ``on``: words of `gateway.policy.retry.FAILURES`, and statuses. ``budget``:
    retries that an upstream gets for each first attempt; ``burst``: how many it gets at once. ``methods``: whether a
    POST may be sent twice, too. ``replay_buffer``: bytes of a request's body that are kept for it.
    """

    attempts: int = 1
    on: tuple[str, ...] = ()
    budget: float = 0.2
    burst: int = 10
    per_try_timeout: float = 0.0
    backoff: Backoff = Backoff()
    methods: Literal["idempotent", "all"] = "idempotent"
    respect_retry_after: bool = True
    max_retry_after: float = 2.0
    replay_buffer: int = 65536
    mode: Mode = "enforce"

    @property
    def active(self) -> bool:
        """Whether there is anything to do for it."""
        return self.attempts > 1 and bool(self.on)

    @property
    def bound(self) -> float:
        """Seconds for one attempt; 0: no bound."""
        return self.per_try_timeout if self.active and self.mode == "enforce" else 0.0


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
    calls: tuple[Route, ...] = ()
    """What serves the gateway's own calls: a route for each connection and for each action."""

    def everything(self) -> tuple[Route, ...]:
        """The proxies, and what serves the gateway's own calls."""
        return (*self.routes, *self.calls)

    def used_upstreams(self) -> list[Upstream]:
        """Those that an active route names, or a call."""
        used = {name for route in self.everything() if route.active for name in route.upstreams()}
        return [upstream for upstream in self.upstreams if upstream.name in used]

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

"""The configuration file as pydantic models: every key, its default from `config.document`, its bounds, its meaning.

No key is without effect. What the gateway cannot do yet is refused with a sentence that says so: `Section.refused`
names keys that people reach for, and the one-valued fields (`admin`, `workers`, ...) carry their sentence with them.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Container, Iterable, Mapping
from types import MappingProxyType
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo, field_validator

from gateway.config import document, header, rule, values
from gateway.config.networks import Destinations
from gateway.config.section import Section, only
from gateway.core import limits

_DAY = 86400
AUDIT_RETENTION = 365 * _DAY
"""Seconds; also where there is no admin listener: the command line writes the audit trail too."""
_SECONDS: dict[str, Any] = {"x-unit": "seconds"}
_BYTES: dict[str, Any] = {"x-unit": "bytes"}
_REQUESTS: dict[str, Any] = {"x-unit": "requests"}
_LIMITS, _QUEUE, _BREAKER, _TIMEOUTS = (
    limits.Limits(),
    document.Queue(),
    document.CircuitBreaker(),
    document.Timeouts(),
)
_CORS = document.Cors()
_PROXY = document.Proxy("-", "/", "http://-")
_DOCUMENT = document.Document()


def _listed(value: object) -> object:
    if value == []:
        raise ValueError("must not be empty; write at least one address or remove the key")
    return tuple(value) if isinstance(value, list) else (value,)


def _as_listener(value: object) -> object:
    if isinstance(value, dict):
        return value
    if isinstance(value, str):
        return {"address": value}
    raise ValueError('must be an address; write "127.0.0.1:8080", a list of such, or {address: "127.0.0.1:8080"}')


def _access_rule(text: str) -> str:
    if text.strip():
        rule.compile_rule(text)
    return text.strip()


def _quoted_rule(value: object) -> object:
    if isinstance(value, bool):
        raise ValueError(f'must be text; put it in quotes: "{str(value).lower()}"')
    return value


def _header_value(text: str, info: ValidationInfo) -> str:
    return header.template(text, info.context or header.Context())


Mode = document.Mode


def _with_sdk(endpoint: str) -> str:
    try:  # other packages bring parts of it: only the exporter shows that all is there
        found = importlib.util.find_spec("opentelemetry.exporter.otlp.proto.http")
    except ModuleNotFoundError:
        found = None
    if found is None:
        raise ValueError("tracing needs the OpenTelemetry SDK; run: pip install 'breakwater-gateway[otel]'")
    return endpoint


HeaderName = Annotated[str, AfterValidator(header.name)]
HeaderValue = Annotated[str, AfterValidator(_header_value)]
Host = Annotated[str, AfterValidator(values.route_host)]
Network = Annotated[str, AfterValidator(values.network)]
Variable = Annotated[str, AfterValidator(values.kept_variable)]


class Listener(Section):
    """One address on which the gateway accepts connections."""

    refused: ClassVar = {"tls": "TLS listeners do not exist yet; end TLS in front of the gateway and remove this key"}

    address: Annotated[str, AfterValidator(values.listen_address)] = Field(
        description="`host:port`; IPv6 in brackets, as in `[::1]:8080`; port 0 takes any free port. TLS "
        "listeners do not exist yet: `tls` is refused.",
        examples=["127.0.0.1:8080"],
    )


class AccessLog(Section):
    """Where the access log goes."""

    path: str = Field(
        default="-",
        min_length=1,
        description='One JSON object a line. "-": standard output; else a file, appended to, and reopened on SIGUSR1.',
        examples=["/var/log/gateway/access.log"],
    )


class UpstreamNetworks(Section):
    """Addresses to which the gateway connects, or does not, for an upstream: also when a name resolves to them."""

    deny: Annotated[tuple[Network, ...], Field(strict=False)] = Field(
        default=(),
        description="Addresses or networks (CIDR) besides the built-in ones: `169.254.0.0/16` and `fe80::/10` "
        "(link-local, where clouds serve credentials), `fd00:ec2::254`. The gateway's own listeners, the admin "
        "listener included, are always denied.",
        examples=[["10.0.0.0/8"]],
    )
    allow: Annotated[tuple[Network, ...], Field(strict=False)] = Field(
        default=(),
        description="Addresses or networks that are not denied, whatever `deny` and the built-in list say. It opens "
        "none of the gateway's own listeners.",
        examples=[["169.254.170.2"]],
    )


class Tracing(Section):
    """Spans of sampled requests, over OTLP/HTTP. Needs the `otel` extra."""

    endpoint: Annotated[str, AfterValidator(values.upstream_url), AfterValidator(_with_sdk)] = Field(
        description="Where the collector takes traces. Headers for it come from `OTEL_EXPORTER_OTLP_HEADERS`.",
        examples=["http://127.0.0.1:4318/v1/traces"],
    )
    share: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description="Share of the requests without a `traceparent` that begin a trace. Others follow their "
        "sender's sampling.",
        examples=[0.01],
    )
    service: str = Field(
        default="gateway",
        min_length=1,
        max_length=100,
        description="`service.name` of the spans.",
        examples=["gateway"],
    )


class Admin(Section):
    """The control plane: REST API for superusers, health."""

    listen: Annotated[str, AfterValidator(values.listen_address)] = Field(
        default="127.0.0.1:8081",
        description="`host:port` of the control plane. It has no TLS: keep it on loopback, or behind a proxy "
        "that ends TLS.",
        examples=["127.0.0.1:8081"],
    )
    hosts: Annotated[tuple[Host, ...], Field(strict=False)] = Field(
        default=(),
        description="Names by which it may be called, besides `localhost` and its own address; other Host "
        "values are refused (DNS rebinding).",
        examples=[["gateway-admin.example.org"]],
    )
    session_ttl: float = Field(
        default=43200,
        ge=60,
        le=30 * _DAY,
        description="Seconds that a login is good for.",
        examples=[3600],
        json_schema_extra=_SECONDS,
    )
    audit_retention: float = Field(
        default=AUDIT_RETENTION,
        ge=0,
        le=100 * 365 * _DAY,
        description="Seconds that entries of the audit trail are kept; the default is a year. 0: for good.",
        examples=[7776000],
        json_schema_extra=_SECONDS,
    )


_ALGORITHMS = Literal[
    "HS256", "HS384", "HS512", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512"
]


class Jwt(Section):
    """An issuer whose JSON Web Tokens (RFC 7519) callers may present."""

    issuer: str = Field(min_length=1, description="The `iss` claim, exactly.", examples=["https://login.example.org"])
    audience: Annotated[tuple[str, ...], Field(strict=False)] = Field(
        min_length=1, description="One of these must be in the `aud` claim.", examples=[["gateway"]]
    )
    algorithms: Annotated[tuple[_ALGORITHMS, ...], Field(strict=False)] = Field(
        min_length=1,
        description="The only signature algorithms that are accepted (RFC 7518): HS, RS, PS and ES, each with "
        "256, 384 or 512.",
        examples=[["RS256"]],
    )
    jwks_url: Annotated[str, AfterValidator(values.key_set_url)] | None = Field(
        default=None,
        description="Where the issuer publishes its keys (RFC 7517): https, or http on loopback. Fetched by "
        "the gateway itself: at start, every 5 minutes, and when a token names a key that is not in it (not more than "
        "once in 15 seconds). An issuer has this or a `secret`.",
        examples=["https://login.example.org/keys.json"],
    )
    secret: str | None = Field(
        default=None,
        min_length=32,
        repr=False,
        validate_default=True,
        description="The shared secret of HS256, HS384 or HS512: 32 characters or more, best as a variable.",
        examples=["${JWT_SECRET}"],
    )
    id_claim: str = Field(
        default="sub", min_length=1, description="The claim that becomes `@request.auth.id`.", examples=["sub"]
    )

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
    """How callers prove who they are, besides the gateway's own tokens."""

    jwt: Annotated[tuple[Jwt, ...], Field(strict=False)] = Field(
        default=(), description="Issuers of JSON Web Tokens (RFC 7519)."
    )
    keys_file: str | None = Field(
        default=None,
        min_length=1,
        description="Where keys from a `jwks_url` are kept for the time in which their issuer is away, over restarts. "
        "`null`: beside the configuration file, with `.keys` behind its name. Read at start. With a `database` the "
        "keys are kept there, and this key is refused.",
        examples=["/var/lib/gateway/keys.json"],
    )


def _connections(value: object) -> object:
    if value == "auto":
        return limits.AUTO
    if isinstance(value, str):
        raise ValueError('must be a whole number, or "auto"; write how many connections are accepted')
    if isinstance(value, int) and value < 0:
        raise ValueError('must be at least 0; write how many connections are accepted, or "auto"')
    return value


def _connections_schema(schema: dict[str, Any]) -> None:
    numbers = schema.pop("anyOf")
    numbers[0]["minimum"] = 0
    schema["anyOf"] = [*numbers, {"const": "auto"}]
    schema["default"] = "auto"


class Limits(Section):
    """Bounds of what clients and upstreams may send, and of how long clients may take."""

    max_uri: int = Field(
        default=_LIMITS.max_uri,
        ge=64,
        le=1 << 20,
        description="Longest request target, in bytes; then 414.",
        examples=[16384],
        json_schema_extra=_BYTES,
    )
    max_header_bytes: int = Field(
        default=_LIMITS.max_header_bytes,
        ge=512,
        le=1 << 24,
        description="Largest header section, in bytes; then 431.",
        examples=[65536],
        json_schema_extra=_BYTES,
    )
    max_headers: int = Field(
        default=_LIMITS.max_headers, ge=1, le=1 << 16, description="Most header fields; then 431.", examples=[100]
    )
    max_connections: Annotated[int, BeforeValidator(_connections)] = Field(
        default=_LIMITS.max_connections,
        le=1 << 20,
        description="Most connections of clients at a time. `auto`, and at most: half of the descriptors that the "
        "process may open, less 64, because an exchange takes a second one for its upstream. From 90 % on, the "
        "client with most connections loses its oldest idle ones; no client gets more than nine times what is "
        "free; idle connections are closed before a new one is refused. A client is an IPv4 address or an IPv6 "
        "/64; `trusted_proxies` are no client. 0: as `auto`.",
        examples=[10000],
        json_schema_extra=_connections_schema,
    )
    max_connections_per_client: int = Field(
        default=_LIMITS.max_connections_per_client,
        ge=0,
        le=1 << 20,
        description="Most connections of one client; its oldest idle ones make room for new ones. Many users may "
        "share one address. `trusted_proxies` are exempt. 0: no fixed limit.",
        examples=[200],
    )
    max_body_bytes: int = Field(
        default=_LIMITS.max_body_bytes,
        ge=0,
        le=1 << 62,
        description="Largest request body, in bytes; then 413. 0: no limit.",
        examples=[10485760],
        json_schema_extra=_BYTES,
    )
    max_trailer_bytes: int = Field(
        default=_LIMITS.max_trailer_bytes,
        ge=0,
        le=1 << 16,
        description="Largest trailer section of a chunked body, in bytes. Beyond it a request is 400 `bad_framing`, "
        "and a response is cut as `upstream_bad_response`. 0: no trailers at all.",
        examples=[32768],
        json_schema_extra=_BYTES,
    )
    max_response_header_bytes: int = Field(
        default=_LIMITS.max_response_header_bytes,
        ge=512,
        le=1 << 24,
        description="Largest head of a response of an upstream, in bytes; then 502 `upstream_bad_response`.",
        examples=[262144],
        json_schema_extra=_BYTES,
    )
    max_interim_responses: int = Field(
        default=_LIMITS.max_interim_responses,
        ge=1,
        le=1 << 16,
        description="Most interim responses (1xx) of an upstream before the final one; then 502 "
        "`upstream_bad_response`. Each may be as large as `max_response_header_bytes`.",
        examples=[1000],
    )
    first_byte_timeout: float = Field(
        default=_LIMITS.first_byte_timeout,
        ge=0,
        le=_DAY,
        description="Seconds for a new connection to send its first byte; then it is closed. 0: as long as "
        "`keepalive_timeout`.",
        examples=[5],
        json_schema_extra=_SECONDS,
    )
    header_timeout: float = Field(
        default=_LIMITS.header_timeout,
        gt=0,
        le=_DAY,
        description="Seconds for a client to send a whole request head; then 408.",
        examples=[5],
        json_schema_extra=_SECONDS,
    )
    body_timeout: float = Field(
        default=_LIMITS.body_timeout,
        gt=0,
        le=_DAY,
        description="Seconds without a byte of the request body; then 408. The same bounds how long a client may "
        "take no byte of a response; its connection is then cut.",
        examples=[30],
        json_schema_extra=_SECONDS,
    )
    min_body_rate: int = Field(
        default=_LIMITS.min_body_rate,
        ge=0,
        le=1 << 30,
        description="Bytes a second that a client must send of a request body, or take of a response that waits for "
        "it: averaged over 30 seconds of waiting for the client, and not before 10 such seconds. Slower ones end as "
        "408 `client_timeout`, or are cut when the response has begun. A request body is no longer measured when its "
        "response has begun. 0: no floor.",
        examples=[1000],
        json_schema_extra={"x-unit": "bytes a second"},
    )
    keepalive_timeout: float = Field(
        default=_LIMITS.keepalive_timeout,
        ge=0,
        le=_DAY,
        description="Seconds that an idle connection is kept for the next request. 0: closed after each answer.",
        examples=[65],
        json_schema_extra=_SECONDS,
    )


class Queue(Section):
    """Requests above max_concurrent wait instead of getting 429. On when both numbers are above 0."""

    max_waiting: int = Field(
        default=_QUEUE.max_waiting,
        ge=0,
        le=100_000,
        description="Most requests that wait for a place instead of getting 429. 0: no queue. A queue needs "
        "`max_concurrent` and `timeout` above 0.",
        examples=[20],
        json_schema_extra=_REQUESTS,
    )
    timeout: float = Field(
        default=_QUEUE.timeout,
        ge=0,
        le=3600,
        validate_default=True,
        description="Seconds that a request waits at most; then 429. 0: no queue.",
        examples=[10],
        json_schema_extra=_SECONDS,
    )
    mode: Mode = Field(
        default="enforce",
        description="`enforce`, or `shadow`: nobody waits, as without a queue, and what the queue would "
        "refuse is reckoned and counted.",
        examples=["shadow"],
    )

    @field_validator("timeout", mode="after")
    @classmethod
    def _both_or_neither(cls, timeout: float, info: ValidationInfo) -> float:
        if (timeout > 0) != (info.data.get("max_waiting", timeout) > 0):
            raise ValueError("a queue needs max_waiting and timeout; set both above 0, or both to 0 for no queue")
        return timeout


class Limiter(Section):
    """How max_concurrent is applied."""

    mode: Mode = Field(
        default="enforce",
        description="`enforce`, or `shadow`: the limit and its queue count and log what they would refuse, "
        "and refuse nothing.",
        examples=["shadow"],
    )


class CircuitBreaker(Section):
    """Fences off an upstream that keeps failing: 503 at once until it may be tried again."""

    mode: Mode = Field(
        default="enforce",
        description="`enforce`, or `shadow`: the breaker follows the upstream and counts what it would "
        "refuse, and refuses nothing.",
        examples=["shadow"],
    )
    enabled: bool = Field(
        default=_BREAKER.enabled, description="`true`: the breaker watches this proxy.", examples=[True]
    )
    failure_threshold: int = Field(
        default=_BREAKER.failure_threshold,
        ge=1,
        le=100,
        description="Failures in a row that open the breaker.",
        examples=[3],
    )
    recovery_timeout: float = Field(
        default=_BREAKER.recovery_timeout,
        gt=0,
        le=3600,
        description="Seconds that an open breaker refuses before a trial.",
        examples=[10],
        json_schema_extra=_SECONDS,
    )
    half_open_requests: int = Field(
        default=_BREAKER.half_open_requests,
        ge=1,
        le=10,
        description="Requests that may try the upstream at the same time.",
        examples=[2],
        json_schema_extra=_REQUESTS,
    )


class TimeoutConfig(Section):
    """Times of an exchange with the upstream."""

    dial: float = Field(
        default=_TIMEOUTS.dial,
        gt=0,
        le=3600,
        description="Seconds to connect; then 504.",
        examples=[1],
        json_schema_extra=_SECONDS,
    )
    tls_handshake: float = Field(
        default=_TIMEOUTS.tls_handshake,
        ge=0,
        le=_DAY,
        description="Seconds for the TLS handshake; then 504. 0: no limit.",
        examples=[3],
        json_schema_extra=_SECONDS,
    )
    response_header: float = Field(
        default=_TIMEOUTS.response_header,
        ge=0,
        le=_DAY,
        description="Seconds from the end of the request to the head of the answer; then 504. 0: no limit.",
        examples=[120],
        json_schema_extra=_SECONDS,
    )
    body_idle: float = Field(
        default=_TIMEOUTS.body_idle,
        ge=0,
        le=_DAY,
        description="Seconds without a byte of the answer's body; then the answer is cut. 0: no limit.",
        examples=[60],
        json_schema_extra=_SECONDS,
    )
    idle: float = Field(
        default=_TIMEOUTS.idle,
        ge=0,
        le=_DAY,
        description="Seconds that an unused connection to the upstream is kept. 0: no limit.",
        examples=[30],
        json_schema_extra=_SECONDS,
    )
    max_age: float = Field(
        default=_TIMEOUTS.max_age,
        ge=0,
        le=_DAY,
        description="Seconds after which a connection to the upstream is used for no further request, so that traffic "
        "follows what stands behind an address that stays the same. Connections opened together get 90 to 100 % of it, "
        "and no exchange is cut. 0: no limit.",
        examples=[600],
        json_schema_extra=_SECONDS,
    )
    total: float = Field(
        default=_TIMEOUTS.total,
        ge=0,
        le=_DAY,
        description="Seconds for the whole exchange, its streams too. 0: no limit.",
        examples=[600],
        json_schema_extra=_SECONDS,
    )


class Cors(Section):
    """What the gateway's own responses, as 401, 429 and 503, tell browsers, so that pages of other origins can read
    them. Responses of the upstream are its own matter.
    """

    allow_origins: Annotated[tuple[Annotated[str, AfterValidator(values.page_origin)], ...], Field(strict=False)] = (
        Field(
            default=_CORS.allow_origins,
            description="Origins of the pages that may read them: `https://app.example.org`, without a path; `*` alone "
            "for all. Empty: none.",
            examples=[["https://app.example.org"]],
        )
    )
    expose_headers: Annotated[tuple[HeaderName, ...], Field(strict=False)] = Field(
        default=_CORS.expose_headers,
        description="Header fields that the pages may read.",
        examples=[["X-Request-Id", "Retry-After"]],
    )
    allow_credentials: bool = Field(
        default=_CORS.allow_credentials,
        validate_default=True,
        description="`true`: also for requests with cookies or other credentials. Not with the origin `*`.",
        examples=[True],
    )

    @field_validator("allow_origins", mode="after")
    @classmethod
    def _all_or_some(cls, origins: tuple[str, ...]) -> tuple[str, ...]:
        if "*" in origins and len(origins) > 1:
            raise ValueError("* stands for all origins; write it alone, or write the others")
        return origins

    @field_validator("allow_credentials", mode="after")
    @classmethod
    def _never_for_all(cls, allowed: bool, info: ValidationInfo) -> bool:
        if allowed and "*" in info.data.get("allow_origins", ()):
            raise ValueError("every page could read what is meant for a logged-in user; list the origins instead of *")
        return allowed


class Proxy(Section):
    """One proxy: a prefix, the upstream behind it and its protections."""

    refused: ClassVar = {"timeout": "there is no such key; write timeout_config: {total: SECONDS}"}

    name: Annotated[str, AfterValidator(values.proxy_name)] = Field(
        description="The name in logs and metrics: 1 to 64 letters, digits, `_`, `.` and `-`; unique.",
        examples=["sidecar"],
    )
    path: Annotated[str, AfterValidator(values.route_path)] = Field(
        description="Prefix to serve, at segment boundaries; the longest wins. At most 500 characters, "
        "without a query, `//`, `.` or `..`; a slash at the end is dropped. `/` serves all. "
        "`/api/gateway` and `/_`, with all below them, belong to the gateway.",
        examples=["/-/ai"],
    )
    hosts: Annotated[tuple[Host, ...], Field(strict=False)] = Field(
        default=_PROXY.hosts,
        description="Hosts to serve: names, IP addresses, or `*.example.org` for all names below; without a "
        "port, any case. Empty: every host. No two proxies may have the same path for the same "
        "host.",
        examples=[["example.org", "*.example.org"]],
    )
    upstream: Annotated[str, AfterValidator(values.upstream_url)] = Field(
        description="`http://` or `https://` URL: host, optional port and base path; without a user, a query "
        "or a fragment.",
        examples=["http://127.0.0.1:9000/base"],
    )
    strip_path: bool = Field(
        default=_PROXY.strip_path,
        description="`true`: the prefix is removed from the forwarded path.",
        examples=[False],
    )
    preserve_host: bool = Field(
        default=_PROXY.preserve_host,
        description="`true`: the caller's Host is forwarded; `false`: the upstream's own.",
        examples=[True],
    )
    access_rule: Annotated[str, AfterValidator(_access_rule), BeforeValidator(_quoted_rule)] = Field(
        default=_PROXY.access_rule,
        max_length=2000,
        description='Who is let in, in quotes. "true": everyone; "false": nobody (403); "": superusers alone; '
        "else a rule.",
        examples=["@request.auth.role = 'admin'"],
    )
    headers: dict[HeaderName, HeaderValue] = Field(
        default={},
        repr=False,
        description="Header fields set on each request: `{env.NAME}` is a variable of the environment, "
        "`{secret.NAME}` a secret of the database, `@request.auth.NAME` what the caller proved to "
        "be. Empty: left out.",
        examples=[{"Authorization": "Bearer {secret.KEY}"}],
    )
    active: bool = Field(
        default=_PROXY.active, description="`false`: the proxy is switched off and answers 404.", examples=[False]
    )
    max_concurrent: int = Field(
        default=_PROXY.max_concurrent,
        ge=0,
        le=10_000,
        description="Most requests at a time, their bodies included; then 429 or the queue. 0: no limit.",
        examples=[5],
        json_schema_extra=_REQUESTS,
    )
    limiter: Limiter = Field(default=Limiter(), description="How max_concurrent is applied.")
    queue: Queue = Field(default=Queue(), description="Where requests above max_concurrent wait.")
    circuit_breaker: CircuitBreaker = Field(default=CircuitBreaker(), description="The circuit breaker of this proxy.")
    timeout_config: TimeoutConfig = Field(
        default=TimeoutConfig(), description="How long the parts of an exchange may take."
    )
    server_timing: bool = Field(
        default=_PROXY.server_timing,
        description="`true`: answers tell the caller where the time went, in a `Server-Timing` field, and "
        "after a chunked body in a trailer for callers that send `TE: trailers`.",
        examples=[True],
    )
    rewrite_location: bool = Field(
        default=_PROXY.rewrite_location,
        description="`true`: paths of the upstream in `Location`, `Content-Location` and the `Path` of cookies become "
        "those by which callers know them.",
        examples=[True],
    )
    cors: Cors = Field(default=Cors(), description="What the gateway's own responses tell browsers.")
    clear_text_proxy: bool = Field(
        default=_PROXY.clear_text_proxy,
        description="`true`: `headers` with a variable, a secret or a credential may travel to an `http://` upstream "
        "through the forward proxy that `http_proxy` of the environment names, which can read them. `false`: such "
        "requests get 502 `upstream_denied`.",
        examples=[True],
    )
    websocket: Annotated[
        Literal[False],
        only(False, "WebSocket does not exist yet; write false, and such requests get a clear 501"),
    ] = Field(default=False, description="Only `false` so far: a WebSocket upgrade gets 501.", examples=[False])

    @field_validator("queue", mode="after")
    @classmethod
    def _queue_behind_a_limit(cls, queue: Queue, info: ValidationInfo) -> Queue:
        if queue.max_waiting and not info.data.get("max_concurrent", 1):
            raise ValueError("a queue without a limit has no effect; set max_concurrent above 0, or remove the queue")
        return queue

    def record(self, env: Mapping[str, str], secrets: Mapping[str, str]) -> document.Proxy:
        headers = ((name, header.resolve(text, env, secrets)) for name, text in self.headers.items())
        return document.Proxy(
            name=self.name,
            path=self.path,
            upstream=self.upstream,
            hosts=self.hosts,
            strip_path=self.strip_path,
            preserve_host=self.preserve_host,
            access_rule=self.access_rule,
            headers=tuple(
                document.Header(name, parts, header.is_secret(name, self.headers[name])) for name, parts in headers
            ),
            active=self.active,
            max_concurrent=self.max_concurrent,
            limiter=document.Limiter(self.limiter.mode),
            queue=document.Queue(**self.queue.model_dump()),
            circuit_breaker=document.CircuitBreaker(**self.circuit_breaker.model_dump()),
            timeouts=document.Timeouts(**self.timeout_config.model_dump()),
            server_timing=self.server_timing,
            rewrite_location=self.rewrite_location,
            cors=document.Cors(self.cors.allow_origins, self.cors.expose_headers, self.cors.allow_credentials),
            clear_text_proxy=self.clear_text_proxy,
        )


def _one_or_many(schema: dict[str, Any]) -> None:
    """The schema of a list whose entries are texts too, and which one entry may stand for."""
    entry: list[object] = [{"type": "string"}, schema.pop("items")]
    many = {"type": schema.pop("type"), "minItems": 1, "items": {"anyOf": entry}}
    schema["anyOf"] = [*entry, many]


def _for_upstream(secrets: Mapping[str, str], bound: Mapping[str, Container[str]], upstream: str) -> Mapping[str, str]:
    """The secrets that may be sent to ``upstream``."""
    if not bound:
        return secrets
    there = values.origin(upstream)
    return {key: value for key, value in secrets.items() if key not in bound or there in bound[key]}


_DEFAULT_LISTENERS = tuple(Listener(address=f"{address.host}:{address.port}") for address in _DOCUMENT.listen)


class Settings(Section):
    """The configuration of the gateway. Times are seconds, sizes bytes."""

    listen: Annotated[tuple[Annotated[Listener, BeforeValidator(_as_listener)], ...], BeforeValidator(_listed)] = Field(
        default=_DEFAULT_LISTENERS,
        description="Where to accept connections: one address or a list of them.",
        json_schema_extra=_one_or_many,
        examples=[["127.0.0.1:8080", "[::1]:8080"]],
    )
    admin: Admin | None = Field(
        default=None,
        description="The control plane's own listener: REST API for superusers, health. It needs a "
        "`database`. `null`: none.",
    )
    database: Annotated[str, AfterValidator(values.database_url)] | None = Field(
        default=None,
        repr=False,
        validate_default=True,
        description="Where proxies, superusers, tokens and secrets are stored: `sqlite:///FILE` (relative to "
        "the working directory; `sqlite:////FILE` from the root) or "
        "`postgresql://USER@HOST/NAME`. `null`: the file is the whole configuration.",
        examples=["sqlite:///gateway.db"],
    )
    template_env: Annotated[tuple[Variable, ...], Field(strict=False)] = Field(
        default=(),
        validate_default=True,
        description="Names of the environment variables that header templates of the database's proxies may name as "
        "`{env.NAME}`. Proxies of the file may name every variable. No template may name `GATEWAY_*`. It needs a "
        "`database`.",
        examples=[["UPSTREAM_REGION"]],
    )
    worker_env: Annotated[tuple[Variable, ...], Field(strict=False)] = Field(
        default=(),
        validate_default=True,
        description="Names of further environment variables that worker processes keep. They start with `PATH`, "
        "`TZ`, `LANG`, `LC_*`, `PYTHON*`, `LD_*`, `MALLOC_*`, `SSL_CERT_*`, `*_proxy`, `*_PROXY`, `OTEL_*`, `NOTIFY_*` "
        "and `AIOHTTP_*` alone. Read at start. It needs a `database`: without one there is no worker process.",
        examples=[["GRPC_DNS_RESOLVER"]],
    )
    auth: Auth = Field(default=Auth(), description="How callers prove who they are.")
    workers: Annotated[
        Literal[1], only(1, "more than one worker process does not exist yet; write 1 or remove the key")
    ] = Field(default=1, description="Only `1` so far: one worker process.", examples=[1])
    tracing: Tracing | None = Field(
        default=None,
        description="Spans of sampled requests, over OTLP/HTTP; needs the `otel` extra: `pip install "
        "'breakwater-gateway[otel]'`. `null`: none.",
    )
    access_log: AccessLog | None = Field(default=AccessLog(), description="The access log; `null`: none.")
    trusted_proxies: Annotated[tuple[Network, ...], Field(strict=False)] = Field(
        default=_DOCUMENT.trusted_proxies,
        description="Addresses or networks (CIDR) whose `X-Forwarded-*` fields are believed.",
        examples=[["10.0.0.0/8", "192.0.2.7"]],
    )
    upstream_networks: UpstreamNetworks = Field(
        default=UpstreamNetworks(),
        description="Which addresses upstreams may have. A proxy with a denied address is refused when it is saved; "
        "a dial to one ends as 502 `upstream_denied`. It holds for the address that is dialled, so a forward proxy of "
        "the environment may be anywhere.",
    )
    via: Annotated[str, AfterValidator(values.pseudonym)] | None = Field(
        default=None,
        description="The name of this gateway in the header field `Via`. A request that has it already went in a "
        "circle, and gets 508 `loop_detected`. `null`: made of the machine, the path of this file and `listen`, so "
        "that it is unique, and stays over restarts. Read at start.",
        examples=["edge-1"],
    )
    drain_timeout: float = Field(
        default=_DOCUMENT.drain_timeout,
        ge=0,
        le=_DAY,
        description="Seconds to finish running requests on SIGTERM; what runs longer is cut.",
        examples=[60],
        json_schema_extra=_SECONDS,
    )
    limits: Limits = Field(default=Limits(), description="What a client may send, and in what time.")
    proxies: Annotated[tuple[Proxy, ...], Field(strict=False)] = Field(default=(), description="The proxies.")

    @field_validator("database", mode="after")
    @classmethod
    def _where_superusers_are(cls, database: str | None, info: ValidationInfo) -> str | None:
        if database is None and info.data.get("admin") is not None:
            raise ValueError("the admin listener needs a database for its superusers; set sqlite:///gateway.db")
        return database

    @field_validator("auth", mode="after")
    @classmethod
    def _one_place_for_keys(cls, auth: Auth, info: ValidationInfo) -> Auth:
        if auth.keys_file is not None and info.data.get("database") is not None:
            raise ValueError("the database keeps the keys of issuers, so keys_file has no effect; remove keys_file")
        return auth

    @field_validator("worker_env", mode="after")
    @classmethod
    def _workers_there(cls, names: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        if names and info.data.get("database", "") is None:
            raise ValueError("without a database there is no worker process, so this has no effect; remove this key")
        return names

    @field_validator("template_env", mode="after")
    @classmethod
    def _records_there(cls, names: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        if names and info.data.get("database", "") is None:
            raise ValueError("without a database there is no proxy that this is for; remove this key")
        return names

    def destinations(self, listen: Iterable[document.Address] | None = None) -> Destinations:
        """The addresses that upstreams may have. ``listen``: where the gateway listens instead of `listen`."""
        if listen is None:
            listen = (values.address(listener.address) for listener in self.listen)
        own = [*listen, *(() if self.admin is None else (values.address(self.admin.listen),))]
        networks = document.UpstreamNetworks(**self.upstream_networks.model_dump())
        return Destinations(networks, ((address.host, address.port) for address in own))

    def record(
        self,
        env: Mapping[str, str],
        secrets: Mapping[str, str],
        more: Iterable[Proxy] = (),
        bound: Mapping[str, Container[str]] = MappingProxyType({}),
    ) -> document.Document:
        """The snapshot document: the proxies of the file and ``more``, with variables and secrets put in.

        ``more`` are the proxies of the database: they read the variables in `template_env` alone. ``bound``: the
        origins of secrets that are bound to some; a proxy with another upstream does not get such a secret.
        """
        own, listed = header.readable(env), header.readable(env, self.template_env)
        return document.Document(
            listen=tuple(values.address(listener.address) for listener in self.listen),
            access_log=self.access_log.path if self.access_log else None,
            trusted_proxies=self.trusted_proxies,
            drain_timeout=self.drain_timeout,
            limits=limits.Limits(**self.limits.model_dump()),
            upstream_networks=document.UpstreamNetworks(**self.upstream_networks.model_dump()),
            own_listeners=() if self.admin is None else (values.address(self.admin.listen),),
            via=self.via or "",
            tracing=None if self.tracing is None else document.Tracing(**self.tracing.model_dump()),
            proxies=(
                *(proxy.record(own, _for_upstream(secrets, bound, proxy.upstream)) for proxy in self.proxies),
                *(proxy.record(listed, _for_upstream(secrets, bound, proxy.upstream)) for proxy in more),
            ),
        )

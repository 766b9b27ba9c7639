"""One proxy: a prefix, its upstream and its protections."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo, field_validator, model_validator

from gateway.config import header_template, records, values
from gateway.config.records import Mode
from gateway.config.schema.capacity import NO_CAPACITY, CapacityKey
from gateway.config.schema.endpoints import (
    NO_EJECTION,
    NO_HEALTH,
    BalanceKey,
    EjectionKey,
    HashLoadKey,
    HashOnKey,
    HealthKey,
    MoreEndpointsKey,
    PanicKey,
    SlowStartKey,
    distinct,
)
from gateway.config.schema.fallback import Fallback
from gateway.config.schema.form import choices, in_group, typed, widget
from gateway.config.schema.hedge import Hedge
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
    without_h2c,
)
from gateway.config.schema.queue import Priority, Queue, QueueKey
from gateway.config.schema.rate_limits import RateLimitsKey, RateWeightKey
from gateway.config.schema.records import record_of
from gateway.config.schema.retries import Retries
from gateway.config.schema.section import Section
from gateway.config.schema.types import DAY, HeaderName, HeaderValue, Host, Listed, Seconds, UpstreamNameOrUrl
from gateway.rules.parser import compile_rule

_CORS = records.Cors()
_PROXY = records.Route("-", "/", "-")
_STREAM = records.Stream()
_UPSTREAM = records.Upstream("-", ())
_CALLERS = choices(
    {
        "": "Superusers alone",
        "true": "Everybody",
        "@request.auth.id != ''": "Every authenticated caller",
        "false": "No one",
    },
    own="A rule of your own",
)


def _access_rule(text: str) -> str:
    if text.strip():
        compile_rule(text)
    return text.strip()


def _quoted_rule(value: object) -> object:
    if isinstance(value, bool):
        raise ValueError(f'must be text; put it in quotes: "{str(value).lower()}"')
    return value


AccessRule = Annotated[str, AfterValidator(_access_rule), BeforeValidator(_quoted_rule)]


class Cors(Section):
    """The CORS fields of the gateway's own responses, such as 401, 429 and 503, so that pages of other origins can read
    them. An upstream sets the fields of its own responses.
    """

    allow_origins: Listed[Annotated[str, AfterValidator(values.page_origin)]] = Field(
        default=_CORS.allow_origins, title="Pages that may read refusals", examples=[["https://app.example.org"]]
    )
    """Origins of the pages that may read them: `https://app.example.org`, without a path; `*` alone for all. Empty:
    none."""
    expose_headers: Listed[HeaderName] = Field(
        default=_CORS.expose_headers,
        title="Header fields that they may read",
        examples=[["X-Request-Id", "Retry-After"]],
    )
    """Header fields that the pages may read."""
    allow_credentials: bool = Field(
        default=_CORS.allow_credentials,
        validate_default=True,
        title="Also for requests with cookies",
        examples=[True],
    )
    """`true`: also for requests with cookies or other credentials. Not with the origin `*`."""

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


class Stream(Section):
    """Bounds for responses of server-sent events (`text/event-stream`). An event counts when it has data: comments,
    such as `: keepalive`, and events without data do not. An encoded response is not watched, and no time counts while
    the caller takes nothing.
    """

    first_event: Seconds = Field(
        default=_STREAM.first_event, ge=0, le=DAY, title="Wait for the first event", examples=[30]
    )
    """Seconds from the head of the response to its first event with data; then 504 `stream_stalled`, as a cut. 0: no
    limit."""
    event_gap: Seconds = Field(default=_STREAM.event_gap, ge=0, le=DAY, title="Between two events", examples=[20])
    """Seconds from one event with data to the next; then as `first_event`. 0: no limit."""
    on_stall: Literal["cut", "error_event"] = Field(
        default=_STREAM.on_stall, title="What the caller gets when a stream fails", examples=["error_event"]
    )
    """What the caller gets when the stream stalls or breaks: `cut`, or `error_event`: an event `error` with the reason,
    after which the stream ends. In the middle of an event it is cut in any case."""
    mode: Mode = Field(default="enforce", title="Mode of the bounds", examples=["shadow"])
    """`enforce`, or `shadow`: a stall is logged and counted, and the stream goes on."""


class Proxy(Section):
    """One proxy: a prefix, the upstream behind it and its protections."""

    refused: ClassVar = {"timeout": "there is no such key; write timeout_config: {total: SECONDS}"}

    name: Annotated[str, AfterValidator(values.proxy_name)] = Field(
        examples=["sidecar"],
        json_schema_extra=in_group("Basics")
        | typed("^[A-Za-z0-9_.-]{1,64}$", "Letters, digits, _ . and - only, 64 at most"),
    )
    """The name in logs and metrics: 1 to 64 letters, digits, `_`, `.` and `-`, but not `.` or `..`; unique."""
    path: Annotated[str, AfterValidator(values.route_path)] = Field(
        examples=["/-/ai"], json_schema_extra=in_group("Basics") | typed("^/", "Begin with a slash")
    )
    """Prefix to serve, at segment boundaries; the longest wins. At most 500 characters, without a query, `//`, `.` or
    `..`; a slash at the end is dropped. `/` serves all. `/api/gateway` and `/_`, with all below them, belong to the
    gateway."""
    hosts: Listed[Host] = Field(
        default=_PROXY.hosts, examples=[["example.org", "*.example.org"]], json_schema_extra=in_group("Basics")
    )
    """Hosts to serve: names, IP addresses, or `*.example.org` for all names below; without a port, any case. Empty:
    every host. No two proxies may have the same path for the same host."""
    upstream: UpstreamNameOrUrl = Field(
        examples=["http://127.0.0.1:9000/base"],
        json_schema_extra=in_group("Basics")
        | typed("^([Hh][Tt][Tt][Pp][Ss]?|[Hh]2[Cc])://[^/@]+", "Begin with http://, https:// or h2c://, then the host"),
    )
    """`http://`, `https://` or `h2c://` URL: host, optional port and base path; without a user, a query or a fragment.
    Or `connection/NAME`, or, in a file, the name of an entry of `upstreams`: then the keys of an upstream, such as
    `max_concurrent`, stand there and not here."""
    strip_path: bool = Field(
        default=_PROXY.strip_path,
        title="Remove the prefix before forwarding",
        examples=[False],
        json_schema_extra=in_group("Basics"),
    )
    """`true`: the prefix is removed from the forwarded path."""
    preserve_host: bool = Field(
        default=_PROXY.preserve_host,
        title="Forward the caller's Host",
        examples=[True],
        json_schema_extra=in_group("Basics"),
    )
    """`true`: the caller's Host is forwarded; `false`: the upstream's own."""
    access_rule: AccessRule = Field(
        default=_PROXY.access_rule,
        max_length=2000,
        title="Who may pass",
        examples=["@request.auth.role = 'admin'"],
        json_schema_extra=in_group("Basics") | _CALLERS,
    )
    """Which callers are admitted: "true" all, "false" none (403), "" superusers alone, else a rule. In a file it stands
    in quotes."""
    active: bool = Field(
        default=_PROXY.active, title="Switched on", examples=[False], json_schema_extra=in_group("Basics")
    )
    """`false`: the proxy is switched off and responds with 404."""
    endpoints: MoreEndpointsKey = ()
    balance: BalanceKey = _UPSTREAM.balance
    hash_on: HashOnKey = _UPSTREAM.hash_on
    hash_load: HashLoadKey = _UPSTREAM.hash_load
    health: HealthKey = NO_HEALTH
    ejection: EjectionKey = NO_EJECTION
    panic: PanicKey = _UPSTREAM.panic
    slow_start: SlowStartKey = _UPSTREAM.slow_start
    max_concurrent: MaxConcurrent = 0
    limiter: LimiterKey = Limiter()
    queue: QueueKey = Queue()
    capacity: CapacityKey = NO_CAPACITY
    rate_limits: RateLimitsKey = ()
    rate_weight: RateWeightKey = _PROXY.rate_weight
    priority: Priority = Field(default=Priority(), json_schema_extra=in_group("Limit and queue"))
    """Whose requests go first in the queue of the upstream."""
    circuit_breaker: CircuitBreakerKey = CircuitBreaker()
    timeout_config: TimeoutConfigKey = TimeoutConfig()
    tls: TlsKey = None
    http2: Http2Key = "auto"
    server_timing: bool = Field(
        default=_PROXY.server_timing,
        title="Show callers where the time went",
        examples=[True],
        json_schema_extra=in_group("Timeouts and timing"),
    )
    """`true`: responses show the caller where the time went, in a `Server-Timing` field, and after a chunked body in a
    trailer for callers that send `TE: trailers`."""
    rewrite_location: bool = Field(
        default=_PROXY.rewrite_location,
        title="Translate locations and cookies of the upstream for callers",
        examples=[True],
        json_schema_extra=in_group("Browsers"),
    )
    """`true`: paths of the upstream in `Location`, `Content-Location` and the `Path` of cookies become those by which
    callers know them."""
    cors: Cors = Field(default=Cors(), json_schema_extra=in_group("Browsers"))
    """The CORS fields of the gateway's own responses."""
    headers: dict[HeaderName, HeaderValue] = Field(
        default={},
        repr=False,
        examples=[{"Authorization": "Bearer {secret.KEY}"}],
        json_schema_extra=in_group("Login at the upstream, headers") | widget("headers"),
    )
    """Header fields set on each request: `{env.NAME}` is a variable of the environment, `{secret.NAME}` a secret of the
    database, `@request.auth.NAME` a claim of the authenticated caller. Empty: left out."""
    clear_text_proxy: bool = Field(
        default=_PROXY.clear_text_proxy,
        title="A forward proxy (http_proxy) may read the secrets in the headers",
        examples=[True],
        json_schema_extra=in_group("Login at the upstream, headers"),
    )
    """`true`: `headers` with a variable, a secret or a credential may travel to an `http://` upstream through the
    forward proxy that `http_proxy` of the environment names, which can read them. `false`: such requests get 502
    `upstream_denied`."""
    stream: Stream = Field(default=Stream(), json_schema_extra=in_group("Streams of events"))
    """How long a response of events may be without data."""
    retries: Retries = Field(default=Retries(), json_schema_extra=in_group("Retries"))
    """When a request that has failed is sent again."""
    hedge: Hedge = Field(default=Hedge(), json_schema_extra=in_group("Retries"))
    """When a request gets a second attempt beside the first one, which takes long."""
    fallback: Fallback | None = Field(
        default=None,
        examples=[{"on": ["connect", "breaker", "503"], "upstream": "http://127.0.0.1:9009"}],
        json_schema_extra=in_group("Fallback"),
    )
    """What serves a request that the upstream has failed, before anything of a response was sent: another upstream
    (`upstream`) or a fixed response (`response`), for what `on` lists. `null`: nothing."""
    ai: records.Ai = Field(
        default=_PROXY.ai,
        title="Format of its responses",
        examples=["openai"],
        json_schema_extra=in_group("Language models"),
    )
    """Whose format the responses of a language model have: `openai` (also vLLM, Ollama and others that imitate it),
    `anthropic`. The gateway then reads from them, as they pass, how many tokens were used, the model, and how fast it
    was: for the log, the metrics, and `rate_limits` with `unit: tokens`. `none`: nothing is read."""
    websocket: bool = Field(
        default=_PROXY.websocket, title="Relay WebSockets", examples=[True], json_schema_extra=in_group("WebSocket")
    )
    """`true`: a WebSocket is relayed to the upstream, and holds its place of `max_concurrent` until it closes; `false`:
    it gets 501."""
    tunnel_idle: Seconds = Field(
        default=_PROXY.tunnel_idle,
        title="Longest silence of a WebSocket",
        ge=0,
        le=DAY,
        examples=[3600],
        json_schema_extra=in_group("WebSocket") | {"x-unit": "seconds"},
    )
    """Seconds without a byte in either direction after which a WebSocket is cut. 0: no limit."""

    @model_validator(mode="before")
    @classmethod
    def _spell_out_h2c(cls, data: object) -> object:
        return without_h2c(data) if isinstance(data, dict) else data

    @model_validator(mode="after")
    def _tunnels_over_http_1_1(self) -> Self:
        if self.websocket and self.http2 == "always":
            raise ValueError("WebSockets go over HTTP/1.1, and http2: always excludes it; write auto or never")
        if self.websocket and self.fallback is not None and self.fallback.http2 == "always":
            raise ValueError("WebSockets go over HTTP/1.1, and the h2c:// of the fallback excludes it; write http://")
        return self

    @model_validator(mode="after")
    def _stalls_are_seen(self) -> Self:
        """Without the clock nothing ever stalls before its first event."""
        listed = [("retries", self.retries.on), ("fallback", () if self.fallback is None else self.fallback.on)]
        for key, on in listed:
            if "stall" in on and not self.stream.first_event:
                raise ValueError(f"{key}.on: stall needs stream.first_event, the seconds until the first event; set it")
        return self

    @model_validator(mode="after")
    def _tokens_are_read(self) -> Self:
        if self.ai == "none" and any(limit.unit == "tokens" for limit in self.rate_limits):
            raise ValueError("rate_limits with unit: tokens need ai, which reads them from responses; write ai: openai")
        return self

    @model_validator(mode="after")
    def _distinct_endpoints(self) -> Self:
        if self.endpoints and not self.names_upstream:
            distinct(self.endpoints, [self.upstream])
        return self

    @property
    def urls(self) -> list[str]:
        """Those of an upstream of its own."""
        return [self.upstream, *(endpoint.url for endpoint in self.endpoints)]

    @field_validator("fallback", mode="after")
    @classmethod
    def _elsewhere(cls, fallback: Fallback | None, info: ValidationInfo) -> Fallback | None:
        upstream = info.data.get("upstream", "")
        second = None if fallback is None else fallback.url or fallback.name or None
        own = [upstream, *(endpoint.url for endpoint in info.data.get("endpoints", ()))]
        if second is not None and upstream and any(values.same_upstream(second, url) for url in own):
            raise ValueError("leads to the upstream of the proxy itself; write another upstream, or a response")
        return fallback

    @property
    def names_upstream(self) -> bool:
        """``upstream`` is the name of one that stands below `upstreams`; else it is a URL of its own."""
        return values.is_upstream_name(self.upstream)

    def own_urls(self) -> list[str]:
        """The URLs that stand in it, of its upstream and of its fallback."""
        own = [] if self.names_upstream else self.urls
        return [*own, self.fallback.url] if self.fallback is not None and self.fallback.url else own

    def named_upstreams(self) -> set[str]:
        """The entries of `upstreams` that it names: as its upstream, and as its fallback."""
        own = {self.upstream} if self.names_upstream else set()
        return own | {self.fallback.name} if self.fallback is not None and self.fallback.name else own

    def route(self, upstream: str, env: Mapping[str, str], secrets: Mapping[str, str]) -> records.Route:
        """What it serves, with variables and secrets inserted. ``upstream``: the name of its upstream."""
        headers = tuple(
            records.Header(name, header_template.resolve(text, env, secrets), header_template.is_secret(name, text))
            for name, text in self.headers.items()
        )
        limits = tuple(limit.record() for limit in self.rate_limits)
        return record_of(
            records.Route,
            self,
            headers=headers,
            upstream=upstream,
            rate_limits=limits,
            fallback=None if self.fallback is None else self.fallback.record(self.name),
            own=False,
            answer_limit=0,
            connection="",
            credential=False,
            mcp=None,
            tokens=False,
        )

    def fallback_upstream(self) -> records.Upstream | None:
        """The upstream that is the URL of its fallback, when that has one: with the defaults of all protections."""
        if self.fallback is None or not self.fallback.url:
            return None
        endpoints = (records.Endpoint(self.fallback.url),)
        return records.Upstream(self.fallback.upstream_of(self.name), endpoints, http2=self.fallback.http2)

    def own_upstream(self, name: str) -> records.Upstream:
        """The upstream of its own, as ``name``, when it has a URL."""
        return record_of(
            records.Upstream,
            self,
            name=name,
            endpoints=(records.Endpoint(self.upstream), *(endpoint.record() for endpoint in self.endpoints)),
            rate_limits=(),  # those of a proxy count its requests, in its route
            timeouts=record_of(records.Timeouts, self.timeout_config),
            tls=records.UpstreamTls() if self.tls is None else self.tls.record(),
        )

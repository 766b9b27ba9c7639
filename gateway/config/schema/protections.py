"""The protections of an upstream: limiter, breaker, timeouts, and TLS. Queue and rate limits have modules of their own.

A proxy with a URL of its own has the same keys as an upstream, so each of them is a type here, with its meaning.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Final, Literal, Self, TypeGuard

from pydantic import AfterValidator, Field, ValidationInfo, field_validator, model_validator

from gateway.config import records
from gateway.config.records import BreakerScope, Http2, Mode
from gateway.config.schema.endpoints import BALANCE
from gateway.config.schema.form import in_group, widget
from gateway.config.schema.section import Section
from gateway.config.schema.types import DAY, Listed, Requests, Seconds, Status
from gateway.config.schema.upstream_tls import UpstreamTls

MOST_CALLERS: Final = 16
"""As many different callers as a breaker counts: `gateway.policy.window.CALLERS`."""
_ADAPTIVE, _BREAKER = records.Adaptive(), records.CircuitBreaker()
_TIMEOUTS = records.Timeouts()


class Adaptive(Section):
    """A limit that is found while the upstream is used: it grows while responses begin as soon as usual, and falls to
    what the upstream works on when they begin late.
    """

    initial: Requests = Field(default=_ADAPTIVE.initial, ge=1, le=10_000, examples=[4])
    """Most requests at a time, to begin with."""
    min: Requests = Field(default=_ADAPTIVE.min, ge=1, le=10_000, examples=[2])
    """The limit never falls below it."""
    max: Requests = Field(default=_ADAPTIVE.max, ge=1, le=10_000, validate_default=True, examples=[64])
    """The limit never grows above it."""
    signal: Literal["first_byte", "first_event"] = Field(default=_ADAPTIVE.signal, examples=["first_event"])
    """What tells that a response has begun: `first_byte`, or `first_event`: of a response of server-sent events the
    first data, of others the first byte. For an upstream that sends the head of its response before it begins to
    work."""

    @field_validator("max", mode="after")
    @classmethod
    def _in_order(cls, most: int, info: ValidationInfo) -> int:
        initial, least = info.data.get("initial", most), info.data.get("min", 1)
        if not least <= initial <= most:
            raise ValueError(f"min, initial and max must be in this order; they are {least}, {initial} and {most}")
        return most


class Limiter(Section):
    """How max_concurrent is applied."""

    mode: Mode = Field(default="enforce", title="Mode of the limit", examples=["shadow"])
    """`enforce`, or `shadow`: the limit and its queue count and log what they would refuse, and refuse nothing."""
    adaptive: Adaptive | None = Field(
        default=None, title="Find the limit", examples=[{"initial": 4, "min": 1, "max": 64}]
    )
    """`null`: the limit is `max_concurrent`. Else it is found between two bounds, and `max_concurrent` stays 0."""


class CircuitBreaker(Section):
    """Stops sending requests to an upstream that keeps failing: 503 at once until it may be tried again."""

    enabled: bool = Field(default=_BREAKER.enabled, title="The breaker watches the upstream", examples=[True])
    """`true`: the breaker watches the upstream."""
    failure_threshold: int = Field(
        default=_BREAKER.failure_threshold, ge=0, le=100, title="Failures in a row that open it", examples=[3]
    )
    """Failures in a row that open the breaker. 0: any number of them does not."""
    failure_rate: float = Field(
        default=_BREAKER.failure_rate, ge=0, le=1, title="Share of failures that opens it", examples=[0.5]
    )
    """Share of the attempts in `window` that have to fail to open the breaker, from 0 to 1. 0: no share does."""
    slow_rate: float = Field(
        default=_BREAKER.slow_rate, ge=0, le=1, title="Share of slow calls that opens it", examples=[0.8]
    )
    """Share of the attempts in `window` that have to be slow to open the breaker, from 0 to 1. Needs `slow_call`. 0: no
    share does."""
    slow_call: Seconds = Field(
        default=_BREAKER.slow_call, ge=0, le=3600, validate_default=True, title="A call is slow above", examples=[5]
    )
    """Seconds from the end of the request to the first byte of the response above which a call is slow. How long the
    whole response takes does not matter. Needs `slow_rate`. 0: no call is slow."""
    window: Seconds = Field(default=_BREAKER.window, ge=1, le=3600, title="Shares are those of the last", examples=[10])
    """Seconds whose attempts `failure_rate` and `slow_rate` are shares of. The oldest tenth of them leaves at once."""
    minimum_requests: Requests = Field(
        default=_BREAKER.minimum_requests, ge=1, le=100_000, title="Least attempts in that time", examples=[50]
    )
    """Attempts that `window` has to hold before `failure_rate` and `slow_rate` open the breaker."""
    failure_statuses: Listed[Status] = Field(
        default=_BREAKER.failure_statuses, title="Statuses that are failures", examples=[["500-599", "429"]]
    )
    """Statuses that are failures: single ones, and ranges such as `500-599`. All others are successes. A call of gRPC
    is judged by its own status, and a response that never comes or breaks off is always a failure."""
    distinct_callers: int = Field(
        default=_BREAKER.distinct_callers, ge=0, le=MOST_CALLERS, title="Callers that it takes to open it", examples=[3]
    )
    """How many different callers the failures, or the slow calls, have to be of to open the breaker, so that one whose
    requests always fail does not open it for all. A caller is a principal, else a client address (of IPv6 its /64
    network). 0: one is enough."""
    recovery_timeout: Seconds = Field(
        default=_BREAKER.recovery_timeout, gt=0, le=3600, title="Refuses for", examples=[10]
    )
    """Seconds that an open breaker refuses before a trial."""
    half_open_requests: Requests = Field(
        default=_BREAKER.half_open_requests, ge=1, le=10, title="Probes at a time", examples=[2]
    )
    """Requests that may try the upstream at the same time."""
    mode: Mode = Field(default="enforce", title="Mode of the breaker", examples=["shadow"])
    """`enforce`, or `shadow`: the breaker follows the upstream and counts what it would refuse, and refuses nothing."""
    scope: BreakerScope = Field(default=_BREAKER.scope, title="It judges", examples=["both"])
    """`endpoint`: each endpoint has a breaker, and one that is open passes its endpoint over. `upstream`: one breaker
    judges the attempts at all endpoints together, and rejects requests while it is open. `both`: the endpoints have
    theirs, and the upstream has one with the same settings. With a single endpoint the three are the same."""

    @field_validator("slow_call", mode="after")
    @classmethod
    def _both_or_neither(cls, slow_call: float, info: ValidationInfo) -> float:
        if (slow_call > 0) != (info.data.get("slow_rate", slow_call) > 0):
            raise ValueError("slow calls need slow_rate and slow_call; set both above 0, or both to 0 to ignore them")
        return slow_call

    @model_validator(mode="after")
    def _some_rule(self) -> Self:
        if self.enabled and not (self.failure_threshold or self.failure_rate or self.slow_rate):
            raise ValueError("nothing opens this breaker; set failure_threshold, failure_rate or slow_rate above 0")
        return self


class TimeoutConfig(Section):
    """Time limits of an exchange with the upstream."""

    dial: Seconds = Field(default=_TIMEOUTS.dial, gt=0, le=3600, title="Connect", examples=[1])
    """Seconds to connect; then 504."""
    tls_handshake: Seconds = Field(default=_TIMEOUTS.tls_handshake, ge=0, le=DAY, title="TLS handshake", examples=[3])
    """Seconds for the TLS handshake; then 504. 0: no limit."""
    response_header: Seconds = Field(
        default=_TIMEOUTS.response_header, ge=0, le=DAY, title="Start of the response", examples=[120]
    )
    """Seconds from the end of the request to the head of the response; then 504. 0: no limit."""
    body_idle: Seconds = Field(
        default=_TIMEOUTS.body_idle, ge=0, le=DAY, title="Silence within the response", examples=[60]
    )
    """Seconds without a byte of the response's body; then the response is cut. 0: no limit."""
    idle: Seconds = Field(default=_TIMEOUTS.idle, ge=0, le=DAY, title="Keep unused connections", examples=[30])
    """Seconds that an unused connection to the upstream is kept. 0: no limit."""
    max_age: Seconds = Field(default=_TIMEOUTS.max_age, ge=0, le=DAY, title="Use a connection for", examples=[600])
    """Seconds after which a connection to the upstream is used for no further request, so that traffic follows what
    stands behind an address that stays the same. Connections opened together get 90 to 100 % of it, and no exchange is
    cut. 0: no limit."""
    total: Seconds = Field(default=_TIMEOUTS.total, ge=0, le=DAY, title="The whole exchange", examples=[600])
    """Seconds for the whole exchange, its streams too. 0: no limit."""


def _one_limit(limiter: Limiter, info: ValidationInfo) -> Limiter:
    if limiter.adaptive is not None and info.data.get("max_concurrent"):
        raise ValueError("max_concurrent and limiter.adaptive exclude each other; write its bound as adaptive.max")
    return limiter


def _on_https(tls: UpstreamTls | None, info: ValidationInfo) -> UpstreamTls | None:
    own = info.data.get("upstream", "")
    urls = [url for url in (own, *(endpoint.url for endpoint in info.data.get("endpoints", ()))) if url]
    plain = [url for url in urls if url.lower().startswith("http://")]
    if tls is None or not plain:
        return tls
    if len(plain) < len(urls):
        raise ValueError(
            f"is for all endpoints of the upstream, and {plain[0]} is http://; write https:// for each endpoint, or "
            "make two upstreams"
        )
    raise ValueError("has no effect on an http:// URL; write https://, or remove this key")


PROTECTIONS = ("max_concurrent", "limiter", "queue", "circuit_breaker", "timeout_config", "tls", "http2", *BALANCE)
"""Keys of an upstream, which a proxy has only when its upstream is a URL of its own."""

_H2C = "h2c://"
"""The scheme of a URL that is short for ``http://`` with `http2: always`."""


def without_h2c(settings: Mapping[str, object]) -> Mapping[str, object]:
    """``settings``, those of an upstream, with the schemes that are spoken, and the ``http2`` that the URLs stand for.

    `auto` leaves the choice to the URLs: forms send it for every upstream. Raises ValueError when they disagree: one
    upstream has one ``http2``, and an endpoint of HTTP/1.1 would not understand a word.
    """
    endpoints = settings.get("endpoints", ())
    listed = [each for each in endpoints if isinstance(each, dict)] if isinstance(endpoints, list | tuple) else []
    urls = [url for url in (settings.get("upstream"), *(each.get("url") for each in listed)) if isinstance(url, str)]
    mode = settings.get("http2", "auto")
    if mode not in ("auto", "always") or not any(is_h2c(url) for url in urls):
        return settings
    others = [url for url in urls if not is_h2c(url)]
    if others and mode == "auto":
        raise ValueError(
            f"h2c:// is HTTP/2 to all endpoints, and {others[0]} is none; write h2c:// for each, or http2: always"
        )
    spelled: dict[str, object] = {"http2": "always"}
    if is_h2c(url := settings.get("upstream")):
        spelled["upstream"] = spoken(url)
    if listed:
        assert isinstance(endpoints, list | tuple)
        spelled["endpoints"] = [
            each | {"url": spoken(each["url"])} if isinstance(each, dict) and is_h2c(each.get("url")) else each
            for each in endpoints
        ]
    return {**settings, **spelled}


def is_h2c(url: object) -> TypeGuard[str]:
    """Whether it is a URL with that scheme."""
    return isinstance(url, str) and url[: len(_H2C)].lower() == _H2C


def spoken(url: str) -> str:
    """``url`` with the scheme that is spoken."""
    return f"http://{url[len(_H2C) :]}" if is_h2c(url) else url


MaxConcurrent = Annotated[
    Requests,
    Field(
        ge=0,
        le=10_000,
        title="Most requests at a time",
        examples=[5],
        json_schema_extra=in_group("Limit and queue"),
        description="Most requests at a time, their bodies included; then 429 or the queue. 0: no limit.",
    ),
]
LimiterKey = Annotated[
    Limiter,
    Field(description="How max_concurrent is applied.", json_schema_extra=in_group("Limit and queue")),
    AfterValidator(_one_limit),
]
CircuitBreakerKey = Annotated[
    CircuitBreaker, Field(description="The circuit breaker.", json_schema_extra=in_group("Circuit breaker"))
]
TimeoutConfigKey = Annotated[
    TimeoutConfig,
    Field(description="How long the parts of an exchange may take.", json_schema_extra=in_group("Timeouts and timing")),
]
TlsKey = Annotated[
    UpstreamTls | None,
    Field(
        description="TLS with an `https://` upstream. `null`: its certificate is verified with the authorities of the "
        "system, and the gateway shows none. In the file alone: it names files of the gateway's machine.",
        json_schema_extra=widget("none"),
    ),
    AfterValidator(_on_https),
]
Http2Key = Annotated[
    Http2,
    Field(
        examples=["never"],
        title="HTTP/2 to the upstream",
        description="Whether HTTP/2 is spoken to the upstream: `auto` where an `https://` upstream chooses it in its "
        "TLS handshake (ALPN), and no proxy relays WebSockets to it; `always`, without asking, so also to an `http://` "
        "upstream; `never`. A URL that begins with `h2c://` is short for `http://` with `always`.",
        json_schema_extra=in_group("Timeouts and timing"),
    ),
]

"""The endpoints of an upstream: where they are, how one is chosen, and what keeps requests from one."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, TypeVar

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo, field_validator

from gateway.config import records, values
from gateway.config.records import Balance, Mode
from gateway.config.schema.form import in_group, widget
from gateway.config.schema.section import Section
from gateway.config.schema.types import DAY, Listed, Requests, Seconds, Status, UpstreamUrl

_ENDPOINT = records.Endpoint("-")
_HEALTH, _EJECTION = records.HealthCheck(), records.Ejection()


class Endpoint(Section):
    """One address of an upstream."""

    url: UpstreamUrl = Field(examples=["http://127.0.0.1:9000/base"])
    """`http://` or `https://` URL: host, optional port and base path; without a user, a query or a fragment. No two
    endpoints of an upstream have the same scheme, host and port."""
    weight: int = Field(default=_ENDPOINT.weight, ge=1, le=1000, examples=[3])
    """Its share of the requests, beside the weights of the other endpoints."""
    drain: bool = Field(default=_ENDPOINT.drain, examples=[True])
    """`true`: it gets no new requests; those that run end as they would."""
    expand_dns: bool = Field(default=_ENDPOINT.expand_dns, examples=[True])
    """`true`: each address that the name in `url` has is an endpoint, with this weight."""
    dns_interval: Seconds = Field(default=_ENDPOINT.dns_interval, ge=1, le=DAY, examples=[10])
    """With `expand_dns`: the most seconds from one resolution of the name to the next. An answer that is valid for a
    shorter time is followed."""

    @field_validator("expand_dns", mode="after")
    @classmethod
    def _of_a_name(cls, expands: bool, info: ValidationInfo) -> bool:
        if expands and values.is_address(info.data.get("url", "")):
            raise ValueError("the URL has an address, and only a name has several; write a name, or remove this key")
        return expands

    def record(self) -> records.Endpoint:
        return records.Endpoint(self.url, self.weight, self.drain, self.expand_dns, self.dns_interval)


class Health(Section):
    """Active checks: each worker requests `path` of each endpoint. One that fails gets no requests until it is well."""

    enabled: bool = Field(default=True, title="The endpoints are checked", examples=[True])
    """`true`: the endpoints are checked. It is the default of a section that is written."""
    path: Annotated[str, AfterValidator(values.check_path)] = Field(
        default=_HEALTH.path, title="What a check requests", examples=["/healthz"]
    )
    """What is requested by GET, behind the base path of the endpoint; it may have a query."""
    interval: Seconds = Field(default=_HEALTH.interval, ge=0.1, le=DAY, title="From check to check", examples=[5])
    """Seconds from the begin of one check of an endpoint to the next; a check never begins before the last one has
    ended."""
    jitter: float = Field(default=_HEALTH.jitter, ge=0, le=1, title="Spread of the interval", examples=[0.2])
    """Share of `interval` by which each one is shorter or longer at random, so that gateways do not check together."""
    timeout: Seconds = Field(default=_HEALTH.timeout, gt=0, le=3600, title="Longest check", examples=[2])
    """Seconds that a check may take, its connection included; then it has failed."""
    healthy_after: int = Field(
        default=_HEALTH.healthy_after, ge=1, le=100, title="Good checks that bring it back", examples=[3]
    )
    """Checks in a row that have to succeed before an endpoint that was down gets requests again."""
    unhealthy_after: int = Field(
        default=_HEALTH.unhealthy_after, ge=1, le=100, title="Failed checks that take it down", examples=[2]
    )
    """Checks in a row that have to fail before an endpoint gets no more requests. The first check decides alone."""
    expect_status: Annotated[Listed[Status], Field(min_length=1)] = Field(
        default=_HEALTH.expect_status, title="Statuses of a good check", examples=[["200", "204"]]
    )
    """Statuses of a good response: single ones, and ranges such as `200-299`."""
    expect_body: str = Field(
        default=_HEALTH.expect_body, max_length=1000, title="Text of a good check", examples=["ready"]
    )
    """Text that the first 64 KiB of a good response contain. Empty: any."""
    mode: Mode = Field(default="enforce", title="Mode of the checks", examples=["shadow"])
    """`enforce`, or `shadow`: endpoints that fail are counted, logged and shown, and get their requests."""


class Ejection(Section):
    """An endpoint whose requests fail gets none for a time, which grows from one time to the next."""

    enabled: bool = Field(default=True, title="Failing endpoints are ejected", examples=[True])
    """`true`: an endpoint that fails is ejected. It is the default of a section that is written."""
    consecutive_failures: int = Field(
        default=_EJECTION.consecutive_failures, ge=0, le=1000, title="Failures that eject it", examples=[3]
    )
    """Failures in a row that eject an endpoint. 0: this rule is off."""
    failure_rate: float = Field(
        default=_EJECTION.failure_rate, ge=0, le=1, title="Share of failures", validate_default=True, examples=[0.5]
    )
    """Share of the requests of `window` whose failure ejects an endpoint, once there are `minimum_requests`. 0: this
    rule is off."""
    window: Seconds = Field(default=_EJECTION.window, ge=1, le=3600, title="Time of the share", examples=[10])
    """Seconds that `failure_rate` looks back."""
    minimum_requests: Requests = Field(
        default=_EJECTION.minimum_requests, ge=1, le=100_000, title="Requests that a share needs", examples=[50]
    )
    """Requests of one endpoint in `window` without which `failure_rate` says nothing."""
    base_time: Seconds = Field(default=_EJECTION.base_time, ge=0.1, le=DAY, title="First ejection", examples=[10])
    """Seconds of the first ejection; the second in short order takes twice as long, the third three times."""
    max_time: Seconds = Field(
        default=_EJECTION.max_time, ge=0.1, le=DAY, title="Longest ejection", validate_default=True, examples=[120]
    )
    """Longest ejection in seconds."""
    max_share: float = Field(
        default=_EJECTION.max_share, gt=0, le=1, title="Most endpoints that are ejected", examples=[0.3]
    )
    """Share of the endpoints that may be ejected at a time; of several endpoints one always may."""
    mode: Mode = Field(default="enforce", title="Mode of the ejection", examples=["shadow"])
    """`enforce`, or `shadow`: ejections are counted and logged, and the endpoints get their requests."""

    @field_validator("failure_rate", mode="after")
    @classmethod
    def _one_rule_at_least(cls, rate: float, info: ValidationInfo) -> float:
        if not rate and info.data.get("consecutive_failures") == 0:
            raise ValueError("nothing ejects an endpoint; set failure_rate or consecutive_failures above 0")
        return rate

    @field_validator("max_time", mode="after")
    @classmethod
    def _longest_last(cls, longest: float, info: ValidationInfo) -> float:
        if longest < info.data.get("base_time", 0.0):
            raise ValueError("must not be below base_time; write a longer one, or a shorter base_time")
        return longest


S = TypeVar("S", Endpoint, records.Endpoint)


def distinct(endpoints: tuple[S, ...], more: Iterable[str] = ()) -> tuple[S, ...]:
    """``endpoints``; raises ValueError when two have one origin. ``more``: URLs that they must not repeat either."""
    seen = [values.origin(url) for url in more]
    for endpoint in endpoints:
        origin = values.origin(endpoint.url)
        if origin in seen:
            raise ValueError(f"two of them have the scheme, host and port of {origin}; remove one, and use weight")
        seen.append(origin)
    return endpoints


def _some(endpoints: tuple[Endpoint, ...]) -> tuple[Endpoint, ...]:
    if not endpoints:
        raise ValueError("must hold one endpoint at least")
    return endpoints


def _off(value: object) -> object:
    """``null`` is a section that is switched off."""
    return {"enabled": False} if value is None else value


def _with_a_ring(hash_on: str, info: ValidationInfo) -> str:
    if (info.data.get("balance") == "ring_hash") == bool(hash_on):
        return hash_on
    if hash_on:
        raise ValueError("has an effect with balance: ring_hash alone; write that, or remove this key")
    raise ValueError("balance: ring_hash needs it; write client, header:NAME or cookie:NAME")


Endpoints = Annotated[Listed[Endpoint], AfterValidator(_some), AfterValidator(distinct)]
BALANCE = ("balance", "hash_on", "hash_load", "health", "ejection", "panic", "slow_start", "capacity")
"""Keys that say how one of several endpoints is chosen."""

_GROUP = in_group("Endpoints")
BalanceKey = Annotated[
    Balance,
    Field(
        title="How an endpoint is chosen",
        examples=["round_robin"],
        description="How one of several endpoints is chosen: `least_request`, of two at random the one with fewer "
        "requests; `round_robin`, in turn; `random`; `ring_hash`, by `hash_on`, so that equal requests go to the same "
        "one. All of them follow the weights.",
        json_schema_extra=_GROUP,
    ),
]
HashOnKey = Annotated[
    str,
    AfterValidator(values.hash_on),
    AfterValidator(_with_a_ring),
    Field(
        validate_default=True,
        title="What ring_hash looks at",
        examples=["header:X-Session"],
        description="With `balance: ring_hash`: `client`, the caller's address; `header:NAME` or `cookie:NAME`, the "
        "value of a header field or a cookie. A request without it goes to the endpoint with the fewest requests.",
        json_schema_extra=_GROUP,
    ),
    BeforeValidator(lambda value: "" if value is None else value),
]
HashLoadKey = Annotated[
    float,
    Field(
        ge=0,
        le=100,
        title="Most of its share that an endpoint gets by hash",
        examples=[1.5],
        description="With `balance: ring_hash`: how many times its share of the running requests an endpoint may have "
        "before those of its keys go to the next one. 0: any number; otherwise above 1.",
        json_schema_extra=_GROUP,
    ),
    AfterValidator(values.above_one),
]
HealthKey = Annotated[
    Health,
    BeforeValidator(_off),
    Field(description="Active checks of the endpoints.", json_schema_extra=in_group("Health checks")),
]
EjectionKey = Annotated[
    Ejection,
    BeforeValidator(_off),
    Field(description="When an endpoint that fails gets no requests.", json_schema_extra=in_group("Ejection")),
]
PanicKey = Annotated[
    float,
    Field(
        ge=0,
        le=1,
        title="Share of usable endpoints below which all are used",
        examples=[0.3],
        description="Share of endpoints that are neither down nor ejected; below it all are used, because the few that "
        "are left would not bear the load. 0: never; without a usable one, requests then get 503 "
        "`no_healthy_endpoint`.",
        json_schema_extra=_GROUP,
    ),
]
SlowStartKey = Annotated[
    Seconds,
    Field(
        ge=0,
        le=3600,
        title="Slow start",
        examples=[30],
        description="Seconds in which the weight of an endpoint that comes back, or is new, grows from a tenth to all "
        "of it. 0: at once.",
        json_schema_extra=_GROUP,
    ),
]
MoreEndpointsKey = Annotated[
    Listed[Endpoint],
    AfterValidator(distinct),
    Field(
        examples=[[{"url": "http://127.0.0.1:9001"}]],
        description="More endpoints, besides the URL in `upstream`.",
        json_schema_extra=widget("none"),
    ),
]
NO_HEALTH, NO_EJECTION = Health(enabled=False), Ejection(enabled=False)

"""Rate limits: how many requests may come in a time."""

from __future__ import annotations

import re
from typing import Annotated, Literal, TypeVar

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo

from gateway.config import records
from gateway.config.records import Mode
from gateway.config.schema.form import in_group
from gateway.config.schema.records import record_of
from gateway.config.schema.section import Section
from gateway.config.schema.types import DAY, Listed, Requests, Seconds

_RATE = records.RateLimit("-", 1.0)
_HEADER_KEY = r"header:[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,64}"  # RFC 9110 5.6.2


def _rate_key(text: str) -> str:
    if re.fullmatch(_HEADER_KEY, text):
        return text.lower()
    if text not in ("all", "client", "principal"):
        raise ValueError(
            "must be all, client, principal or header:NAME with the name of a header field; write one of them"
        )
    return text


def _available(value: object, info: ValidationInfo) -> object:
    """Raises ValueError for what the list of values of a later version has already."""
    if value == "fleet":
        raise ValueError(f"{value} is not available yet; remove {info.field_name}, or write its default")
    return value


def _one_for_all(text: str) -> str:
    if text != "all":
        raise ValueError(
            "must be all: a call of an action has no caller, so that all have one bucket; limit callers by rate_limits "
            "of a proxy"
        )
    return text


class _Buckets(Section):
    """What all rate limits have in common."""

    key: str
    rate: float = Field(gt=0, le=1_000_000, examples=[10])
    """Tokens that come in `per` seconds."""
    per: Seconds = Field(default=_RATE.per, gt=0, le=DAY * 31, examples=[60])
    """Seconds in which `rate` tokens come. They come one by one, not all at the end."""
    burst: Requests = Field(default=_RATE.burst, ge=0, le=1_000_000, examples=[20])
    """Most tokens in a bucket, so the requests that may come at once. 0: as many as `rate`, rounded up."""
    name: str = Field(default=_RATE.name, pattern=r"^([A-Za-z0-9_.-]{1,32})?$", examples=["per-minute"])
    """The name in responses and explanations, by which the buckets are known again after a reload: up to 32 letters,
    digits, `_`, `.` and `-`; no two of a list have the same. Empty: the key."""
    scope: Annotated[Literal["machine"], BeforeValidator(_available)] = Field(default=_RATE.scope, examples=["machine"])
    """Who shares the buckets: all workers of this machine."""
    mode: Mode = Field(default="enforce", examples=["shadow"])
    """`enforce`, or `shadow`: what the limit would refuse is counted and logged, and is served."""


class RateLimit(_Buckets):
    """Token buckets: each key has a bucket of its own, which begins full. A request takes `rate_weight` tokens, or gets
    429 `rate_limit` when there are not so many.
    """

    key: Annotated[str, AfterValidator(_rate_key)] = Field(examples=["client"])
    """What has a bucket of its own: `all`: the proxy as a whole; `client`: the caller's address, of IPv6 its /64
    network; `principal`: the authenticated caller, else the address; `header:NAME`: the value of a header field, all
    requests without it together."""
    shared: bool = Field(default=_RATE.shared, examples=[True])
    """`true`: the buckets are those of all proxies that have a shared limit with this name, key and unit. Write the
    same numbers in all of them."""
    max_keys: Annotated[int, Field(json_schema_extra={"x-unit": "keys"})] = Field(
        default=_RATE.max_keys, ge=1, le=1_000_000, examples=[10_000]
    )
    """Keys that have a bucket at the same time. When more come, the fullest buckets are forgotten first. With another
    number all buckets begin full."""
    unit: Literal["requests", "tokens"] = Field(default=_RATE.unit, examples=["tokens"])
    """What is counted: `requests`, or the `tokens` of language models that responses report, of prompt and result
    together (the proxy needs `ai`). They are known when a response has ended and are taken then, `rate_weight` times
    each, so a bucket may owe tokens: a request is admitted while one is there."""
    fields: Literal["auto", "always", "never"] = Field(default=_RATE.fields, examples=["never"])
    """Whether responses say what is left, in the fields `RateLimit` and `RateLimit-Policy`. `auto`: unless the key is
    `all`, because there it would tell each caller how many others come."""

    def record(self) -> records.RateLimit:
        return record_of(records.RateLimit, self)


class UpstreamRateLimit(_Buckets):
    """A token bucket, which begins full. Each attempt that goes to the upstream takes a token, or ends with 429
    `rate_limit` when there is none.
    """

    key: Annotated[str, AfterValidator(_one_for_all)] = Field(
        default="all", examples=["all"], json_schema_extra={"const": "all"}
    )
    """`all`: there is one bucket, for all that goes there."""

    def record(self) -> records.RateLimit:
        return records.RateLimit(
            self.key, self.rate, self.per, self.burst, self.name, scope=self.scope, fields="never", mode=self.mode
        )


_B = TypeVar("_B", bound=_Buckets)


def _each_with_a_name(limits: tuple[_B, ...]) -> tuple[_B, ...]:
    names = [limit.name or limit.key for limit in limits]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ValueError(f"two limits have the name {twice}; give each a name of its own")
    return limits


def _within_each_burst(weight: int, info: ValidationInfo) -> int:
    for limit in info.data.get("rate_limits", ()):
        most = limit.record().tokens
        if limit.unit == "requests" and weight > most:
            raise ValueError(
                f"no request would ever be admitted: it takes {weight} tokens, and a bucket of the limit "
                f"{limit.record().shown_name} holds {most}"
            )
    return weight


RateLimitsKey = Annotated[
    Listed[RateLimit],
    Field(
        max_length=8,
        title="Rate limits",
        examples=[[{"key": "client", "rate": 10, "burst": 20}]],
        description="How many requests may come in a time. A request must be admitted by all limits of the list, and "
        "one that a limit rejects takes nothing from the others. Empty: no limit.",
        json_schema_extra=in_group("Rate limits"),
    ),
    AfterValidator(_each_with_a_name),
]
RateWeightKey = Annotated[
    int,
    Field(
        ge=1,
        le=1_000_000,
        validate_default=True,
        title="Tokens that a request takes",
        examples=[5],
        description="Tokens that a request of this proxy takes from each of `rate_limits`; from those with `unit: "
        "tokens`, what each token of a response takes.",
        json_schema_extra=in_group("Rate limits") | {"x-unit": "tokens"},
    ),
    AfterValidator(_within_each_burst),
]
UpstreamRateLimitsKey = Annotated[
    Listed[UpstreamRateLimit],
    Field(
        max_length=8,
        title="Rate limits",
        examples=[[{"rate": 100, "per": 60}]],
        description="How many attempts may go there in a time, of all proxies and actions together: retries, hedges "
        "and pages are attempts too. An attempt must be admitted by all limits of the list, and one that a limit "
        "rejects takes nothing from the others. Empty: no limit.",
        json_schema_extra=in_group("Rate limits"),
    ),
    AfterValidator(_each_with_a_name),
]

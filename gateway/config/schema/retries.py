"""When a request that has failed is sent again."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo, field_validator

from gateway.config import records
from gateway.config.records import Mode
from gateway.config.schema.section import Section
from gateway.config.schema.types import DAY, Bytes, Listed, Requests, Seconds

_RETRIES, _BACKOFF = records.Retries(), records.Backoff()
_FAILURES = ("connect", "reset", "timeout", "stall", "refused_stream")
_LEAST_STATUS, _MOST_STATUS = 400, 599


def _quoted_status(value: object) -> object:
    if isinstance(value, int):
        raise ValueError(f'must be text; put it in quotes: "{value}"')
    return value


def _failure(word: str) -> str:
    if word in _FAILURES:
        return word
    if not (word.isascii() and word.isdigit() and len(word) == 3 and _LEAST_STATUS <= int(word) <= _MOST_STATUS):
        raise ValueError('write connect, reset, timeout, stall, refused_stream, or a status from "400" to "599"')
    return word


class Backoff(Section):
    """The pause before a retry. Retry n waits for a random time of up to (2^n - 1) times `base`, and never longer than
    `max`.
    """

    base: Seconds = Field(default=_BACKOFF.base, ge=0, le=60, title="Pause before the first retry", examples=[0.1])
    """Longest pause before the first retry, in seconds. 0: there is none."""
    max: Seconds = Field(default=_BACKOFF.max, ge=0, le=60, title="Longest pause", examples=[1])
    """Longest pause before any retry, in seconds."""


class Retries(Section):
    """When a request that has failed is sent to the upstream again. On when `attempts` is above 1 and `on` names
    failures. It is never sent again when the caller has a part of a response, has left, or would get it past
    `timeout_config.total`. A request that met a connection which the upstream was just closing is sent again without
    this.
    """

    attempts: int = Field(default=_RETRIES.attempts, ge=1, le=10, title="Attempts in all", examples=[3])
    """Attempts at most, the first one included. 1: no retries."""
    on: Listed[Annotated[str, AfterValidator(_failure), BeforeValidator(_quoted_status)]] = Field(
        default=_RETRIES.on, validate_default=True, title="Failures", examples=[["connect", "reset", "503"]]
    )
    """Failures after which it is sent again: `connect` (no connection could be opened, or not in time), `reset` (closed
    before a response, or no HTTP), `timeout` (no response in time), `stall` (no event of a stream in the time of
    `stream.first_event`; callers then get the head of a stream with its first event), `refused_stream` (HTTP/2: the
    upstream has not begun with it), and statuses, as in `"503"`."""
    budget: float = Field(default=_RETRIES.budget, gt=0, le=1, title="Share of the requests", examples=[0.1])
    """Retries for each first attempt, of all proxies with this upstream: 0.2 means that at most one request of five is
    sent again when all fail."""
    burst: Requests = Field(default=_RETRIES.burst, ge=1, le=1000, title="Retries at once", examples=[5])
    """Retries that few failures may have at once, beyond the share. Workers have equal parts of it, one retry each at
    least."""
    per_try_timeout: Seconds = Field(
        default=_RETRIES.per_try_timeout, ge=0, le=DAY, title="Time for one attempt", examples=[5]
    )
    """Seconds from the beginning of an attempt to the head of its response; where a body is uploaded, from its end.
    Then 504 `header_timeout` or `dial_timeout`, which is a `timeout` or a `connect` here. 0: those of `timeout_config`
    alone."""
    backoff: Backoff = Backoff()
    """The pause before a retry."""
    methods: Literal["idempotent", "all"] = Field(
        default=_RETRIES.methods, title="Requests that may be sent twice", examples=["all"]
    )
    """`idempotent`: GET, HEAD, OPTIONS, TRACE, PUT and DELETE, and requests with an `Idempotency-Key`; others only
    where the upstream has done nothing with them: after `connect` and `refused_stream`. `all`: POST and PATCH too, so
    that the upstream may do the same work twice."""
    respect_retry_after: bool = Field(
        default=_RETRIES.respect_retry_after, title="Wait for as long as the upstream asks for", examples=[False]
    )
    """`true`: a retry waits for the time in Retry-After of the response. When that is longer than `max_retry_after`,
    the caller gets the response."""
    max_retry_after: Seconds = Field(
        default=_RETRIES.max_retry_after, ge=0, le=300, title="Longest time that the upstream may ask for", examples=[5]
    )
    """Seconds of Retry-After that a retry waits at most. The request keeps its place of `max_concurrent` all the
    while."""
    replay_buffer: Bytes = Field(
        default=_RETRIES.replay_buffer, ge=0, le=16 * 1024 * 1024, title="Bodies that are kept", examples=[1048576]
    )
    """Bytes of a request's body that are kept to be sent again. A longer body is sent once. All bodies together get
    what is free of the relay buffers (32 MiB for each worker)."""
    mode: Mode = Field(default="enforce", title="Mode of the retries", examples=["shadow"])
    """`enforce`, or `shadow`: retries are counted and logged, and none is made."""

    @field_validator("on", mode="after")
    @classmethod
    def _both_or_neither(cls, on: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        if bool(on) != (info.data.get("attempts", len(on) + 1) > 1):
            raise ValueError("retries need attempts above 1, and failures; set both, or neither for no retries")
        return on

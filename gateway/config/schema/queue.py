"""The queue in front of a limit, and who goes first in it."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, ValidationInfo, field_validator, model_validator

from gateway.config import header_template, records, values
from gateway.config.records import Mode, PriorityWord
from gateway.config.schema.form import in_group
from gateway.config.schema.section import Section
from gateway.config.schema.types import Listed, Requests, Seconds

_CODEL, _PRIORITY, _QUEUE = records.Codel(), records.Priority(), records.Queue()


class Codel(Section):
    """Newest first under overload: when every wait in `interval` was longer than `target`, the newest request goes
    first, and requests that have waited longer than `interval` get 429 `queue_timeout`; until waits are short again.
    """

    target: Seconds = Field(default=_CODEL.target, ge=0, le=3600, title="A short wait", examples=[0.2])
    """Seconds of waiting that are well. 0: the oldest always goes first."""
    interval: Seconds = Field(
        default=_CODEL.interval, gt=0, le=3600, validate_default=True, title="Newest first after", examples=[1]
    )
    """Seconds in which no wait was below `target` until the newest goes first. Not below `target`."""

    @field_validator("interval", mode="after")
    @classmethod
    def _not_below_target(cls, interval: float, info: ValidationInfo) -> float:
        target = info.data.get("target", 0.0)
        if interval < target:
            raise ValueError(f"must not be below target, which is {target:g}; raise interval, or lower target")
        return interval


class Queue(Section):
    """Requests above max_concurrent wait instead of getting 429. On when both numbers are above 0."""

    max_waiting: Requests = Field(default=_QUEUE.max_waiting, ge=0, le=100_000, title="Most that wait", examples=[20])
    """Most requests that wait for a place instead of getting 429. 0: no queue. A queue needs `max_concurrent` and
    `timeout` above 0."""
    timeout: Seconds = Field(
        default=_QUEUE.timeout, ge=0, le=3600, validate_default=True, title="Longest wait", examples=[10]
    )
    """Seconds that a request waits at most; then 429. 0: no queue."""
    mode: Mode = Field(default="enforce", title="Mode of the queue", examples=["shadow"])
    """`enforce`, or `shadow`: no request waits, as without a queue, and the requests that the queue would refuse are
    estimated and counted."""

    predict: bool = Field(default=_QUEUE.predict, title="Reject at once who would wait too long", examples=[True])
    """`true`: a request whose expected wait is more than 1.5 times the time that it has (`timeout`, or what is left of
    `timeout_config.total`) gets 429 `queue_predicted_timeout` at once, instead of waiting in vain."""
    fair: Literal["none", "client", "principal"] = Field(
        default=_QUEUE.fair, title="Fair over callers", examples=["client"]
    )
    """Whose waiting requests take turns. `none`: they are admitted in the order of arrival; `client`: the callers'
    addresses, of IPv6 the /64 network; `principal`: the authenticated callers, others by their addresses."""
    codel: Codel = Field(default=Codel(), title="Newest first under overload")
    """When the newest goes first."""
    comments: Seconds = Field(
        default=_QUEUE.comments,
        ge=0,
        le=3600,
        title="Seconds between positions that are sent to those who wait",
        examples=[5],
    )
    """Seconds between two comments `: queued position=3` to a caller who waits and accepts `text/event-stream`. The
    first one sends the head of the response with status 200, so that a later rejection is an event `error`, and a
    response that is no stream of events is one too (`no_event_stream`). 0: no comments."""

    @model_validator(mode="after")
    def _needed(self) -> Self:
        if not self.max_waiting:
            written = {
                "predict": self.predict,
                "fair": self.fair != _QUEUE.fair,
                "codel": self.codel.target > 0.0,
                "comments": self.comments > 0.0,
            }
            for key in [key for key, has_effect in written.items() if has_effect]:
                raise ValueError(f"{key} has an effect on a queue alone; set max_waiting and timeout, or remove {key}")
        return self

    @field_validator("timeout", mode="after")
    @classmethod
    def _both_or_neither(cls, timeout: float, info: ValidationInfo) -> float:
        if (timeout > 0) != (info.data.get("max_waiting", timeout) > 0):
            raise ValueError("a queue needs max_waiting and timeout; set both above 0, or both to 0 for no queue")
        return timeout


def _behind_a_limit(queue: Queue, info: ValidationInfo) -> Queue:
    if values.is_upstream_name(info.data.get("upstream", "")):  # then neither belongs here
        return queue
    limiter = info.data.get("limiter")
    adapts = limiter is None or limiter.adaptive is not None
    if queue.max_waiting and not adapts and not info.data.get("max_concurrent", 1):
        raise ValueError("a queue without a limit has no effect; set max_concurrent above 0, or remove the queue")
    return queue


QueueKey = Annotated[
    Queue,
    Field(description="Where requests above max_concurrent wait.", json_schema_extra=in_group("Limit and queue")),
    AfterValidator(_behind_a_limit),
]


def _field_name(text: str) -> str:
    return header_template.name(text) if text else ""


def _by_one_list(low: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
    both = sorted({*low} & {*info.data.get("high", ())})
    if both:
        raise ValueError(f"{both[0]} is in high too; remove it from one of the two")
    return low


class Priority(Section):
    """Who goes first in the queue of the upstream. After eight requests of higher priority one of a lower priority goes
    first, so that all are served.
    """

    default: PriorityWord = Field(default=_PRIORITY.default, title="Priority of this proxy", examples=["low"])
    """`high`, `normal` or `low`: of requests about which the other keys say nothing."""
    header: Annotated[str, AfterValidator(_field_name)] = Field(
        default=_PRIORITY.header, title="Header field with the priority", examples=["X-Priority"]
    )
    """A field of the request whose value is `high`, `normal` or `low`; any other value counts for nothing. Every caller
    can set it, so name one only where callers are trusted, or where something in front of the gateway sets it. Empty:
    no field is read."""
    high: Listed[str] = Field(default=_PRIORITY.high, title="Principals that go first", examples=[["alice"]])
    """Ids of authenticated callers whose requests are `high`, whatever the field says: of a token its id, of a JWT
    `sub`, of a certificate the name that it proves."""
    low: Annotated[Listed[str], AfterValidator(_by_one_list)] = Field(
        default=_PRIORITY.low, validate_default=True, title="Principals that go last", examples=[["batch"]]
    )
    """As `high`, of callers whose requests are `low`."""

"""The records of what protects an upstream, and of what a proxy does when one fails: as `gateway.config.records`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

Mode = Literal["enforce", "shadow"]
"""The mode of a protection; ``shadow``: it counts what it would refuse, and refuses nothing."""
BreakerScope = Literal["endpoint", "upstream", "both"]
"""What a breaker judges: each endpoint by itself, all of them together, or one of each."""


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
    ``comments``: seconds between two comments to a caller of events who waits; 0: none.
    """

    max_waiting: int = 0
    timeout: float = 0.0
    mode: Mode = "enforce"
    predict: bool = False
    fair: Literal["none", "client", "principal"] = "none"
    codel: Codel = Codel()
    comments: float = 0.0


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
    scope: BreakerScope = "endpoint"


@dataclass(frozen=True, slots=True)
class Timeouts:
    dial: float = 2.0
    tls_handshake: float = 5.0
    response_header: float = 30.0
    body_idle: float = 300.0
    idle: float = 90.0
    total: float = 0.0
    max_age: float = 3600.0


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


MEASURED: Final = "p95"
"""What `Hedge.after` is when the time is measured."""


@dataclass(frozen=True, slots=True)
class Hedge:
    """When a second attempt is made beside the first one. ``after``: seconds without a response; `MEASURED`: as long as
    19 of 20 responses of the upstream take to begin; 0: never. ``methods``: whether PUT and DELETE may run twice at a
    time, too.
    """

    after: float | Literal["p95"] = 0.0
    methods: Literal["idempotent", "safe"] = "idempotent"
    mode: Mode = "enforce"

    @property
    def active(self) -> bool:
        """Whether there is anything to do for it."""
        return self.after != 0.0

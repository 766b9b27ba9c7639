"""The explanation of an upstream and of the protections of a proxy, and its parts: dictionaries with fixed keys, as the
API shows them and a channel carries them.
"""

from __future__ import annotations

from typing import NotRequired, TypedDict

from gateway.ipc.tokens import TokenView


class OutcomeView(TypedDict):
    at: float
    """Seconds of the epoch, as all times here."""
    outcome: str
    reason: str
    status: int
    request_id: str
    worker: NotRequired[int]
    """The number of the worker that saw it, where there are several."""
    action: NotRequired[str]
    """The action whose call it was; the request of a caller has none."""


class MoveView(TypedDict):
    at: float
    old: str
    new: str
    cause: str
    by: str
    outcomes: list[OutcomeView]
    """What counted in the state that was left."""
    figures: NotRequired[str]
    """By which figures a rule opened it, in words. A worker of an older version does not send it."""


class WindowView(TypedDict):
    """The attempts of the last ``seconds`` that a breaker counts, and the rules for them; a rate of 0: no rule."""

    seconds: float
    total: int
    failed: int
    slow: int
    minimum_requests: int
    failure_rate: float
    slow_rate: float
    slow_call: float


class CallersView(TypedDict):
    """How many callers a breaker has noted, of whom ``distinct_callers`` have to differ for it to open."""

    distinct_callers: int
    in_a_row: int
    failed: int
    slow: int
    of: NotRequired[str]
    """``callers``, or ``endpoints`` in their place. A worker of an older version does not send it."""


class BreakerView(TypedDict):
    mode: str
    scope: NotRequired[str]
    """``upstream``: it judges all endpoints together; ``endpoint``. A worker of an older version does not send it."""
    state: str
    since: float
    failures: int
    failure_threshold: int
    recovery_timeout: float
    half_open_requests: int
    probes: int
    next_probe: float
    """When it lets one through at the earliest; 0 when it is not open."""
    outcomes: list[OutcomeView]
    """What counts in the present state, oldest first; successes of a healthy upstream are not kept."""
    moves: list[MoveView]
    """The newest changes of state, oldest first."""
    window: NotRequired[WindowView | None]
    """None: no rule is about shares. A worker of an older version does not send it."""
    callers: NotRequired[CallersView | None]
    """None: it does not matter whose failures they are. A worker of an older version does not send it."""


class Holder(TypedDict):
    request_id: str
    phase: str
    age: float
    protocol: str
    """The version of HTTP of the client's side, as in the access log."""
    upstream_protocol: str
    """Of the upstream's side; empty: it is not reached yet."""
    worker: NotRequired[int]
    """The number of the worker, where there are several."""
    action: NotRequired[str]
    """The action whose call it is; the request of a caller has none."""


class LimiterView(TypedDict):
    mode: str
    max_concurrent: int
    in_flight: int
    available: int
    hold: float
    """Seconds for which a permit is held, on average."""
    retry_after: int


class DecisionView(TypedDict):
    """One of an adaptive limit, with the figures that it was made on. Times are seconds."""

    at: float
    old: int
    new: int
    cause: str
    """probe, late, dropped, relearn or bounds"""
    why: str
    sent: int
    """Requests at the upstream,"""
    begun: int
    """those whose response had begun,"""
    overdue: int
    """and those whose response was late."""
    usual: float
    """To the first byte, on average."""
    bound: float
    """What is later is late; 0: not known."""
    busy: float
    """Requests that the upstream worked on at a time; 0: none, or not known."""


class AdaptiveView(TypedDict):
    limit: int
    """0: no request came yet."""
    min: int
    max: int
    signal: str
    usual: float
    """As in `DecisionView`, like the next one, now."""
    bound: float
    decisions: list[DecisionView]
    """The newest ten, oldest first."""


class QueueView(TypedDict):
    mode: str
    max_waiting: int
    waiting: int
    timeout: float
    order: NotRequired[str]
    """``fifo``: the oldest goes first, ``lifo``: the newest, because of an overload. A worker of the version before
    sends none of these four."""
    by_priority: NotRequired[dict[str, int]]
    """How many wait."""
    expected_wait: NotRequired[float]
    """Seconds for a newcomer of normal priority; 0.0: not known, or none."""
    comments: NotRequired[float]
    """Seconds between two comments to callers of event streams who wait; 0.0: none. As above."""


class StreamView(TypedDict):
    mode: str
    first_event: float
    event_gap: float
    on_stall: str
    watched: int
    """Streams of events that run."""
    silence: float
    """Seconds since the newest event with data, of the one that has waited longest."""


class AiView(TypedDict):
    format: str
    responses: int
    """Of models, that run and are read."""
    waiting: int
    """Those of them that have no token yet; responses without a stream never have one before their end."""
    longest_wait: float
    """Seconds since the request of the one of them that has waited longest."""


class RetriesView(TypedDict):
    mode: str
    attempts: int
    on: list[str]
    budget: float
    burst: float
    """Most retries that may be made at once."""
    left: float
    """Retries that may be made at once now."""
    waiting: int
    """Requests whose next attempt is due."""


class HedgeView(TypedDict):
    mode: str
    after: str
    """Seconds, or ``p95``."""
    measured: float
    """Seconds that 19 of 20 responses took to begin; 0.0: there are too few, or they are not measured."""
    samples: int
    """Responses that were measured."""
    burst: float
    """As in `RetriesView`, whose budget it is."""
    left: float
    running: int
    """Requests with two attempts now."""


class RateView(TypedDict):
    """A rate limit: its settings, and what it holds."""

    name: str
    of: NotRequired[str]
    """The upstream whose attempts take the tokens; empty: it is a limit of the proxy. A worker of an older version does
    not send it."""
    key: str
    mode: str
    rate: float
    per: float
    burst: int
    unit: NotRequired[str]
    """A worker of an older version does not send it."""
    weight: int
    """Tokens that a request takes, or each token of its response."""
    max_keys: int
    keys: int
    """That it remembers."""
    forgotten: int
    """Keys that had to make room before their buckets were full."""
    left: int
    """Tokens in the bucket of ``all``; -1: each key has one."""


class FallbackView(TypedDict):
    on: list[str]
    """What it takes over from, as in the configuration."""
    endpoint: str
    """The URLs of the upstream that is asked instead, in one text; empty: a fixed response is given."""
    status: int
    """Of the fixed response; 0: there is none."""
    breaker: str
    """Of the other upstream: closed, open, half_open or off."""
    in_flight: int
    """Permits of the other upstream in use, by whatever proxy; 0 without a limit."""
    limit: NotRequired[int]
    """Permits of the other upstream in all; 0 without a limit."""
    waiting: NotRequired[int]
    """Requests in the queue of the other upstream."""


class PoolView(TypedDict):
    endpoint: str
    open: int
    idle: int
    in_use: int
    sessions: int
    """Those of ``open`` that speak HTTP/2, which many requests share."""
    streams: int
    """Requests that run on them."""
    dials: int
    reuses: int
    idle_timeout: float


class ReportView(TypedDict):
    """What an endpoint says of itself. ``total`` 0: it wants no new requests."""

    at: float
    in_use: int
    total: int


class EndpointView(TypedDict):
    url: str
    address: NotRequired[str]
    """The only one of the name that it stands for; empty: any. A worker of an older version does not send it."""
    standing: str
    """usable, down, ejected, drained or leaving"""
    weight: int
    in_flight: int
    attempts: int
    """Those that were a success or a failure."""
    failures: int
    breaker: str
    """closed, open, half_open or off"""
    health: str
    """unknown, up or down, by the active checks; empty: there are none."""
    checked_at: float
    """When the last check ended, in seconds of the epoch; 0: none has."""
    check_failure: str
    """Why it failed; empty: it did not."""
    ejections: int
    """Steps of the ejection time."""
    ejected_until: float
    """Seconds of the epoch; 0: it is not ejected."""
    ejected_because: str
    """What led to the last ejection."""
    probation: bool
    reported: NotRequired[ReportView | None]
    """None: it has said nothing that holds. A worker of an older version does not send it."""


class GroupView(TypedDict):
    """The endpoints of an upstream, where there are several, or one that is checked."""

    balance: str
    panic: bool
    """All are used, because too few are usable."""
    ejection_mode: str
    """enforce, shadow or off"""
    health_mode: NotRequired[str]
    """Of the checks: enforce, shadow or off. A worker of an older version does not send it."""
    endpoints: list[EndpointView]
    reports: NotRequired[str]
    """Whether they report their capacity: enforce, shadow or off. A worker of an older version does not send it."""
    places: NotRequired[int]
    """Requests that all of them together say that they may have; 0: one of them says nothing."""


class Explanation(TypedDict):
    proxy: str
    at: float
    verdict: str
    """admit, wait, probe or refuse: what would become of a request now."""
    reason: str
    """The code with which it would be refused."""
    sentence: str
    active: list[Holder]
    """The exchanges that run, the oldest first; 100 at most."""
    active_count: int
    limiter: LimiterView | None
    queue: QueueView | None
    breaker: BreakerView | None
    """Of several endpoints, the one that lets most through; of the upstream as a whole where endpoints have none."""
    upstream_breaker: NotRequired[BreakerView | None]
    """Of the upstream as a whole, where endpoints have breakers, too. A worker of an older version does not send it."""
    rates: NotRequired[list[RateView]]
    """A worker of an older version does not send it."""
    stream: NotRequired[StreamView | None]
    """A worker of an older version does not send it."""
    ai: NotRequired[AiView | None]
    """As ``stream``."""
    group: NotRequired[GroupView | None]
    adaptive: NotRequired[AdaptiveView | None]
    """As ``stream``."""
    retries: NotRequired[RetriesView | None]
    """As ``stream``."""
    hedge: NotRequired[HedgeView | None]
    """As ``stream``."""
    fallback: NotRequired[FallbackView | None]
    """As ``stream``."""
    token: NotRequired[TokenView | None]
    """Of a connection whose calls need access tokens, and of its actions. As ``stream``."""
    pool: PoolView

"""An exchange: one request and its response, from the parsed head to the last byte, with every attempt in between."""

from __future__ import annotations

from typing import Final

from gateway.core.attempt import NO_ATTEMPT, Attempt
from gateway.core.event_stream import Events, Opened
from gateway.core.fallback import Discarded, FellBack, Keeper
from gateway.core.hedge import Hedge
from gateway.core.message import RequestHead
from gateway.core.principal import Principal
from gateway.core.quota import Place, Quota
from gateway.core.retries import Retries
from gateway.core.stream import ServerStream
from gateway.core.usage import Usage

SWITCHED: Final = 101
"""The status of an exchange that has become a tunnel."""
NO_GRPC: Final = -1
"""The response is none of gRPC."""
GRPC_DUE: Final = -2
"""The response is one of gRPC, and its trailers, which have the status, are yet to come."""


class Exchange:
    """All that is known about one exchange. Times are readings of the monotonic clock in seconds, 0.0 = not reached."""

    __slots__ = (
        "attempt",
        "attempts",
        "blocked",
        "body",
        "breaker",
        "breaker_of_upstream",
        "bytes_in",
        "bytes_out",
        "commit_at",
        "committed",
        "concurrent",
        "deadline",
        "discarded",
        "downstream",
        "end_at",
        "events",
        "failures",
        "fallback",
        "gone_at",
        "grpc_status",
        "hedge",
        "identified",
        "keeper",
        "opened",
        "parent",
        "place",
        "principal",
        "proxy",
        "queued",
        "quota",
        "reason",
        "request",
        "request_id",
        "retried",
        "retries",
        "shadow",
        "start_at",
        "status",
        "streamed",
        "timed",
        "trace",
        "trace_id",
        "tried",
        "usage",
    )

    downstream: ServerStream
    request: RequestHead
    request_id: bytes
    principal: Principal | None
    """The caller, when it is authenticated."""
    proxy: str
    """Name of the proxy that serves it."""
    start_at: float
    """The head was parsed."""
    commit_at: float
    """The head of the response went to the client."""
    end_at: float
    gone_at: float
    """The client was seen to have left."""
    events: Events | None
    """Of a response whose events are watched."""
    failures: tuple[str, ...]
    """Why each attempt but the last one was followed by another: ``stale``, a word of
    `gateway.policy.retry.FAILURES`, or a status."""
    retries: Retries | None
    """None where the proxy has none."""
    discarded: Discarded | None
    """Of a response that its fallback is to make good; ``status`` is then that of the response."""
    fallback: FellBack | None
    """What lies before, when the fallback of its proxy has taken over."""
    keeper: Keeper | None
    """Of a proxy whose fallback is an upstream: its requests may have to be sent there."""
    hedge: Hedge | None
    """Of the last upstream that may get a second attempt; None: none may."""
    opened: Opened | None
    """The stream that its caller was sent while it waited in the queue; None: nothing was sent. It is not ``committed``
    by that, because another attempt or the fallback can still serve it."""
    identified: float
    """Seconds spent on authentication and the access rule."""
    queued: float
    """Seconds spent waiting for a permit, or for a token of its upstream."""
    quota: Quota | None
    """What rate limits say of it; None: no response has to tell."""
    place: Place | None
    """Its place in the line for a token, once a rate limit of its upstream has refused it; None: none has."""
    retried: float
    """Seconds from the first attempt to the last one: earlier attempts, and the pauses behind them."""
    blocked: float
    """Seconds in which the client was too slow to take what was there."""
    deadline: float
    """Absolute time at which the exchange ends whatever happens; 0.0 = none."""
    attempt: Attempt
    """The last one; `NO_ATTEMPT` again when the fallback of its proxy takes over."""
    attempts: int
    committed: bool
    """The first byte of a response was sent: the point of no return."""
    streamed: bool
    """The response's length was not known when it began."""
    timed: bool
    """The response says where the time went (Server-Timing)."""
    trace: bytes
    """The ``traceparent`` that the upstream gets instead of the client's; empty: the client's travels on."""
    parent: bytes
    """The span of the sender's that ``trace`` is a child of, 16 hex digits; empty: it begins a trace."""
    trace_id: bytes
    """Of the trace that it belongs to, 32 hex digits; empty without one."""
    tried: tuple[object, ...]
    """The endpoints at which an attempt has failed, as the balancer knows them."""
    status: int
    grpc_status: int
    """The status of a response of gRPC; `NO_GRPC`, `GRPC_DUE`."""
    reason: str
    """Code of the `Reason` that ended it; empty when all went well."""
    body: bytes | None
    """The request's body, when it was taken whole and a second attempt may have to send it again; not after commit."""
    bytes_in: int
    """Bytes of the request body taken from the client."""
    bytes_out: int
    """Bytes of the response's body given to the client."""
    breaker: str
    """State of the breaker when it was asked; empty without one."""
    breaker_of_upstream: bool
    """The breaker that rejects it, or would in shadow mode, is that of its upstream as a whole."""
    concurrent: int
    """Permits in use, this one included; 0 without a limiter."""
    shadow: str
    """Code of the `Reason` for which a protection in shadow mode would have refused it, or cut it: that of the
    first one, because nothing comes after a refusal."""

    usage: Usage | None
    """Of the response of a language model, where the proxy has `ai`."""

    def __init__(self, downstream: ServerStream, request: RequestHead, start_at: float) -> None:
        self.downstream = downstream
        self.request = request
        self.request_id = b""
        self.principal = None
        self.proxy = ""
        self.start_at = start_at
        self.commit_at = 0.0
        self.end_at = 0.0
        self.events = None
        self.failures = ()
        self.retries = None
        self.discarded = None
        self.fallback = None
        self.keeper = None
        self.hedge = None
        self.gone_at = 0.0
        self.identified = 0.0
        self.opened = None
        self.queued = 0.0
        self.quota = None
        self.place = None
        self.retried = 0.0
        self.blocked = 0.0
        self.deadline = 0.0
        self.attempt = NO_ATTEMPT
        self.attempts = 0
        self.committed = False
        self.streamed = False
        self.timed = False
        self.trace = b""
        self.parent = b""
        self.trace_id = b""
        self.tried = ()
        self.status = 0
        self.grpc_status = NO_GRPC
        self.reason = ""
        self.body = None
        self.bytes_in = 0
        self.bytes_out = 0
        self.breaker = ""
        self.breaker_of_upstream = False
        self.concurrent = 0
        self.shadow = ""
        self.usage = None

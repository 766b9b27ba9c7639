"""An exchange: one request and its answer, from the parsed head to the last byte, with every attempt in between."""

from __future__ import annotations

from gateway.core.attempt import NO_ATTEMPT, Attempt
from gateway.core.message import RequestHead
from gateway.core.principal import Principal
from gateway.core.stream import ServerStream


class Exchange:
    """All that is known about one exchange. Times are readings of the monotonic clock in seconds, 0.0 = not reached."""

    __slots__ = (
        "attempt",
        "attempts",
        "blocked",
        "body",
        "breaker",
        "bytes_in",
        "bytes_out",
        "commit_at",
        "committed",
        "concurrent",
        "deadline",
        "downstream",
        "end_at",
        "gone_at",
        "identified",
        "parent",
        "principal",
        "proxy",
        "queued",
        "reason",
        "request",
        "request_id",
        "retried",
        "shadow",
        "start_at",
        "status",
        "streamed",
        "timed",
        "trace",
        "trace_id",
    )

    def __init__(self, downstream: ServerStream, request: RequestHead, start_at: float) -> None:
        self.downstream = downstream
        self.request = request
        self.request_id = b""
        self.principal: Principal | None = None
        """Who asks, when the caller proved it."""
        self.proxy = ""
        """Name of the proxy that serves it."""
        self.start_at = start_at
        """The head was parsed."""
        self.commit_at = 0.0
        """The head of the answer went to the client."""
        self.end_at = 0.0
        self.gone_at = 0.0
        """The client was seen to have left."""
        self.identified = 0.0
        """Seconds spent on who asks and whether they may."""
        self.queued = 0.0
        """Seconds spent waiting for a permit."""
        self.retried = 0.0
        """Seconds spent on attempts before the last one."""
        self.blocked = 0.0
        """Seconds in which the client was too slow to take what was there."""
        self.deadline = 0.0
        """Absolute time at which the exchange ends whatever happens; 0.0 = none."""
        self.attempt: Attempt = NO_ATTEMPT
        """The last one."""
        self.attempts = 0
        self.committed = False
        """The first byte of an answer was sent: the point of no return."""
        self.streamed = False
        """The answer's length was not known when it began."""
        self.timed = False
        """The client is told where the time went (Server-Timing)."""
        self.trace: bytes = b""
        """The ``traceparent`` that the upstream gets instead of the client's; empty: the client's travels on."""
        self.parent: bytes = b""
        """The span of the sender's that ``trace`` is a child of, 16 hex digits; empty: it begins a trace."""
        self.trace_id: bytes = b""
        """Of the trace that it belongs to, 32 hex digits; empty without one."""
        self.status = 0
        self.reason = ""
        """Code of the `Reason` that ended it; empty when all went well."""
        self.body: bytes | None = None
        """The request's body, when it was taken whole and a second attempt may have to send it again."""
        self.bytes_in = 0
        """Bytes of the request body taken from the client."""
        self.bytes_out = 0
        """Bytes of the answer's body given to the client."""
        self.breaker = ""
        """State of the breaker when it was asked; empty without one."""
        self.concurrent = 0
        """Permits in use, this one included; 0 without a limiter."""
        self.shadow = ""
        """Code of the `Reason` for which a protection in shadow mode would have refused it."""

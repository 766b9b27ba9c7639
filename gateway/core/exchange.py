"""An exchange: one request and its answer, from the parsed head to the last byte, with every attempt in between."""

from __future__ import annotations

from typing import Protocol

from gateway.core.message import RequestHead
from gateway.core.principal import Principal


class Downstream(Protocol):
    """The client's side of an exchange, as the layers see it."""

    @property
    def client(self) -> str:
        """Address of the peer, ``host:port``."""
        ...

    def real_client(self, request: RequestHead) -> str:
        """Address of whoever sent ``request``: the peer, or the client that a trusted peer names."""
        ...

    def respond(self, status: int, head: bytes, body: bytes) -> None:
        """Send a whole answer of the gateway's own; ``head`` is the field lines, each ended by CRLF."""
        ...

    @property
    def write_paused(self) -> bool:
        """Bytes that were written wait for the client."""
        ...

    async def sent(self) -> float:
        """Wait until none does; the seconds for which this response waited for the client, all in all."""
        ...

    def cut(self) -> None:
        """Break the connection off, so that what was sent can not be taken for a complete answer."""
        ...


class Exchange:
    """All that is known about one exchange. Times are readings of the monotonic clock in seconds, 0.0 = not reached."""

    __slots__ = (
        "asked_at",
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
        "dialled",
        "downstream",
        "end_at",
        "first_byte_at",
        "gone_at",
        "identified",
        "last_byte_at",
        "parent",
        "pooled",
        "principal",
        "proxy",
        "queued",
        "reason",
        "request",
        "request_id",
        "retried",
        "reused",
        "sent_at",
        "shadow",
        "start_at",
        "status",
        "streamed",
        "timed",
        "trace",
        "trace_id",
        "upstream",
    )

    def __init__(self, downstream: Downstream, request: RequestHead, start_at: float) -> None:
        self.downstream = downstream
        self.request = request
        self.request_id = b""
        self.principal: Principal | None = None
        """Who asks, when the caller proved it."""
        self.proxy = ""
        """Name of the proxy that serves it."""
        self.upstream = ""
        """Address of the endpoint of the last attempt."""
        self.start_at = start_at
        """The head was parsed."""
        self.asked_at = 0.0
        """The head went to the upstream (last attempt)."""
        self.sent_at = 0.0
        """The whole request, its body included, went to the upstream (last attempt)."""
        self.first_byte_at = 0.0
        """The first byte of the answer came (last attempt)."""
        self.commit_at = 0.0
        """The head of the answer went to the client."""
        self.last_byte_at = 0.0
        """The newest bytes from the upstream came."""
        self.end_at = 0.0
        self.gone_at = 0.0
        """The client was seen to have left."""
        self.identified = 0.0
        """Seconds spent on who asks and whether they may."""
        self.queued = 0.0
        """Seconds spent waiting for a permit."""
        self.pooled = 0.0
        """Seconds spent looking for a pooled connection."""
        self.dialled = 0.0
        """Seconds spent opening connections."""
        self.retried = 0.0
        """Seconds spent on attempts that were made anew."""
        self.blocked = 0.0
        """Seconds in which the client was too slow to take what was there."""
        self.deadline = 0.0
        """Absolute time at which the exchange ends whatever happens; 0.0 = none."""
        self.attempts = 0
        self.reused = False
        """The last attempt used a pooled connection."""
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

"""An attack as data: what is sent, from which side, and what harm it would do."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from harness.frames import Frame


class Harm(Enum):
    """What is counted. The gateway may not have more of it than the strictest of the others."""

    SMUGGLING = "requests that the upstream reads, and heads among them that are no HTTP"
    TRUNCATION = "responses that are broken, and that look whole to the caller"
    RESOURCE = "connections that go on under a flood, or memory that it takes"


@dataclass(frozen=True)
class Reply:
    """What the upstream sends when it has read a request whole, and how it ends its connection behind that."""

    raw: bytes
    """Of HTTP/1.1; or frames of stream 1."""
    ending: str = "stay"
    """``stay``, ``close`` (over TLS with close_notify), ``cut`` (FIN without it) or ``reset``."""
    head: bytes = b""
    """Once before all of ``raw``."""
    repeat: int = 1
    """How often ``raw`` is sent."""


OK = Reply(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
ASK = b"GET /a HTTP/1.1\r\nHost: gateway.test\r\n\r\n"
PING_MARK = Frame(6, 0, 0, b"the last")
"""Sent behind the frames of an attack: when its acknowledgement comes, they were read."""


@dataclass(frozen=True)
class Attack:
    """One row of the table."""

    name: str
    group: str
    sent: bytes = ASK
    """By the caller."""
    caller: str = "h1"
    """What the caller speaks: ``h1``, or ``h2`` over TLS."""
    harm: Harm = Harm.SMUGGLING
    at_most: int = 0
    """Harm that the gateway may have, whatever the others do."""
    reply: Reply = OK
    upstream: str = "http"
    """How the upstream is reached: http, https or h2c."""
    because: str = ""
    """Why the gateway may have more harm than the strictest, with the RFC that has it so."""
    taken: int = 0
    """Megabytes of the reply that a proxy may take while its caller reads none of it; 0: they do not count."""

    @property
    def key(self) -> str:
        """No other row has it."""
        return f"{self.group}: {self.name}"

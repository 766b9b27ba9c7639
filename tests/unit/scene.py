"""What a policy needs to be tried alone: a clock turned by hand, and exchanges that come from nowhere."""

from __future__ import annotations

from typing import Any

from gateway.core.attempt import Attempt
from gateway.core.exchange import Exchange
from gateway.core.message import RequestHead
from gateway.core.peer import Peer


class Clock:
    """Stands still until it is told to go on."""

    def __init__(self, now: float = 1000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


class Nobody:
    """The client of an exchange which no part under test may speak to."""

    body_complete = True
    full = False

    def __init__(self, peer: Peer | None = None) -> None:
        self.peer = peer or Peer("192.0.2.1", 5000, b"http", lambda address: False)

    def respond(self, status: int, lines: bytes, body: bytes) -> None:
        raise AssertionError("a policy answers by raising")

    def cut(self) -> None:
        raise AssertionError("a policy cuts by raising")


def exchange(method: bytes = b"GET", length: int = 0, start_at: float = 1000.0) -> Exchange:
    head = RequestHead(method, b"/", 1, [], {}, length, keep_alive=True)
    ex = Exchange(Nobody(), head, start_at)  # type: ignore[arg-type] # no stream
    ex.attempt = Attempt("")
    return ex


def told(**changes: Any) -> Exchange:
    """An exchange of which, or of whose attempt, these attributes are known."""
    ex = exchange()
    set_facts(ex, **changes)
    return ex


def set_facts(ex: Exchange, **facts: Any) -> None:
    """Set attributes of the exchange, or of its last attempt."""
    for name, value in facts.items():
        setattr(ex.attempt if name in Attempt.__slots__ else ex, name, value)

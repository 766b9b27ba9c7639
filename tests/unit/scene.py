"""What a policy needs to be tried alone: a clock turned by hand, and exchanges that come from nowhere."""

from __future__ import annotations

from typing import Any

from gateway.core.exchange import Exchange
from gateway.core.message import RequestHead


class Clock:
    """Stands still until it is told to go on."""

    def __init__(self, now: float = 1000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


class Nobody:
    """The client of an exchange which no part under test may speak to."""

    client = "192.0.2.1:5000"

    def real_client(self, request: RequestHead) -> str:
        return self.client

    def respond(self, status: int, head: bytes, body: bytes) -> None:
        raise AssertionError("a policy answers by raising")

    def cut(self) -> None:
        raise AssertionError("a policy cuts by raising")


def exchange(method: bytes = b"GET", length: int = 0, start_at: float = 1000.0) -> Exchange:
    head = RequestHead(method, b"/", 1, [], {}, length, keep_alive=True)
    return Exchange(Nobody(), head, start_at)


def told(**changes: Any) -> Exchange:
    """An exchange of which these attributes are known."""
    ex = exchange()
    for name, value in changes.items():
        setattr(ex, name, value)
    return ex

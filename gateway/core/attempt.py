"""One try of an exchange at one endpoint: when each step of it was, and by which connection."""

from __future__ import annotations

from typing import Final


class Attempt:
    """Times are readings of the monotonic clock in seconds, 0.0 = not reached."""

    __slots__ = (
        "asked_at",
        "began_at",
        "dialled",
        "endpoint",
        "first_byte_at",
        "http_version",
        "last_byte_at",
        "pooled",
        "reused",
        "sent_at",
    )

    def __init__(self, endpoint: str) -> None:
        self.endpoint = endpoint
        """Its address, ``host:port``."""
        self.began_at = 0.0
        """A connection was looked for."""
        self.asked_at = 0.0
        """The head was sent."""
        self.sent_at = 0.0
        """The whole request, its body included, was sent."""
        self.first_byte_at = 0.0
        """The first byte of the final response came; a 1xx does not count, because the upstream works on."""
        self.last_byte_at = 0.0
        """The newest bytes of the response came."""
        self.pooled = 0.0
        """Seconds spent looking for a pooled connection."""
        self.dialled = 0.0
        """Seconds spent opening a connection."""
        self.reused = False
        """The connection came from the pool."""
        self.http_version = ""
        """As `ClientStream.http_version`; empty before there is a stream."""


NO_ATTEMPT: Final = Attempt("")
"""Of an exchange that no endpoint was asked for. Never changed."""

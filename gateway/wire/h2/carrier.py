"""What a stream needs from the connection to an endpoint that it is on."""

from __future__ import annotations

from typing import Protocol, TypeVar

from gateway.errors import GatewayError

Carried = TypeVar("Carried", contravariant=True)
"""The class of its streams."""


class Carrier(Protocol[Carried]):
    """The connection that a stream is on."""

    scheme: bytes
    read_at: float
    """When bytes came last."""

    def begin(self, stream: Carried) -> bool:
        """Give ``stream`` its number; False when the connection takes no more streams."""
        ...

    def end(self, stream: Carried, code: int) -> None:
        """The stream is over: reset it with ``code`` unless it has ended, or not begun."""
        ...

    def fault(self, stream: Carried, code: int, error: GatewayError) -> None:
        """The endpoint broke a rule on ``stream``: reset it with ``code``, and fail its request."""
        ...

    def touch(self, stream: Carried) -> None:
        """`ClientResponse.deliver` is to be called at the end of this read."""
        ...

    def watch(self, at: float) -> None:
        """`ClientResponse.expire` is to be called at the time ``at``, if that is ``expires_at`` of the stream."""
        ...

    def silent_since(self, at: float) -> None:
        """A request that began at the time ``at`` has waited in vain."""
        ...

    def abandoned(self, gone_at: float) -> None:
        """The stream of a caller that left at the time ``gone_at`` is over."""
        ...

"""What the rate limits of a proxy say of one exchange; `gateway.proxy.layers.limit_rate` makes it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol


class Quota(Protocol):
    """The answer of the rate limits that an exchange was asked by."""

    @property
    def limited(self) -> Sequence[int]:
        """The kinds of those that have refused it, or would have in shadow mode: indexes in `KINDS`."""
        ...

    @property
    def shown(self) -> bool:
        """Whether the response has fields of ours, so that those of the upstream have no place in it."""
        ...

    def lines(self) -> bytes:
        """The field lines for the response, as things stand now, each ended by CRLF."""
        ...


class Place(Protocol):
    """Where an exchange waits for the token that the rate limits of its upstream have not had for it."""

    async def reach(self, latest: float) -> bool:
        """Wait for the token; False: it will not be there by ``latest``, of the monotonic clock."""
        ...

    def take(self) -> bool:
        """Use the token; False: there is none."""
        ...

    def leave(self) -> None:
        """Give the token back, if it was not used."""
        ...


KINDS = ("all", "client", "principal", "header")
"""What has a bucket of its own, in a word."""

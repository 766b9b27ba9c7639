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


KINDS = ("all", "client", "principal", "header")
"""What has a bucket of its own, in a word."""

"""What a gateway says of itself once it serves. The control process says it, and imports nothing of the data plane."""

from __future__ import annotations

from collections.abc import Iterable

from gateway import __version__
from gateway.core.address import Address


def greeting(addresses: Iterable[tuple[str, int]], proxies: int) -> str:
    """One line for the operator: how many proxies are served on which addresses (host and port)."""
    where = ", ".join(Address(host, port).url() for host, port in addresses)
    return f"gateway {__version__} serves {proxies} {'proxy' if proxies == 1 else 'proxies'} on {where}"

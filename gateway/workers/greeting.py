"""Log lines about the active configuration. Control logs them too, and imports nothing of the data plane."""

from __future__ import annotations

from typing import Final

from gateway import __version__
from gateway.core.address import Address
from gateway.core.text import counted
from gateway.ipc.messages import InForce

SIGHUP: Final = "SIGHUP"
"""The source of a reload that an operator requested by the signal."""


def greeting(in_force: InForce, proxies: int) -> str:
    """One line for the operator: how many proxies are served on which addresses."""
    where = ", ".join(
        Address(*address).url("https" if address in in_force.secure else "http") for address in in_force.addresses
    )
    return f"gateway {__version__} serves {counted(proxies, 'proxy', 'proxies')} on {where}"


def unchanged(source: str, generation: int) -> str:
    """One line for a reload that found no change: without it an operator cannot see that the signal arrived."""
    return f"configuration {generation} stays active ({source}, nothing has changed)"

"""Between a name and a dial: the addresses that a connection may go to."""

from __future__ import annotations

import logging
from typing import NoReturn

from aiohappyeyeballs import AddrInfoType

from gateway import errors
from gateway.config.networks import Destinations
from gateway.core.once_a_second import OnceASecond
from gateway.errors import GatewayError
from gateway.upstream.origin import Origin

_log = logging.getLogger(__name__)


class Guard:
    """Shared by all connectors of a data plane, so that a new configuration applies to them at once.

    ``destinations`` is to be replaced, never changed.
    """

    __slots__ = ("_throttle", "destinations")

    def __init__(self, destinations: Destinations | None = None) -> None:
        self.destinations = Destinations() if destinations is None else destinations
        self._throttle = OnceASecond()

    def check(self, endpoint: Origin) -> None:
        """Raises `GatewayError` ``upstream_denied`` for an endpoint whose address is denied; names are not checked."""
        if endpoint.is_address and (denied := self.destinations.denial(endpoint.host, endpoint.port)):
            self._deny(endpoint.host, denied)

    def permitted(self, target: str, addresses: list[AddrInfoType]) -> list[AddrInfoType]:
        """Those of ``addresses`` that are not denied. ``target`` is the name that they belong to, for the log.

        Raises `GatewayError` ``upstream_denied`` when all are.
        """
        denials = [self.destinations.denial(address[4][0], address[4][1]) for address in addresses]
        if not any(denials):
            return addresses
        permitted = [address for address, denied in zip(addresses, denials, strict=True) if not denied]
        if not permitted:
            self._deny(target, f"{addresses[0][4][0]} {denials[0]}")
        return permitted

    def _deny(self, target: str, why: str) -> NoReturn:
        # The log has the cause; the caller does not, because it would show what names resolve to.
        if (more := self._throttle.due()) is not None:
            _log.error("no connection to %s: %s%s", target, why, more)
        raise GatewayError(errors.UPSTREAM_DENIED)

"""Names are resolved before a driver dials, and every address must be permitted."""

from __future__ import annotations

import pytest

from gateway.config.networks import Destinations
from gateway.config.records import UpstreamNetworks
from gateway.connectors.addresses import permitted
from gateway.connectors.connector import ForbiddenError


async def test_a_name_becomes_an_address() -> None:
    assert await permitted("127.0.0.1", 5432, Destinations()) == "127.0.0.1"
    assert await permitted("localhost", 5432, Destinations()) in ("127.0.0.1", "::1")


@pytest.mark.parametrize("host", ["169.254.169.254", "::ffff:169.254.169.254"])
async def test_a_denied_address_is_not_dialled(host: str) -> None:
    with pytest.raises(ForbiddenError):
        await permitted(host, 80, Destinations())


async def test_one_denied_address_of_a_name_is_enough() -> None:
    denied = Destinations(UpstreamNetworks(deny=("127.0.0.0/8", "::1/128")))
    with pytest.raises(ForbiddenError):
        await permitted("localhost", 80, denied)


async def test_a_listener_of_this_gateway_is_none() -> None:
    with pytest.raises(ForbiddenError):
        await permitted("localhost", 80, Destinations(own=[("127.0.0.1", 80), ("::1", 80)]))

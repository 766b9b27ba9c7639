"""TCP connections by address, on real sockets."""

from __future__ import annotations

import asyncio
import socket

import pytest
from harness.upstream import refused_url

from gateway.upstream.sockets import Attempts, addr_info


def listener() -> socket.socket:
    made = socket.create_server(("127.0.0.1", 0))
    made.setblocking(False)
    return made


def refused() -> int:
    return int(refused_url().rpartition(":")[2].strip("/"))


@pytest.mark.parametrize("others", [0, 1])
async def test_the_first_address_that_accepts(others: int) -> None:
    attempts = Attempts(asyncio.get_running_loop())
    with listener() as open_:
        addresses = [addr_info("127.0.0.1", refused())] * others + [addr_info("127.0.0.1", open_.getsockname()[1])]
        with await attempts.first_of(addresses, 0.25, None) as made:
            assert made.getpeername() == open_.getsockname()
            assert made.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
    assert [failure.strerror for failure in attempts.failures] == ["Connection refused"] * others


@pytest.mark.parametrize("count", [1, 2])
async def test_each_failure_is_kept(count: int) -> None:
    attempts = Attempts(asyncio.get_running_loop())
    with pytest.raises(OSError, match="refused"):
        await attempts.first_of([addr_info("127.0.0.1", refused()) for _ in range(count)], 0.25, None)
    assert [failure.strerror for failure in attempts.failures] == ["Connection refused"] * count


def test_an_address_of_ipv6_has_a_zone() -> None:
    assert addr_info("fe80::1%1", 80)[4] == ("fe80::1", 80, 0, 1)
    assert addr_info("::1", 80)[4] == ("::1", 80, 0, 0)
    with pytest.raises(OSError, match="No such device"):
        addr_info("fe80::1%no-such-zone", 80)

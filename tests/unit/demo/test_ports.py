from __future__ import annotations

import errno
import socket

import pytest

from gateway.demo.ports import address_of, reserved


def test_a_server_may_listen_on_a_reserved_port() -> None:
    with (
        reserved("127.0.0.1:0") as bound,
        socket.create_server(bound.getsockname()) as server,
        socket.create_connection(bound.getsockname(), 5) as client,
        server.accept()[0] as accepted,
    ):
        assert accepted.getpeername() == client.getsockname()


def test_nobody_who_asks_for_any_port_gets_a_reserved_one() -> None:
    with reserved("127.0.0.1:0") as bound:
        others = [reserved("127.0.0.1:0") for _ in range(500)]
        ports = {other.getsockname()[1] for other in others}
        for other in others:
            other.close()
        assert bound.getsockname()[1] not in ports
        assert len(ports) == 500


def test_an_address_in_use_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, pytest.raises(OSError, match="in use") as refused:
        reserved(f"127.0.0.1:{server.getsockname()[1]}")
    assert refused.value.errno == errno.EADDRINUSE


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]"])
def test_the_address_is_written_as_in_a_url(host: str) -> None:
    with reserved(f"{host}:0") as bound:
        assert address_of(bound) == f"{host}:{bound.getsockname()[1]}"

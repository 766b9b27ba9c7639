from __future__ import annotations

import logging
import socket

import pytest
from aiohappyeyeballs import AddrInfoType

from gateway.config.networks import Destinations
from gateway.config.records import UpstreamNetworks
from gateway.errors import GatewayError
from gateway.upstream.guard import Guard
from gateway.upstream.origin import Origin


def to(address: str, port: int = 80) -> AddrInfoType:
    return socket.AF_INET, socket.SOCK_STREAM, 0, "", (address, port)


def test_what_is_denied_is_left_out() -> None:
    good = to("192.0.2.1")
    assert Guard().permitted("a:80", [to("169.254.169.254"), good]) == [good]


def test_nothing_is_left_and_the_log_says_why(caplog: pytest.LogCaptureFixture) -> None:
    guard = Guard()
    with caplog.at_level(logging.ERROR, "gateway.upstream.guard"):
        for _ in range(100):
            with pytest.raises(GatewayError) as caught:
                guard.permitted("evil.test:80", [to("169.254.169.254"), to("169.254.0.1")])
    assert caught.value.reason.code == "upstream_denied"
    assert "169" not in caught.value.details
    (line,) = caplog.messages
    assert "evil.test:80" in line
    assert "169.254.169.254 is in 169.254.0.0/16" in line
    assert "upstream_networks" in line


def test_a_new_configuration_holds_at_once() -> None:
    guard = Guard()
    guard.destinations = Destinations(UpstreamNetworks(allow=("169.254.169.254",)))
    assert guard.permitted("a:80", [to("169.254.169.254")])


def test_an_endpoint_behind_a_forward_proxy_is_checked_when_it_is_an_address() -> None:
    guard = Guard()
    guard.check(Origin.of("http://metadata.internal"))
    guard.check(Origin.of("http://192.0.2.1"))
    with pytest.raises(GatewayError):
        guard.check(Origin.of("http://[::ffff:169.254.169.254]"))

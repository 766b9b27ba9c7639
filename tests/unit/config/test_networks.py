"""Every spelling of an address has the verdict of the address."""

from __future__ import annotations

import socket

import pytest

from gateway.config.networks import Destinations, destination
from gateway.config.records import Document, Listener, UpstreamNetworks
from gateway.core.address import Address

PLAIN = Destinations()


@pytest.mark.parametrize(
    ("address", "reached"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:169.254.169.254", "169.254.169.254"),
        ("::ffff:a9fe:a9fe", "169.254.169.254"),
        ("64:ff9b::169.254.169.254", "169.254.169.254"),
        ("2002:a9fe:a9fe::1", "169.254.169.254"),
        ("0.0.0.0", "127.0.0.1"),
        ("::", "::1"),
        ("::ffff:0.0.0.0", "127.0.0.1"),
        ("fe80::1%eth0", "fe80::1"),
    ],
)
def test_where_packets_go(address: str, reached: str) -> None:
    assert str(destination(address)) == reached


@pytest.mark.parametrize(
    "address",
    [
        *("169.254.169.254", "169.254.0.1", "::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe", "2002:a9fe:a9fe::"),
        *("fe80::1", "fe80::1%lo", "febf::1", "fd00:ec2::254"),
    ],
)
def test_addresses_that_no_upstream_has(address: str) -> None:
    assert "denied to upstreams" in PLAIN.denial(address, 80)


@pytest.mark.parametrize(
    "address", ["127.0.0.1", "::1", "10.0.0.1", "0.0.0.0", "fd00:ec2::253", "169.255.0.1", "fec0::1"]
)
def test_addresses_that_an_upstream_may_have(address: str) -> None:
    assert PLAIN.denial(address, 80) == ""


def test_the_operator_denies_more_and_allows_some() -> None:
    made = Destinations(UpstreamNetworks(deny=("10.0.0.0/8", "0.0.0.0/0"), allow=("10.1.0.0/16", "169.254.170.2")))
    assert made.denial("10.1.2.3", 80) == made.denial("169.254.170.2", 80) == made.denial("::1", 80) == ""
    assert "10.0.0.0/8" in made.denial("10.2.0.1", 80)
    assert "169.254.0.0/16" in made.denial("169.254.169.254", 80)
    assert "0.0.0.0/0" in made.denial("::ffff:192.0.2.1", 80)


# -- the gateway's own listeners


@pytest.mark.parametrize("address", ["127.0.0.1", "0.0.0.0", "::ffff:127.0.0.1", "::ffff:0.0.0.0"])
def test_a_listener_by_each_of_its_names(address: str) -> None:
    made = Destinations(own=[("127.0.0.1", 8080)])
    assert "a listener of this gateway" in made.denial(address, 8080)
    assert made.denial(address, 8081) == ""


def test_a_listener_on_one_address_leaves_the_others_alone() -> None:
    made = Destinations(own=[("127.0.0.1", 8080), ("::1", 9090)])
    assert made.denial("127.0.0.2", 8080) == made.denial("::1", 8080) == made.denial("127.0.0.1", 9090) == ""
    assert made.denial("::", 9090) != ""


def address_of_this_machine() -> str:
    """One that is not a loopback address, where there is one."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        try:
            sock.connect(("192.0.2.99", 9))
        except OSError:
            return "127.0.0.1"
        return str(sock.getsockname()[0])


@pytest.mark.parametrize("address", ["127.0.0.1", "127.9.9.9", "0.0.0.0", address_of_this_machine()])
def test_a_listener_on_every_address_of_this_machine(address: str) -> None:
    made = Destinations(own=[("0.0.0.0", 8080)])
    assert "a listener of this gateway" in made.denial(address, 8080)
    assert made.denial(address, 8081) == ""
    assert made.denial("::1", 8080) == "", "it listens on IPv4 alone"
    assert made.denial("192.0.2.99", 8080) == "", "the same port of another machine"


def test_a_listener_on_every_ipv6_address() -> None:
    made = Destinations(own=[("::", 8080)])
    assert made.denial("::1", 8080) != ""
    assert made.denial("127.0.0.1", 8080) == ""


def test_no_network_opens_a_listener_of_our_own() -> None:
    made = Destinations(UpstreamNetworks(allow=("0.0.0.0/0", "127.0.0.1")), [("127.0.0.1", 8081)])
    assert made.denial("127.0.0.1", 8081) != ""
    assert made.denial("169.254.169.254", 80) == ""


def test_those_of_a_document() -> None:
    document = Document(listen=(Listener(Address("127.0.0.1", 0)),), own_listeners=(Address("127.0.0.1", 8081),))
    made = Destinations.of(document, [("127.0.0.1", 40001)])
    assert made.denial("127.0.0.1", 8081) != ""
    assert made.denial("127.0.0.1", 40001) != ""
    assert made == Destinations.of(document, [("127.0.0.1", 40001)])
    assert made != Destinations.of(document)


# -- by URL, before anything is resolved


@pytest.mark.parametrize(
    "url",
    [
        *("http://127.0.0.1:8080", "http://0.0.0.0:8080/x", "http://[::ffff:127.0.0.1]:8080", "http://localhost:8080"),
        *(
            "https://LOCALHOST:8080",
            "http://localhost.:8080",
            "http://a.localhost:8080",
            "http://169.254.169.254/latest",
        ),
        *("https://[fe80::1%25eth0]/", "http://[fd00:ec2::254]"),
    ],
)
def test_urls_that_are_denied_as_they_stand(url: str) -> None:
    assert Destinations(own=[("127.0.0.1", 8080)]).denial_of_url(url) != ""


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:9000", "http://localhost", "http://metadata.internal", "http://[::1]:8080"]
)
def test_urls_that_say_nothing_bad(url: str) -> None:
    assert Destinations(own=[("127.0.0.1", 8080)]).denial_of_url(url) == ""


def test_the_port_of_the_scheme() -> None:
    made = Destinations(own=[("localhost", 80), ("::1", 443)])
    assert made.denial_of_url("http://127.0.0.1") != ""
    assert made.denial_of_url("https://[::1]") != ""
    assert made.denial_of_url("https://127.0.0.1") == ""

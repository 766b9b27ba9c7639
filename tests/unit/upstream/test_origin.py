from __future__ import annotations

import pytest

from gateway.upstream.origin import Origin


@pytest.mark.parametrize(
    ("url", "authority", "base"),
    [
        ("http://a", "a", b""),
        ("http://a:80/", "a", b""),
        ("https://a:443/v1/", "a", b"/v1"),
        ("https://a:80", "a:80", b""),
        ("http://[::1]:9/x", "[::1]:9", b"/x"),
        ("http://[fe80::1%25eth0]:9/x", "[fe80::1]:9", b"/x"),
        ("https://[fe80::1%eth0]", "[fe80::1]", b""),
    ],
)
def test_endpoints(url: str, authority: str, base: bytes) -> None:
    endpoint = Origin.of(url)
    assert (endpoint.authority, endpoint.base) == (authority, base)


@pytest.mark.parametrize("url", ["http://[fe80::1%25eth0]:9", "http://[fe80::1%eth0]:9"])
def test_a_zone_is_for_dialling_alone(url: str) -> None:
    endpoint = Origin.of(url)
    assert (endpoint.host, endpoint.name, endpoint.url) == ("fe80::1%eth0", "fe80::1", "http://[fe80::1]:9")
    assert endpoint.is_address


def test_one_address_of_a_name_is_told_from_the_others() -> None:
    name, one = Origin.of("http://ai.test:9000/base"), Origin.of("http://ai.test:9000/base", "10.0.0.1")
    assert (name.label, one.label) == ("http://ai.test:9000", "http://ai.test:9000 (10.0.0.1)")
    assert (one.url, one.authority, one.is_address) == (name.url, "ai.test:9000", False)

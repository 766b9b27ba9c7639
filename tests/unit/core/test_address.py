import pytest

from gateway.core.address import Address, bracketed


@pytest.mark.parametrize(
    ("host", "written"),
    [
        ("127.0.0.1", "127.0.0.1:80"),
        ("example.org", "example.org:80"),
        ("::1", "[::1]:80"),
        ("fe80::1%eth0", "[fe80::1%eth0]:80"),
    ],
)
def test_an_address_as_text(host: str, written: str) -> None:
    assert str(Address(host, 80)) == written
    assert Address(host, 80).url() == f"http://{written}"
    assert Address(host, 80).url("https") == f"https://{written}"


def test_brackets_are_for_ipv6_alone() -> None:
    assert [bracketed(host) for host in ("::1", "h", "10.0.0.1")] == ["[::1]", "h", "10.0.0.1"]

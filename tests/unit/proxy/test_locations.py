from __future__ import annotations

import pytest

from gateway.core.message import ResponseHead
from gateway.proxy.locations import Locations


def rewritten(line: str, *, base: str = "", prefix: str = "/-/ai", host: str = "gw.test:8080") -> str:
    locations = Locations(b"http", b"up.test:9000", base.encode(), prefix.encode())
    head = ResponseHead(302, b"Found", 1, [b"X-A: 1", line.encode()], {b"k": b"v"}, 3, True)
    made = locations.rewritten(head, host.encode())
    assert (made.status, made.reason, made.known, made.length, made.keep_alive) == (
        302,
        b"Found",
        {b"k": b"v"},
        3,
        True,
    )
    assert (made is head) is (made.fields == head.fields)
    assert made.fields[0] == b"X-A: 1"
    return made.fields[1].decode()


@pytest.mark.parametrize(
    ("said", "heard"),
    [
        ("/login", "/-/ai/login"),
        ("/", "/-/ai/"),
        ("/login?next=/x#top", "/-/ai/login?next=/x#top"),
        ("http://up.test:9000/login", "/-/ai/login"),
        ("HTTP://UP.test:9000", "/-/ai/"),
        ("//up.test:9000/a", "/-/ai/a"),
        ("http://gw.test:8080/login", "http://gw.test:8080/-/ai/login"),
        ("https://gw.test:8080/login", "https://gw.test:8080/-/ai/login"),
        ("/-/ai/login", "/-/ai/login"),
        ("/-/ai", "/-/ai"),
        ("/-/aix", "/-/ai/-/aix"),
        ("login", "login"),
        ("../login", "../login"),
        ("?page=2", "?page=2"),
        ("https://up.test:9000/x", "https://up.test:9000/x"),
        ("http://other.test/x", "http://other.test/x"),
        ("http://up.test:9001/x", "http://up.test:9001/x"),
        ("mailto:a@b", "mailto:a@b"),
        ("", ""),
    ],
)
@pytest.mark.parametrize("name", ["Location", "content-location"])
def test_locations(name: str, said: str, heard: str) -> None:
    assert rewritten(f"{name}: {said}") == f"{name}: {heard}"


@pytest.mark.parametrize(
    ("said", "heard"),
    [
        ("/v1/chat", "/-/ai/chat"),
        ("/v1", "/-/ai"),
        ("/v1?x", "/-/ai?x"),
        ("/v10/chat", "/v10/chat"),
        ("/other", "/other"),
        ("http://up.test:9000/v1/chat", "/-/ai/chat"),
        ("http://up.test:9000/other", "http://up.test:9000/other"),
    ],
)
def test_below_a_base_path(said: str, heard: str) -> None:
    assert rewritten(f"Location: {said}", base="/v1") == f"Location: {heard}"


@pytest.mark.parametrize("said", ["http://up.test:9000//evil.test/x", "http://up.test:9000/\\evil.test"])
def test_a_path_never_becomes_the_name_of_a_host(said: str) -> None:
    heard = rewritten(f"Location: {said}", prefix="").removeprefix("Location: ")
    assert heard == "/." + said.removeprefix("http://up.test:9000")
    assert rewritten("Location: /v1//evil.test", base="/v1", prefix="") == "Location: /.//evil.test"


def test_ports_of_the_scheme() -> None:
    locations = Locations(b"https", b"up.test", b"", b"/p")
    for url in (b"https://up.test:443/a", b"https://up.test/a"):
        assert locations.rewritten(ResponseHead(302, b"", 1, [b"Location: " + url], {}, 0, True), b"g").fields == [
            b"Location: /p/a"
        ]


@pytest.mark.parametrize(
    ("said", "heard"),
    [
        ("a=b; Path=/; HttpOnly", "a=b; Path=/-/ai; HttpOnly"),
        ("a=b;path=/x", "a=b;path=/-/ai/x"),
        ("a=/x; Path = /x/", "a=/x; Path = /-/ai/x"),
        ("a=b", "a=b"),
        ("a=b; Path=", "a=b; Path="),
        ("a=b; Path=/-/ai/x", "a=b; Path=/-/ai/x"),
        ("__Host-a=b; Secure; Path=/", "__Host-a=b; Secure; Path=/"),
    ],
)
def test_cookies(said: str, heard: str) -> None:
    assert rewritten(f"Set-Cookie: {said}") == f"Set-Cookie: {heard}"


@pytest.mark.parametrize(
    ("said", "heard"), [("/", "/-/ai"), ("/v1", "/-/ai"), ("/v1/x", "/-/ai/x"), ("/v", "/v"), ("/other", "/other")]
)
def test_cookies_below_a_base_path(said: str, heard: str) -> None:
    assert rewritten(f"Set-Cookie: a=b; Path={said}", base="/v1") == f"Set-Cookie: a=b; Path={heard}"

from __future__ import annotations

import pytest

from gateway.upstream.forward_proxy import ForwardProxy, forward_proxy, settings
from gateway.upstream.origin import Origin

PROXY = {"http_proxy": "http://proxy:3128", "https_proxy": "http://secure:3129"}


def applies(url: str, **env: str) -> bool:
    return forward_proxy(Origin.of(url), PROXY | env) is not None


@pytest.mark.covers("T010b")
@pytest.mark.parametrize("name", ["http_proxy", "HTTP_PROXY"])
def test_the_environment_names_one(name: str) -> None:
    env = {name: "http://user:p%40ss@proxy:3128"}
    found = forward_proxy(Origin.of("http://a"), env)
    assert found == ForwardProxy("http://proxy:3128", name, ("user", "p@ss"))
    assert "p@ss" not in repr(found)
    assert forward_proxy(Origin.of("https://a"), env) is None


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("proxy", "http://proxy:80"),
        ("proxy:3128", "http://proxy:3128"),
        ("https://proxy", "https://proxy:443"),
        ("http://[::1]:3128/", "http://[::1]:3128"),
    ],
)
def test_each_way_to_write_it(text: str, url: str) -> None:
    found = forward_proxy(Origin.of("http://a"), {"http_proxy": text})
    assert found is not None
    assert found.url == url


@pytest.mark.parametrize(
    "text", ["socks5://proxy:1080", "http://", "http://proxy:port", "http://proxy:99999", "http://[::1"]
)
def test_one_that_can_not_be_used_is_said(text: str) -> None:
    for ask in (lambda env: forward_proxy(Origin.of("http://a"), env), settings):
        with pytest.raises(OSError, match=r"http_proxy names no forward proxy that can be used; write http://"):
            ask({"http_proxy": text})


def test_the_lower_case_name_wins_and_nothing_is_nothing() -> None:
    env = {"http_proxy": "http://lower", "HTTP_PROXY": "http://upper"}
    found = forward_proxy(Origin.of("http://a"), env)
    assert found is not None
    assert found.url == "http://lower:80"
    assert forward_proxy(Origin.of("http://a"), env | {"http_proxy": ""}) is None


def test_what_a_stranger_may_have_named_in_a_cgi_script() -> None:
    """CVE-2016-5385: HTTP_PROXY is then the header field Proxy."""
    assert forward_proxy(Origin.of("http://a"), {"HTTP_PROXY": "http://evil", "REQUEST_METHOD": "GET"}) is None


@pytest.mark.parametrize(
    "host",
    [
        *("127.0.0.1", "127.8.8.8", "localhost", "LOCALHOST", "localhost.", "a.localhost", "0.0.0.0"),
        *("[::1]", "[::]", "[::ffff:127.0.0.1]", "[0:0:0:0:0:0:0:1]", "[::1%25lo]"),
    ],
)
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_this_machine_is_never_reached_through_one(scheme: str, host: str) -> None:
    assert not applies(f"{scheme}://{host}:9000")


@pytest.mark.parametrize("host", ["10.0.0.1", "[fd00::1]", "example.org", "localhost.example.org", "128.0.0.1"])
def test_others_are(host: str) -> None:
    assert applies(f"http://{host}:9000")
    assert applies(f"https://{host}:9000")


@pytest.mark.parametrize(
    ("no_proxy", "url"),
    [
        ("*", "http://a"),
        ("example.org", "http://example.org"),
        ("example.org", "http://deep.api.example.org:81"),
        (".example.org", "http://example.org"),
        (".example.org", "http://API.Example.org"),
        ("other, example.org ,", "http://example.org."),
        ("example.org:81", "http://api.example.org:81"),
        ("example.org:80", "http://example.org"),
        ("10.0.0.0/8", "http://10.1.2.3"),
        ("10.1.2.3", "https://10.1.2.3:8443"),
        ("10.1.2.3:81", "http://10.1.2.3:81"),
        ("10.0.0.0/8", "http://[::ffff:10.1.2.3]"),
        ("fd00::/8", "http://[fd00::1]"),
        ("[fd00::1]:81", "http://[fd00::1]:81"),
        ("fd00::1", "http://[FD00:0::1]"),
        ("192.168.0.0/16,10.0.0.0/8", "http://10.1.2.3"),
    ],
)
def test_what_no_proxy_covers(no_proxy: str, url: str) -> None:
    assert not applies(url, no_proxy=no_proxy)
    assert not applies(url, NO_PROXY=no_proxy)


@pytest.mark.parametrize(
    ("no_proxy", "url"),
    [
        ("", "http://a"),
        (",, ,", "http://a"),
        (".", "http://a"),
        ("example.org", "http://badexample.org"),
        ("example.org:81", "http://example.org:82"),
        ("10.0.0.0/8", "http://11.1.2.3"),
        ("10.0.0.0/8", "http://ten.example.org"),
        ("10.1.2.3:81", "http://10.1.2.3:82"),
        ("1.2.3", "http://10.1.2.3"),
        ("3", "http://10.1.2.3"),
        ("fd00::/8", "http://[fe00::1]"),
    ],
)
def test_what_no_proxy_does_not_cover(no_proxy: str, url: str) -> None:
    assert applies(url, no_proxy=no_proxy)


def test_what_is_set_is_told_without_credentials() -> None:
    env = {"HTTPS_PROXY": "http://user:s3cret@proxy:3128", "no_proxy": "10.0.0.0/8"}
    assert settings(env) == ["HTTPS_PROXY=http://proxy:3128", "no_proxy=10.0.0.0/8"]
    assert settings({"no_proxy": "*"}) == []

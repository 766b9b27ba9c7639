from collections.abc import Callable

import pytest

from gateway.config import values
from gateway.core.address import Address, UnixSocket


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:8080", Address("127.0.0.1", 8080)),
        ("localhost:0", Address("localhost", 0)),
        ("[::1]:65535", Address("::1", 65535)),
        ("[::]:80", Address("::", 80)),
        ("my_host.example:80", Address("my_host.example", 80)),
    ],
)
def test_address(text: str, address: Address) -> None:
    assert values.address(text) == address
    assert values.listen_address(text) == text


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("8080", "write 127.0.0.1:8080"),
        ("localhost", "write 127.0.0.1:8080"),
        ("localhost:", "write 127.0.0.1:8080"),
        ("localhost:http", "write 127.0.0.1:8080"),
        ("localhost:-1", "write 127.0.0.1:8080"),
        ("localhost:65536", "choose one from 1 to 65535"),
        (":8080", "write 0.0.0.0 before the colon"),
        ("::1:8080", "in brackets"),
        ("[::1:8080", "in brackets"),
        ("[127.0.0.1]:8080", "in brackets"),
        ("[::g]:8080", "in brackets"),
        ("256.0.0.1:80", "neither a name nor an IP address"),
        ("a b:80", "neither a name nor an IP address"),
        ("http://h:80", "neither a name nor an IP address"),
        ("h:٨٠", "write 127.0.0.1:8080"),
    ],
)
def test_address_refuses(text: str, hint: str) -> None:
    refuses(values.address, text, hint)


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("/", "/"),
        ("/a", "/a"),
        ("/a/", "/a"),
        ("/-/ai", "/-/ai"),
        ("/v1/chat", "/v1/chat"),
        ("/a%20b", "/a%20b"),
        ("/api", "/api"),
        ("/api/gateways", "/api/gateways"),
        ("/_x", "/_x"),
        ("/...", "/..."),
        ("/a:b@c", "/a:b@c"),
        ("/" + "a" * 499, "/" + "a" * 499),
    ],
)
def test_route_path(text: str, path: str) -> None:
    assert values.route_path(text) == path


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("", "begin with a slash"),
        ("a", "begin with a slash"),
        ("/" + "a" * 500, "shorter"),
        ("/a?b", "remove the query"),
        ("/a#b", "remove the query"),
        ("/a b", "percent-encoded"),
        ("/ä", "percent-encoded"),
        ("/a%2", "percent-encoded"),
        ("/a\n", "percent-encoded"),
        ("/a//b", "empty segment"),
        ("//", "empty segment"),
        ("/a/../b", "`..` segment"),
        ("/a/.", "`..` segment"),
        ("/%2e%2E/b", "`..` segment"),
        ("/api/gateway", "/api/gateway and all below"),
        ("/api/gateway/x", "/api/gateway and all below"),
        ("/_", "/_ and all below"),
        ("/_/x", "/_ and all below"),
        ("/%5F/x", "/_ and all below"),
    ],
)
def test_route_path_refuses(text: str, hint: str) -> None:
    refuses(values.route_path, text, hint)


@pytest.mark.parametrize(
    ("text", "host"),
    [
        ("Example.ORG", "example.org"),
        ("*.example.org", "*.example.org"),
        ("10.0.0.1", "10.0.0.1"),
        ("a_b", "a_b"),
        ("::1", "::1"),
        ("[::1]", "::1"),
        ("[2001:DB8:0:0::1]", "2001:db8::1"),
        ("xn--bcher-kva.ch", "xn--bcher-kva.ch"),
    ],
)
def test_route_host(text: str, host: str) -> None:
    assert values.route_host(text) == host


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("example.org:80", "remove the scheme, the port"),
        ("http://example.org", "remove the scheme, the port"),
        ("bücher.ch", "xn--"),
        ("*", "write example.org"),
        ("a.*.org", "write example.org"),
        ("*.*.org", "write example.org"),
        ("", "write example.org"),
        ("a b", "write example.org"),
        ("a..b", "write example.org"),
        ("1.2.3", "write example.org"),
        ("a\n", "write example.org"),
    ],
)
def test_route_host_refuses(text: str, hint: str) -> None:
    refuses(values.route_host, text, hint)


@pytest.mark.parametrize(
    "text",
    [
        "http://h",
        "https://api.example.org/v1",
        "http://127.0.0.1:9000/base/",
        "http://[::1]:9000",
        "http://[::1]/x",
        "http://my_service:80",
        "HTTP://H/",
        "http://[fe80::1%25eth0]:9000/",
        "http://[fe80::1%eth0]",
        "http://0x7g.example",
        "http://h/a%20b",
    ],
)
def test_upstream_url_is_returned_as_written(text: str) -> None:
    assert values.upstream_url(text) == text


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("", "a space or a character outside ASCII"),
        ("http://h/a b", "a space or a character outside ASCII"),
        ("http://bücher.ch", "xn--"),
        ("http://h/\n", "a space"),
        ("h:80", "begin with http://"),
        ("ftp://h", "begin with http://"),
        ("http:/h", "begin with http://"),
        ("http://user:s3cret@h", "user or a password"),
        ("http://h?x=1", "query or a fragment"),
        ("http://h/a#b", "query or a fragment"),
        ("http://", "host is missing"),
        ("http:///x", "host is missing"),
        ("http://:80", "host is missing"),
        ("http://h:0", "port from 1 to 65535"),
        ("http://h:", "port from 1 to 65535"),
        ("http://h:x", "malformed"),
        ("http://h:65536", "malformed"),
        ("http://[::1", "malformed"),
        ("http://::1", "malformed"),
        ("http://1.2.3.4.5", "neither a name nor an IP address"),
        ("http://2130706433", "neither a name nor an IP address"),
        ("http://0x7f000001", "neither a name nor an IP address"),
        ("http://0X7F.0.0.0x1", "neither a name nor an IP address"),
        ("http://0177.0.0.1", "neither a name nor an IP address"),
        ("http://127.1", "neither a name nor an IP address"),
        ("http://[fe80::1%25]", "the zone of the address is malformed"),
        ("http://[fe80::1%]", "malformed"),
        ("http://[fe80::1%25a b]", "a space"),
        ("http://[fe80::1%25a/b]", "malformed"),
        ("http://[fe80::1%25sixteen-letters-x]", "the zone of the address is malformed"),
        ("http://a,b", "neither a name nor an IP address"),
        ("http://h/{x}", "the path holds a character"),
        ("http://h/a/../b", "`..` segment"),
        ("http://h//a", "empty segment"),
    ],
)
def test_upstream_url_refuses(text: str, hint: str) -> None:
    refuses(values.upstream_url, text, hint)


@pytest.mark.parametrize(
    ("text", "network"),
    [
        ("10.0.0.0/8", "10.0.0.0/8"),
        ("192.0.2.7", "192.0.2.7/32"),
        ("::1", "::1/128"),
        ("2001:DB8::/32", "2001:db8::/32"),
    ],
)
def test_network(text: str, network: str) -> None:
    assert values.network(text) == network


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("10.0.0.1/8", "write 10.0.0.0/8"),
        ("10.0.0.0/33", "neither an IP address nor"),
        ("localhost", "neither"),
        ("", "neither"),
    ],
)
def test_network_refuses(text: str, hint: str) -> None:
    refuses(values.network, text, hint)


@pytest.mark.parametrize("text", ["a", "A.b_c-1", "x" * 64])
def test_proxy_name(text: str) -> None:
    assert values.proxy_name(text) == text


@pytest.mark.parametrize("text", ["", "x" * 65, "a b", "ä", "a/b", "a\n"])
def test_proxy_name_refuses(text: str) -> None:
    refuses(values.proxy_name, text, "choose such a name")


@pytest.mark.parametrize("text", [".", ".."])
def test_a_name_that_no_url_can_have_is_refused(text: str) -> None:
    refuses(values.proxy_name, text, "which no URL can have")


@pytest.mark.parametrize("text", ["...", "a..b", ".a", "a."])
def test_dots_are_good_in_a_name(text: str) -> None:
    assert values.proxy_name(text) == text


def refuses(check: Callable[[str], object], text: str, hint: str) -> None:
    """The sentence holds ``hint`` and says how to mend it; no text but a short one may be found in it by chance."""
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the sentence is looked at below
        check(text)
    assert hint in str(caught.value)
    assert "; " in str(caught.value)
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://API.Example.org", "https://api.example.org"),
        ("https://api.example.org:443/x/y", "https://api.example.org"),
        ("HTTP://h:80", "http://h"),
        ("http://h:443", "http://h:443"),
        ("https://[2001:DB8:0:0:0:0:0:1]:8443/", "https://[2001:db8::1]:8443"),
        ("http://127.0.0.1:9000/base", "http://127.0.0.1:9000"),
    ],
)
def test_origins_have_one_form(url: str, expected: str) -> None:
    assert values.origin(url) == expected
    assert values.plain_origin(expected) == expected
    assert values.plain_origin(expected + "/") == expected


@pytest.mark.parametrize("text", ["edge-1", "breakwater", "a.b_c"])
def test_pseudonym(text: str) -> None:
    assert values.pseudonym(text) == text


@pytest.mark.parametrize("text", ["", "edge 1", "a,b", "a(b)", "x" * 65, "\u00e9"])
def test_pseudonym_refuses(text: str) -> None:
    refuses(values.pseudonym, text, "write a name such as edge-1")


def test_server_name() -> None:
    assert values.server_name("AI.example.org") == "ai.example.org"
    assert values.server_name("10.0.0.1") == "10.0.0.1"
    refuses(values.server_name, "*.example.org", "must be one name")
    refuses(values.server_name, "a b", "write example.org")


def test_admin_address() -> None:
    assert values.admin_address("unix:/run/gateway/admin.sock") == UnixSocket("/run/gateway/admin.sock")
    assert str(values.admin_address("unix:/a b")) == "unix:/a b"
    assert values.admin_address("[::1]:1") == Address("::1", 1)
    assert values.admin_listen("unix:/x") == "unix:/x"


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("unix:admin.sock", "write unix:/run/gateway/admin.sock"),
        ("unix:", "write unix:/run/gateway/admin.sock"),
        ("unix:///run/x", "write unix:/run/gateway/admin.sock"),
        ("unix:/run/", "write unix:/run/gateway/admin.sock"),
        ("unix:/a\0b", "cannot be printed"),
        ("unix:/" + "é" * 54, "more than 107 bytes"),
        ("/run/x", "must be host:port"),
    ],
)
def test_admin_address_refuses(text: str, hint: str) -> None:
    refuses(values.admin_listen, text, hint)


@pytest.mark.parametrize(
    ("value", "text"), [(503, "503"), ("503", "503"), (True, True), (None, None), (5.0, 5.0), ([503], [503])]
)
def test_status_text(value: object, text: object) -> None:
    assert values.status_text(value) == text


@pytest.mark.parametrize(
    ("text", "found"),
    [("503", "503"), (" 200 ", "200"), ("200-299", "200-299"), ("200 - 299", "200-299"), ("204-204", "204")],
)
def test_status_range(text: str, found: str) -> None:
    assert values.status_range(text) == found


@pytest.mark.parametrize("text", ["", "ok", "99", "600", "2xx", "200-", "-299", "200-600", "200-299-399", "200,204"])
def test_status_range_refuses(text: str) -> None:
    refuses(values.status_range, text, 'write "503" or "500-599"')


def test_status_range_turned_round() -> None:
    refuses(values.status_range, "599-500", 'write "500-599"')


@pytest.mark.parametrize("text", ["/", "/health", "/a/b%20c", "/up?full=1&x=%2F", "/up?", "/up?a?b", "/?q"])
def test_check_path(text: str) -> None:
    assert values.check_path(text) == text


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("", "must begin with a slash"),
        ("health", "must begin with a slash"),
        ("http://h/health", "must begin with a slash"),
        ("/up#top", "hold no #"),
        ("/up?x#top", "hold no #"),
        ("/a b", "percent-encoded"),
        ("/a%2", "percent-encoded"),
        ("/a\r\nX: 1", "percent-encoded"),
        ("/ü", "percent-encoded"),
        ("/up?a b", "percent-encoded"),
        ("/up?\r\nX: 1", "percent-encoded"),
    ],
)
def test_check_path_refuses(text: str, hint: str) -> None:
    refuses(values.check_path, text, hint)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", ""),
        (" ", ""),
        ("client", "client"),
        (" client ", "client"),
        ("header:X-User", "header:x-user"),
        ("cookie:Sid", "cookie:Sid"),
    ],
)
def test_hash_on(text: str, found: str) -> None:
    assert values.hash_on(text) == found


@pytest.mark.parametrize(
    "text",
    ["path", "client:", "client:x", "header", "header:", "header:a b", "cookie:", "cookie:a=b", "Header:X", ":x"],
)
def test_hash_on_refuses(text: str) -> None:
    refuses(values.hash_on, text, "write client, header:NAME or cookie:NAME")


@pytest.mark.parametrize("number", [0.0, 1.01, 1.25, 100.0])
def test_above_one(number: float) -> None:
    assert values.above_one(number) == number


@pytest.mark.parametrize("number", [0.001, 0.5, 1.0])
def test_above_one_refuses(number: float) -> None:
    with pytest.raises(ValueError, match=r"must be above 1, as in .*; or 0 for no bound"):
        values.above_one(number)


@pytest.mark.parametrize(
    ("url", "found"),
    [
        ("http://10.0.0.1:1/x", True),
        ("https://[::1]", True),
        ("http://[fe80::1%25eth0]:9", True),
        ("http://a.test", False),
        ("http://1a", False),
        ("", False),
    ],
)
def test_is_address(url: str, found: bool) -> None:
    assert values.is_address(url) is found

from __future__ import annotations

import pytest

from gateway.core.exchange import Exchange
from gateway.errors import GatewayError
from gateway.proxy.router import Route, Router


async def nothing(ex: Exchange) -> None: ...


def route(path: str, *hosts: str) -> Route:
    return Route(path.encode(), tuple(host.encode() for host in hosts), nothing)


def path_of(router: Router, path: str, host: str = "any") -> str | None:
    found = router.match(host.encode(), path.encode())
    return None if found is None else found.path.decode()


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("/-/openai", "/-/openai"),
        ("/-/openai/", "/-/openai"),
        ("/-/openai/v1/chat", "/-/openai/v1"),
        ("/-/openai/v1", "/-/openai/v1"),
        ("/-/openai/v1x", "/-/openai"),
        ("/-/openai/chat", "/-/openai"),
        ("/-/openaiextra", None),
        ("/-/OpenAI", None),
        ("/api/test", None),
        ("/", None),
        ("/" + "a/" * 4000, None),
    ],
)
def test_longest_prefix_at_a_segment_boundary(path: str, found: str | None) -> None:
    router = Router([route("/-/openai"), route("/-/openai/v1"), route("/-/local")])
    assert path_of(router, path) == found


def test_the_root_takes_the_rest() -> None:
    router = Router([route(""), route("/a")])
    assert [path_of(router, path) for path in ("/", "/b/c", "/a/c")] == ["", "", "/a"]


def test_hosts_come_first_then_wildcards_then_any() -> None:
    router = Router([route("/a"), route("", "x.org"), route("/a/b", "*.x.org"), route("/c", "::1")])
    assert path_of(router, "/a/b", "x.org:8080") == ""
    assert path_of(router, "/a/b", "W.X.ORG") == "/a/b"
    assert path_of(router, "/a/b", "v.w.x.org.") == "/a/b"
    assert path_of(router, "/a", "w.x.org") == "/a"
    assert path_of(router, "/a", "other") == "/a"
    assert path_of(router, "/c", "[::1]:80") == "/c"
    assert path_of(router, "/c", "other") is None


@pytest.mark.parametrize(
    "rest", ["/../x", "/..", "/a/../../x", "/%2e%2E/x", "/.%2e/x", "/a/..%2f..%2fx", "/..%5cx", "/a/./../../x"]
)
def test_dot_segments_must_not_lead_out(rest: str) -> None:
    """RFC 3986 5.2.4: an upstream that resolves them would serve another route's place."""
    with pytest.raises(GatewayError) as caught:
        path_of(Router([route("/-/a")]), "/-/a" + rest)
    assert caught.value.reason.code == "bad_request"


@pytest.mark.parametrize("rest", ["/a/../x", "/./x", "/...", "/.hidden", "/%41", "/a%2Fb/../c//d", "/%zz"])
def test_dots_that_stay_inside_are_left_alone(rest: str) -> None:
    assert path_of(Router([route("/-/a")]), "/-/a" + rest) == "/-/a"

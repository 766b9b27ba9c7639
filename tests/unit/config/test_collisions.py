import pytest

from gateway.config.collisions import find
from gateway.config.errors import Path
from gateway.config.formats.tree import Branch, grow
from gateway.config.variables import Substituted


def told(data: dict[str, object], lines: dict[Path, int] | None = None) -> list[str]:
    root = grow("f", data, lines or {})
    assert isinstance(root, Branch)
    return [problem.render("f") for problem in find(data, root)]


def test_two_proxies_of_one_name() -> None:
    lines: dict[Path, int] = {("proxies", 0): 3, ("proxies", 1): 7}
    assert told({"proxies": [{"name": "a"}, {"name": "a"}, {"name": "b"}]}, lines) == [
        "f:7: proxies.1.name: the same name is already in line 3; change or remove one of the two"
    ]


@pytest.mark.parametrize(
    ("one", "two", "where"),
    [
        ({"path": "/a"}, {"path": "/a/"}, "proxies.1.path"),
        ({"path": "/a", "hosts": ["x", "y"]}, {"path": "/a", "hosts": ["z", "Y"]}, "proxies.1.hosts.1"),
        ({"path": "/a", "hosts": ["[::1]"]}, {"path": "/a", "hosts": ["0::1"]}, "proxies.1.hosts.0"),
    ],
)
def test_two_proxies_of_one_path_and_host(one: object, two: object, where: str) -> None:
    assert [line.split(": ")[1:3] for line in told({"proxies": [one, two]})] == [
        [where, "the same path for the same host is already in line 1; change or remove one of the two"]
    ]


@pytest.mark.parametrize(
    ("one", "two"),
    [
        ({"path": "/a"}, {"path": "/a", "hosts": ["x"]}),
        ({"path": "/a", "hosts": ["x"]}, {"path": "/a", "hosts": ["*.x"]}),
        ({"path": "/a"}, {"path": "/A"}),
        ({"path": "bad"}, {"path": "bad"}),
    ],
)
def test_proxies_that_do_not_collide(one: object, two: object) -> None:
    assert told({"proxies": [one, two]}) == []


def test_a_host_twice_in_one_proxy_is_reported_once() -> None:
    assert len(told({"proxies": [{"path": "/a", "hosts": ["x", "X"]}]})) == 1


def test_a_header_twice_in_other_letters() -> None:
    assert told({"proxies": [{"headers": {"X-Key": "", "x-key": ""}}]}) == [
        (
            "f:1: proxies.0.headers.x-key: the same header in other letters is already in line 1; "
            "change or remove one of the two"
        )
    ]


def test_an_address_twice() -> None:
    assert len(told({"listen": ["h:1", {"address": "h:1"}, "h:2"]})) == 1
    assert told({"listen": ["h:0", "h:0"]}) == []


@pytest.mark.parametrize(
    ("listen", "admin", "refused"),
    [
        ("127.0.0.1:80", "127.0.0.1:80", True),
        ({"address": "127.0.0.1:80"}, "127.0.0.1:80", True),
        (["127.0.0.1:81", "127.0.0.1:80"], "127.0.0.1:80", True),
        ("0.0.0.0:80", "127.0.0.1:80", True),
        ("127.0.0.1:80", "0.0.0.0:80", True),
        ("[::]:80", "[::1]:80", True),
        ("[0:0::0]:80", "[::1]:80", True),
        ("[::1]:80", "[0:0::1]:80", True),
        ("[fe80::1%eth0]:80", "[fe80::1%eth1]:80", False),
        ("[::]:80", "[fe80::1%eth1]:80", True),
        ("[::]:80", "0.0.0.0:80", False),  # the gateway's sockets of IPv6 take no IPv4
        ("[::1]:80", "127.0.0.1:80", False),
        ("127.0.0.1:80", "127.0.0.2:80", False),
        ("0.0.0.0:80", "127.0.0.1:81", False),
        ("0.0.0.0:80", "localhost:80", False),  # the machine may have it for IPv6
        ("0.0.0.0:0", "127.0.0.1:0", False),
        ("127.0.0.1:80", "unix:/run/admin.sock", False),
        (None, "127.0.0.1:80", False),
    ],
)
def test_addresses_that_the_system_refuses_beside_each_other(listen: object, admin: str, refused: bool) -> None:
    found = told({"listen": listen, "admin": {"listen": admin}})
    assert [line.partition(": an address that overlaps")[0] for line in found] == ["f:1: admin.listen"] * refused


@pytest.mark.parametrize("data", [{}, {"proxies": 5}, {"proxies": [5, {"name": [], "hosts": 5, "headers": []}]}])
def test_what_is_malformed_is_left_to_the_model(data: dict[str, object]) -> None:
    assert told(data) == []


def test_the_upstream_of_a_fallback_must_be_there() -> None:
    lines: dict[Path, int] = {("proxies", 0, "fallback", "upstream"): 9}
    upstreams = [{"name": "ai"}]

    def with_second(second: object) -> list[str]:
        proxies = [{"name": "p", "upstream": "http://h", "fallback": {"upstream": second}}]
        return told({"upstreams": upstreams, "proxies": proxies}, lines)

    (problem,) = with_second("gone")
    assert problem.startswith(
        "f:9: proxies.0.fallback.upstream: there is no upstream of this name below `upstreams`, where"
    )
    for good in ("ai", "http://x", None, 5):
        assert with_second(good) == []


def limited(**numbers: object) -> dict[str, object]:
    return {"rate_limits": [{"key": "client", "rate": 5, "shared": True, **numbers}]}


@pytest.mark.parametrize(
    ("one", "two", "agree"),
    [
        (limited(), limited(), True),
        (limited(), limited(per=1.0, burst=0, max_keys=100_000), True),
        (limited(), limited(rate=6), False),
        (limited(per=60), limited(), False),
        (limited(burst=7), limited(), False),
        (limited(max_keys=10), limited(), False),
        (limited(), limited(rate=6, name="other"), True),
        (limited(), limited(rate=6, shared=False), True),
        (limited(), limited(rate=6, key="all"), True),
        (limited(), limited(rate=6, unit="tokens"), True),
        (limited(unit="tokens"), limited(rate=6, unit="tokens"), False),
        (limited(unit="requests"), limited(rate=6), False),
        (limited(key="header:X-A"), limited(key="header:x-a", rate=6), False),
        (limited(), limited(rate=Substituted("5"), shared=Substituted("true")), True),
        (limited(), limited(rate=Substituted("6"), shared=Substituted("true")), False),
    ],
)
def test_limits_that_share_their_buckets_have_the_same_numbers(one: object, two: object, agree: bool) -> None:
    lines: dict[Path, int] = {("proxies", 0, "rate_limits", 0): 3, ("proxies", 1, "rate_limits", 0): 7}
    message = (
        "f:7: proxies.1.rate_limits.0: shares its buckets with the limit in line 3; write the same rate, per, burst "
        "and max_keys there"
    )
    assert told({"proxies": [one, two]}, lines) == ([] if agree else [message])


GROUPED: dict[str, object] = {"http": {"connections": {"a": {}}, "actions": {"x": {"connection": "a"}}}}


def test_a_connection_and_an_action_stand_in_one_form_alone() -> None:
    lines: dict[Path, int] = {
        ("connections", "a"): 2,
        ("actions", "x"): 4,
        ("connectors", "http", "connections", "a"): 8,
        ("connectors", "http", "actions", "x"): 10,
    }
    flat: dict[str, object] = {"connections": {"a": {}}, "actions": {"x": {"connection": "a"}}}
    assert told(flat) == told({"connectors": GROUPED}) == []
    assert told({**flat, "connectors": GROUPED}, lines) == [
        "f:8: connectors.http.connections.a: the same name is already in line 2; change or remove one of the two",
        "f:10: connectors.http.actions.x: the same name is already in line 4; change or remove one of the two",
    ]


@pytest.mark.parametrize(
    ("connections", "known"),
    [
        ({}, "add it below `connections`"),
        ({"b": {}, "a": {}}, "the names are a, b; write one of them"),
        ({"z": {"tenant": "t"}}, "the names are z; write one of them"),
    ],
)
def test_an_action_names_a_connection_that_is_there(connections: dict[str, object], known: str) -> None:
    lines: dict[Path, int] = {("actions", "x", "connection"): 5}
    data: dict[str, object] = {"connections": connections, "actions": {"x": {"connection": "shop"}}}
    assert told(data, lines) == [f"f:5: actions.x.connection: there is no connection of this name; {known}"]


@pytest.mark.parametrize(
    ("tenant", "named", "known"),
    [
        ("default", "connection/a", True),
        ("default", "connection/default/a", False),
        ("acme", "connection/acme/a", True),
        ("acme", "connection/a", False),
        ("acme", "a", False),
    ],
)
def test_a_proxy_may_name_a_connection(tenant: str, named: str, known: bool) -> None:
    found = told({"connections": {"a": {"tenant": tenant}}, "proxies": [{"name": "p", "upstream": named}]})
    assert (not found) is known


def test_the_first_version_of_an_action_is_the_action_without_a_version() -> None:
    twice = {"connections": {"a": {}}, "actions": {"x": {"connection": "a"}, "x@v1": {"connection": "a"}}}
    (problem,) = told(twice)
    assert "the same name" in problem
    assert not told({**twice, "actions": {"x": {"connection": "a"}, "x@v2": {"connection": "a"}}})


def test_a_connection_of_the_database_is_looked_for_when_that_is_read() -> None:
    proxies = [{"name": "p", "path": "/", "upstream": "connection/stored"}]
    assert len(told({"proxies": proxies})) == 1
    assert not told({"proxies": proxies, "database": "sqlite:///x.db"})
    assert len(told({"proxies": [{**proxies[0], "upstream": "stored"}], "database": "sqlite:///x.db"})) == 1

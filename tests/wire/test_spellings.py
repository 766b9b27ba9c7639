"""Spellings of a path that a back end may take for another path, behind another route or with another verdict."""

from __future__ import annotations

import pytest
from harness.answers import ok
from harness.client import code_of
from harness.rig import GatewayFor, Rig, proxy_to
from harness.upstream import Upstream

SPELLINGS = [
    "//admin",
    "/%61dmin",
    "/x/../admin",
    "/./admin",
    "/admin%2f",
    "/%2e/admin",
    "/\\admin",
    "/x\\..\\admin",
    "/x/..;/admin",
    "/;/admin",
    "/admin;x=1",
    "/%2561dmin",
    "/x/%252e%252e/admin",
    "/x%5c..%5cadmin",
]
"""Each reached an upstream that has /admin by way of the route /, which is open."""
SIBLINGS = [
    "//admin/secret",
    "/%2Fadmin",
    "/x/%2e%2E/admin/secret?a=/b",
    "/admin/../admin%2Fsecret",
    "/%25%36%31dmin",
    "/%2525252561dmin",
    "/x/y/../../admin",
    # Only one step is left out: back ends that decode but do not resolve, or resolve what stands there plainly.
    "/admin%2f..%2f..%2fx",
    "/x/../admin/%2e%2e",
    # What a servlet container never sees stands in a path parameter.
    "/admin;%2fx",
]


async def two_routes(gateway_for: GatewayFor, upstream: Upstream) -> Rig:
    upstream.behaviour = ok()
    proxies = (
        proxy_to(upstream, name="open", path="/"),
        proxy_to(upstream, name="closed", path="/admin", access_rule="false"),
        proxy_to(upstream, name="deep", path="/a/b", access_rule="false"),
    )
    return await gateway_for(upstream, proxies=proxies)


@pytest.mark.parametrize("target", [*SPELLINGS, *SIBLINGS])
async def test_no_spelling_reaches_another_route(gateway_for: GatewayFor, upstream: Upstream, target: str) -> None:
    rig = await two_routes(gateway_for, upstream)
    response = await rig.ask(target)
    # Where the literal path selects the closed route its rule rejects, whatever else the path may mean.
    assert (response.status, code_of(response)) == (400, "bad_request")
    assert upstream.accepted == 0
    client = await rig.connect()
    for _ in range(2):  # a head that is repeated is remembered with its verdict
        assert (await client.ask(target)).status == 400


@pytest.mark.parametrize("target", ["/a;%2fz/b", "/q;%2f/../a/b", "/a%2Fb", "/a/x/..;/b", "/a//b"])
async def test_nor_a_route_two_segments_deep(gateway_for: GatewayFor, upstream: Upstream, target: str) -> None:
    rig = await two_routes(gateway_for, upstream)
    assert (await rig.ask(target)).status == 400
    assert upstream.accepted == 0


@pytest.mark.parametrize(
    "target", ["/admin", "/admin/", "/admin/x", "/admin?/x", "/admin/a%2Fb", "/admin//x", "/admin/a;b=c/%2e"]
)
async def test_plain_paths_keep_their_route(gateway_for: GatewayFor, upstream: Upstream, target: str) -> None:
    rig = await two_routes(gateway_for, upstream)
    response = await rig.ask(target)
    assert (response.status, code_of(response)) == (403, "forbidden")


INSIDE = [
    "/api/group%2Fproject",
    "/fetch/https://x/y",
    "/fetch/https%3A%2F%2Fx%2Fy",
    "/a;v=1/c;w",
    "/x/../y/./z",
    "/administrator//x",
    "/x/admin/../y",
    "/%7Euser/100%25",
    "/x%5Cy\\z",
    "/.well-known/a..b/...",
]


@pytest.mark.parametrize("target", INSIDE)
async def test_inside_one_route_every_byte_passes(gateway_for: GatewayFor, upstream: Upstream, target: str) -> None:
    rig = await two_routes(gateway_for, upstream)
    assert (await rig.ask(target + "?a=//b/../c")).status == 200
    assert upstream.requests[-1].target == target.encode() + b"?a=//b/../c"
    assert (await rig.log.last())["proxy_name"] == "open"


@pytest.mark.parametrize("target", ["/%61dmin", "//admin", "/x/../admin", "/admi%6e/x"])
async def test_where_the_literal_path_has_no_route_it_is_404(
    gateway_for: GatewayFor, upstream: Upstream, target: str
) -> None:
    rig = await gateway_for(upstream, path="/admin")
    response = await rig.ask(target)
    assert (response.status, code_of(response)) == (404, "no_route")


async def test_a_route_with_an_escape_in_its_path(gateway_for: GatewayFor, upstream: Upstream) -> None:
    upstream.behaviour = ok()
    proxies = (proxy_to(upstream, name="open", path="/"), proxy_to(upstream, name="cafe", path="/caf%C3%A9"))
    rig = await gateway_for(upstream, proxies=proxies)
    assert (await rig.ask("/caf%C3%A9/x%2Fy")).status == 200
    assert (await rig.log.last())["proxy_name"] == "cafe"
    assert (await rig.ask("/caf%c3%a9")).status == 400


@pytest.mark.parametrize("target", ["/-/a/..;/x", "/-/a/%252e%252e/x", "/-/a/b;%2fc/../../x", "/-/a/b%2f..%2f../x"])
async def test_no_spelling_leaves_the_prefix(gateway_for: GatewayFor, upstream: Upstream, target: str) -> None:
    """It would reach what lies beside the base path of the upstream."""
    rig = await gateway_for(upstream.url + "/base", path="/-/a")
    assert (await rig.ask(target)).status == 400
    assert upstream.accepted == 0


async def test_a_route_of_every_host_does_not_stand_in_the_way_of_one_of_a_host(
    gateway_for: GatewayFor, upstream: Upstream
) -> None:
    """For a.test the route / takes all: nothing that /admin of other hosts guards can be reached there."""
    upstream.behaviour = ok()
    proxies = (
        proxy_to(upstream, name="a", path="/", hosts=("a.test",)),
        proxy_to(upstream, name="others", path="/admin", access_rule="false"),
        proxy_to(upstream, name="wild", path="/admin", hosts=("*.b.test",), access_rule="false"),
        proxy_to(upstream, name="b", path="/", hosts=("x.b.test",)),
        proxy_to(upstream, name="c", path="/"),
    )
    rig = await gateway_for(upstream, proxies=proxies)
    statuses = [(await rig.ask("//admin", host=host)).status for host in ("a.test", "x.b.test", "y.b.test", "c.test")]
    assert statuses == [200, 200, 400, 400]


RULE = "@request.path = '/x/health' || @request.auth.id != ''"


@pytest.mark.parametrize(
    ("target", "status"),
    [
        ("/x/health", 200),
        ("/x/other", 401),
        ("/x//other", 401),
        ("/x//health", 400),
        ("/x/%68ealth", 400),
        ("/x/y/../health", 400),
        ("/x/health;a=b", 400),
    ],
)
async def test_a_rule_judges_every_reading_alike(
    gateway_for: GatewayFor, upstream: Upstream, target: str, status: int
) -> None:
    upstream.behaviour = ok()
    rig = await gateway_for(upstream, path="/x", access_rule=RULE)
    assert (await rig.ask(target)).status == status


@pytest.mark.parametrize("host", ["[2001:DB8:0:0:0:0:0:1]", "[2001:db8::1]:8080", "[2001:0db8::0001]"])
async def test_the_text_forms_of_an_ipv6_address_are_one_host(
    gateway_for: GatewayFor, upstream: Upstream, host: str
) -> None:
    upstream.behaviour = ok()
    rule = "@request.headers.host = '[2001:db8:0::1]'"
    rig = await gateway_for(upstream, hosts=("2001:db8::1",), access_rule=rule)
    assert (await rig.ask("/", host=host)).status == 200
    assert (await rig.ask("/", host="[2001:db8::2]")).status == 404


async def test_a_method_is_the_same_in_any_case(gateway_for: GatewayFor, upstream: Upstream) -> None:
    """Back ends that fold it would delete what a rule against DELETE protects."""
    upstream.behaviour = ok()
    rig = await gateway_for(upstream, access_rule="@request.method != 'DELETE'")
    assert [(await rig.ask(method=m)).status for m in ("GET", "DELETE", "delete", "Delete")] == [200, 401, 401, 401]

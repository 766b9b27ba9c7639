"""What the access log says of a request, from real sockets to the file."""

from __future__ import annotations

import pytest
from harness.answers import ok
from harness.rig import GatewayFor
from harness.upstream import Upstream


@pytest.mark.parametrize(
    ("trusted", "fields", "client"),
    [
        (("127.0.0.1/32", "10.0.0.0/8"), ("X-Forwarded-For: 6.6.6.6, 203.0.113.7, 10.0.0.1",), "203.0.113.7"),
        (("127.0.0.1/32",), ("X-Forwarded-For: 6.6.6.6", "X-Forwarded-For: [2001:db8::7]:99"), "2001:db8::7"),
        (("127.0.0.1/32",), ('Forwarded: for=6.6.6.6, for="[2001:db8::7]:99";proto=https',), "2001:db8::7"),
        (("127.0.0.1/32",), ("X-Forwarded-For: 203.0.113.7", "Forwarded: for=6.6.6.6"), "203.0.113.7"),
        (("127.0.0.1/32",), ("X-Forwarded-For: nobody",), None),
        (("127.0.0.1/32",), (), None),
        (("10.0.0.0/8",), ("X-Forwarded-For: 203.0.113.7",), None),
        ((), ("X-Forwarded-For: 203.0.113.7",), None),
    ],
)
async def test_who_sent_it_and_who_brought_it(
    trusted: tuple[str, ...], fields: tuple[str, ...], client: str | None, gateway_for: GatewayFor, upstream: Upstream
) -> None:
    upstream.behaviour = ok()
    rig = await gateway_for(upstream, trusted_proxies=trusted)
    await rig.ask("/", *fields)
    line = await rig.log.last()
    assert line["peer"].startswith("127.0.0.1:")
    assert line["client"] == (client or line["peer"])


async def test_on_one_connection_each_request_has_its_client(gateway_for: GatewayFor, upstream: Upstream) -> None:
    upstream.behaviour = ok()
    rig = await gateway_for(upstream, trusted_proxies=("127.0.0.1/32",))
    connection = await rig.connect()
    for last in (1, 2, 2, 1):
        await connection.ask("/", f"X-Forwarded-For: 203.0.113.{last}")
    assert [line["client"][-1] for line in await rig.log.wait(4)] == ["1", "2", "2", "1"]


@pytest.mark.parametrize(
    "path",
    [
        '/","reason":"","path":"/innocent',
        "/\\u000a{}",
        "/%0a{%22path%22:%22/innocent%22}",
    ],
)
async def test_no_path_makes_a_line_of_its_own(path: str, gateway_for: GatewayFor, upstream: Upstream) -> None:
    """Quotes and escapes are text; a real line end is no part of a request line."""
    upstream.behaviour = ok()
    rig = await gateway_for(upstream)
    await rig.ask(path)
    await rig.ask("/after")
    forged, after = await rig.log.wait(2)
    assert (forged["path"], after["path"]) == (path, "/after")
    assert forged.keys() == after.keys()


async def test_long_paths_do_not_hide_others(gateway_for: GatewayFor, upstream: Upstream) -> None:
    upstream.behaviour = ok()
    rig = await gateway_for(upstream)
    connection = await rig.connect()
    for number in range(280):
        await connection.ask(f"/attack/{number}" if number % 28 == 0 else "/" + "x" * 8000)
    lines = await rig.log.wait(280)
    assert sum(line["path"].startswith("/attack") for line in lines) == 10
    assert {line["path"][2048:] for line in lines if line["path"].startswith("/x")} == {"...+5953"}

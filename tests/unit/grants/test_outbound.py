"""The gateway's own requests on real sockets: what they carry, where they may go, and what is never followed."""

from __future__ import annotations

from collections.abc import AsyncIterator

import aiohttp
import pytest
from harness.answers import answer, each_request, once
from harness.dns import rebound
from harness.upstream import Upstream, refused_url

from gateway.config.networks import Destinations
from gateway.config.records import UpstreamNetworks
from gateway.grants.outbound import DeniedError, Outbound

DENIED = Destinations(UpstreamNetworks(deny=("127.0.0.0/8", "::1/128")))


@pytest.fixture
async def outbound() -> AsyncIterator[Outbound]:
    made = Outbound(5.0)
    yield made
    await made.aclose()


async def test_a_request_has_its_method_body_and_fields(outbound: Outbound) -> None:
    async with Upstream(each_request(lambda _: answer(b"hello"))) as upstream:
        async with outbound.exchange("GET", f"{upstream.url}/keys?x=1") as response:
            assert (response.status, await response.read()) == (200, b"hello")
        async with outbound.exchange("POST", upstream.url, b"a=b", {"X-A": "c"}) as response:
            assert response.status == 200
    got, sent = upstream.requests
    assert (got.method, got.target, got.body) == (b"GET", b"/keys?x=1", b"")
    assert (sent.method, sent.body, sent.get("x-a")) == (b"POST", b"a=b", b"c")


async def test_no_redirect_is_followed_and_no_cookie_kept(outbound: Outbound) -> None:
    async with Upstream(once(answer(b"", "Location: /other", "Set-Cookie: a=b", status=302))) as upstream:
        async with outbound.exchange("GET", upstream.url) as response:
            assert response.status == 302
        async with outbound.exchange("GET", upstream.url) as response:
            assert response.status == 302
    assert [seen.target for seen in upstream.requests] == [b"/", b"/"]
    assert upstream.requests[1].get("cookie") is None


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "idp.example"])
async def test_a_denied_address_is_not_dialled(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether it stands in the URL, or a name has it now (DNS rebinding)."""
    monkeypatch.setattr("aiohttp.ThreadedResolver", rebound("idp.example", "127.0.0.1"))
    outbound = Outbound(5.0, lambda: DENIED)
    async with Upstream() as upstream:
        with pytest.raises(DeniedError, match="denied by upstream_networks") as caught:
            async with outbound.exchange("GET", f"http://{host}:{upstream.port}/"):
                pass
        assert "127" not in str(caught.value)
        assert upstream.accepted == 0
    await outbound.aclose()


async def test_an_address_where_nothing_listens_is_an_error_of_the_connection(outbound: Outbound) -> None:
    with pytest.raises(aiohttp.ClientConnectorError):
        async with outbound.exchange("GET", refused_url()):
            pass

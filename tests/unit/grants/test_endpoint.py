"""The token endpoint on real sockets: what a provider does wrong, and for how long it is left alone."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

import pytest
from harness.answers import answer, each_request, head, once
from harness.dns import rebound
from harness.patience import eventually
from harness.tls import TlsUpstream
from harness.upstream import Upstream, refused_url

from gateway.config.networks import Destinations
from gateway.config.records import UpstreamNetworks
from gateway.grants.endpoint import MOST_BYTES, TokenEndpoint
from gateway.grants.errors import ProviderAwayError, ProviderRefusedError
from gateway.grants.flows import TokenRequest


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
async def endpoint() -> AsyncIterator[TokenEndpoint]:
    made = TokenEndpoint(Clock(), seconds=0.5)
    yield made
    await made.aclose()


async def test_a_request_goes_out_as_a_form(endpoint: TokenEndpoint) -> None:
    async with Upstream(each_request(lambda _: answer(b'{"access_token": "a"}'))) as upstream:
        text = await endpoint.post(TokenRequest(f"{upstream.url}/token?tenant=x", "a=b", "Basic eA=="))
    (seen,) = upstream.requests
    assert (seen.target, seen.body, text) == (b"/token?tenant=x", b"a=b", '{"access_token": "a"}')
    assert seen.get("content-type") == b"application/x-www-form-urlencoded"
    assert (seen.get("authorization"), seen.get("accept")) == (b"Basic eA==", b"application/json")


@pytest.mark.parametrize(
    ("raw", "why", "wait"),
    [
        (answer(status=500), "status 500", 0.0),
        (answer(b"", "Retry-After: 20", status=503), "status 503", 20.0),
        (answer(b"", "Retry-After: 99999", status=429), "status 429", 300.0),
        (b"nonsense\r\n\r\n", "broke off", 0.0),
        (b"", "broke off", 0.0),
        (answer(b"x" * (MOST_BYTES + 1)), f"more than {MOST_BYTES} bytes", 0.0),
        (head("Content-Length: 5"), "broke off", 0.0),
    ],
)
async def test_a_provider_that_fails_is_away(endpoint: TokenEndpoint, raw: bytes, why: str, wait: float) -> None:
    async with Upstream(once(raw)) as upstream:
        with pytest.raises(ProviderAwayError, match=why) as caught:
            await endpoint.post(TokenRequest(upstream.url, "s3cret"))
    assert caught.value.wait == wait


async def test_no_connection_and_no_response_are_away(endpoint: TokenEndpoint) -> None:
    with pytest.raises(ProviderAwayError, match="no connection to the identity provider"):
        await endpoint.post(TokenRequest(refused_url(), "x"))
    async with Upstream() as silent:
        with pytest.raises(ProviderAwayError, match=r"no response of the identity provider within 0\.5 s"):
            await endpoint.post(TokenRequest(silent.url, "x"))


async def test_tls_is_verified(endpoint: TokenEndpoint) -> None:
    async with TlsUpstream(each_request(lambda _: answer(b"{}"))) as upstream:
        with pytest.raises(ProviderAwayError, match="certificate of the identity provider is rejected"):
            await endpoint.post(TokenRequest(upstream.url, "x"))
        await eventually(lambda: sum(not task.done() for task in upstream.tasks) == 1, "the end of the handshake")


@pytest.mark.parametrize(
    ("raw", "error", "why"),
    [
        (answer(b"", "Location: http://127.0.0.1/x", status=302), "http_302", "redirects, which is not followed"),
        (answer(b"<p>s3cret", status=404), "http_404", "status 404: there is nothing at this address"),
        (answer(b'<p class="error">error=1 s3cret', status=401), "http_401", "status 401"),
        (answer(b"\xff", status=403), "http_403", "status 403"),
    ],
)
async def test_a_status_without_an_error_is_a_refusal(
    endpoint: TokenEndpoint, raw: bytes, error: str, why: str
) -> None:
    async with Upstream(once(raw)) as upstream:
        with pytest.raises(ProviderRefusedError, match=why) as caught:
            await endpoint.post(TokenRequest(upstream.url, "x"))
        assert upstream.accepted == 1
    assert caught.value.error == error
    assert "s3cret" not in str(caught.value)


async def test_an_error_of_oauth_is_read_whatever_its_status(endpoint: TokenEndpoint) -> None:
    for raw in (answer(b'{"error": "invalid_grant"}', status=400), answer(b"error=x", status=401)):
        async with Upstream(once(raw)) as upstream:
            assert "error" in await endpoint.post(TokenRequest(upstream.url, "x"))


async def test_three_failures_are_left_alone_and_a_probe_heals() -> None:
    clock = Clock()
    endpoint = TokenEndpoint(clock, seconds=5.0)
    status = 500
    async with Upstream(each_request(lambda _: answer(b"{}", status=status))) as upstream:
        for _ in range(3):
            with pytest.raises(ProviderAwayError, match="status 500"):
                await endpoint.post(TokenRequest(upstream.url, "x"))
        clock.now = 10.0
        with pytest.raises(ProviderAwayError, match="left alone") as caught:
            await endpoint.post(TokenRequest(upstream.url, "x"))
        assert caught.value.wait == 20.0
        assert len(upstream.requests) == 3
        status, clock.now = 200, 30.0
        assert await endpoint.post(TokenRequest(upstream.url, "x")) == "{}"
        assert await endpoint.post(TokenRequest(upstream.url, "x")) == "{}"
    await endpoint.aclose()


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_a_denied_address_is_not_dialled(host: str) -> None:
    denied = Destinations(UpstreamNetworks(deny=("127.0.0.0/8", "::1/128")))
    await _is_not_dialled(host, lambda: denied)


async def test_a_name_that_resolves_to_a_denied_address_is_not_dialled(monkeypatch: pytest.MonkeyPatch) -> None:
    """The name was harmless when the connection was saved (DNS rebinding)."""
    monkeypatch.setattr("aiohttp.ThreadedResolver", rebound("idp.example", "127.0.0.1"))
    denied = Destinations(UpstreamNetworks(deny=("127.0.0.0/8",)))
    await _is_not_dialled("idp.example", lambda: denied)


async def _is_not_dialled(host: str, denied: Callable[[], Destinations]) -> None:
    now: list[Callable[[], Destinations]] = [Destinations]
    endpoint = TokenEndpoint(Clock(), seconds=5.0, destinations=lambda: now[0]())
    async with Upstream(each_request(lambda _: answer(b"{}"))) as upstream:
        request = TokenRequest(f"http://{host}:{upstream.port}/token", "s3cret")
        assert await endpoint.post(request) == "{}"
        now[0] = denied
        for _ in range(4):  # a limit of our own never opens the breaker
            with pytest.raises(ProviderRefusedError, match="is denied to upstreams") as caught:
                await endpoint.post(request)
            assert (caught.value.error, "127.0.0.1" in str(caught.value)) == ("denied_address", False)
        assert upstream.accepted == 1
        now[0] = Destinations
        assert await endpoint.post(request) == "{}"
    await endpoint.aclose()


async def test_a_forward_proxy_may_be_anywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """The operator named it; the address behind it is checked as far as it stands in the URL."""
    endpoint = TokenEndpoint(Clock(), 5.0, lambda: Destinations(UpstreamNetworks(deny=("127.0.0.0/8",))))
    async with Upstream(each_request(lambda _: answer(status=503))) as proxy:
        monkeypatch.setenv("https_proxy", f"http://me:pass@127.0.0.1:{proxy.port}")
        with pytest.raises(ProviderAwayError):
            await endpoint.post(TokenRequest("https://idp.example/token", "x"))
        with pytest.raises(ProviderRefusedError, match="is denied to upstreams"):
            await endpoint.post(TokenRequest("https://169.254.169.254/token", "x"))
    (seen,) = proxy.requests
    assert (seen.target, seen.get("proxy-authorization")) == (b"idp.example:443", b"Basic bWU6cGFzcw==")
    await endpoint.aclose()

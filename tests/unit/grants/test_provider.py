"""Each way to a token by its steps, against the scripted provider."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from harness.identity_provider import CLIENT, SECRET, IdentityProvider

from gateway.config.actions import AuthKind, OAuth
from gateway.config.grants import Grant
from gateway.core.grant import StoredGrant
from gateway.grants.endpoint import TokenEndpoint
from gateway.grants.errors import ProviderRefusedError
from gateway.grants.flows import authorize_url
from gateway.grants.provider import Provider

NOTHING = StoredGrant("trn", "b")


@pytest.fixture
async def idp() -> AsyncIterator[IdentityProvider]:
    async with IdentityProvider() as made:
        yield made


@pytest.fixture
async def provider() -> AsyncIterator[Provider]:
    made = Provider(TokenEndpoint())
    yield made
    await made.aclose()


def grant(idp: IdentityProvider, kind: AuthKind, **more: str) -> Grant:
    return Grant("trn", "connection/a", kind, OAuth(f"{idp.url}/token", CLIENT, SECRET, **more), "h")  # type: ignore[arg-type]


async def test_client_credentials_keep_no_refresh_token(idp: IdentityProvider, provider: Provider) -> None:
    found = await provider.next_tokens(grant(idp, "oauth2_client_credentials"), NOTHING, 100.0)
    assert (found.access in idp.access, found.refresh, found.expires) == (True, "", 3700.0)


async def test_a_code_is_redeemed_once_and_its_token_renewed(idp: IdentityProvider, provider: Provider) -> None:
    asked = grant(idp, "oauth2_authorization_code", redirect_uri="https://g/cb", authorize_url=f"{idp.url}/a")
    back = idp.browse(authorize_url(asked.oauth, "state", "v" * 43))
    first = await provider.redeem(asked.oauth, back["code"], "v" * 43, 100.0)
    second = await provider.next_tokens(asked, replace(NOTHING, refresh=first.refresh), 200.0)
    assert second.refresh != first.refresh
    assert second.access != first.access
    with pytest.raises(ProviderRefusedError, match="invalid_grant"):
        await provider.redeem(asked.oauth, back["code"], "v" * 43, 100.0)
    with pytest.raises(ProviderRefusedError, match="invalid_grant"):
        await provider.next_tokens(asked, replace(NOTHING, refresh=second.refresh), 300.0)


async def test_a_device(idp: IdentityProvider, provider: Provider) -> None:
    asked = grant(idp, "oauth2_device", device_url=f"{idp.url}/device")
    code = await provider.begin_device(asked.oauth)
    assert (code.user_code, code.interval) == ("AB-CD", 1.0)
    with pytest.raises(ProviderRefusedError, match="authorization_pending"):
        await provider.poll_device(asked.oauth, code.device_code, 100.0)
    idp.user_agrees = True
    assert (await provider.poll_device(asked.oauth, code.device_code, 100.0)).refresh


async def test_both_tokens_are_revoked(idp: IdentityProvider, provider: Provider) -> None:
    asked = grant(idp, "oauth2_device", revoke_url=f"{idp.url}/revoke")
    await provider.revoke(asked.oauth, replace(NOTHING, access="a", refresh="r"))
    await provider.revoke(asked.oauth, replace(NOTHING, access="a"))
    assert idp.revoked == ["refresh_token", "access_token", "access_token"]
    with pytest.raises(ProviderRefusedError, match="refuses: invalid_client"):
        await provider.revoke(replace(asked.oauth, client_secret="old"), replace(NOTHING, access="a", refresh="r"))


async def test_a_type_of_tokens_that_is_not_revoked(idp: IdentityProvider, provider: Provider) -> None:
    """RFC 7009 2.2.1."""
    oauth = grant(idp, "oauth2_device", revoke_url=f"{idp.url}/revoke").oauth
    both, access = replace(NOTHING, access="a", refresh="r"), replace(NOTHING, access="a")
    idp.not_revoked = {"access_token"}
    assert await provider.revoke(oauth, both) is False
    assert idp.revoked == ["refresh_token"]
    with pytest.raises(ProviderRefusedError, match="unsupported_token_type"):
        await provider.revoke(oauth, access)
    idp.not_revoked = {"refresh_token"}
    with pytest.raises(ProviderRefusedError, match="unsupported_token_type"):
        await provider.revoke(oauth, both)
    assert idp.revoked == ["refresh_token", "access_token"], "what can be revoked is"
    idp.not_revoked = set()
    assert await provider.revoke(oauth, both) is True


async def test_a_jwt_is_exchanged_or_is_the_token(idp: IdentityProvider, provider: Provider) -> None:
    oauth = OAuth("", key="s" * 32, algorithm="HS256", issuer="robot", client_auth="none")
    own = await provider.next_tokens(Grant("trn", "l", "jwt", oauth, "h"), NOTHING, 100.0)
    assert (own.access.count("."), own.expires) == (2, 400.0)
    assert idp.asked == []
    exchanged = Grant("trn", "l", "jwt", replace(oauth, token_url=f"{idp.url}/token"), "h")
    idp.plays = [b'HTTP/1.1 200 OK\r\nContent-Length: 21\r\n\r\n{"access_token": "x"}']
    found = await provider.next_tokens(exchanged, NOTHING, 100.0)
    assert (found.access, found.refresh) == ("x", "")
    assert idp.asked[0]["grant_type"] == "urn:ietf:params:oauth:grant-type:jwt-bearer"
    assert idp.asked[0]["assertion"].count(".") == 2

"""What an identity provider is asked for: each way to a token by its steps."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gateway.config.actions import OAuth
from gateway.config.grants import Grant
from gateway.core.grant import IssuedTokens, StoredGrant
from gateway.grants.endpoint import TokenEndpoint
from gateway.grants.errors import ProviderRefusedError

if TYPE_CHECKING:
    from gateway.grants.flows import DeviceCode

# `gateway.grants.flows` is imported where it is used: a gateway without such connections does not need oauthlib.


_UNSUPPORTED: Final = "unsupported_token_type"
"""RFC 7009 2.2.1: tokens of this type are not revoked there."""


class Provider:
    """Raises `ProviderRefusedError` and `ProviderAwayError` in all methods. Times are seconds of the epoch."""

    def __init__(self, endpoint: TokenEndpoint) -> None:
        self._endpoint = endpoint

    async def next_tokens(self, grant: Grant, stored: StoredGrant, now: float) -> IssuedTokens:
        """The next tokens of ``grant``, which has those of ``stored``."""
        from gateway.grants import flows

        oauth = grant.oauth
        if grant.kind == "jwt":
            from gateway.grants.signing import signed

            own = signed(oauth, now)
            if not oauth.token_url:
                return own
            request = flows.assertion(oauth, own.access)
        elif grant.interactive:
            request = flows.refresh(oauth, stored.refresh)
        else:
            request = flows.client_credentials(oauth)
        found = flows.tokens_in(await self._endpoint.post(request), oauth, now)
        # RFC 6749 4.4.3: for these, one is not needed, and none is kept that may be lost.
        return found if grant.interactive else IssuedTokens(found.access, "", found.issued, found.expires)

    async def redeem(self, oauth: OAuth, code: str, verifier: str, now: float) -> IssuedTokens:
        """The tokens for the code that a browser has brought back."""
        from gateway.grants import flows

        return flows.tokens_in(await self._endpoint.post(flows.code(oauth, code, verifier)), oauth, now)

    async def begin_device(self, oauth: OAuth) -> DeviceCode:
        """A code for a person."""
        from gateway.grants import flows

        return flows.device_code_in(await self._endpoint.post(flows.device_start(oauth)), oauth)

    async def poll_device(self, oauth: OAuth, device_code: str, now: float) -> IssuedTokens:
        """The tokens, when the person has agreed. Until then it refuses (RFC 8628 3.5)."""
        from gateway.grants import flows

        return flows.tokens_in(await self._endpoint.post(flows.device_poll(oauth, device_code)), oauth, now)

    async def revoke(self, oauth: OAuth, stored: StoredGrant) -> bool:
        """Tell the provider that the tokens are not needed any more (RFC 7009).

        False: the access token stays good until its end, because the provider revokes refresh tokens alone.
        """
        from gateway.grants import flows

        refused: dict[str, ProviderRefusedError] = {}
        for token, kind in ((stored.refresh, "refresh_token"), (stored.access, "access_token")):
            if not token:
                continue
            try:
                flows.check_revoked(await self._endpoint.post(flows.revocation(oauth, token, kind)))
            except ProviderRefusedError as refusal:
                if refusal.error != _UNSUPPORTED:
                    raise
                refused[kind] = refusal
        if refused and (not stored.refresh or "refresh_token" in refused):
            raise next(iter(refused.values()))
        return not refused

    async def aclose(self) -> None:
        await self._endpoint.aclose()

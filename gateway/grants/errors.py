"""Why there is no token. No text holds a secret, or anything that a provider has sent but the word of its error."""

from __future__ import annotations

from typing import Final

from gateway.ipc.tokens import Lack

_OF_GRANT: Final = frozenset(
    (
        *("invalid_grant", "invalid_refresh_token", "bad_refresh_token", "refresh_token_expired", "token_revoked"),
        *("token_expired", "access_denied", "consent_required", "interaction_required", "login_required"),
    )
)
"""Errors after which a person has to agree again, as several providers spell them."""


class GrantError(Exception):
    """The text is a sentence for operators and callers."""


class ProviderRefusedError(GrantError):
    """The provider says no. ``error``: its word for why (RFC 6749 5.2)."""

    def __init__(self, error: str, message: str = "") -> None:
        super().__init__(message or f"the identity provider refuses: {error}")
        self.error = error

    @property
    def ends_grant(self) -> bool:
        """Whether a person has to agree again."""
        return self.error in _OF_GRANT


class ProviderAwayError(GrantError):
    """The provider cannot be asked now, or gives no usable response. ``wait``: seconds until it makes sense again."""

    def __init__(self, message: str, wait: float = 0.0) -> None:
        super().__init__(message)
        self.wait = wait


class NotAuthorizedError(GrantError):
    """A person has to agree, or to agree again. ``bound``: somebody had."""

    def __init__(self, message: str, *, bound: bool) -> None:
        super().__init__(message)
        self.lack: Lack = "not_authorized" if bound else "unbound"

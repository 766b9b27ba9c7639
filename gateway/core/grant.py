"""A grant: the right to call a third party that a connection has, as access and refresh tokens (RFC 6749)."""

from __future__ import annotations

from dataclasses import dataclass, field

INVALID_GRANT = "invalid_grant"
"""RFC 6749 5.2: the refresh token holds no longer."""


@dataclass(frozen=True, slots=True)
class IssuedTokens:
    """What a provider has given. Times are seconds of the epoch; ``expires`` 0: it does not end."""

    access: str = field(repr=False)
    refresh: str = field(repr=False)
    """Empty: none was given, so that one from before stays good (RFC 6749 6)."""
    issued: float
    expires: float


@dataclass(frozen=True, slots=True)
class StoredGrant:
    """What is kept of a grant. ``access`` empty: no token was issued yet.

    ``version`` grows with each token, and is what a change is compared with. ``holder`` gets the next token, and no
    other process does before ``leased_until``.
    """

    connection: str
    binding: str
    """As `gateway.config.grants.Grant.binding`."""
    access: str = field(default="", repr=False)
    refresh: str = field(default="", repr=False)
    issued: float = 0.0
    expires: float = 0.0
    version: int = 0
    holder: str = ""
    leased_until: float = 0.0
    error: str = ""
    """The error with which the provider refused the last request (RFC 6749 5.2); empty: it did not."""
    author: str = ""
    """Who has authorized it; empty: the gateway itself."""

    def fresh(self, now: float) -> bool:
        """Whether the token can be used for some time: a minute, or half of its life if that is less."""
        if not self.access:
            return False
        return not self.expires or now < self.expires - skew(self.issued, self.expires)


def skew(issued: float, expires: float) -> float:
    """Seconds before its end from which a token is renewed. Not longer than half of its life: a token that lives for a
    minute would be renewed for each call."""
    return min(60.0, (expires - issued) / 2)

"""The access tokens that the control process gives to data planes: without refresh tokens and client secrets."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Literal, TypedDict

from gateway.core.grant import skew

SOON: Final = 600.0
"""Seconds before its end from which a token is said to end soon."""

Lack = Literal["unbound", "not_issued", "not_authorized", "misconfigured"]
Status = Literal["ready", "expiring_soon", "expired", "unbound", "not_issued", "not_authorized", "misconfigured"]
STATUSES: Final[tuple[Status, ...]] = (
    *("ready", "expiring_soon", "expired", "unbound", "not_issued", "not_authorized", "misconfigured"),
)


@dataclass(frozen=True, slots=True)
class AccessToken:
    """What calls of one connection may use now. Times are seconds of the epoch.

    ``version`` grows with each token. ``value`` empty: there is none. ``expires`` 0: it does not end. ``tried``: when
    the provider was last asked, or this was last looked for. ``lack``: what is missing for the next token.
    ``failure``: the code of the reason with which a call without a live token ends; empty: a token is to be asked for.
    ``until``: when asking again makes sense.
    """

    version: int = 0
    value: str = field(default="", repr=False)
    issued: float = 0.0
    expires: float = 0.0
    tried: float = 0.0
    lack: Lack | Literal[""] = ""
    failure: str = ""
    details: str = ""
    until: float = 0.0

    def live(self, now: float) -> bool:
        """Whether calls may use it."""
        return self.value != "" and (not self.expires or now < self.expires)

    def fresh(self, now: float) -> bool:
        """Whether there is no need for the next one yet."""
        return self.live(now) and (not self.expires or now < self.expires - skew(self.issued, self.expires))

    def status(self, now: float) -> Status:
        """In one word. What an operator has to do comes first, also while the last token still holds."""
        if self.lack in ("not_authorized", "misconfigured"):
            return self.lack
        if not self.value:
            return self.lack or "not_issued"
        if not self.expires or now < self.expires - SOON:
            return "ready"
        return "expiring_soon" if now < self.expires else "expired"


Wanted = tuple[str, int]
"""A connection, by its TRN, whose calls need a token; and the version that the third party has refused, 0: none."""


class TokenView(TypedDict):
    """The access token of a connection, without its value. Times are seconds of the epoch; ``expires`` 0: no end."""

    status: str
    live: bool
    """Calls can use it."""
    version: int
    issued: float
    expires: float
    failure: str
    """The reason with which calls end that have no live token; empty: there is none."""
    details: str
    until: float
    waiting: int
    """Calls that wait for it."""

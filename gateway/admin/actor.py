"""Who does something in the control plane."""

from __future__ import annotations

from dataclasses import dataclass, field

from gateway.store.audit import Author


@dataclass(frozen=True, slots=True)
class Actor:
    """Who does something: ``name`` stands in the audit trail. ``digest``: of the token, when one was shown."""

    name: str
    superuser: bool
    digest: str = ""
    scope: str | None = None
    """All that the token is good for: "metrics"; None: everything that its owner may."""
    credential: str = ""
    """The id of the token or login that was shown."""
    session: bool = False
    """It was a login, and no token."""
    owner: str | None = None
    """The id of the superuser who logged in, or with whom the token ends."""
    client: str = field(default="", compare=False)
    """The address from which the request came."""

    @property
    def author(self) -> Author:
        return Author(self.name, self.client, self.credential)

"""The authenticated caller of a control plane operation."""

from __future__ import annotations

from dataclasses import dataclass, field

from gateway.store.audit import Author


@dataclass(frozen=True, slots=True)
class Actor:
    """The caller: ``name`` is logged in the audit trail. ``digest``: of the token, when one was sent."""

    name: str
    superuser: bool
    digest: str = ""
    scope: str | None = None
    """The only thing that the token allows: "metrics"; None: everything that its owner may do."""
    credential: str = ""
    """The id of the token or login that was sent."""
    session: bool = False
    """The credential was a login, not a token."""
    owner: str | None = None
    """The id of the superuser who logged in, or with whom the token ends."""
    client: str = field(default="", compare=False)
    """The address that sent the request."""

    @property
    def author(self) -> Author:
        return Author(self.name, self.client, self.credential)

"""The caller as the access rules and header templates see it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Principal:
    """A caller that proved who it is. ``kind``: "superuser" (a login), "token" (a gateway token), "jwt" or
    "certificate" (of TLS)."""

    id: str
    kind: str
    superuser: bool = False
    claims: Mapping[str, object] = field(default_factory=dict, repr=False)
    """What ``@request.auth.*`` reads; ``id`` is always among them."""

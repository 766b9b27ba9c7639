"""Authorization of the control plane: superusers, and tokens with the right."""

from __future__ import annotations

from gateway.admin.actor import Actor
from gateway.admin.errors import forbidden


def superusers_only(actor: Actor) -> None:
    """Raises `AdminError` 403."""
    if not actor.superuser:
        raise forbidden()


def metrics_readers_only(actor: Actor) -> None:
    """Allows superusers, and tokens of that scope. Raises `AdminError` 403."""
    if not actor.superuser and actor.scope != "metrics":
        raise forbidden()

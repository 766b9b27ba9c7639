"""The processes of the gateway: how the workers stand, their replacement, and that of all programs."""

from __future__ import annotations

from collections.abc import Mapping

from gateway.admin.actor import Actor
from gateway.admin.live import Live
from gateway.admin.rights import superusers_only
from gateway.store.store import Store


class WorkerAdministration:
    """Each method raises `AdminError`, also where no gateway runs."""

    def __init__(self, store: Store, live: Live) -> None:
        self._store = store
        self._live = live

    async def show(self, actor: Actor) -> Mapping[str, object]:
        """The process of each worker; one that was replaced and still drains is shown too."""
        superusers_only(actor)
        return await self._live.workers()

    async def restart(self, actor: Actor) -> Mapping[str, object]:
        """Begin to replace all workers, one after the other. No request fails for it."""
        superusers_only(actor)
        count = await self._live.restart_workers()
        await self._store.audit.add(actor.author, "workers.restart", "workers")
        return {"workers": count}

    async def upgrade(self, actor: Actor) -> Mapping[str, object]:
        """Begin to replace all programs by those that are installed, after a trial. No request fails for it."""
        superusers_only(actor)
        version, count = await self._live.upgrade()
        await self._store.audit.add(actor.author, "workers.upgrade", version)
        return {"version": version, "workers": count}

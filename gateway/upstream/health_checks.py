"""The active checks of one upstream: each endpoint by itself, one check at a time."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from functools import partial
from random import uniform

from gateway.config.records import HealthCheck
from gateway.core.clock import monotonic
from gateway.core.tasks import Tasks
from gateway.policy.group import Group
from gateway.policy.member import Member
from gateway.upstream.endpoint import Endpoint
from gateway.upstream.probe import Probe
from gateway.upstream.reports import Reports

_log = logging.getLogger(__name__)


class HealthChecks:
    """Run from the call of `start` until `aclose`. Their results go to ``group``."""

    def __init__(
        self, group: Group, endpoints: Sequence[Endpoint], settings: HealthCheck, reports: Reports | None = None
    ) -> None:
        """``reports``: what responses say of their endpoint; None: that is not looked at."""
        self._group = group
        self._settings = settings
        self._probes = [
            (
                endpoint.member,
                Probe(
                    endpoint.origin,
                    endpoint.pool,
                    settings,
                    None if reports is None else partial(reports.take, endpoint.member),
                ),
            )
            for endpoint in endpoints
        ]
        self._tasks = Tasks()

    def start(self) -> None:
        """The first checks begin at once."""
        for member, probe in self._probes:
            self._tasks.start(self._watch(member, probe), f"check {member.name}")

    async def aclose(self) -> None:
        await self._tasks.aclose()

    async def _watch(self, member: Member, probe: Probe) -> None:
        settings = self._settings
        while True:
            began = monotonic()
            try:
                self._group.check(member, await probe.check())
            except Exception:
                # A mistake of the gateway says nothing about the endpoint, and must not end its checks.
                _log.exception("a health check of %s failed in the gateway", member.name)
            pause = settings.interval * uniform(1 - settings.jitter, 1 + settings.jitter)  # noqa: S311
            await asyncio.sleep(max(0.0, began + pause - monotonic()))

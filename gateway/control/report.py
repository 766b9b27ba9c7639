"""Logs and counts the configurations of the control process: each problem once, each reload with its result."""

from __future__ import annotations

import logging

from gateway.control.composer import Composition
from gateway.control.metrics.telemetry import Telemetry
from gateway.workers.greeting import unchanged

_log = logging.getLogger("gateway")

DATABASE_CHANGE = "database change"
"""The source of a reload that follows a change in the database."""


class Report:
    """Remembers what it has logged. ``telemetry`` counts the reloads."""

    def __init__(self, telemetry: Telemetry) -> None:
        self._telemetry = telemetry
        self._unusable: frozenset[str] = frozenset()
        self._warnings: frozenset[str] = frozenset()
        self._generation = 1
        self.error = ""
        """Why the newest configuration is not applied; empty when it is."""

    def composed(self, composition: Composition) -> None:
        """Log the new problems of the proxies."""
        for name in composition.unusable.keys() - self._unusable:
            _log.error("left out, the others are served: %s", composition.unusable[name])
        self._unusable = frozenset(composition.unusable)
        for warning in sorted(composition.warnings - self._warnings):
            _log.warning("%s", warning)
        self._warnings = composition.warnings

    def reloaded(self, source: str, error: str, generation: int) -> None:
        """Log the result of a reload. ``generation``: the configuration that is now active."""
        before, self.error = self.error, error
        if error or generation != self._generation:
            self._telemetry.reloaded(ok=not error)
        if error:
            _log.error("%s rejected, configuration %d stays active:\n%s", source, generation, error)
        elif generation != self._generation:  # a login changes no served configuration
            _log.info("configuration %d applied (%s)", generation, source)
        elif before or source != DATABASE_CHANGE:
            _log.info("%s", unchanged(source, generation))
        self._generation = generation

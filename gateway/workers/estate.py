"""What several workers share (`gateway.page`), what they leave in it when they die, and who was stopped in it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self

from gateway.page.layout import QUARANTINE
from gateway.page.page import QUARANTINE_SECONDS, Page, create, doorbells
from gateway.workers.child import Child


class Estate:
    """For the supervisor: a page and the doorbells of so many ``places``. A context: it is closed at the end.

    ``kept``: the `descriptors` of one that exists already.
    """

    def __init__(self, places: int, kept: Sequence[int] = ()) -> None:
        self.descriptors = tuple(kept or (create(), *doorbells(places)))
        """What workers inherit: the page, and the doorbell of each place."""
        self._page = Page(self.descriptors[0], QUARANTINE, self.descriptors[1:])
        self._quarantined = 0
        self._held: dict[int, int] = {}
        """The locks that were held at the last look, each with its holder."""

    def bury(self, place: int) -> None:
        """The process at ``place`` has ended: what it had is free, its permits a moment later.

        To be called before another process starts at the place.
        """
        exhume = self._page.bury(place)
        self._quarantined += 1

        def release() -> None:
            self._quarantined -= 1
            exhume()

        asyncio.get_running_loop().call_later(QUARANTINE_SECONDS, release)

    @property
    def settled(self) -> bool:
        """No permits wait in quarantine, so that nothing is lost when this program ends."""
        return not self._quarantined

    def look(self, children: Sequence[Child], then: Callable[[Child], object]) -> None:
        """Once at every `gateway.workers.pulse.PERIOD`: ``then`` is called with a worker that held the same lock at the
        last look, too, and has not beaten since: it was stopped there, and all others will need that lock.
        """
        held = self._page.holders()
        stopped = {owner for number, owner in held.items() if self._held.get(number) == owner}
        self._held = held
        for child in children:
            if child.process is not None and child.process.pid in stopped and child.silent:
                then(child)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for descriptor in self.descriptors:
            os.close(descriptor)

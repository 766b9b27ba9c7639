"""What several workers share (`gateway.page`), what they leave in it when they die, and who was stopped in it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import Self

from gateway.page.layout import OBEYED, ORDER, QUARANTINE
from gateway.page.lone import ALONE, following, shares
from gateway.page.page import QUARANTINE_SECONDS, Page, create, doorbells
from gateway.workers.child import Child


class Estate:
    """For the supervisor: a page and the doorbells of so many ``places``. A context: it is closed at the end.

    ``lone``: of one worker, which uses the page only while another process takes over from it (`gateway.page.lone`).
    ``kept``: the `descriptors` of one that exists already.
    """

    def __init__(self, places: int, kept: Sequence[int] = (), *, lone: bool = False) -> None:
        self.descriptors = tuple(kept or (create(), *doorbells(places + 1)))
        """What workers inherit: the page, the doorbell of each place, and the one here."""
        descriptor, *bells = self.descriptors
        self._bell = bells[-1]
        self._page = Page(descriptor, QUARANTINE, bells)
        if not kept:
            self._page.cells[ORDER] = ALONE if lone else 0
        self._buried = 0
        """Processes whose permits are in quarantine."""
        self._held: dict[int, int] = {}
        """The locks that were held at the last look, each with its holder."""

    def bury(self, place: int, then: Callable[[], object] = lambda: None) -> None:
        """The process at ``place`` has ended: what it had is free, its permits a moment later; ``then`` is called then.

        To be called before another process starts at the place.
        """
        exhume = self._page.bury(place)
        self._page.cells[OBEYED + place] = 0
        self._buried += 1

        def free() -> None:
            exhume()
            self._buried -= 1
            then()

        asyncio.get_running_loop().call_later(QUARANTINE_SECONDS, free)

    async def share(self, place: int) -> None:
        """Order the only worker, at ``place``, to move its limits to the page; returns when it has obeyed.

        A process that starts from now on begins there. Where there are several workers, they are there anyway.
        """
        if self._page.cells[ORDER]:
            order = self._give_order(shared=True)
            rung = asyncio.Event()
            with self._rung(rung.set):
                while self._page.cells[OBEYED + place] != order:
                    rung.clear()
                    await rung.wait()

    def part(self) -> None:
        """One worker is left: order it to keep its limits for itself. Not before the permits of the dead are free."""
        if shares(int(self._page.cells[ORDER])) and not self._buried:
            self._give_order(shared=False)

    @contextmanager
    def _rung(self, then: Callable[[], object]) -> Iterator[None]:
        loop = asyncio.get_running_loop()

        def answer() -> None:
            os.eventfd_read(self._bell)
            then()

        loop.add_reader(self._bell, answer)
        try:
            yield
        finally:
            loop.remove_reader(self._bell)

    def _give_order(self, *, shared: bool) -> int:
        order = self._page.cells[ORDER] = following(int(self._page.cells[ORDER]), shared=shared)
        self._page.ring_all()
        return order

    @property
    def settled(self) -> bool:
        """No permits wait in quarantine, so that none is lost when this program ends."""
        return not self._buried

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

"""A page with several processes in it, all of which are this one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from gateway.page.page import Page, create, doorbells
from gateway.page.permits import PagePermitStore


class PageStage:
    """``pages``: the page as each process has it."""

    def __init__(self, processes: int = 3) -> None:
        self.descriptor = create()
        self.bells = doorbells(processes + 1)
        self.pages = [Page(self.descriptor, slot, self.bells, slot) for slot in range(processes)]
        self.supervisor = Page(self.descriptor, processes, self.bells)

    def permits(self, limit: int, max_waiting: int = 10, name: str = "ai") -> list[PagePermitStore]:
        """The limiter as each process has it."""
        stores = [page.permits(name) for page in self.pages]
        stores[0].max_waiting = max_waiting
        stores[0].resize(limit)
        return stores

    def rung(self, slot: int) -> bool:
        """Whether the doorbell of ``slot`` was rung since the last call."""
        try:
            return os.eventfd_read(self.bells[slot]) > 0
        except BlockingIOError:
            return False

    def close(self) -> None:
        for descriptor in (self.descriptor, *self.bells):
            os.close(descriptor)


@contextmanager
def page_stage(processes: int = 3) -> Iterator[PageStage]:
    stage = PageStage(processes)
    try:
        yield stage
    finally:
        stage.close()

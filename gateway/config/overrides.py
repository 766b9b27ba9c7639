"""Settings of the command line and the environment that override the file."""

from __future__ import annotations

import dataclasses

from gateway.config.records import Document, Listener
from gateway.core.address import Address


@dataclasses.dataclass(frozen=True, slots=True)
class Overrides:
    """None leaves the file's setting. ``access_log`` "off": none.

    An address of ``listen`` that the file has too keeps what the file says about it.
    """

    listen: tuple[Address, ...] | None = None
    access_log: str | None = None
    drain_timeout: float | None = None

    def apply(self, document: Document) -> Document:
        if self.listen is not None:
            known = {listener.address: listener for listener in document.listen}
            listen = tuple(known.get(address) or Listener(address) for address in self.listen)
            document = dataclasses.replace(document, listen=listen)
        if self.access_log is not None:
            document = dataclasses.replace(document, access_log=None if self.access_log == "off" else self.access_log)
        if self.drain_timeout is not None:
            document = dataclasses.replace(document, drain_timeout=self.drain_timeout)
        return document

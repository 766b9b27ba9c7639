"""Takes what endpoints report in their responses to the balancer and the limiter, and ends what is too old."""

from __future__ import annotations

import asyncio
from typing import Final

from gateway.config import records
from gateway.core.message import ResponseHead
from gateway.policy.group import Group
from gateway.policy.limiter import Limiter
from gateway.policy.member import Member

_SHORTEST: Final = 0.01
"""Seconds: clocks of the loop and of the group differ by less."""


class Reports:
    """The reports of the endpoints of ``group``. ``limiter``: what they lower; None: nothing."""

    def __init__(self, group: Group, limiter: Limiter | None, settings: records.Capacity) -> None:
        self._group = group
        self._limiter = limiter
        self._name = settings.header.lower().encode()
        self._shadow = settings.mode == "shadow"
        self._forward = settings.forward
        self._timer: asyncio.TimerHandle | None = None

    def take(self, member: Member, head: ResponseHead) -> list[bytes] | None:
        """Note what ``member`` says in ``head``. The field lines without it; None: they stay as they are."""
        name, length = self._name, len(self._name)
        found = [line for line in head.fields if line[length : length + 1] == b":" and line[:length].lower() == name]
        if not found:
            return None
        # Several are a mistake, and no report when they are joined.
        self.note(member, b",".join([line[length + 1 :] for line in found]))
        return None if self._forward else [line for line in head.fields if line not in found]

    def note(self, member: Member, text: bytes) -> None:
        """``member`` says ``text``."""
        capacity = self._group.serving.capacity
        if capacity is not None:
            capacity.note(member, text)
            self.apply()

    def apply(self) -> None:
        """Lower the limit as far as what holds now says, and look again when the next report gets too old."""
        group = self._group.serving
        left = 0.0 if group.capacity is None else group.capacity.age()
        if self._limiter is not None:
            self._limiter.bound(0 if self._shadow else group.places())
        if left and self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(left + _SHORTEST, self._again)

    def close(self) -> None:
        """No longer look."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _again(self) -> None:
        self._timer = None
        self.apply()

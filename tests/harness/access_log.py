"""The access log as a file that another process would tail."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from harness.patience import eventually


class AccessLog:
    def __init__(self, path: Path) -> None:
        self.path = path

    def lines(self) -> list[dict[str, Any]]:
        """Every complete line so far, parsed."""
        if not self.path.exists():
            return []
        return [json.loads(line) for line in self.path.read_bytes().split(b"\n")[:-1]]

    async def wait(self, count: int = 1) -> list[dict[str, Any]]:
        """The lines, once there are at least ``count``; they are written in batches."""
        await eventually(lambda: len(self.lines()) >= count, f"{count} access log lines")
        return self.lines()

    async def last(self, count: int = 1) -> dict[str, Any]:
        """The ``count``-th line, which must be the last."""
        lines = await self.wait(count)
        assert len(lines) == count, f"{len(lines)} lines for {count} requests"
        return lines[-1]

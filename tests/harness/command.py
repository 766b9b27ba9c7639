"""The command `gateway` in this process: what it does, without the second that a process of its own takes to start."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Mapping, Sequence

from click.testing import CliRunner, Result

from gateway.cli import main

_turn = threading.Lock()
"""A command takes the standard streams of the whole process."""


async def run(arguments: Sequence[str], env: Mapping[str, str]) -> tuple[int, bytes, bytes]:
    """Its exit code, and what it writes to both streams. ``env``: beside, and before, what this process has."""

    def invoke() -> Result:
        with _turn:
            return CliRunner().invoke(main, [*arguments], env=dict(env))

    found = await asyncio.to_thread(invoke)
    if found.exception is not None and not isinstance(found.exception, SystemExit):
        raise found.exception
    return found.exit_code, found.stdout_bytes, found.stderr_bytes

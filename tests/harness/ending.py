"""How a process that a test has started comes to its end, whatever it thinks of that."""

from __future__ import annotations

import asyncio
import subprocess


async def end(process: subprocess.Popen[bytes], patience: float = 10) -> None:
    """Ask it to end, and make it after ``patience`` seconds; harmless for one that has ended."""
    if process.poll() is not None:
        return
    process.terminate()
    try:
        await asyncio.to_thread(process.wait, patience)
    except subprocess.TimeoutExpired:
        process.kill()
        await asyncio.to_thread(process.wait)

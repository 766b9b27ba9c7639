"""Tries the installed program before it takes over from the one that runs (`gateway.workers.takeover`).

The program that runs was read from the disk at its start, and the files may be of another version now. One that cannot
start would end the gateway. So it is started beside: once to import all of its programs, once to check the
configuration file. Nothing of the gateway that runs is touched.
"""

from __future__ import annotations

import asyncio
import importlib
import pathlib
import sys
from asyncio.subprocess import PIPE, STDOUT
from collections.abc import Sequence
from typing import Final

from gateway import __version__
from gateway.launch import PYTHON
from gateway.workers.roster import FORMAT

SECONDS: Final = 60.0
"""Limit of each of the two starts."""
_PROGRAMS: Final = ("gateway.workers.supervisor", "gateway.workers.worker", "gateway.control.process")
_MAX_TEXT: Final = 2000


class TrialError(Exception):
    """The installed program cannot take over; the text says why."""


async def installed(config: pathlib.Path, offered: int, python: Sequence[str] = PYTHON) -> str:
    """The version of the installed program, which can take over with the configuration file ``config``.

    ``offered``: the format that the supervisor hands over. Raises `TrialError`.
    """
    version = await _output([*python, "gateway.control.trial", str(offered)])
    await _output([*python, "gateway", "check", "--config", str(config)])
    return version


async def _output(command: Sequence[str]) -> str:
    """What ``command`` prints. Raises `TrialError` with its text when it fails."""
    process = await asyncio.create_subprocess_exec(
        *command, stdin=asyncio.subprocess.DEVNULL, stdout=PIPE, stderr=STDOUT
    )
    try:
        async with asyncio.timeout(SECONDS):
            output, _ = await process.communicate()
    except TimeoutError:
        raise TrialError(f"it did not start within {SECONDS:g} seconds") from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    text = output.decode(errors="replace").strip()
    if process.returncode:
        if "Traceback (most recent call last)" in text:
            text = text.splitlines()[-1]  # the error; the rest names files of the installation
        raise TrialError(text[-_MAX_TEXT:] or f"it ended with exit code {process.returncode}")
    return text


def main(arguments: Sequence[str]) -> int:
    """Import all programs and write the version. ``arguments``: the format that the supervisor hands over."""
    if [str(FORMAT)] != [*arguments]:
        sys.stdout.write(
            f"version {__version__} shares no memory with processes of the version that runs; stop the gateway, and "
            "start it again\n"
        )
        return 1
    for program in _PROGRAMS:
        importlib.import_module(program)
    sys.stdout.write(f"{__version__}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

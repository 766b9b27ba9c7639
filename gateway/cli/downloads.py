"""Files that hold the body of a response as it came. A part of a body is never at the place of a whole one."""

from __future__ import annotations

import contextlib
import os
import pathlib
import secrets
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, field
from typing import BinaryIO, Final, Protocol

import click

_OPEN: Final = "/proc/self/fd"
"""The files that this process has open, by number."""


class More(Protocol):
    """What follows of a body."""

    async def piece(self) -> bytes:
        """The next piece; empty at the end. Raises `AdminError` when the body has broken off."""
        ...

    async def aclose(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Download:
    """The bytes of a response, and the header fields that say what they are, by name in lower case. ``rest``: what
    follows ``data``; None: nothing."""

    data: bytes = field(repr=False)
    fields: Mapping[str, str]
    rest: More | None = None

    @property
    def status(self) -> int:
        """That of the third party."""
        return int(self.fields.get("x-upstream-status", "0"))

    async def pieces(self) -> AsyncIterator[bytes]:
        """Raises `AdminError` when the body has broken off."""
        yield self.data
        while self.rest is not None and (piece := await self.rest.piece()):
            yield piece

    async def aclose(self) -> None:
        if self.rest is not None:
            await self.rest.aclose()

    def about(self, size: int) -> str:
        """What it is, for people."""
        parts = [f"{size} bytes"]
        parts += [self.fields[name] for name in ("content-type", "content-encoding") if self.fields.get(name)]
        return ", ".join(parts)


def is_standard_output(name: str) -> bool:
    """Whether the file ``name`` is where this process prints, also by a name such as /dev/stdout.

    Nothing else is to be printed there, and a file that the shell has opened must not be replaced by another one.
    """
    if name == "-":
        return True
    try:
        return os.path.samestat(pathlib.Path(name).stat(), os.fstat(1))
    except OSError:  # one of them is not there
        return False


@contextlib.contextmanager
def saved(name: str) -> Iterator[BinaryIO]:
    """Where the content of the file ``name`` is written, ``-`` for standard output. A new file is for its owner alone.

    It is written without a name, or under another one beside it, and gets its name at the end, so that a crash, or an
    error within, leaves the old file, or none. What is no regular file, as a pipe, is written as it is. Raises OSError.
    """
    file = pathlib.Path(name)
    if is_standard_output(name):
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
    elif file.exists() and not file.is_file():
        with file.open("wb") as stream:
            yield stream
    else:
        yield from _replaced(file.resolve())


def _replaced(target: pathlib.Path) -> Iterator[BinaryIO]:
    made = target.parent / f".{target.name[:50]}.{secrets.token_hex(8)}"  # shorter than the longest name
    try:
        with os.fdopen(_begun(made), "wb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
            if not made.exists():
                # With a folder, because the link of the kernel is followed only then; that folder is not used.
                os.link(f"{_OPEN}/{stream.fileno()}", made, src_dir_fd=stream.fileno(), follow_symlinks=True)
        made.replace(target)
    except BaseException:
        with contextlib.suppress(OSError):
            made.unlink(missing_ok=True)
        raise


def _begun(made: pathlib.Path) -> int:
    """A new file to write, for its owner alone: without a name where the system has such files, so that nothing is left
    of it whatever ends this process; else with the name ``made``."""
    if pathlib.Path(_OPEN).is_dir():
        with contextlib.suppress(OSError):
            return os.open(made.parent, os.O_TMPFILE | os.O_WRONLY, 0o600)
    return os.open(made, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)


def check(name: str) -> None:
    """End the command before anything is called when the file cannot be written. Raises `click.UsageError`."""
    from gateway.config import places

    if name != "-" and not pathlib.Path(name).exists() and (error := places.obstacle(name)):
        raise click.UsageError(f"--output: {name} cannot be written: {error.strerror}; name another file")

"""Files that hold the body of a response as it came. A part of a body is never at the place of a whole one."""

from __future__ import annotations

import contextlib
import os
import pathlib
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, field
from typing import BinaryIO, Protocol

import click


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

    It is written under another name beside it and renamed at the end, so that a crash, or an error within, leaves the
    old file, or none. What is no regular file, as a pipe, is written as it is. Raises OSError.
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
    descriptor, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
    made = pathlib.Path(name)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            yield stream
            stream.flush()
            os.fsync(descriptor)
        made.replace(target)
    except BaseException:
        with contextlib.suppress(OSError):
            made.unlink()
        raise


def check(name: str) -> None:
    """End the command before anything is called when the file cannot be written. Raises `click.UsageError`."""
    from gateway.config import places

    if name != "-" and not pathlib.Path(name).exists() and (error := places.obstacle(name)):
        raise click.UsageError(f"--output: {name} cannot be written: {error.strerror}; name another file")

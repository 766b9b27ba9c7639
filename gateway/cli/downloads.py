"""Files that hold the body of a response as it came. A part of a body is never at the place of a whole one."""

from __future__ import annotations

import contextlib
import os
import pathlib
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field

import click


@dataclass(frozen=True, slots=True)
class Download:
    """The bytes of a response, and the header fields that say what they are, by name in lower case."""

    data: bytes = field(repr=False)
    fields: Mapping[str, str]

    @property
    def status(self) -> int:
        """That of the third party."""
        return int(self.fields.get("x-upstream-status", "0"))

    def about(self) -> str:
        """What it is, for people."""
        parts = [f"{len(self.data)} bytes"]
        parts += [self.fields[name] for name in ("content-type", "content-encoding") if self.fields.get(name)]
        return ", ".join(parts)


def save(name: str, data: bytes) -> None:
    """Write ``data`` to the file ``name``, ``-`` for standard output. A new file is for its owner alone.

    It is written under another name beside it and then renamed, so that a crash leaves the old file, or none. What is
    no regular file, as a pipe, is written as it is. Raises OSError.
    """
    if name == "-":
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
        return
    file = pathlib.Path(name)
    if file.exists() and not file.is_file():
        file.write_bytes(data)
        return
    target = file.resolve()
    descriptor, name_made = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
    made = pathlib.Path(name_made)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(data)
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

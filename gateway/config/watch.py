"""The source of the document while the gateway runs, and the watch that notices when it may have changed."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import hashlib
import pathlib
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from typing import NamedTuple

import watchfiles

from gateway.config import certificate_files, load
from gateway.config.certificate_files import Sources
from gateway.config.records import Document
from gateway.config.schema.auth import Auth

DEBOUNCE = 0.2  # seconds of silence after which a burst of changes counts as one
RECHECK = 2.0  # seconds; finds changes that no watched directory reports: symlinks, network file systems
_LACKS = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM})
"""Lack of resources in this process or machine: a file that cannot be read for such a reason counts as unchanged."""


class Loaded(NamedTuple):
    """The content of a file: the document, how callers authenticate, and the certificates' files that it names."""

    document: Document
    auth: Auth
    sources: Sources

    def current(self) -> bool:
        """Whether the certificates' files are still as they were."""
        return certificate_files.current(self.sources) == self.sources


class FileProvider:
    """The configuration in one file. ``env`` serves the references and templates in it."""

    def __init__(self, path: pathlib.Path, env: Mapping[str, str]) -> None:
        self.path = path
        self._env = env

    def load(self) -> Loaded:
        """The configuration as it is now. Raises `ConfigError`."""
        settings = load.load_settings(self.path, self._env)
        return Loaded(settings.record(self._env, {}), settings.auth, settings.sources())


async def watch(
    path: pathlib.Path,
    on_change: Callable[[], Awaitable[None] | None],
    *,
    since: bytes | None = None,
    sources: Callable[[], Sources] = dict,
    debounce: float = DEBOUNCE,
    recheck: float = RECHECK,
) -> None:
    """Call ``on_change`` whenever the content of ``path`` differs from what it was; runs until it is cancelled.

    ``sources``: the further files that the applied configuration was read from, with their digests then. A change of
    one is a change too; it is noticed within ``recheck`` seconds.

    The directory is watched and not the file: editors and Kubernetes (``..data``) put a new file in the old one's
    place, and a watch on the old one would see nothing more. A file that vanishes is a change too: loading it reports
    that, and its return is the next change. ``since`` is the `fingerprint` that was taken before the first load: a
    change between that and the beginning of the watch is reported at once. None: only changes from now on.

    Where the directory cannot be watched the file is read every ``recheck`` seconds. Raises what ``on_change`` raises.
    """
    seen = fingerprint(path)
    if since is not None and seen != since and (pending := on_change()) is not None:
        await pending
    named = sources()
    async with contextlib.aclosing(_wakings(path.parent, debounce, recheck)) as wakings:
        async for _ in wakings:
            try:
                current = _digest(path)
            except OSError as error:
                if error.errno in _LACKS:
                    continue  # it says nothing about the file
                current = None
            named_now = certificate_files.current(sources())
            if current == seen and named_now == named:
                continue
            seen, named = current, named_now
            if (pending := on_change()) is not None:
                await pending


async def _wakings(directory: pathlib.Path, debounce: float, recheck: float) -> AsyncGenerator[None, None]:
    """Yields after each burst of changes in ``directory``, and every ``recheck`` seconds without one."""
    bursts = watchfiles.awatch(
        directory,
        watch_filter=None,
        recursive=False,
        step=round(debounce * 1000),
        rust_timeout=round(recheck * 1000),
        yield_on_timeout=True,
    )
    with contextlib.suppress(OSError, RuntimeError):  # no such directory, or no watch left in the kernel
        async with contextlib.aclosing(bursts):
            async for _ in bursts:
                yield
    while True:
        await asyncio.sleep(recheck)
        yield


def fingerprint(path: pathlib.Path) -> bytes | None:
    """A digest of the content; None while there is nothing to read."""
    try:
        return _digest(path)
    except OSError:
        return None


def _digest(path: pathlib.Path) -> bytes:
    return hashlib.blake2b(path.read_bytes()).digest()

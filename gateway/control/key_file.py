"""A file that keeps the key sets of issuers across restarts of a gateway without a database.

The keys are public, but anyone who can write the file can sign tokens: only its owner may write it.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import pathlib
import stat
from collections.abc import Mapping

_log = logging.getLogger(__name__)

_MAX_BYTES = 16 << 20


class KeyFile:
    """``path``: the file; it need not be there. What cannot be read or written is logged, once for each cause."""

    def __init__(self, path: pathlib.Path) -> None:
        self.path = path
        self._reported = ""

    async def load(self) -> Mapping[str, str]:
        """The key sets by their address; none when the file is missing or cannot be trusted."""
        return await asyncio.to_thread(self._load)

    async def save(self, sets: Mapping[str, str]) -> bool:
        """Keep these beside the others; False when the file cannot be written."""
        return await asyncio.to_thread(self._save, sets)

    def _load(self) -> Mapping[str, str]:
        try:
            with self.path.open("rb") as file:
                status = os.fstat(file.fileno())
                if stat.S_IMODE(status.st_mode) & 0o022 or status.st_uid not in (0, os.geteuid()):
                    self._tell("others may write it; run chmod 600, or remove it")
                    return {}
                found = json.loads(file.read(_MAX_BYTES))
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, RecursionError) as error:
            self._tell(f"it cannot be read ({_cause(error)})")
            return {}
        if not isinstance(found, dict):
            self._tell("it holds no key sets; remove it")
            return {}
        return {url: text for url, text in found.items() if isinstance(text, str)}

    def _save(self, sets: Mapping[str, str]) -> bool:
        text = json.dumps({**self._load(), **sets}, indent=1)
        draft = self.path.with_name(f"{self.path.name}.{os.getpid()}.new")
        try:
            draft.unlink(missing_ok=True)
            descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            try:
                with os.fdopen(descriptor, "w") as file:
                    file.write(text)
                draft.rename(self.path)  # atomic: a crash leaves the old file
            finally:
                draft.unlink(missing_ok=True)
        except OSError as error:
            self._tell(f"it cannot be written ({_cause(error)}); set auth.keys_file to a place where it can")
            return False
        return True

    def _tell(self, what: str) -> None:
        if what != self._reported:
            _log.warning("the file of issuers' keys %s is not used: %s", self.path, what)
        self._reported = what


def _cause(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or type(error).__name__

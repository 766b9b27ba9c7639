"""What kind of build this is."""

from __future__ import annotations

from typing import Final

from gateway import errors

COMPILED: Final = not str(errors.__file__).endswith(".py")
"""The modules that every request runs through are machine code (``make compiled``)."""
EDITION: Final = "compiled" if COMPILED else "interpreted"

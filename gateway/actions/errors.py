"""What is wrong with a call, before anything was sent."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

INVALID_INPUT: Final = "validation.invalid_input"
FORBIDDEN_FIELD: Final = "validation.forbidden_header"
MISCONFIGURED: Final = "validation.misconfigured"


class InvalidCallError(ValueError):
    """``fields``: places in the input, each with what is wrong there. No text repeats a value: it may be a secret."""

    def __init__(self, message: str, fields: Sequence[tuple[str, str]] = (), code: str = INVALID_INPUT) -> None:
        super().__init__(message)
        self.message = message
        self.fields = list(fields)
        self.code = code

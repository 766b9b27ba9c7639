"""How long a client of the API may take for each step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Times:
    """Seconds: for a whole head, between requests, for a body, for all of a request, and until a response was read.

    ``answer``: a long response is sent in parts, each of which has this time.
    """

    head: float = 10.0
    """From the connection, or from the first byte of a later head, to its end; however slowly the bytes come."""
    idle: float = 30.0
    body: float = 10.0
    request: float = 20.0
    answer: float = 20.0
    shutdown: float = 2.0


TIMES: Final = Times()

"""Bounds of what clients and upstreams may send, and of how long clients may take."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

AUTO = -1
"""Of `Limits.max_connections`: as many as the descriptors of the process are enough for."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of the data-plane listeners; sizes in bytes, times in seconds, rates in bytes a second.

    0 of `max_body_bytes`, `min_body_rate`, `shed_loop_lag` and `shed_memory` is no limit.
    """

    max_uri: int = 8192
    max_header_bytes: int = 32768
    max_headers: int = 128
    max_body_bytes: int = 0
    header_timeout: float = 10.0
    body_timeout: float = 60.0
    keepalive_timeout: float = 75.0
    min_body_rate: int = 240
    first_byte_timeout: float = 10.0
    max_connections: int = AUTO
    max_connections_per_client: int = 0
    max_trailer_bytes: int = 8192
    max_response_header_bytes: int = 65536
    max_interim_responses: int = 100
    tls_handshake_timeout: float = 5.0
    shed_loop_lag: float = 0.0
    shed_memory: int = 0
    shed_mode: Literal["enforce", "shadow"] = "enforce"

    @property
    def sheds(self) -> bool:
        """Whether new requests may be refused for the load of the process."""
        return self.shed_loop_lag > 0.0 or self.shed_memory > 0

from __future__ import annotations

import dataclasses

import pytest

from gateway.core.limits import AUTO, Limits


def test_what_holds_when_nothing_is_said() -> None:
    assert dataclasses.asdict(Limits()) == {
        "max_uri": 8192,
        "max_header_bytes": 32768,
        "max_headers": 128,
        "max_body_bytes": 0,
        "header_timeout": 10.0,
        "body_timeout": 60.0,
        "keepalive_timeout": 75.0,
        "min_body_rate": 240,
        "first_byte_timeout": 10.0,
        "max_connections": AUTO,
        "max_connections_per_client": 0,
        "max_trailer_bytes": 8192,
        "max_response_header_bytes": 65536,
        "max_interim_responses": 100,
        "tls_handshake_timeout": 5.0,
        "shed_loop_lag": 0.0,
        "shed_memory": 0,
        "shed_mode": "enforce",
    }


def test_limits_can_not_be_changed_under_a_connection() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Limits().max_uri = 1  # type: ignore[misc]

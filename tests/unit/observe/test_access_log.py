from __future__ import annotations

import asyncio
import json
from pathlib import Path
from time import time
from typing import Any

import pytest
from unit.scene import exchange

from gateway.core.exchange import Exchange
from gateway.observe.access_log import AccessLog, line, own_time
from gateway.observe.line_writer import LineWriter


def told(**changes: Any) -> Exchange:
    ex = exchange()
    for name, value in changes.items():
        setattr(ex, name, value)
    return ex


def test_every_field_of_a_line() -> None:
    ex = told(
        request_id=b'a"b\\c', proxy="p", status=200, reason="", start_at=10.0, asked_at=10.3, sent_at=10.3,
        first_byte_at=10.4, commit_at=10.401, last_byte_at=10.4, end_at=10.402, queued=0.2, dialled=0.05,
        bytes_in=3, bytes_out=4, breaker="closed", concurrent=2, upstream="u:1", attempts=1, reused=True,
    )  # fmt: skip
    ex.request.target = b'/a"b\\c?key=secret'
    raw = line(ex)
    assert raw.endswith(b"\n")
    assert b"secret" not in raw
    record = json.loads(raw)
    assert abs(record.pop("ts") - time()) < 3600 * 24 * 365 * 200
    assert record == {
        "request_id": 'a"b\\c',
        "proxy_name": "p",
        "method": "GET",
        "path": '/a"b\\c',
        "status_code": 200,
        "reason": "",
        "upstream_latency_ms": 100.0,
        "proxy_latency_ms": 52.0,
        "queue_ms": 200.0,
        "duration_ms": 402.0,
        "bytes_in": 3,
        "bytes_out": 4,
        "circuit_state": "closed",
        "concurrent_count": 2,
        "client": "192.0.2.1:5000",
        "upstream": "u:1",
        "attempts": 1,
        "reused": True,
    }


@pytest.mark.parametrize(
    ("times", "own"),
    [
        ({"end_at": 1.0, "queued": 0.7, "dialled": 0.2}, 0.1),
        ({"asked_at": 0.3, "end_at": 9.0, "queued": 0.2}, 0.1),
        ({"asked_at": 0.1, "first_byte_at": 5.0, "end_at": 5.2}, 0.3),
        ({"asked_at": 0.1, "first_byte_at": 5.0, "commit_at": 5.1, "last_byte_at": 5.0, "end_at": 5.2}, 0.3),
        ({"asked_at": 0.1, "first_byte_at": 5.0, "commit_at": 5.1, "last_byte_at": 60.0, "end_at": 60.1}, 0.3),
        (
            {"asked_at": 0.1, "first_byte_at": 5.0, "commit_at": 5.1, "last_byte_at": 60, "end_at": 70, "blocked": 10},
            0.2,
        ),
    ],
)
def test_own_time_is_neither_the_upstreams_nor_the_queues_nor_the_clients(times: dict[str, float], own: float) -> None:
    assert own_time(told(start_at=0.0, **times)) == pytest.approx(own)


async def test_the_layer_writes_whatever_happens(tmp_path: Path) -> None:
    log = AccessLog(LineWriter(str(tmp_path / "log"), line, asyncio.get_running_loop()))

    async def leave(ex: Exchange) -> None:
        ex.reason = "client_gone"
        raise asyncio.CancelledError

    async def fine(ex: Exchange) -> None:
        ex.status = 204

    with pytest.raises(asyncio.CancelledError):
        await log.observe("p")(leave)(exchange())
    await log.observe("q")(fine)(exchange())
    assert log.writer is not None
    log.writer.close()
    records = [json.loads(text) for text in (tmp_path / "log").read_text().splitlines()]
    assert [(r["proxy_name"], r["status_code"], r["reason"]) for r in records] == [
        ("p", 499, "client_gone"),
        ("q", 204, ""),
    ]

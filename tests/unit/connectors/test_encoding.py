"""Results of connectors as JSON."""

from __future__ import annotations

import datetime
import decimal
import json
import uuid
from pathlib import Path

from gateway.connectors.encoding import encoded


def test_results_become_json() -> None:
    class Odd(str):
        __slots__ = ()

    moment = datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.UTC)
    found = json.loads(
        encoded(
            {
                "exact": decimal.Decimal("1.10"),
                "bytes": b"\x00\xff",
                "view": memoryview(b"a"),
                "at": moment,
                "day": moment.date(),
                "id": uuid.UUID(int=1),
                "span": datetime.timedelta(seconds=1.5),
                "set": {1},
                "tuple": (1, 2),
                "text": Odd("a"),
                1: None,
                "other": Path("/a"),
                "not a number": float("nan"),
            }
        )
    )
    assert found == {
        "exact": "1.10",
        "bytes": "AP8=",
        "view": "YQ==",
        "at": "2026-01-02T03:04:05+00:00",
        "day": "2026-01-02",
        "id": "00000000-0000-0000-0000-000000000001",
        "span": 1.5,
        "set": [1],
        "tuple": [1, 2],
        "text": "a",
        "1": None,
        "other": "/a",
        "not a number": None,
    }

"""The records of a call as they travel."""

from __future__ import annotations

import msgspec

from gateway.ipc.calls import AdHoc, Asked
from gateway.ipc.channel import operations
from gateway.ipc.messages import DataPlane


def test_a_call_travels_whole() -> None:
    asked = Asked("t", "", {}, AdHoc("c", "POST", "/x", {"A": "b"}, {"q": "1"}, {"deep": [1, None]}), 1.5, True, "id")
    assert operations(DataPlane)["call"].arguments.decode(msgspec.json.encode((asked,))) == (asked,)


def test_what_a_caller_gave_is_in_no_representation() -> None:
    asked = Asked(
        "t", "a", {"password": "s3cret"}, AdHoc("c", headers={"A": "s3cret"}, query={"b": "s3cret"}, body="s3cret")
    )
    assert "s3cret" not in repr(asked)

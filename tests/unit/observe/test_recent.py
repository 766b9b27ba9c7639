from __future__ import annotations

import orjson

from gateway.observe.recent import Recent


def line(number: int) -> bytes:
    return orjson.dumps({"request_id": f"r{number}", "n": number}) + b"\n"


def test_the_newest_of_an_id_is_found() -> None:
    recent = Recent()
    recent.keep([line(1), line(2), orjson.dumps({"request_id": "r1", "n": 3}) + b"\n"])
    assert recent.find("r1") == {"request_id": "r1", "n": 3}
    assert recent.find("r") is None
    assert recent.find('"') is None


def test_a_flood_of_good_answers_does_not_wash_refusals_away() -> None:
    recent = Recent(kept=3)
    recent.keep([line(0)])
    recent.keep_refusal(line(0))
    recent.keep(line(n) for n in range(1, 9))
    assert recent.find("r0") == {"request_id": "r0", "n": 0}
    assert recent.find("r5") is None


def test_refusals_are_read_on_from_where_one_was() -> None:
    recent = Recent(kept_refusals=3)
    assert recent.refusals(0, 10) == (0, [])
    for n in range(5):
        recent.keep_refusal(line(n))
    count, items = recent.refusals(0, 10)
    assert (count, [item["n"] for item in items]) == (5, [2, 3, 4])
    assert [item["n"] for item in recent.refusals(4, 10)[1]] == [4]
    assert [item["n"] for item in recent.refusals(0, 2)[1]] == [3, 4]
    assert recent.refusals(5, 10) == (5, [])
    assert recent.refusals(99, 10) == (5, []), "a count of the worker before"

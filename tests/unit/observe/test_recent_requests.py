from __future__ import annotations

import sys

import orjson

from gateway.observe.recent_requests import Recent, Ring


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
    recent.keep([line(n) for n in range(1, 9)])
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


def long_line(number: int, size: int = 8000) -> bytes:
    return orjson.dumps({"request_id": f"r{number}", "path": "/" + "x" * size}) + b"\n"


def test_long_paths_do_not_make_the_memory_grow() -> None:
    """8 KB paths filled 9216 places with 144 MiB; the bound on bytes holds whatever the lines are."""
    recent = Recent()
    for number in range(10_000):
        line_ = long_line(number)
        recent.keep([line_])
        recent.keep_refusal(bytes(bytearray(line_)))  # a copy: both rings pay for their lines
    kept = [*recent._lines._lines, *recent._refusals._lines]
    assert sum(map(sys.getsizeof, kept)) < 11 << 20
    assert recent.find("r9999") is not None
    assert recent.refusals(0, 10)[1][-1]["request_id"] == "r9999"
    assert recent.refusals(0, 10_000)[1][0]["request_id"] != "r0"


def test_short_lines_are_bounded_by_their_number() -> None:
    ring = Ring(3, 1 << 20)
    for number in range(9):
        ring.append(line(number))
    assert ring.newest(9) == [line(6), line(7), line(8)]
    assert ring.newest(2) == [line(7), line(8)]
    assert ring.newest(0) == []


def test_what_a_ring_counts_is_what_it_holds() -> None:
    ring = Ring(50, 10_000)
    for number in range(500):
        ring.append(long_line(number, number * 37 % 3000))
        assert ring.size == sum(len(kept) + 64 for kept in ring._lines)
        assert len(ring) == 1 or ring.size <= 10_000


def test_a_line_above_the_bound_stays_until_the_next() -> None:
    ring = Ring(50, 1000)
    ring.append(long_line(1))
    assert len(ring) == 1
    ring.append(line(2))
    assert ring.newest(9) == [line(2)]

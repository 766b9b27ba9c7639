"""The book of connections by itself; what it does to real clients is in tests/faults/test_connection_bounds.py."""

from __future__ import annotations

import logging
import random

import pytest
from unit.scene import Clock

from gateway.core.limits import AUTO, Limits
from gateway.proxy.admission import RESERVED, Admission, client_of, descriptors, room_in

LIMIT = 100


class Connection:
    """``since``: when it became idle; 0.0 while it is served."""

    def __init__(self, host: str, since: float = 0.0) -> None:
        self.host = host
        self.idle_since = since
        self.closed = False

    def make_room(self) -> None:
        assert self.idle_since, "nobody is closed in the middle of a request"
        self.closed = True


class Door:
    def __init__(self, limit: int = LIMIT, per_client: int = 0) -> None:
        self.clock = Clock()
        self.book = Admission(self.clock)
        self.book.configure(Limits(max_connections=limit, max_connections_per_client=per_client))
        self.open: list[Connection] = []

    def comes(self, host: str, *, idle: bool = False, trusted: bool = False) -> bool:
        if not self.book.admits(host, trusted=trusted):
            return False
        self.clock.now += 0.001
        made = Connection(host, self.clock.now if idle else 0.0)
        self.open.append(made)
        self.book.opened(made, host, trusted=trusted)
        return True

    def come(self, count: int, host: str, *, idle: bool = False, trusted: bool = False) -> int:
        """How many of so many were accepted."""
        return sum(self.comes(host, idle=idle, trusted=trusted) for _ in range(count))

    def held(self, host: str) -> list[Connection]:
        return [one for one in self.open if one.host == host and not one.closed]

    def leave(self, connection: Connection) -> None:
        self.open.remove(connection)
        self.book.closed(connection)


@pytest.mark.parametrize(
    ("host", "client"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8::1", "2001:db8::/64"),
        ("2001:db8:0:0:ffff::1", "2001:db8::/64"),
        ("2001:db8:0:1::1", "2001:db8:0:1::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::1", "::/64"),
    ],
)
def test_who_is_one_client(host: str, client: str) -> None:
    assert client_of(host) == client


def test_room_is_half_of_what_is_not_reserved() -> None:
    assert [room_in(n) for n in (0, RESERVED, 256, 1024)] == [1, 1, 96, 480]
    book = Admission(Clock())
    for wanted in (AUTO, 0):
        book.configure(Limits(max_connections=wanted))
        assert book.limit == room_in(descriptors())


def test_more_than_the_descriptors_allow_is_said_and_not_done(caplog: pytest.LogCaptureFixture) -> None:
    book = Admission(Clock())
    with caplog.at_level(logging.WARNING):
        book.configure(Limits(max_connections=1 << 20))
    assert book.limit == room_in(descriptors()) < 1 << 20
    assert "raise the limit of open files" in caplog.text


def test_one_client_alone_gets_nine_tenths_and_others_are_served() -> None:
    door = Door()
    assert door.come(500, "10.0.0.1") == 90
    assert door.come(5, "10.0.0.2") == 5
    assert not door.comes("10.0.0.1")
    assert (door.book.refused, door.book.refused_client) == (0, 411)


@pytest.mark.parametrize("clients", [1, 2, 5, 10])
def test_however_many_take_all_they_can_one_more_finds_room(clients: int) -> None:
    door = Door(limit=400)
    for _ in range(500):
        for number in range(clients):
            door.comes(f"10.0.0.{number}")
    sizes = [len(door.held(f"10.0.0.{number}")) for number in range(clients)]
    assert max(sizes) - min(sizes) <= 1
    assert sum(sizes) < 400
    assert door.comes("192.0.2.1")


def test_the_oldest_idle_of_the_largest_client_go_first() -> None:
    door = Door()
    door.come(20, "10.0.0.2", idle=True)
    door.come(69, "10.0.0.1", idle=True)
    oldest = door.held("10.0.0.1")[0]
    oldest.idle_since = 0.0  # is served now
    assert door.come(2, "10.0.0.3") == 2
    gone = [one for one in door.open if one.closed]
    assert {one.host for one in gone} == {"10.0.0.1"}
    assert gone == door.open[21 : 21 + len(gone)]
    assert not oldest.closed
    assert (len(door.held("10.0.0.2")), door.book.closed_idle) == (20, len(gone))


def test_age_is_that_of_the_pause_and_not_of_the_connection() -> None:
    door = Door(limit=10)
    door.come(8, "10.0.0.1", idle=True)
    door.open[0].idle_since = door.clock.now + 5
    door.comes("10.0.0.1", idle=True)
    door.comes("10.0.0.1", idle=True)
    assert [one.closed for one in door.open[:3]] == [False, True, False]


def test_idle_ones_go_before_a_new_one_is_refused() -> None:
    """The largest client is busy: then the idle ones of others make room, at the hard limit only."""
    door = Door()
    door.come(60, "10.0.0.1")
    door.come(40, "10.0.0.2", idle=True)
    assert len(door.book) == 100 or door.book.closed_idle
    before = door.book.closed_idle
    while len(door.book) < 100:
        assert door.comes("10.0.0.3")
    assert door.comes("10.0.0.4")
    assert door.book.closed_idle > before
    assert door.book.refused == 0


def test_when_all_are_busy_a_new_one_is_refused_whoever_it_is() -> None:
    door = Door()
    for number in range(LIMIT):
        assert door.comes(f"10.0.0.{number}")
    assert not door.comes("10.0.1.1")
    assert not door.comes("10.0.1.2", trusted=True)
    assert (door.book.refused, door.book.refused_client) == (2, 0)
    door.leave(door.open[0])
    assert door.comes("10.0.1.1")


def test_trusted_proxies_are_no_client() -> None:
    door = Door(per_client=5)
    assert door.come(95, "10.9.9.9", idle=True, trusted=True) == 95
    assert door.come(5, "10.0.0.1", idle=True) == 5
    assert not [one for one in door.held("10.9.9.9") if one.closed]
    assert door.book.held_by("10.9.9.9") == 0


def test_the_idle_ones_of_trusted_proxies_go_last() -> None:
    door = Door()
    door.come(50, "10.9.9.9", idle=True, trusted=True)
    door.come(50, "10.0.0.1", idle=True)
    for one in door.held("10.0.0.1"):
        one.idle_since = 0.0  # all are served now
    assert door.come(20, "10.0.0.2") == 20
    assert door.book.refused + door.book.refused_client == 0
    assert len(door.held("10.0.0.1")) + len(door.held("10.9.9.9")) < 100
    assert not [one for one in door.open if one.closed and one.host == "10.0.0.2"]


def test_a_fixed_number_for_each_client() -> None:
    door = Door(per_client=3)
    assert door.come(5, "10.0.0.1") == 3
    assert door.come(5, "10.0.0.2", idle=True) == 5
    assert len(door.held("10.0.0.2")) == 3
    assert [one.closed for one in door.open if one.host == "10.0.0.2"] == [True, True, False, False, False]
    assert door.book.refused_client == 2


def test_one_subscriber_with_many_ipv6_addresses_is_one_client() -> None:
    door = Door(per_client=3)
    assert sum(door.comes(f"2001:db8::{number:x}") for number in range(1, 9)) == 3
    assert door.comes("2001:db8:0:1::1")


def test_a_search_that_found_nobody_is_not_repeated_at_once() -> None:
    door = Door()
    for number in range(LIMIT):
        door.comes(f"10.0.0.{number}")
    assert not door.comes("10.0.1.1")
    door.open[7].idle_since = door.clock.now
    assert not door.comes("10.0.1.1"), "the book would be read for each connection of a flood"
    door.clock.now += 0.2
    assert door.comes("10.0.1.1")


def test_refusals_are_told_once_a_second(caplog: pytest.LogCaptureFixture) -> None:
    door = Door(limit=10)
    door.come(50, "10.0.0.1")
    assert len(caplog.records) == 1
    door.clock.now += 1.1
    door.comes("10.0.0.1")
    first, second = [record.getMessage() for record in caplog.records]
    assert "10.0.0.1 has 9 open" in first
    assert "40 more" in second


def test_a_lower_limit_after_a_reload_cuts_nobody_in_a_request() -> None:
    door = Door()
    door.come(80, "10.0.0.1")
    door.book.configure(Limits(max_connections=20))
    assert not door.comes("10.0.0.2")
    assert not any(one.closed for one in door.open)


@pytest.mark.parametrize("seed", range(5))
def test_the_book_agrees_with_what_is_open_after_any_history(seed: int) -> None:
    chance = random.Random(seed)
    door = Door(limit=60, per_client=chance.choice([0, 25]))
    for _ in range(3000):
        door.clock.now += chance.random() / 10
        door.open = [one for one in door.open if not one.closed]
        if door.open and chance.random() < 0.45:
            door.leave(chance.choice(door.open))
        elif door.open and chance.random() < 0.3:
            one = chance.choice(door.open)
            one.idle_since = 0.0 if one.idle_since else door.clock.now
        else:
            door.comes(f"10.0.0.{chance.randrange(6)}", idle=chance.random() < 0.5, trusted=chance.random() < 0.1)
        alive = [one for one in door.open if not one.closed]
        assert len(door.book) == len(alive) <= 60
    for one in [one for one in door.open if not one.closed]:
        door.leave(one)
    assert (len(door.book), door.book._clients, door.book._by_size, door.book._largest) == (0, {}, {}, 0)


def test_one_that_takes_over_a_socket_counts_in_the_place_of_the_other() -> None:
    door = Door()
    door.come(2, "192.0.2.1", idle=True)
    before, other = door.open
    after = Connection("192.0.2.1", before.idle_since)
    door.book.replaced(before, after)
    door.book.replaced(Connection("192.0.2.2"), Connection("192.0.2.2"))  # of which the book knows nothing
    assert (len(door.book), door.book.held_by("192.0.2.1")) == (2, 2)
    assert door.book.make_room()
    assert door.book.make_room()
    assert (before.closed, after.closed, other.closed) == (False, True, True)
    door.book.closed(after)
    assert len(door.book) == 0

from __future__ import annotations

import pytest

from gateway.admin.devices import LIFETIME, Devices
from gateway.store.keys import KeyRing


class Clock:
    now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


def test_a_device_is_known_again_by_its_account_and_password_alone() -> None:
    devices = Devices(KeyRing.of("11" * 32), Clock())
    cookie = devices.issue("owner", "hash")
    number = devices.recognise(cookie, "owner", "hash")
    assert number
    assert devices.recognise(cookie, "owner", "hash") == number
    assert devices.recognise(devices.issue("owner", "hash"), "owner", "hash") not in ("", number)
    assert devices.recognise(cookie, "other", "hash") == ""
    assert devices.recognise(cookie, "owner", "another hash") == ""


def test_it_is_good_on_another_gateway_with_the_same_key_and_on_no_other() -> None:
    cookie = Devices(KeyRing.of("11" * 32), Clock()).issue("owner", "hash")
    assert Devices(KeyRing.of("22" * 32 + "," + "11" * 32), Clock()).recognise(cookie, "owner", "hash")
    assert Devices(KeyRing.of("22" * 32), Clock()).recognise(cookie, "owner", "hash") == ""


def test_it_ends() -> None:
    clock = Clock()
    devices = Devices(KeyRing.of("11" * 32), clock)
    cookie = devices.issue("owner", "hash")
    clock.now += LIFETIME - 1
    assert devices.recognise(cookie, "owner", "hash")
    clock.now += 1
    assert devices.recognise(cookie, "owner", "hash") == ""


def test_it_shows_nothing_and_can_not_be_made_by_others() -> None:
    keys = KeyRing.of("11" * 32)
    devices = Devices(keys, Clock())
    cookie = devices.issue("owner-id", "hash")
    assert "owner" not in cookie
    changed = ("B" if cookie[40] != "B" else "C").join((cookie[:40], cookie[41:]))
    for forged in ("", "x", "ä", "A" * 5000, cookie[:-8], changed, cookie + "AAAA"):
        assert devices.recognise(forged, "owner-id", "hash") == ""


@pytest.mark.parametrize("place", ["secrets:K:value", "other"])
def test_what_was_sealed_for_something_else_is_no_device(place: str) -> None:
    import base64

    keys = KeyRing.of("11" * 32)
    moved = base64.urlsafe_b64encode(keys.encrypt('["owner","x",9999999999,"n"]', place)).decode()
    assert Devices(keys, Clock()).recognise(moved, "owner", "hash") == ""

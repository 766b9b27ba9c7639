"""Logins under attack, the logins that there are, and passwords: on real sockets, by an injected clock."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from http.cookies import SimpleCookie

import argon2
import pytest
from admin.conftest import EMAIL, PASSWORD, Answer, Api
from harness.patience import PROMPT, eventually

from gateway.admin.attempts import Attempts
from gateway.admin.logins import LoginAdministration
from gateway.admin.password import PasswordHasher
from gateway.admin.throttle import LoginThrottle, Rate, Turns

OTHER, OTHERS = "two@example.org", "another password"


async def login(api: Api, password: str = PASSWORD, email: str = EMAIL, device: str = "") -> Answer:
    cookie = {"Cookie": f"gateway_device={device}"} if device else {}
    return await api.call("POST", "/auth/login", {"email": email, "password": password}, token="", **cookie)


async def logged_in(api: Api, password: str = PASSWORD, email: str = EMAIL) -> str:
    answer = await login(api, password, email)
    assert answer.status == 200, answer.body
    return str(answer.body["token"])


def device_of(answer: Answer) -> str:
    return SimpleCookie(answer.headers["Set-Cookie"])["gateway_device"].value


async def attack(api: Api, email: str = EMAIL) -> None:
    """Guess until no guess is looked at any more."""
    for number in range(20):
        if (await login(api, f"guess {number}", email)).status == 429:
            return
    raise AssertionError("an attacker is never slowed down")


async def test_the_cookie_of_a_device_is_for_logins_alone_and_opens_nothing(api: Api) -> None:
    answer = await login(api)
    cookie = SimpleCookie(answer.headers["Set-Cookie"])["gateway_device"]
    assert (cookie["path"], cookie["samesite"], cookie["httponly"]) == ("/api/gateway/auth", "Strict", True)
    assert cookie["max-age"] == str(180 * 86400)
    assert answer.body["token"] not in cookie.value
    for headers in ({"Cookie": f"gateway_device={cookie.value}"}, {"Authorization": f"Bearer {cookie.value}"}):
        assert (await api.call("GET", "/proxies", token="", **headers)).status == 401
    assert "Set-Cookie" not in (await login(api, "wrong password")).headers


async def test_behind_a_shared_address_an_attacker_does_not_keep_a_known_device_out(api: Api) -> None:
    """Attacker and superuser come as 127.0.0.1, as behind a proxy, and the attacker never stops."""
    device = device_of(await login(api))
    await attack(api)
    for _ in range(5):
        api.clock.now += 20
        await attack(api)
        refused = await login(api)
        assert (refused.status, refused.body["code"]) == (429, "too_many_logins")
        assert int(refused.headers["Retry-After"]) == refused.body["retry_after"] > 0
        assert (await login(api, device=device)).status == 200


async def test_an_attack_on_one_account_does_not_slow_another_down(api: Api) -> None:
    await api.call("POST", "/superusers", {"email": OTHER, "password": OTHERS})
    await attack(api)
    assert (await login(api, OTHERS, OTHER)).status == 200
    await attack(api, "nobody@example.org")
    assert (await login(api, OTHERS, OTHER)).status == 200


async def test_an_attack_that_stops_is_over_soon(api: Api) -> None:
    await attack(api)
    api.clock.now += (await login(api)).body["retry_after"]
    assert (await login(api)).status == 200


async def test_a_device_is_slowed_down_by_its_own_failures(api: Api) -> None:
    device = device_of(await login(api))
    statuses = [(await login(api, "wrong password", device=device)).status for _ in range(12)]
    assert statuses == [401] * 10 + [429] * 2
    assert (await login(api)).status == 200, "a stranger at the same address is counted apart"


async def test_a_forged_device_and_one_of_another_account_are_strangers(api: Api) -> None:
    await api.call("POST", "/superusers", {"email": OTHER, "password": OTHERS})
    others = device_of(await login(api, OTHERS, OTHER))
    await attack(api)
    for device in (others, others[:-4], "x", "A" * 3000):
        assert (await login(api, device=device)).status == 429


async def test_a_new_password_makes_old_devices_strangers(api: Api) -> None:
    device = device_of(await login(api))
    superuser = (await api.call("GET", "/superusers")).body["items"][0]["id"]
    await api.call("PUT", f"/superusers/{superuser}/password", {"password": "a newer password"})
    await attack(api)
    assert (await login(api, "a newer password", device=device)).status == 429


class Slow(argon2.PasswordHasher):
    """Real hashes that wait to be let go, and count how many run at a time."""

    def __init__(self) -> None:
        super().__init__(*[getattr(argon2.profiles.CHEAPEST, n) for n in ("time_cost", "memory_cost", "parallelism")])
        self.go = threading.Event()
        self.running = 0
        self.most = 0

    def verify(self, hash: str | bytes, password: str | bytes) -> bool:  # type: ignore[override] # noqa: A002
        self.running += 1
        self.most = max(self.most, self.running)
        self.go.wait(10)
        self.running -= 1
        return super().verify(hash, password)  # type: ignore[return-value]


async def test_a_flood_of_logins_is_bounded_and_a_known_device_gets_its_turn(api: Api) -> None:
    device = device_of(await login(api))
    slow = Slow()
    passwords = PasswordHasher(slow)
    throttle = LoginThrottle(api.clock, per_client=Rate(100, 1.0))
    attempts = Attempts(throttle, Turns(strangers=3, of_client=3, known=2))
    api.administration.logins = LoginAdministration(api.store, api.plane, passwords, attempts, 600, api.clock)
    strangers = [asyncio.create_task(login(api, "x", f"u{n}@example.org")) for n in range(40)]
    try:
        await eventually(lambda: sum(task.done() for task in strangers) == 37, "only three wait")
        refused = [task.result() for task in strangers if task.done()]
        assert {(answer.status, answer.body["code"]) for answer in refused} == {(429, "too_many_logins")}
        assert {answer.headers["Retry-After"] for answer in refused} == {"1"}
        known = asyncio.create_task(login(api, device=device))
        began = time.monotonic()
        assert (await api.call("GET", "/healthz", token="")).status == 200
        assert (await api.call("GET", "/proxies")).status == 200
        assert time.monotonic() - began < PROMPT
        slow.go.set()
        assert (await known).status == 200
        ended = [answer.status for answer in await asyncio.gather(*strangers)]
        assert sorted(ended) == [401] * 3 + [429] * 37
        assert slow.most == 1
    finally:
        slow.go.set()
        with contextlib.suppress(Exception):
            await asyncio.gather(*strangers)
        await passwords.aclose()


async def test_logins_are_listed_and_ended(api: Api) -> None:
    one, two = await logged_in(api), await logged_in(api)
    listed = (await api.call("GET", "/sessions", token=one)).body["items"]
    assert [(s["email"], s["client"], s["current"]) for s in listed] == [
        (EMAIL, "127.0.0.1", True),
        (EMAIL, "127.0.0.1", False),
    ]
    assert one not in api.texts[-1]
    applied = api.plane.applies
    assert (await api.call("DELETE", f"/sessions/{listed[1]['id']}", token=one)).status == 204
    assert api.plane.applies == applied + 1
    assert (await api.call("GET", "/proxies", token=two)).status == 401
    assert (await api.call("DELETE", f"/sessions/{listed[1]['id']}", token=one)).status == 404
    ended = (await api.call("GET", "/audit", token=one)).body["items"][0]
    assert (ended["action"], ended["actor"], ended["client"]) == ("session.end", EMAIL, "127.0.0.1")
    assert ended["credential"] == listed[0]["id"]
    api.clock.now += 600
    assert (await api.call("GET", "/sessions")).body["items"] == [], "those that are over are not listed"


async def test_a_token_is_not_ended_as_a_login_nor_a_login_as_a_token(api: Api) -> None:
    made = (await api.call("POST", "/tokens", {"name": "ci"})).body["id"]
    await logged_in(api)
    session = (await api.call("GET", "/sessions")).body["items"][0]["id"]
    assert (await api.call("DELETE", f"/sessions/{made}")).status == 404
    assert (await api.call("DELETE", f"/tokens/{session}")).status == 404


async def test_own_password(api: Api) -> None:
    one, two = await logged_in(api), await logged_in(api)
    body = {"current": PASSWORD, "password": "a newer password"}
    wrong = await api.call("POST", "/auth/password", {**body, "current": "wrong password"}, token=one)
    assert (wrong.status, wrong.body["fields"][0]["path"]) == (400, "current")
    weak = await api.call("POST", "/auth/password", {**body, "password": "short"}, token=one)
    assert (weak.status, weak.body["fields"][0]["path"]) == (400, "password")
    assert (await api.call("POST", "/auth/password", body, token=one)).status == 200
    assert (await api.call("GET", "/proxies", token=one)).status == 200, "the login that changed it goes on"
    assert (await api.call("GET", "/proxies", token=two)).status == 401
    assert (await login(api)).status == 401
    assert (await login(api, "a newer password")).status == 200
    actions = [row["action"] for row in (await api.call("GET", "/audit")).body["items"]]
    assert {"superuser.password", "superuser.password_failed"} <= set(actions)


async def test_who_holds_a_stolen_login_can_not_guess_the_password(api: Api) -> None:
    stolen = await logged_in(api)
    body = {"current": "wrong password", "password": "a newer password"}
    statuses = [(await api.call("POST", "/auth/password", body, token=stolen)).status for _ in range(5)]
    assert statuses == [400, 400, 400, 429, 429]
    own = (await api.call("GET", "/superusers")).body["items"][0]["id"]
    around = await api.call("PUT", f"/superusers/{own}/password", {"password": "a newer password"}, token=stolen)
    assert (around.status, around.body["code"]) == (409, "own_password")


async def test_a_token_has_no_password(api: Api) -> None:
    answer = await api.call("POST", "/auth/password", {"current": PASSWORD, "password": "a newer password"})
    assert (answer.status, answer.body["code"]) == (409, "no_password")


async def test_the_password_of_another_superuser(api: Api) -> None:
    other = (await api.call("POST", "/superusers", {"email": OTHER, "password": OTHERS})).body["id"]
    mine, theirs = await logged_in(api), await logged_in(api, OTHERS, OTHER)
    token = (await api.call("POST", "/tokens", {"name": "ci", "superuser": True}, token=theirs)).body["token"]
    path = f"/superusers/{other}/password"
    answer = await api.call("PUT", path, {"password": "a newer password"}, token=mine)
    assert answer.body == {"id": other, "email": OTHER}
    assert (await api.call("GET", "/proxies", token=theirs)).status == 401
    assert (await api.call("GET", "/proxies", token=token)).status == 200, "tokens go on unless asked"
    assert (await login(api, OTHERS, OTHER)).status == 401
    assert (await api.call("PUT", path, {"password": "the newest password", "tokens": True}, token=mine)).status == 200
    assert (await api.call("GET", "/proxies", token=token)).status == 401
    assert (await api.call("GET", "/proxies", token=mine)).status == 200
    assert (await api.call("PUT", "/superusers/none/password", {"password": OTHERS})).status == 404


async def test_a_superuser_token_ends_with_its_maker_and_by_itself(api: Api) -> None:
    other = (await api.call("POST", "/superusers", {"email": OTHER, "password": OTHERS})).body["id"]
    theirs = await logged_in(api, OTHERS, OTHER)
    made = (await api.call("POST", "/tokens", {"name": "ci", "superuser": True}, token=theirs)).body
    child = (await api.call("POST", "/tokens", {"name": "child", "superuser": True}, token=made["token"])).body
    plain = (await api.call("POST", "/tokens", {"name": "plain"}, token=theirs)).body
    assert (made["maker"], made["ends_with_maker"]) == (OTHER, True)
    assert (child["maker"], child["ends_with_maker"]) == ("token:ci", True)
    assert (plain["maker"], plain["ends_with_maker"], plain["expires_at"]) == (OTHER, False, None)
    assert (await api.call("DELETE", f"/superusers/{other}")).status == 204
    for token in (theirs, made["token"], child["token"]):
        assert (await api.call("GET", "/proxies", token=token)).status == 401
    assert [t["name"] for t in (await api.call("GET", "/tokens")).body["items"]] == ["t", "plain"]


@pytest.mark.parametrize(
    ("body", "days"),
    [
        ({"superuser": True}, 90),
        ({"superuser": True, "expires_in": None}, 90),
        ({"superuser": True, "expires_in": 0}, None),
        ({"superuser": True, "expires_in": 86400}, 1),
        ({}, None),
        ({"metrics": True}, None),
    ],
)
async def test_how_long_a_token_is_good_for(api: Api, body: dict[str, object], days: int | None) -> None:
    made = (await api.call("POST", "/tokens", {"name": "ci", **body})).body
    if days is None:
        assert made["expires_at"] is None
        return
    api.clock.now += days * 86400 - 2
    assert (await api.call("GET", "/healthz", token=made["token"])).status == 200
    right = (200, 401) if body.get("superuser") else (403, 401)
    assert (await api.call("GET", "/proxies", token=made["token"])).status == right[0]
    api.clock.now += 4
    assert (await api.call("GET", "/proxies", token=made["token"])).status == right[1]


async def test_a_token_of_before_has_no_end_and_no_maker(api: Api) -> None:
    """That of the fixture is such a one: its maker is a text of the test, and it is nobody's."""
    listed = (await api.call("GET", "/tokens")).body["items"][0]
    assert (listed["expires_at"], listed["ends_with_maker"]) == (None, False)


async def test_a_failed_login_is_no_change_of_the_configuration(api: Api) -> None:
    before, applied = await api.store.revision(), api.plane.applies
    await login(api, "wrong password")
    assert (await api.store.revision(), api.plane.applies) == (before, applied)


async def test_the_audit_holds_both_sides_of_a_change(api: Api) -> None:
    session = await logged_in(api)
    await api.call("PUT", "/secrets/K", {"value": "value"}, token=session)
    headers = {"Authorization": "Bearer sk-1234567890 {secret.K}", "X-Key": "{secret.K}"}
    proxy = {"name": "web", "path": "/web", "upstream": "http://h", "headers": headers}
    made = await api.call("POST", "/proxies", proxy, token=session)
    assert made.status == 201, made.body
    await api.call("PATCH", "/proxies/web", {"max_concurrent": 7, "version": 1}, token=session)
    changed, created = (await api.call("GET", "/audit")).body["items"][:2]
    assert (changed["before"], changed["after"]) == ({"max_concurrent": 0}, {"max_concurrent": 7})
    assert created["before"] is None
    assert created["after"]["headers"] == {"Authorization": "****", "X-Key": "{secret.K}"}
    current = (await api.call("GET", "/sessions")).body["items"][0]["id"]
    assert {row["credential"] for row in (changed, created)} == {current}
    assert {(row["actor"], row["client"]) for row in (changed, created)} == {(EMAIL, "127.0.0.1")}

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace

import pytest
from harness.patience import eventually

from gateway.config.records import Endpoint, Upstream
from gateway.upstream import names as module
from gateway.upstream.dns import Answer
from gateway.upstream.names import MOST, Names, pause

NAME = Endpoint("http://ai.test:9000/base", 3, expand_dns=True, dns_interval=0.01)
AI = Upstream("ai", (NAME, Endpoint("http://10.0.0.9:1")))


class Scene:
    def __init__(self, *addresses: str) -> None:
        self.addresses = addresses
        self.asked: list[str] = []
        self.changes = 0
        self.names = Names(self._changed, self._resolve)

    async def _resolve(self, host: str) -> Answer:
        self.asked.append(host)
        if not self.addresses:
            raise OSError("no such name")
        return Answer(self.addresses)

    def _changed(self) -> None:
        self.changes += 1

    def found(self) -> list[str]:
        return [each.address for each in self.names.expanded(AI).endpoints]


async def test_each_address_is_an_endpoint_in_a_fixed_order_and_once() -> None:
    scene = Scene("10.0.0.2", "10.0.0.1", "10.0.0.2", "fd00::1")
    await scene.names.learn([AI])
    first, *_ = expanded = scene.names.expanded(AI).endpoints
    assert [each.address for each in expanded] == ["10.0.0.1", "10.0.0.2", "fd00::1", ""]
    assert (first.url, first.weight) == ("http://ai.test:9000/base", 3)
    assert expanded[-1] == AI.endpoints[1], "what is not to be expanded stays"
    assert scene.changes == 0, "no one serves it yet"


async def test_an_upstream_without_such_names_stays_the_same_object() -> None:
    plain = Upstream("ai", (Endpoint("http://ai.test"),))
    scene = Scene("10.0.0.1")
    await scene.names.learn([plain])
    assert scene.names.expanded(plain) is plain
    assert not scene.asked


async def test_without_an_address_the_endpoint_is_the_name() -> None:
    scene = Scene()
    await scene.names.learn([AI])
    assert scene.found() == ["", ""]


async def test_a_resolver_that_hangs_holds_a_configuration_up_for_no_longer_than_the_patience(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "PATIENCE", 0.01)

    async def hangs(host: str) -> Answer:
        await asyncio.Event().wait()
        return Answer((host,))

    names = Names(lambda: None, hangs)
    await names.learn([AI])
    assert names.expanded(AI).endpoints[0] is NAME


async def test_what_changes_is_reported_once() -> None:
    scene = Scene("10.0.0.1")
    await scene.names.learn([AI])
    scene.names.follow([AI])
    asked = len(scene.asked)
    await eventually(lambda: len(scene.asked) > asked + 2)
    assert scene.changes == 0
    scene.addresses = ("10.0.0.2", "10.0.0.1")
    await eventually(lambda: scene.changes == 1)
    asked = len(scene.asked)
    scene.addresses = ("10.0.0.1", "10.0.0.2")
    await eventually(lambda: len(scene.asked) > asked + 2)
    assert (scene.changes, scene.found()[:2]) == (1, ["10.0.0.1", "10.0.0.2"])
    await scene.names.aclose()


async def test_while_it_cannot_be_resolved_the_last_addresses_stay_and_the_log_says_so_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    scene = Scene("10.0.0.1")
    await scene.names.learn([AI])
    scene.names.follow([AI])
    scene.addresses = ()
    asked = len(scene.asked)
    await eventually(lambda: len(scene.asked) > asked + 3)
    assert scene.found()[0] == "10.0.0.1"
    assert [record.getMessage() for record in caplog.records] == [
        "the name ai.test cannot be resolved: no such name; its last 1 addresses stay"
    ]
    assert scene.names.failures >= 3, "each failure is counted"
    scene.addresses = ("10.0.0.1",)
    await eventually(lambda: len(caplog.records) == 2)
    assert caplog.records[1].getMessage() == "the name ai.test can be resolved again"
    assert scene.changes == 0
    await scene.names.aclose()


async def test_an_answer_without_addresses_is_a_failure(caplog: pytest.LogCaptureFixture) -> None:
    async def empty(host: str) -> Answer:
        del host
        return Answer(())

    names = Names(lambda: None, empty)
    await names.learn([AI])
    assert "it has no address" in caplog.text
    assert names.expanded(AI).endpoints[0] is NAME


async def test_no_more_than_so_many_addresses_are_used(caplog: pytest.LogCaptureFixture) -> None:
    scene = Scene(*[f"10.0.1.{number}" for number in range(MOST + 5)])
    for _ in range(2):
        await scene.names.learn([AI])
    assert len(scene.found()) == MOST + 1
    assert caplog.text.count(f"has {MOST + 5} addresses") == 1


async def test_a_change_waits_while_a_configuration_is_prepared() -> None:
    scene = Scene("10.0.0.1")
    await scene.names.learn([AI])
    scene.names.follow([AI])
    scene.names.hold()
    scene.addresses = ("10.0.0.2",)
    await eventually(lambda: scene.found()[0] == "10.0.0.2")
    assert scene.changes == 0
    scene.names.release()
    scene.names.release()
    assert scene.changes == 1
    await scene.names.aclose()


async def test_a_name_that_no_upstream_has_any_more_is_forgotten() -> None:
    scene = Scene("10.0.0.1")
    await scene.names.learn([AI])
    scene.names.follow([AI])
    scene.names.follow([])
    assert scene.found() == ["", ""]
    assert not scene.names._watches, "no one asks for it"
    await scene.names.aclose()


async def test_a_name_that_comes_back_or_gets_another_interval_is_asked_by_one_alone() -> None:
    scene = Scene("10.0.0.1")
    often = Upstream("ai", (replace(NAME, dns_interval=0.005),))
    rare = Upstream("rare", (replace(NAME, dns_interval=3600.0),))
    for upstreams in ([rare], [], [rare], [AI], [rare, often], [often]):
        scene.names.follow(upstreams)
    assert scene.names._followed == {"ai.test": 0.005}
    running = [task for task in asyncio.all_tasks() if task.get_name() == "resolve ai.test"]
    assert len([task for task in running if not task.cancelling()]) == 1
    await eventually(lambda: len(scene.asked) > 2)
    await scene.names.aclose()


async def test_what_was_prepared_and_given_up_is_resolved_again() -> None:
    scene = Scene("10.0.0.1")
    await scene.names.learn([AI])
    scene.addresses = ("10.0.0.2",)
    await scene.names.learn([AI])
    assert scene.found()[0] == "10.0.0.2"


async def test_a_change_that_cannot_be_applied_is_logged_and_does_not_end_the_watch(
    caplog: pytest.LogCaptureFixture,
) -> None:
    scene = Scene("10.0.0.1")
    scene.names._on_change = lambda: [][1]  # type: ignore[misc]
    await scene.names.learn([AI])
    scene.names.follow([AI])
    scene.addresses = ("10.0.0.2",)
    await eventually(lambda: "could not be applied" in caplog.text)
    asked = len(scene.asked)
    await eventually(lambda: len(scene.asked) > asked)
    await scene.names.aclose()


async def test_behind_a_forward_proxy_names_are_not_expanded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://proxy.test:3128")
    scene = Scene("10.0.0.1")
    await scene.names.learn([AI])
    assert not scene.asked
    assert scene.names.expanded(AI).endpoints == AI.endpoints


@pytest.mark.parametrize(
    ("interval", "ttl", "seconds"),
    [(30.0, None, 30.0), (30.0, 5, 5.0), (30.0, 300, 30.0), (30.0, 0, 1.0), (0.5, 1, 0.5)],
)
def test_an_answer_is_followed_while_it_is_valid(interval: float, ttl: int | None, seconds: float) -> None:
    assert pause(interval, ttl) == seconds

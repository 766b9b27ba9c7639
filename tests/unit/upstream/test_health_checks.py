"""The loop around the checks: at once, again and again, one at a time, until it is closed."""

from __future__ import annotations

from typing import Any

import pytest
from harness.answers import answer, each_request
from harness.message import Message
from harness.patience import eventually
from harness.upstream import Upstream
from unit.scene import Clock
from unit.upstream.test_probe import probe_of

from gateway.config.records import HealthCheck
from gateway.policy.balance import RoundRobin
from gateway.policy.group import Condition, Group, Rules
from gateway.policy.member import Member
from gateway.upstream.endpoint import Endpoint
from gateway.upstream.health_checks import HealthChecks
from gateway.upstream.origin import Origin
from gateway.upstream.probe import Probe


class Scene:
    """Endpoints on real sockets that answer with the status that stands here, and the checks of all of them."""

    def __init__(self, *upstreams: Upstream, **settings: Any) -> None:
        self.changes: list[tuple[str, str]] = []
        self.endpoints = [self._endpoint(upstream.url) for upstream in upstreams]
        conditions = [each.condition for each in self.endpoints]
        self.group = Group(
            conditions,
            RoundRobin(),
            Rules(healthy_after=2, unhealthy_after=2),
            Clock(),
            lambda member, cause, _: self.changes.append((member.name, cause)),
        )
        self.checks = HealthChecks(
            self.group, self.endpoints, HealthCheck(True, **({"interval": 0.01, "jitter": 0.5} | settings))
        )

    def _endpoint(self, url: str) -> Endpoint:
        origin = Origin.of(url)
        return Endpoint(origin, probe_of(url)[1], None, Condition(Member(origin.url)))

    async def aclose(self) -> None:
        await self.checks.aclose()
        for endpoint in self.endpoints:
            await endpoint.pool.aclose()


async def test_each_endpoint_is_checked_until_it_falls_and_rises() -> None:
    status = 200

    def reply(_: Message) -> bytes:
        return answer(status=status)

    async with Upstream(each_request(reply)) as turning, Upstream(each_request(lambda _: answer())) as well:
        scene = Scene(turning, well)
        scene.checks.start()
        await eventually(lambda: len(turning.requests) > 2 and len(well.requests) > 2)
        assert scene.changes == []
        status = 503
        await eventually(lambda: bool(scene.changes))
        assert scene.group.choose(b"") is scene.endpoints[1].member
        status = 200
        await eventually(lambda: len(scene.changes) == 2)
        assert scene.changes == [(turning.url, "down"), (turning.url, "up")]
        await scene.aclose()
        assert (turning.accepted, well.accepted) == (1, 1)


@pytest.mark.parametrize("interval", [0.01, 30.0])
async def test_the_first_check_begins_at_once_and_no_second_beside_it(interval: float) -> None:
    async with Upstream() as upstream:
        scene = Scene(upstream, interval=interval, timeout=30.0)
        scene.checks.start()
        link = await upstream.link()
        await link.request()
        assert upstream.accepted == 1
        await scene.aclose()
        await link.gone()
        assert (upstream.accepted, scene.changes) == (1, [])


async def test_a_mistake_of_the_gateway_ends_no_checks(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    calls = 0

    async def check(_: Probe) -> str:
        nonlocal calls
        calls += 1
        raise KeyError("wrong")

    monkeypatch.setattr(Probe, "check", check)
    async with Upstream(each_request(lambda _: answer())) as upstream:
        scene = Scene(upstream)
        scene.checks.start()
        await eventually(lambda: calls > 2)
        await scene.aclose()
    assert "failed in the gateway" in caplog.text
    assert not scene.changes

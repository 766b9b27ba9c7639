from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import cast

import pytest
from unit.groups import EJECTION, GroupScene
from unit.scene import exchange

from gateway import errors
from gateway.core.exchange import Exchange
from gateway.core.hedge import Hedge
from gateway.core.layer import Handler
from gateway.core.message import RequestHead
from gateway.core.peer import Peer
from gateway.errors import GatewayError
from gateway.policy.balance import Balance, RingHash
from gateway.policy.group import Rules
from gateway.policy.member import EJECTED, Member
from gateway.proxy.layers.balance import balance, key_of

Ending = Callable[[Exchange], None]


def ok(ex: Exchange) -> None:
    ex.attempts += 1
    ex.status = 200
    ex.committed = True


def broken(ex: Exchange) -> None:
    ex.attempts += 1
    raise GatewayError(errors.UPSTREAM_RESET)


def rejected(ex: Exchange) -> None:
    raise GatewayError(errors.BREAKER_OPEN, retry_after=7)


def limited(ex: Exchange) -> None:
    raise GatewayError(errors.RATE_LIMIT, retry_after=7)


class LayerScene(GroupScene):
    """A layer above attempt chains that end as they are told, by the name of the endpoint."""

    def __init__(self, *endings: Ending, rules: Rules | None = None, balance_by: Balance | None = None) -> None:
        super().__init__(len(endings), rules or Rules(EJECTION), balance=balance_by)
        self.asked: list[str] = []
        chains = {each: self._chain(each, end) for each, end in zip(self.members, endings, strict=True)}
        self.handle = balance(self.group, chains, key_of(""))

    def _chain(self, member: Member, end: Ending) -> Handler:
        async def chain(ex: Exchange) -> None:
            self.asked.append(member.name)
            assert member.in_flight == 1
            end(ex)

        return chain

    async def failing(self, ex: Exchange) -> GatewayError:
        with pytest.raises(GatewayError) as caught:
            await self.handle(ex)
        return caught.value

    @property
    def in_flight(self) -> int:
        return sum(member.in_flight for member in self.members)


class TestLayer:
    async def test_each_attempt_goes_to_the_one_that_is_chosen(self) -> None:
        scene = LayerScene(ok, ok)
        for _ in range(4):
            ex = exchange()
            await scene.handle(ex)
            assert ex.tried == ()
        assert (scene.asked, scene.in_flight) == (list("abab"), 0)
        assert [member.attempts for member in scene.members] == [2, 2]

    async def test_a_further_attempt_goes_to_another_one(self) -> None:
        scene = LayerScene(broken, broken, broken)
        ex = exchange()
        for _ in range(3):
            assert (await scene.failing(ex)).reason is errors.UPSTREAM_RESET
        assert sorted(scene.asked) == ["a", "b", "c"]
        assert set(ex.tried) == {*scene.members}
        await scene.failing(ex)
        assert len(scene.asked) == 4, "when all were tried, all may be tried again"
        assert (scene.in_flight, sum(member.failures for member in scene.members)) == (0, 4)

    async def test_failures_eject(self) -> None:
        scene = LayerScene(broken, ok)
        for _ in range(3):
            await scene.failing(exchange())
            await scene.handle(exchange())
        assert scene.members[0].out == EJECTED
        scene.asked.clear()
        for _ in range(3):
            await scene.handle(exchange())
        assert scene.asked == ["b"] * 3

    async def test_a_status_of_500_is_a_failure_too(self) -> None:
        def poor(ex: Exchange) -> None:
            ex.status = 503

        scene = LayerScene(poor, ok)
        ex = exchange()
        await scene.handle(ex)
        assert (scene.members[0].failures, ex.tried) == (1, (scene.members[0],))

    async def test_a_response_that_the_caller_does_not_get_sends_the_next_attempt_elsewhere(self) -> None:
        def busy(ex: Exchange) -> None:
            ex.status = 429

        scene = LayerScene(busy, ok)
        ex = exchange()
        for _ in range(2):
            await scene.handle(ex)
        assert (scene.asked, ex.tried, scene.members[0].failures) == (["a", "b"], (scene.members[0],), 0)

    async def test_one_whose_breaker_rejects_is_passed_over(self) -> None:
        scene = LayerScene(rejected, ok)
        ex = exchange()
        await scene.handle(ex)
        assert (scene.asked, ex.status, ex.tried) == (["a", "b"], 200, ())
        assert [(member.attempts, member.in_flight) for member in scene.members] == [(0, 0), (1, 0)]

    async def test_a_rate_limit_of_the_upstream_ends_it_and_is_no_attempt(self) -> None:
        scene = LayerScene(limited, limited)
        ex = exchange()
        assert (await scene.failing(ex)).reason is errors.RATE_LIMIT
        assert (len(scene.asked), ex.tried, scene.in_flight) == (1, (), 0)
        assert [(each.attempts, each.failures, each.ignored) for each in scene.members] == [(0, 0, 0)] * 2

    async def test_the_breakers_of_all_reject_it(self) -> None:
        scene = LayerScene(rejected, rejected, rejected)
        error = await scene.failing(exchange())
        assert (error.reason, error.retry_after) == (errors.BREAKER_OPEN, 7)
        assert (scene.asked, scene.in_flight) == (["a", "b", "c"], 0)

    async def test_the_time_to_come_back_is_that_of_the_endpoint_that_is_asked_first(self) -> None:
        def rejecting(seconds: int) -> Ending:
            def end(ex: Exchange) -> None:
                raise GatewayError(errors.BREAKER_OPEN, retry_after=seconds)

            return end

        for order in ((9, 3, 5), (3, 9, 5), (9, 5, 3)):
            error = await LayerScene(*map(rejecting, order)).failing(exchange())
            assert (error.reason, error.retry_after) == (errors.BREAKER_OPEN, 3)

    async def test_one_that_failed_is_tried_again_when_the_breaker_of_the_other_rejects(self) -> None:
        scene = LayerScene(broken, rejected, rules=Rules())
        ex = exchange()
        for _ in range(5):
            assert (await scene.failing(ex)).reason is errors.UPSTREAM_RESET
        assert scene.asked.count("a") == 5

    async def test_a_rejection_behind_an_attempt_is_an_end(self) -> None:
        """Something was sent, so that the next endpoint is a matter of the retries."""

        def late(ex: Exchange) -> None:
            ex.attempts += 1
            raise GatewayError(errors.BREAKER_OPEN)

        scene = LayerScene(late, ok)
        ex = exchange()
        await scene.failing(ex)
        assert (scene.asked, ex.tried) == (["a"], ())

    async def test_none_may_be_chosen(self) -> None:
        scene = LayerScene(ok, rules=Rules(panic=0.0))
        scene.group.check(scene.members[0], "status 503")
        error = await scene.failing(exchange())
        assert (error.reason, error.retry_after) == (errors.NO_HEALTHY_ENDPOINT, 1)

    async def test_a_client_that_leaves_says_nothing(self) -> None:
        def gone(ex: Exchange) -> None:
            raise asyncio.CancelledError

        scene = LayerScene(gone)
        ex = exchange()
        with pytest.raises(asyncio.CancelledError):
            await scene.handle(ex)
        assert (scene.members[0].attempts, scene.in_flight, ex.tried) == (0, 0, ())

    async def test_a_hedge_goes_to_another_endpoint_than_those_at_which_an_attempt_runs(self) -> None:
        scene = LayerScene(ok, ok, rules=Rules())
        known = Hedge()
        for member, other in (scene.members, scene.members[::-1]):
            known.running = (member,)
            ex = exchange()
            ex.hedge = known
            scene.asked.clear()
            for _ in range(3):
                await scene.handle(ex)
            assert (scene.asked, known.running) == ([other.name] * 3, (member,))
        known.running = (*scene.members,)
        assert (await scene.failing(ex)).reason is errors.NO_HEALTHY_ENDPOINT

    async def test_a_lone_endpoint_gets_both_attempts(self) -> None:
        running: list[tuple[object, ...]] = []

        def looks(ex: Exchange) -> None:
            assert ex.hedge is not None
            running.append(ex.hedge.running)
            ok(ex)

        scene = LayerScene(looks)
        ex = exchange()
        ex.hedge = Hedge()
        ex.hedge.running = (scene.members[0],)
        await scene.handle(ex)
        assert (running, ex.hedge.running) == ([(scene.members[0],) * 2], (scene.members[0],))

    @pytest.mark.parametrize(("asked_at", "ignored"), [(0.0, 0), (1000.0, 1)])
    async def test_a_hedge_that_was_cut_before_it_was_sent_is_no_attempt(self, asked_at: float, ignored: int) -> None:
        def cut(ex: Exchange) -> None:
            ex.attempt.asked_at = asked_at
            raise asyncio.CancelledError

        scene = LayerScene(cut)
        ex = exchange()
        ex.hedge = Hedge()
        with pytest.raises(asyncio.CancelledError):
            await scene.handle(ex)
        assert (scene.members[0].ignored, scene.in_flight, ex.hedge.running) == (ignored, 0, ())

    async def test_a_tunnel_is_in_flight_until_it_is_over(self) -> None:
        def switched(ex: Exchange) -> None:
            ok(ex)
            ex.status = 101

        scene = LayerScene(switched, switched)
        ended: list[Callable[[], None]] = []
        ex = exchange()
        ex.downstream.tunnel = SimpleNamespace(when_over=ended.append)  # type: ignore[misc, assignment]
        await scene.handle(ex)
        member = scene.members[0]
        assert (member.in_flight, member.attempts) == (1, 1), "it is judged, and it is there"
        ended.pop()()
        assert scene.in_flight == 0

    async def test_a_switch_that_the_caller_does_not_see_is_no_tunnel(self) -> None:
        def switched(ex: Exchange) -> None:
            ok(ex)
            ex.status = 101

        scene = LayerScene(switched)
        ex = exchange()
        ex.downstream.tunnel = None  # type: ignore[misc]
        await scene.handle(ex)
        assert scene.in_flight == 0

    async def test_requests_with_one_key_go_to_one_endpoint(self) -> None:
        scene = LayerScene(ok, ok, ok)
        ring = RingHash(scene.members, [1, 1, 1], lambda: 0.0, 0.0)
        group = scene.made(Rules(), ring)
        chains = {member: scene._chain(member, ok) for member in scene.members}
        handle = balance(group, chains, key_of("header:x-user"))
        for name in (b"ann", b"bob", b"cid", b"dan"):
            scene.asked.clear()
            for _ in range(3):
                await handle(asking(b"X-User: " + name))
            assert len(set(scene.asked)) == 1


def asking(*lines: bytes, peer: Peer | None = None, known: dict[bytes, bytes] | None = None) -> Exchange:
    """An exchange whose request has these field lines."""
    ex = exchange()
    ex.request = RequestHead(b"GET", b"/", 1, [*lines], known or {}, 0, keep_alive=True)
    if peer is not None:
        cast("NamedPeer", ex.downstream).peer = peer
    return ex


class NamedPeer:
    peer: Peer


class TestKey:
    def test_nothing(self) -> None:
        assert key_of("")(asking(b"X: 1")) == b""

    @pytest.mark.parametrize(
        ("lines", "key"),
        [
            ([], b""),
            ([b"X-Users: no"], b""),
            ([b"X-User ann"], b""),
            ([b"Accept: */*", b"x-uSER:\t ann ", b"X-User: bob"], b"ann"),
            ([b"X-User:"], b""),
        ],
    )
    def test_the_first_header_field_of_that_name(self, lines: list[bytes], key: bytes) -> None:
        assert key_of("header:x-user")(asking(*lines)) == key

    def test_a_header_field_that_the_gateway_knows(self) -> None:
        assert key_of("header:host")(asking(known={b"host": b"a.example"})) == b"a.example"

    @pytest.mark.parametrize(
        ("lines", "key"),
        [
            ([], b""),
            ([b"X-Cookie: sid=1"], b""),
            ([b"Cookie: asid=1; Sid=2"], b""),
            ([b"cOOkie: a=b; sid=1=2 ; sid=3"], b"1=2"),
            ([b"Cookie: a=b", b"Cookie: sid=4"], b"4"),
            ([b"Cookie: sid"], b""),
        ],
    )
    def test_the_first_cookie_of_that_name(self, lines: list[bytes], key: bytes) -> None:
        assert key_of("cookie:sid")(asking(*lines)) == key

    def test_the_caller_s_address_without_its_port(self) -> None:
        keys = [key_of("client")(asking(peer=Peer("192.0.2.9", port, b"http", lambda _: False))) for port in (1, 2)]
        assert keys == [b"192.0.2.9"] * 2

    def test_the_address_that_a_trusted_peer_names(self) -> None:
        peer = Peer("192.0.2.9", 1, b"http", lambda address: address == "192.0.2.9")
        ex = asking(peer=peer, known={b"x-forwarded-for": b"198.51.100.7"})
        assert key_of("client")(ex) == b"198.51.100.7"

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import Collection, Container
from typing import cast

import pytest
from unit.machines import RECOVERY, BreakerScene
from unit.scene import Nobody, exchange, told

from gateway import errors
from gateway.core.exchange import Exchange
from gateway.core.layer import Handler, chain
from gateway.core.outcome import Outcome
from gateway.core.peer import Peer
from gateway.core.principal import Principal
from gateway.core.statuses import statuses
from gateway.core.stream import ServerStream
from gateway.errors import GatewayError, Source
from gateway.policy.breaker_rules import Rules
from gateway.policy.breaker_store import State
from gateway.policy.window import Tally
from gateway.proxy.layers.break_circuit import FAILURES, break_circuit, caller_of, first_byte_after, keep_state

SUCCESS, FAILURE, IGNORED = Outcome


class Answer:
    """A handler that ends as it is told: a status, or an exception."""

    def __init__(self, end: int | BaseException) -> None:
        self.end = end
        self.asked = 0

    async def __call__(self, ex: Exchange) -> None:
        self.asked += 1
        if isinstance(self.end, BaseException):
            raise self.end
        ex.status = self.end


def exchange_from(host: str, port: int) -> Exchange:
    ex = exchange()
    ex.downstream = cast(ServerStream, Nobody(Peer(host, port, b"http", lambda address: False)))
    return ex


async def judged(
    ex: Exchange, end: int | BaseException, failures: Container[int] = FAILURES, ignored: Collection[int] = ()
) -> Outcome:
    """The outcome that the breaker has counted."""
    scene = BreakerScene()
    scene.call(FAILURE)
    handle = break_circuit(scene.breaker, failures, ignored=ignored)(Answer(end))
    if isinstance(end, BaseException):
        with pytest.raises(type(end)) as caught:
            await handle(ex)
        assert caught.value is end
    else:
        await handle(ex)
    return {2: FAILURE, 1: IGNORED, 0: SUCCESS}[scene.breaker.failures]


UPSTREAM_REASONS = [reason for reason in errors.REASONS.values() if reason.source is Source.UPSTREAM]
OTHER_REASONS = [
    reason
    for reason in errors.REASONS.values()
    if reason.source is not Source.UPSTREAM and reason is not errors.TOTAL_TIMEOUT
]


class TestStatuses:
    @pytest.mark.parametrize(("status", "outcome"), [(401, IGNORED), (200, SUCCESS), (500, FAILURE)])
    async def test_one_that_says_nothing_about_the_endpoint_teaches_nothing(
        self, status: int, outcome: Outcome
    ) -> None:
        assert await judged(exchange(), status, ignored=(401,)) is outcome

    @pytest.mark.parametrize(("status", "outcome"), [(503, SUCCESS), (429, FAILURE), (200, SUCCESS)])
    async def test_the_layer_judges_by_those_that_it_is_given(self, status: int, outcome: Outcome) -> None:
        assert await judged(exchange(), status, statuses(["429"])) is outcome

    async def test_an_error_is_a_failure_whatever_they_are(self) -> None:
        assert await judged(exchange(), GatewayError(errors.UPSTREAM_RESET), statuses([])) is FAILURE


class TestFirstByte:
    @pytest.mark.parametrize(
        ("sent_at", "first_byte_at", "seconds"),
        [
            (1000.0, 1002.5, 2.5),
            (1000.0, 0.0, 9.0),  # none has come
            (0.0, 1002.5, 0.0),  # the upload did not end
            (0.0, 0.0, 0.0),
            (1003.0, 1002.5, 0.0),  # it responded before it had the whole request
        ],
    )
    def test_from_the_end_of_the_request(self, sent_at: float, first_byte_at: float, seconds: float) -> None:
        ex = told(sent_at=sent_at, first_byte_at=first_byte_at)
        assert first_byte_after(ex, 1009.0) == seconds

    async def test_the_breaker_counts_slow_calls_by_it_and_not_by_the_whole_time(self) -> None:
        scene = BreakerScene()
        scene.breaker.configure(3, RECOVERY, 1, rules=Rules(0.0, 2.0, 0.5))
        for first_byte_at in (1001.0, 1002.5):
            ex = told(sent_at=1000.0, first_byte_at=first_byte_at, last_byte_at=1600.0)
            scene.clock.now = 1600.0
            await break_circuit(scene.breaker)(Answer(200))(ex)
        assert scene.breaker.tally == Tally(0, 2, 0, 1)

    async def test_a_slow_probe_does_not_close_it(self) -> None:
        scene = BreakerScene().bring_to(State.HALF_OPEN)
        scene.breaker.configure(3, RECOVERY, 1, rules=Rules(0.0, 2.0, 0.5))
        await break_circuit(scene.breaker)(Answer(200))(told(sent_at=1000.0, first_byte_at=1002.5))
        assert scene.breaker.state is State.OPEN


class TestCallers:
    def test_a_principal_is_one_wherever_it_calls_from(self) -> None:
        names = [Principal("ann", "token"), Principal("ann", "jwt"), Principal("bob", "token")]
        assert len({caller_of(told(principal=name)) for name in names}) == 3

    @pytest.mark.parametrize(
        ("one", "other", "same"),
        [
            ("192.0.2.1", "192.0.2.1", True),
            ("192.0.2.1", "192.0.2.2", False),
            ("2001:db8::1", "2001:db8::2", True),
            ("2001:db8::1", "2001:db8:1::1", False),
        ],
    )
    def test_others_are_told_apart_by_address(self, one: str, other: str, same: bool) -> None:
        callers = [caller_of(exchange_from(host, port)) for host, port in ((one, 1), (other, 2))]
        assert (callers[0] == callers[1]) is same

    async def test_one_caller_does_not_open_it(self) -> None:
        scene = BreakerScene()
        scene.breaker.configure(3, RECOVERY, 1, rules=Rules(distinct_callers=2))
        handle = break_circuit(scene.breaker)(Answer(500))
        for port in range(5):
            await handle(exchange_from("192.0.2.1", port))
        assert (scene.breaker.state, scene.breaker.failures) == (State.CLOSED, 5)
        await handle(exchange_from("192.0.2.2", 9))
        assert scene.breaker.state is State.OPEN


class TestLayer:
    @pytest.mark.covers("T023")
    def test_no_breaker_no_layer(self) -> None:
        answer = Answer(200)
        assert break_circuit(None)(answer) is answer

    @pytest.mark.parametrize(
        ("status", "outcome"),
        [
            *((status, SUCCESS) for status in (200, 204, 301, 304, 400, 401, 404, 429, 499)),
            *((status, FAILURE) for status in (500, 501, 502, 503, 504, 599)),
        ],
    )
    async def test_an_answer_is_judged_by_its_status(self, status: int, outcome: Outcome) -> None:
        assert await judged(exchange(), status) is outcome

    @pytest.mark.parametrize(("status", "outcome"), [(0, SUCCESS), (5, SUCCESS), (14, FAILURE), (1, IGNORED)])
    async def test_a_response_of_grpc_is_judged_by_its_own(self, status: int, outcome: Outcome) -> None:
        ex = exchange()
        ex.grpc_status = status
        assert await judged(ex, 200) is outcome

    @pytest.mark.parametrize("reason", UPSTREAM_REASONS, ids=lambda reason: reason.code)
    async def test_what_the_upstream_did_is_a_failure(self, reason: errors.Reason) -> None:
        assert await judged(exchange(), GatewayError(reason)) is FAILURE

    async def test_an_answer_that_breaks_off_in_the_middle_is_a_failure(self) -> None:
        ex = exchange()
        ex.committed, ex.status = True, 200
        assert await judged(ex, GatewayError(errors.UPSTREAM_RESET)) is FAILURE

    @pytest.mark.parametrize("reason", OTHER_REASONS, ids=lambda reason: reason.code)
    async def test_what_the_client_or_we_did_is_not(self, reason: errors.Reason) -> None:
        assert await judged(exchange(), GatewayError(reason)) is IGNORED

    @pytest.mark.parametrize("reason", UPSTREAM_REASONS, ids=lambda reason: reason.code)
    async def test_a_stale_connection_tells_nothing(self, reason: errors.Reason) -> None:
        assert await judged(exchange(), GatewayError(reason, retryable=True)) is IGNORED

    @pytest.mark.parametrize("end", [asyncio.CancelledError(), ValueError("a defect"), KeyError()])
    @pytest.mark.parametrize("reason", ["", "client_gone", "client_timeout", "draining"])
    async def test_an_interruption_or_a_defect_tells_nothing(self, end: BaseException, reason: str) -> None:
        ex = exchange()
        ex.attempt.sent_at, ex.reason = 1001.0, reason
        assert await judged(ex, end) is IGNORED

    @pytest.mark.parametrize(
        ("sent", "length", "committed", "queued", "outcome"),
        [
            (True, 0, False, 0.0, FAILURE),
            (True, 100, False, 0.0, FAILURE),
            (True, 100, False, 4.0, FAILURE),
            (False, 0, False, 0.0, FAILURE),  # nothing to upload: it was the dial that took so long
            (False, 100, False, 0.0, IGNORED),  # the client may be the slow one
            (True, 0, True, 0.0, IGNORED),  # a long stream that was cut
            (True, 0, False, 5.0, FAILURE),
            (True, 0, False, 5.1, IGNORED),  # our own queue took most of the time
        ],
    )
    @pytest.mark.parametrize("as_cancellation", [True, False])
    async def test_the_total_timeout(
        self, sent: bool, length: int, committed: bool, queued: float, outcome: Outcome, as_cancellation: bool
    ) -> None:
        ex = exchange(b"PUT", length, start_at=1000.0)
        ex.deadline, ex.queued, ex.committed = 1010.0, queued, committed
        ex.attempt.sent_at = 1000.5 if sent else 0.0
        if as_cancellation:
            ex.reason = errors.TOTAL_TIMEOUT.code
        end = asyncio.CancelledError() if as_cancellation else GatewayError(errors.TOTAL_TIMEOUT)
        assert await judged(ex, end) is outcome

    async def test_attempts_before_this_one_may_have_taken_the_time(self) -> None:
        ex = exchange(start_at=1000.0)
        ex.deadline, ex.queued, ex.retried = 1010.0, 2.0, 3.1
        ex.attempt.sent_at = 1005.5
        assert await judged(ex, GatewayError(errors.TOTAL_TIMEOUT)) is IGNORED

    @pytest.mark.covers("FR-015", "T054")
    async def test_a_clock_that_has_only_begun_is_a_clock(self) -> None:
        ex = exchange(b"PUT", 100, start_at=0.25)
        ex.attempt.sent_at, ex.deadline = 0.5, 10.0
        assert await judged(ex, GatewayError(errors.TOTAL_TIMEOUT)) is FAILURE

    @pytest.mark.parametrize(
        ("end", "reason"),
        [
            (503, ""),
            (GatewayError(errors.DIAL_FAILED), "dial_failed"),
            (asyncio.CancelledError(), "client_gone"),
            (ValueError("a defect"), ""),
        ],
    )
    async def test_what_is_known_of_a_call_is_kept(self, end: int | BaseException, reason: str) -> None:
        scene = BreakerScene().bring_to(State.HALF_OPEN)
        ex = exchange()
        ex.request_id = b"r1"
        if isinstance(end, BaseException):
            ex.reason, ex.status = "client_gone", 201
        with contextlib.suppress(GatewayError, asyncio.CancelledError, ValueError):
            await break_circuit(scene.breaker)(Answer(end))(ex)
        kept = [*scene.breaker.outcomes, *(o for move in scene.breaker.moves for o in move.outcomes)]
        (last,) = [judged for judged in kept if judged.request_id]
        assert (last.reason, last.status, last.request_id) == (reason, ex.status, b"r1")

    async def test_in_shadow_mode_nobody_is_refused_and_it_is_noted_who_would_have_been(self) -> None:
        scene = BreakerScene()
        scene.breaker.configure(3, RECOVERY, 1, shadow=True)
        scene.bring_to(State.OPEN)
        ex, answer = exchange(), Answer(200)
        await break_circuit(scene.breaker)(answer)(ex)
        assert (answer.asked, ex.status, ex.breaker, ex.shadow) == (1, 200, "open", "breaker_open")
        assert scene.breaker.state is State.OPEN, "who has no permit does not close it"
        full = exchange()
        full.shadow = "concurrency_limit"
        await break_circuit(scene.breaker)(answer)(full)
        assert full.shadow == "concurrency_limit", "what would have refused it first"
        scene.breaker.reset()
        passing = exchange()
        await break_circuit(scene.breaker)(answer)(passing)
        assert passing.shadow == ""

    async def test_an_open_circuit_refuses_without_asking(self) -> None:
        scene = BreakerScene().bring_to(State.OPEN)
        scene.clock.now += 12.5
        ex, answer = exchange(), Answer(200)
        with pytest.raises(GatewayError) as caught:
            await break_circuit(scene.breaker)(answer)(ex)
        error = caught.value
        assert (error.reason, error.retry_after) == (errors.BREAKER_OPEN, 18)
        assert error.headers == (("X-Circuit-Breaker", "open"),)
        assert (answer.asked, ex.breaker) == (0, "open")

    @pytest.mark.covers("T027")
    @pytest.mark.parametrize("state", [State.CLOSED, State.HALF_OPEN])
    async def test_the_exchange_tells_the_state_that_it_met(self, state: State) -> None:
        scene = BreakerScene().bring_to(state)
        ex = exchange()
        await break_circuit(scene.breaker)(Answer(200))(ex)
        assert (ex.breaker, scene.breaker.state) == (state.word, State.CLOSED)

    async def test_a_probe_keeps_its_place_to_the_last_byte(self) -> None:
        scene = BreakerScene().bring_to(State.HALF_OPEN)
        last_byte = asyncio.get_running_loop().create_future()

        async def stream(ex: Exchange) -> None:
            ex.committed, ex.status = True, 200
            await last_byte

        probe = asyncio.ensure_future(break_circuit(scene.breaker)(stream)(exchange()))
        await asyncio.sleep(0)
        with pytest.raises(GatewayError) as caught:
            await break_circuit(scene.breaker)(Answer(200))(exchange())
        assert caught.value.retry_after == 1
        last_byte.set_result(None)
        await probe
        assert scene.breaker.state is State.CLOSED

    async def test_a_probe_whose_client_leaves_makes_room_for_another(self) -> None:
        scene = BreakerScene().bring_to(State.HALF_OPEN)
        for _ in range(10):
            with pytest.raises(asyncio.CancelledError):
                await break_circuit(scene.breaker)(Answer(asyncio.CancelledError()))(exchange())
        assert scene.breaker.state is State.HALF_OPEN
        await break_circuit(scene.breaker)(Answer(204))(exchange())
        assert scene.breaker.state is State.CLOSED

    @pytest.mark.covers("T029", "T056")
    async def test_of_two_hundred_at_once_only_the_probes_get_through(self) -> None:
        scene = BreakerScene(3).bring_to(State.OPEN)
        scene.clock.now += RECOVERY
        inside = itertools.count()
        go = asyncio.Event()

        async def serve(ex: Exchange) -> None:
            next(inside)
            await go.wait()
            ex.status = 200

        handle = break_circuit(scene.breaker)(serve)
        tasks = [asyncio.ensure_future(handle(exchange())) for _ in range(200)]
        await asyncio.sleep(0)
        assert sum(task.done() for task in tasks) == 197
        go.set()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert next(inside) == 3
        assert sum(isinstance(result, GatewayError) for result in results) == 197
        assert scene.breaker.state is State.CLOSED


class TestOfTheUpstream:
    """One breaker above those of the endpoints."""

    def scenes(self, *, outer: State, inner: State) -> tuple[BreakerScene, BreakerScene]:
        return BreakerScene().bring_to(outer), BreakerScene().bring_to(inner)

    def handler(self, outer: BreakerScene, inner: BreakerScene, answer: Answer) -> Handler:
        return chain(
            answer, break_circuit(outer.breaker, whole=True), keep_state(enabled=True), break_circuit(inner.breaker)
        )

    @pytest.mark.parametrize("outer", [State.CLOSED, State.HALF_OPEN])
    @pytest.mark.parametrize("inner", [State.CLOSED, State.HALF_OPEN])
    @pytest.mark.parametrize(("end", "after"), [(200, State.CLOSED), (503, State.OPEN)])
    async def test_an_attempt_is_an_outcome_of_both(self, outer: State, inner: State, end: int, after: State) -> None:
        scenes = self.scenes(outer=outer, inner=inner)
        ex = exchange()
        await self.handler(*scenes, Answer(end))(ex)
        for scene, before in zip(scenes, (outer, inner), strict=True):
            found = scene.breaker
            assert (found.state, found.failures) == (
                (after, 4 if end == 503 else 0) if before else (before, end == 503)
            )
        assert ex.breaker == (State.HALF_OPEN if State.HALF_OPEN in (outer, inner) else State.CLOSED).word
        assert not ex.breaker_of_upstream

    async def test_what_the_inner_one_rejects_says_nothing_to_the_outer_one(self) -> None:
        outer, inner = self.scenes(outer=State.HALF_OPEN, inner=State.OPEN)
        for _ in range(10):
            ex, answer = exchange(), Answer(503)
            with pytest.raises(GatewayError) as caught:
                await self.handler(outer, inner, answer)(ex)
            assert (caught.value.reason, answer.asked) == (errors.BREAKER_OPEN, 0)
            assert (ex.breaker, ex.breaker_of_upstream) == ("open", False)
            assert (outer.breaker.state, outer.breaker.probes, outer.breaker.idle) == (State.HALF_OPEN, 0, True)
        outer.breaker.reset()
        outer.bring_to(State.CLOSED)
        with pytest.raises(GatewayError):
            await self.handler(outer, inner, Answer(503))(exchange())
        assert outer.breaker.failures == 0

    async def test_a_cancelled_probe_gives_both_permits_back(self) -> None:
        scenes = self.scenes(outer=State.HALF_OPEN, inner=State.HALF_OPEN)
        with pytest.raises(asyncio.CancelledError):
            await self.handler(*scenes, Answer(asyncio.CancelledError()))(exchange())
        assert [(scene.breaker.state, scene.breaker.probes) for scene in scenes] == [(State.HALF_OPEN, 0)] * 2

    async def test_one_that_is_open_asks_no_other(self) -> None:
        outer, inner = self.scenes(outer=State.OPEN, inner=State.HALF_OPEN)
        outer.clock.now += 12.5
        ex, answer = exchange(), Answer(200)
        with pytest.raises(GatewayError) as caught:
            await self.handler(outer, inner, answer)(ex)
        assert (caught.value.reason, caught.value.retry_after) == (errors.BREAKER_OPEN, 18)
        assert (ex.breaker, ex.breaker_of_upstream, answer.asked, inner.breaker.state) == (
            "open",
            True,
            0,
            State.HALF_OPEN,
        )

    @pytest.mark.parametrize("inner", [State.CLOSED, State.OPEN])
    async def test_in_shadow_mode_it_says_that_it_would_have_rejected(self, inner: State) -> None:
        scenes = self.scenes(outer=State.OPEN, inner=inner)
        for scene in scenes:
            scene.breaker.shadow = True
        ex, answer = exchange(), Answer(200)
        await self.handler(*scenes, answer)(ex)
        assert (ex.breaker, ex.shadow, ex.breaker_of_upstream, answer.asked) == ("open", "breaker_open", True, 1)

    async def test_what_something_else_would_have_rejected_is_not_its_own(self) -> None:
        outer, inner = self.scenes(outer=State.OPEN, inner=State.CLOSED)
        outer.breaker.shadow = True
        ex = exchange()
        ex.shadow = "rate_limit"
        await self.handler(outer, inner, Answer(200))(ex)
        assert (ex.shadow, ex.breaker_of_upstream) == ("rate_limit", False)

    async def test_without_a_second_kind_of_breaker_nothing_is_between(self) -> None:
        answer = Answer(200)
        assert keep_state(enabled=False)(answer) is answer

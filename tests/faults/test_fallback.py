"""What takes over when an upstream fails: another upstream, through its own machines, or a fixed response."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import Any
from unittest.mock import ANY

import pytest
from harness.answers import OK, answer, chunk, each_request, head, ok
from harness.client import Client, code_of, request
from harness.message import Truncated
from harness.patience import eventually
from harness.records import Proxied, proxy, serving
from harness.rig import TIMEOUTS, GatewayFor, Rig, proxy_to
from harness.upstream import Behaviour, BlackHole, Link, Upstream, refused_url
from unit.machines import give_back

from gateway.config.fallback import Fallback, FixedResponse
from gateway.config.records import Backoff, CircuitBreaker, Cors, Ejection, Endpoint, Queue, Retries
from gateway.control.metrics.exposition import Exposition
from gateway.policy.machine import REFUSED

SHORT, LONG = 0.1, 30.0
BUSY = FixedResponse(200, '{"busy":true}', "application/json")
BREAKER = CircuitBreaker(True, 1, LONG)


@pytest.fixture
async def spare(upstream_class: type[Upstream]) -> AsyncIterator[Upstream]:
    """The upstream of the fallback."""
    async with upstream_class() as made:
        yield made


def falling_back(
    upstream: Upstream | BlackHole | str, second: Upstream | str, fallback: Fallback, **settings: Any
) -> tuple[Proxied, Proxied]:
    """``p``, and a proxy ``spare`` whose upstream is the fallback's; ``spare_settings`` are its own."""
    own = settings.pop("spare_settings", {})
    url = second if isinstance(second, str) else second.url
    other = proxy("spare", "/spare", url, access_rule="true", timeouts=TIMEOUTS).having(**own)
    return proxy_to(upstream, fallback=fallback, **settings), other


async def rig_of(
    gateway_for: GatewayFor, upstream: Upstream | BlackHole | str, second: Upstream | str, on: Fallback, **settings: Any
) -> Rig:
    return await gateway_for("", proxies=falling_back(upstream, second, on, **settings))


def to_spare(*on: str, statuses: tuple[tuple[int, int], ...] = ()) -> Fallback:
    return Fallback(on, statuses, upstream="spare")


async def asked(rig: Rig, *lines: str, method: str = "GET", body: bytes = b"") -> Client:
    client = await rig.connect()
    await client.send(request("/", *lines, method=method, body=body))
    return client


async def served(upstream: Upstream) -> Link:
    """The next connection, on which the head of a request has come."""
    link = await upstream.link()
    await link.head()
    return link


async def line_of(rig: Rig) -> dict[str, Any]:
    """The last line of the log."""
    return (await rig.log.wait())[-1]


def counted(rig: Rig) -> str:
    rig.gateway.sample()
    return "".join(Exposition(rig.gateway.counters).render(open_metrics=False))


# -- each cause, with both targets

Play = Callable[[Rig, Upstream], Awaitable[Client]]


async def plain(rig: Rig, upstream: Upstream) -> Client:
    return await asked(rig)


async def closes(rig: Rig, upstream: Upstream) -> Client:
    client = await asked(rig)
    (await served(upstream)).close()
    return client


def says(*data: bytes) -> Play:
    async def play(rig: Rig, upstream: Upstream) -> Client:
        client = await asked(rig)
        await (await served(upstream)).send(*data)
        return client

    return play


async def is_one_too_many(rig: Rig, upstream: Upstream) -> Client:
    """The only place is taken by hand: by somebody whose exchange is not of the test."""
    assert rig.p.limiter.try_acquire() != REFUSED
    return await asked(rig)


@dataclass(frozen=True)
class Row:
    cause: str
    reason: str
    play: Play
    settings: dict[str, Any] = field(default_factory=dict)
    statuses: tuple[tuple[int, int], ...] = ()
    to: str = ""

    @property
    def on(self) -> tuple[str, ...]:
        return () if self.statuses else (self.cause,)


def times(**seconds: float) -> dict[str, Any]:
    return {"timeouts": replace(TIMEOUTS, **seconds)}


ROWS = [
    Row("connect", "dial_failed", plain, to="refused"),
    Row("connect", "dns_failed", plain, to="http://does-not-exist.invalid:1"),
    Row("reset", "upstream_reset", closes),
    Row("reset", "upstream_bad_response", says(b"SSH-2.0-OpenSSH_9.6\r\n\r\n")),
    Row("connect", "dial_timeout", plain, times(dial=SHORT), to="black hole"),
    Row("timeout", "header_timeout", says(), times(response_header=SHORT)),
    Row("health", "no_healthy_endpoint", plain, {"endpoints": (Endpoint("http://127.0.0.1:1", drain=True),)}),
    Row("queue", "concurrency_limit", is_one_too_many, {"max_concurrent": 1}),
    Row("queue", "queue_timeout", is_one_too_many, {"max_concurrent": 1, "queue": Queue(1, SHORT)}),
    Row("503", "", says(answer(b"busy", status=503)), statuses=((503, 503),)),
    Row("502", "", says(head("Transfer-Encoding: chunked", status="502 Bad"), chunk(b"x")), statuses=((500, 599),)),
]


@pytest.mark.plain
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.reason or row.cause)
@pytest.mark.parametrize("fixed", [False, True], ids=["upstream", "response"])
async def test_each_cause_goes_to_either_target(
    row: Row, fixed: bool, gateway_for: GatewayFor, upstream: Upstream, spare: Upstream, black_hole: BlackHole
) -> None:
    to: Any = {"": upstream, "refused": refused_url(), "black hole": black_hole}.get(row.to, row.to)
    fallback = Fallback(row.on, row.statuses, response=BUSY) if fixed else Fallback(row.on, row.statuses, "spare")
    rig = await rig_of(gateway_for, to, spare, fallback, **row.settings)
    client = await row.play(rig, upstream)
    if not fixed:
        await (await served(spare)).send(answer(b"from the spare one"))
    response = await client.response()
    body = BUSY.body.encode() if fixed else b"from the spare one"
    assert (response.status, response.body, response.get("x-gateway-fallback")) == (200, body, row.cause.encode())
    assert response.get("x-gateway-reason") is None
    if fixed:
        assert response.get("content-type") == b"application/json"
    line = await line_of(rig)
    assert (line["status_code"], line["reason"]) == (200, "")
    assert line["upstream"] == ("" if fixed else f"127.0.0.1:{spare.port}")
    reached = not row.to and row.cause not in ("queue", "health")
    behind = {"cause": row.cause, "reason": row.reason, "upstream": f"127.0.0.1:{upstream.port}" if reached else ANY}
    assert line["fallback"] == behind
    label = "status" if row.statuses else row.cause
    assert f'gateway_fallbacks_total{{proxy="p",cause="{label}"}} 1\n' in counted(rig)
    assert "gateway_retries_total{" not in counted(rig)
    if row.play is is_one_too_many:
        give_back(rig.p.limiter)


@pytest.mark.plain
async def test_an_open_breaker_is_a_cause(gateway_for: GatewayFor, upstream: Upstream, spare: Upstream) -> None:
    rig = await rig_of(gateway_for, upstream, spare, to_spare("breaker"), circuit_breaker=BREAKER)
    client = await closes(rig, upstream)
    assert code_of(await client.response()) == "upstream_reset", "reset is not listed"
    spare.behaviour = ok()
    response = await rig.ask()
    assert (response.body, response.get("x-gateway-fallback")) == (b"ok", b"breaker")
    assert upstream.accepted == 1
    whose = {"breaker": "endpoint", "of": "p"}
    assert (await rig.log.last(2))["fallback"] == {"cause": "breaker", "reason": "breaker_open", "upstream": ""} | whose


@pytest.mark.plain
async def test_the_total_timeout_has_a_fixed_response(gateway_for: GatewayFor, upstream: Upstream) -> None:
    late = Fallback(("deadline",), response=BUSY)
    rig = await gateway_for(upstream, fallback=late, server_timing=True, **times(total=SHORT))
    client = await says()(rig, upstream)
    response = await client.response()
    assert (response.status, response.get("x-gateway-fallback")) == (200, b"deadline")
    assert b"gw-first-byte" in (response.get("server-timing") or b"")
    line = await line_of(rig)
    assert line["fallback"]["reason"] == "total_timeout"
    assert line["upstream_latency_ms"] is None


# -- what is not listed, or can no longer be


@pytest.mark.plain
async def test_what_is_not_listed_stands(gateway_for: GatewayFor, upstream: Upstream, spare: Upstream) -> None:
    rig = await rig_of(gateway_for, upstream, spare, to_spare("connect", statuses=((503, 503),)))
    assert code_of(await (await closes(rig, upstream)).response()) == "upstream_reset"
    response = await (await says(answer(b"no", status=500))(rig, upstream)).response()
    assert (response.status, response.get("x-gateway-fallback")) == (500, None)
    assert spare.accepted == 0
    assert "fallback" not in await line_of(rig)


@pytest.mark.protocols
async def test_nothing_takes_over_after_commit(gateway_for: GatewayFor, upstream: Upstream, spare: Upstream) -> None:
    rig = await rig_of(gateway_for, upstream, spare, to_spare("reset", "timeout", statuses=((500, 599),)))
    client = await asked(rig)
    link = await served(upstream)
    await link.send(head("Content-Length: 9"), b"half")
    await client.until(b"half")
    link.reset()
    with pytest.raises(Truncated):
        await client.response()
    line = await line_of(rig)
    assert (line["status_code"], line["reason"]) == (200, "upstream_reset")
    assert "fallback" not in line
    assert spare.accepted == 0


@pytest.mark.plain
async def test_a_fallback_has_no_fallback(gateway_for: GatewayFor, upstream: Upstream, spare: Upstream) -> None:
    rig = await gateway_for(
        upstream,
        proxies=falling_back(
            refused_url(),
            spare,
            to_spare("connect", "reset"),
            spare_settings={"fallback": Fallback(("reset",), (), "p")},
        ),
    )
    client = await asked(rig)
    (await served(spare)).close()
    assert code_of(await client.response()) == "upstream_reset"
    line = await line_of(rig)
    assert (line["reason"], line["fallback"]["reason"], line["attempts"]) == ("upstream_reset", "dial_failed", 2)
    assert line["upstream"] == f"127.0.0.1:{spare.port}"


@pytest.mark.plain
async def test_a_status_of_the_fallback_is_passed_on(
    gateway_for: GatewayFor, upstream: Upstream, spare: Upstream
) -> None:
    rig = await rig_of(gateway_for, upstream, spare, to_spare(statuses=((503, 503),)))
    client = await says(answer(b"first", status=503))(rig, upstream)
    await (await served(spare)).send(answer(b"second", status=503))
    response = await client.response()
    assert (response.status, response.body, response.get("x-gateway-fallback")) == (503, b"second", b"503")


# -- bodies

BODY = b"x" * 1000


@pytest.mark.protocols
async def test_a_body_that_was_kept_goes_to_the_fallback(
    gateway_for: GatewayFor, upstream: Upstream, spare: Upstream
) -> None:
    rig = await rig_of(gateway_for, upstream, spare, to_spare("reset"))
    client = await asked(rig, method="POST", body=BODY)
    link = await upstream.link()
    assert (await link.request()).body == BODY
    link.close()
    link = await spare.link()
    assert (await link.request()).body == BODY
    await link.send(OK)
    assert (await client.response("POST")).body == b"ok"


@pytest.mark.plain
async def test_bodies_are_kept_as_far_as_the_buffers_reach(
    gateway_for: GatewayFor, upstream: Upstream, spare: Upstream
) -> None:
    rig = await rig_of(gateway_for, upstream, spare, to_spare("reset"))
    rig.gateway.buffers.capacity = 0
    client = await asked(rig, method="POST", body=BODY)
    link = await upstream.link()
    assert (await link.request()).body == BODY, "the first upstream is asked all the same"
    link.close()
    response = await client.response("POST")
    assert (response.status, code_of(response)) == (502, "upstream_reset")
    assert (spare.accepted, rig.gateway.buffers.kept) == (0, 0)


@pytest.mark.plain
@pytest.mark.parametrize("taken_over", [False, True])
async def test_a_body_is_kept_until_a_response_begins(
    taken_over: bool, gateway_for: GatewayFor, upstream: Upstream, spare: Upstream
) -> None:
    """It may be a stream that goes on for minutes."""
    rig = await rig_of(gateway_for, upstream, spare, to_spare("reset"))
    buffers = rig.gateway.buffers
    client = await asked(rig, method="POST", body=BODY)
    link = await upstream.link()
    await link.request()
    assert buffers.kept == len(BODY)
    if taken_over:
        link.close()
        link = await spare.link()
        await link.request()
        assert buffers.kept == len(BODY)
    await link.send(head("Content-Length: 1000") + b"beginning")
    await client.until(b"beginning")
    assert buffers.kept == 0
    client.close()
    await link.gone()
    assert buffers.kept == 0


@pytest.mark.plain
@pytest.mark.parametrize("fixed", [False, True], ids=["upstream", "response"])
async def test_a_body_that_was_relayed_is_gone(
    fixed: bool, gateway_for: GatewayFor, upstream: Upstream, spare: Upstream
) -> None:
    fallback = Fallback((), ((503, 503),), response=BUSY) if fixed else to_spare("reset", statuses=((503, 503),))
    rig = await rig_of(gateway_for, upstream, spare, fallback)
    client = await asked(rig, "Content-Length: 2000", method="POST", body=BODY)
    link = await upstream.link()
    await link.head()
    assert await link.exactly(len(BODY)) == BODY
    await link.send(answer(b"busy", status=503))
    response = await client.response("POST")
    assert (response.status, response.body) == ((200, BUSY.body.encode()) if fixed else (503, b"busy"))
    assert spare.accepted == 0


@pytest.mark.plain
@pytest.mark.parametrize("expects", [False, True], ids=["waits for nothing", "awaits 100"])
async def test_a_body_of_which_nothing_was_taken_goes_to_the_fallback(
    expects: bool, gateway_for: GatewayFor, upstream: Upstream, spare: Upstream
) -> None:
    rig = await rig_of(gateway_for, upstream, spare, to_spare(statuses=((503, 503),)))
    lines = ["Content-Length: 1000", *(["Expect: 100-continue"] if expects else [])]
    client = await asked(rig, *lines, method="POST")
    link = await served(upstream)
    await link.send(answer(b"busy", status=503))
    link = await served(spare)
    if expects:
        await link.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        assert (await client.response("POST")).status == 100
    await client.send(BODY)
    assert await link.exactly(len(BODY)) == BODY
    await link.send(OK)
    assert (await client.response("POST")).body == b"ok"


# -- another model

ASKED, CHANGED = b'{"model": "large", "n": 1.0}', b'{"model": "small", "n": 1.0}'


def to_small(*on: str, statuses: tuple[tuple[int, int], ...] = ()) -> Fallback:
    return Fallback(on, statuses, upstream="spare", rewrite=(("model", "small"),))


async def serves_changed(spare: Upstream, client: Client, changed: bytes = CHANGED) -> None:
    """The fallback gets ``changed``, with its length, and responds."""
    link = await spare.link()
    message = await link.request()
    assert (message.body, message.all("Content-Length")) == (changed, [b"%d" % len(changed)])
    await link.send(OK)
    assert (await client.final("POST")).body == b"ok"


@pytest.mark.protocols
async def test_the_fallback_is_asked_for_another_model(
    gateway_for: GatewayFor, upstream: Upstream, spare: Upstream
) -> None:
    rig = await rig_of(gateway_for, upstream, spare, to_small(statuses=((503, 503),)))
    client = await asked(rig, "Content-Digest: sha-256=:x:", method="POST", body=ASKED)
    link = await upstream.link()
    assert (await link.request()).body == ASKED
    await link.send(answer(b"busy", status=503))
    await serves_changed(spare, client)
    assert spare.requests[0].get("content-digest") is None


@pytest.mark.protocols
@pytest.mark.parametrize("expects", [False, True], ids=["waits for nothing", "awaits 100"])
async def test_a_body_that_is_yet_to_come_is_changed_too(
    expects: bool, gateway_for: GatewayFor, upstream: Upstream, spare: Upstream
) -> None:
    rig = await rig_of(gateway_for, refused_url(), spare, to_small("connect"))
    sent = ASKED[:-1] + b', "more": "' + b"x" * 200_000 + b'"}'
    lines = [f"Content-Length: {len(sent)}", *(["Expect: 100-continue"] if expects else [])]
    client = await asked(rig, *lines, method="POST")
    if expects:
        assert (await client.response("POST")).status == 100
    for at in range(0, len(sent), 50_000):
        await client.send(sent[at : at + 50_000])
    await serves_changed(spare, client, sent.replace(b"large", b"small"))


@pytest.mark.plain
@pytest.mark.parametrize(
    ("lines", "body"),
    [(["Content-Length: 1048577"], b""), (["Transfer-Encoding: chunked"], b"5\r\nhello\r\n0\r\n\r\n")],
    ids=["too long", "unknown length"],
)
async def test_a_body_that_cannot_be_changed_leaves_the_error(
    lines: list[str], body: bytes, gateway_for: GatewayFor, upstream: Upstream, spare: Upstream
) -> None:
    rig = await rig_of(gateway_for, refused_url(), spare, to_small("connect"))
    client = await asked(rig, *lines, method="POST", body=body)
    assert code_of(await client.response("POST")) == "dial_failed"
    assert spare.accepted == 0


@pytest.mark.plain
@pytest.mark.parametrize("body", [b"model=large", b'["model"]', b""], ids=["form", "list", "none"])
async def test_what_names_no_model_goes_as_it_is(
    body: bytes, gateway_for: GatewayFor, upstream: Upstream, spare: Upstream
) -> None:
    spare.behaviour = ok()
    rig = await rig_of(gateway_for, refused_url(), spare, to_small("connect"))
    assert (await rig.ask(method="POST", body=body)).body == b"ok"
    assert spare.requests[0].body == body


@pytest.mark.protocols
async def test_a_caller_that_leaves_while_its_body_is_awaited(
    gateway_for: GatewayFor, upstream: Upstream, spare: Upstream
) -> None:
    rig = await rig_of(gateway_for, refused_url(), spare, to_small("connect"))
    client = await asked(rig, "Content-Length: 1000", method="POST", body=b"x" * 100)
    await eventually(lambda: rig.gateway.exchanges == 1, "it is served")
    client.close()
    line = await line_of(rig)
    assert (line["status_code"], line["reason"]) == (499, "client_gone")
    assert spare.accepted == 0


# -- retries come first

BUSY_503 = answer(b"busy", status=503)
TWICE = Retries(2, ("503", "reset"), backoff=Backoff(0.0, 0.0))


def in_turn(*answers: bytes) -> Behaviour:
    """Each request gets the next one."""
    left = iter(answers)
    return each_request(lambda _: next(left))


@pytest.mark.plain
async def test_retries_come_first(gateway_for: GatewayFor, upstream: Upstream, spare: Upstream) -> None:
    rig = await rig_of(gateway_for, upstream, spare, to_spare(statuses=((503, 503),)), retries=TWICE)
    upstream.behaviour = in_turn(BUSY_503, BUSY_503)
    spare.behaviour = ok()
    response = await rig.ask()
    assert (response.body, response.get("x-gateway-fallback")) == (b"ok", b"503")
    assert (upstream.accepted, spare.accepted) == (1, 1), "short responses are read, so the connection goes on"
    line = await line_of(rig)
    assert line["attempts"] == 3
    assert line["retries"] == {"failures": ["503"], "withheld": "attempts", "shadow": ""}, "no third one was made"
    assert line["fallback"] == {"cause": "503", "reason": "", "upstream": f"127.0.0.1:{upstream.port}"}


@pytest.mark.plain
async def test_the_fallback_has_retries_of_its_own(
    gateway_for: GatewayFor, upstream: Upstream, spare: Upstream
) -> None:
    rig = await rig_of(gateway_for, refused_url(), spare, to_spare("connect"), retries=TWICE)
    spare.behaviour = in_turn(BUSY_503, OK)
    response = await rig.ask()
    assert (response.body, response.get("x-gateway-fallback")) == (b"ok", b"connect")
    line = await line_of(rig)
    assert (line["attempts"], line["retries"]["failures"]) == (3, ["503"])


@pytest.mark.plain
@pytest.mark.parametrize("method", ["PUT", "POST"])
async def test_a_body_goes_to_the_fallback_after_retries(
    method: str, gateway_for: GatewayFor, upstream: Upstream, spare: Upstream
) -> None:
    rig = await rig_of(gateway_for, upstream, spare, to_spare(statuses=((503, 503),)), retries=TWICE)
    upstream.behaviour = in_turn(BUSY_503, BUSY_503)
    client = await asked(rig, method=method, body=BODY)
    link = await spare.link()
    assert (await link.request()).body == BODY
    await link.send(OK)
    assert (await client.response(method)).body == b"ok"


@pytest.mark.plain
async def test_a_body_that_has_not_begun_goes_to_the_fallback_after_retries(
    gateway_for: GatewayFor, upstream: Upstream, spare: Upstream
) -> None:
    rig = await rig_of(gateway_for, upstream, spare, to_spare(statuses=((503, 503),)), retries=TWICE)
    client = await asked(rig, "Content-Length: 1000", method="PUT")
    for _ in range(2):
        await (await served(upstream)).send(answer(b"busy", status=503))
    link = await served(spare)
    await client.send(BODY)
    assert await link.exactly(len(BODY)) == BODY
    await link.send(OK)
    assert (await client.response("PUT")).body == b"ok"


# -- the machines of both


@pytest.mark.plain
async def test_the_first_has_its_permit_back_and_the_second_gives_one(
    gateway_for: GatewayFor, upstream: Upstream, spare: Upstream
) -> None:
    one = {"max_concurrent": 1}
    rig = await rig_of(
        gateway_for, upstream, spare, to_spare("timeout"), spare_settings=one, **one, **times(response_header=SHORT)
    )
    client = await says()(rig, upstream)
    link = await served(spare)
    first, second = (rig.gateway.upstreams[name].limiter for name in ("p", "spare"))
    assert first is not None
    assert second is not None
    assert (first.in_flight, second.in_flight) == (0, 1)
    other = await says()(rig, upstream)
    assert code_of(await other.response()) == "header_timeout", "the fallback's upstream has no place for it"
    await link.send(OK)
    assert (await client.response()).body == b"ok"


@pytest.mark.protocols
async def test_the_breaker_counts_a_response_that_was_discarded(
    gateway_for: GatewayFor, upstream: Upstream, spare: Upstream
) -> None:
    two = CircuitBreaker(True, 2, LONG)
    rig = await rig_of(gateway_for, upstream, spare, to_spare(statuses=((404, 404), (503, 503))), circuit_breaker=two)
    spare.behaviour = ok()
    breaker = rig.p.gate
    upstream.behaviour = in_turn(*[answer(b"busy", status=status) for status in (503, 404, 503)])
    for failures in (1, 0, 1):
        assert (await rig.ask()).body == b"ok"
        assert breaker.failures == failures
    newest = breaker.outcomes[-1]
    assert (newest.status, newest.reason) == (503, "")


@pytest.mark.plain
async def test_the_total_timeout_holds_for_both_together(
    gateway_for: GatewayFor, upstream: Upstream, spare: Upstream
) -> None:
    breaker = {"circuit_breaker": CircuitBreaker(True, 9, LONG)}
    late = times(response_header=SHORT, total=1.5 * SHORT)
    rig = await rig_of(gateway_for, upstream, spare, to_spare("timeout"), spare_settings=breaker, **late)
    client = await says()(rig, upstream)
    await served(spare)
    assert code_of(await client.response()) == "total_timeout"
    assert (await line_of(rig))["fallback"]["reason"] == "header_timeout"
    failures = rig.gateway.upstreams["spare"].gate
    assert failures is not None
    assert failures.failures == 0, "it had the smaller part of the time"


@pytest.mark.plain
async def test_a_refusal_that_says_when_to_come_back_still_does(gateway_for: GatewayFor, upstream: Upstream) -> None:
    busy = Fallback(("queue",), response=FixedResponse(503, "later"))
    rig = await gateway_for(upstream, fallback=busy, max_concurrent=1, cors=Cors(("https://app.test",)))
    assert rig.p.limiter.try_acquire() != REFUSED
    response = await rig.ask("/", "Origin: https://app.test")
    assert (response.status, response.body, response.get("content-type")) == (
        503,
        b"later",
        b"text/plain; charset=utf-8",
    )
    assert int(response.get("retry-after") or 0) >= 1
    assert response.get("access-control-allow-origin") == b"https://app.test"
    give_back(rig.p.limiter)


@pytest.mark.plain
async def test_a_caller_that_leaves_ends_the_work_of_the_fallback(
    gateway_for: GatewayFor, upstream: Upstream, spare: Upstream
) -> None:
    rig = await rig_of(gateway_for, refused_url(), spare, to_spare("connect"))
    client = await asked(rig)
    link = await served(spare)
    client.close()
    await link.gone()
    line = await line_of(rig)
    assert (line["reason"], line["fallback"]["cause"]) == ("client_gone", "connect")


@pytest.mark.plain
async def test_a_reload_changes_the_fallback_alone(
    gateway_for: GatewayFor, upstream: Upstream, spare: Upstream
) -> None:
    rig = await rig_of(gateway_for, refused_url(), spare, to_spare("connect"))
    spare.behaviour = ok()
    assert (await rig.ask()).body == b"ok"
    before = rig.p
    await rig.change(fallback=None)
    assert code_of(await rig.ask()) == "dial_failed"
    assert rig.p is before


@pytest.mark.plain
async def test_an_upstream_that_is_only_a_fallback_has_metrics_of_its_own(
    gateway_for: GatewayFor, upstream: Upstream, spare: Upstream
) -> None:
    settings = {"circuit_breaker": BREAKER, "max_concurrent": 3}
    first, second = falling_back(refused_url(), spare, to_spare("connect"), spare_settings=settings)
    alone = replace(second, route=replace(second.route, active=False))
    rig = await gateway_for("", proxies=(first, alone))
    client = await asked(rig)
    link = await served(spare)
    figures, at = 'upstream="spare"', f'upstream="spare",endpoint="{spare.url}"'
    text = counted(rig)
    assert f"gateway_upstream_in_flight{{{figures}}} 1\n" in text
    assert f"gateway_upstream_concurrency_limit{{{figures}}} 3\n" in text
    assert f"gateway_endpoint_in_flight{{{at}}} 1\n" in text
    await link.send(answer(b"ok", "Connection: close"))
    await client.response()
    spare.behaviour = each_request(lambda _: answer(status=503))
    codes = [(await rig.ask()).status for _ in range(2)]
    assert codes == [503, 502], "the second is rejected, so that the failure before stands"
    text = counted(rig)
    assert f'gateway_endpoint_requests_total{{{at},outcome="success"}} 1\n' in text
    assert f'gateway_endpoint_requests_total{{{at},outcome="failure"}} 1\n' in text
    assert f"gateway_upstream_circuit_breaker_state{{{figures}}} 1\n" in text
    moved = 'from="closed",to="open",reason="failure_threshold"'
    assert f"gateway_upstream_circuit_breaker_transitions_total{{{figures},{moved}}} 1\n" in text
    await rig.gateway.reload(serving(rig.document, first, second))
    text = counted(rig)
    assert "gateway_upstream_in_flight" not in text, "from here on the figures of a proxy are its own"
    assert "gateway_endpoint_up" not in text
    assert 'gateway_circuit_breaker_state{proxy="spare"} 1\n' in text


@pytest.mark.plain
async def test_endpoints_that_are_away_are_counted_where_the_upstream_is_only_a_fallback(
    gateway_for: GatewayFor, upstream: Upstream, spare: Upstream
) -> None:
    """Two endpoints of it: one responds, and one refuses connections and is ejected."""
    spare.behaviour = each_request(lambda _: answer(b"ok"))
    endpoints = (Endpoint(spare.url), Endpoint(refused_url()))
    ejects = Ejection(True, consecutive_failures=2, base_time=3600, max_time=3600)
    first, second = falling_back(
        refused_url(),
        spare,
        to_spare("connect"),
        spare_settings={"endpoints": endpoints, "ejection": ejects, "balance": "round_robin"},
    )
    rig = await gateway_for("", proxies=(first, replace(second, route=replace(second.route, active=False))))
    statuses = [(await rig.ask()).status for _ in range(10)]
    assert statuses == [200, 502, 200, 502, *[200] * 6]
    text = counted(rig)
    for state, number in {"usable": 1, "ejected": 1, "down": 0}.items():
        assert f'gateway_upstream_endpoints{{upstream="spare",state="{state}"}} {number}\n' in text


async def test_a_reset_closes_the_breaker_of_an_upstream_that_is_only_a_fallback(gateway_for: GatewayFor) -> None:
    """No other proxy has it, so that it could be closed by nothing else."""
    first, spare = falling_back(
        refused_url(), refused_url(), to_spare("connect"), spare_settings={"circuit_breaker": BREAKER}
    )
    rig = await gateway_for("", proxies=(first, replace(spare, route=replace(spare.route, active=False))))
    for _ in range(2):
        assert code_of(await rig.ask("/")) == "dial_failed"
    assert (await rig.log.last(2))["fallback"]["withheld"] == "breaker"
    assert rig.gateway.reset_breaker("p", "ann")
    assert code_of(await rig.ask("/")) == "dial_failed"
    line = await rig.log.last(3)
    assert ("withheld" in line["fallback"], line["attempts"]) == (False, 2), "it is asked again"

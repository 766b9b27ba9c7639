"""Each reason is reached over real sockets, and says the same word and status in each place that tells of it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import Any, cast

import pytest
from harness.answers import answer, chunk, head, ok
from harness.client import HOST, Client, request
from harness.descriptors import no_descriptor_left
from harness.message import Message, Truncated
from harness.patience import eventually
from harness.rig import LIMITS, TIMEOUTS, GatewayFor, Rig
from harness.tls import authority, certificate
from harness.upstream import BlackHole, Link, Upstream, refused_url
from harness.websocket import SWITCHED
from harness.websocket import UPGRADE as HANDSHAKE
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanKind
from prometheus_client.parser import text_string_to_metric_families

from gateway.config.records import CircuitBreaker, Endpoint, Header, Limits, Missing, Queue, RateLimit, Stream, Tls
from gateway.control.metrics.exposition import Exposition
from gateway.errors import REASONS, Source
from gateway.observe.otlp import SpanExport
from gateway.observe.trace import Sampler

SHORT = 0.1
"""Seconds of a timeout that a row waits for."""
LONG = 30.0
"""Seconds of a timeout that must not come."""
ID = "the-one-that-fails"
"""Request id of the exchange that a row is about; others may stand beside it."""
ATTENTIVE = CircuitBreaker(enabled=True, failure_threshold=100)


@dataclass(frozen=True)
class Scene:
    """What a row plays with. ``client`` is the one whose exchange fails."""

    rig: Rig
    client: Client
    upstream: Upstream

    async def asked(self, *lines: str, method: str = "GET", body: bytes = b"") -> Link:
        """The client has asked and the upstream has the head of it, in its hands what happens next."""
        await self.client.send(ask(*lines, method=method, body=body))
        link = await self.upstream.link()
        await link.head()
        return link

    async def occupied(self) -> None:
        """Somebody else is being served, and stays so."""
        await (await self.rig.connect()).send(request("/other"))
        await (await self.upstream.link()).head()


Play = Callable[[Scene], Awaitable[None]]


def ask(*lines: str, target: str = "/", method: str = "GET", body: bytes = b"", host: str = HOST.decode()) -> bytes:
    return request(target, f"X-Request-Id: {ID}", *lines, method=method, body=body, host=host)


def says(data: bytes) -> Play:
    """Nothing but this has to come from the client."""

    async def play(scene: Scene) -> None:
        await scene.client.send(data)

    return play


def answered(*data: bytes) -> Play:
    """The upstream answers a request with these bytes, then closes."""

    async def play(scene: Scene) -> None:
        link = await scene.asked()
        await link.send(*data)
        link.close()

    return play


def stalled(*data: bytes) -> Play:
    """The upstream answers a request with these bytes, and then with nothing more."""

    async def play(scene: Scene) -> None:
        await (await scene.asked()).send(*data)

    return play


PART = (head("Content-Length: 9"), b"half")
"""An answer of which the rest is missing."""


# -- dialogues that need more words


async def no_more_body(scene: Scene) -> None:
    await scene.asked("Content-Length: 9", method="POST")


async def a_bad_chunk(scene: Scene) -> None:
    await scene.asked("Transfer-Encoding: chunked", method="POST")
    await scene.client.send(b"no size\r\n")


async def too_many_chunks(scene: Scene) -> None:
    await scene.asked("Transfer-Encoding: chunked", method="POST")
    await scene.client.send(chunk(b"x" * 11))


async def a_reader_that_stops(scene: Scene) -> None:
    link = await scene.asked()
    sending = asyncio.ensure_future(link.send(head("Content-Length: 20000000"), b"x" * 20_000_000))
    await scene.rig.log.wait()
    await sending


async def a_tunnel(scene: Scene) -> Link:
    link = await scene.asked(*HANDSHAKE)
    await link.send(SWITCHED)
    assert (await scene.client.response()).status == 101
    return link


async def a_silent_tunnel(scene: Scene) -> None:
    await a_tunnel(scene)


async def a_tunnel_that_breaks_off(scene: Scene) -> None:
    (await a_tunnel(scene)).reset()


async def a_tunnel_that_the_client_resets(scene: Scene) -> None:
    await a_tunnel(scene)
    scene.client.reset()


async def a_drain_of_a_tunnel(scene: Scene) -> None:
    await (await a_tunnel(scene)).send(b"\x81")
    await scene.client.expect(b"\x81")
    await scene.rig.gateway.drain(SHORT)


async def one_too_often(scene: Scene) -> None:
    scene.upstream.behaviour = ok()
    assert (await scene.rig.ask("/other")).status == 200
    await scene.client.send(ask())


async def one_too_many(scene: Scene) -> None:
    await scene.occupied()
    await scene.client.send(ask())


async def a_full_queue(scene: Scene) -> None:
    await scene.occupied()
    await (await scene.rig.connect()).send(request("/waiting"))
    await eventually(lambda: scene.rig.p.limiter.waiting == 1, "one waits")
    await scene.client.send(ask())


async def no_time_to_wait(scene: Scene) -> None:
    limiter = scene.rig.p.limiter
    limiter.release(limiter.try_acquire(), seconds=10 * LONG)
    await scene.occupied()
    await scene.client.send(ask())


async def out_of_time_in_the_queue(scene: Scene) -> None:
    """The place is taken by hand: somebody else's exchange would end by the same timeout, and earlier."""
    permit = scene.rig.p.limiter.try_acquire()
    await scene.client.send(ask())
    await scene.client.holds(b"\r\n\r\n")
    scene.rig.p.limiter.release(permit)


async def leaves_early(scene: Scene) -> None:
    link = await scene.asked()
    scene.client.close()
    await link.gone()


async def leaves_in_the_middle(scene: Scene) -> None:
    link = await scene.asked()
    await link.send(*PART)
    await scene.client.until(b"half")
    scene.client.close()
    await link.gone()


async def a_fault_of_our_own(scene: Scene) -> None:
    async def broken() -> None:
        raise ZeroDivisionError

    scene.rig.p.endpoints[0].pool.dial = broken
    await scene.client.send(ask())


async def too_much_to_do(scene: Scene) -> None:
    await eventually(lambda: scene.rig.gateway.shedding.share == 1.0, "its memory was measured")
    await scene.client.send(ask())


async def a_loop(scene: Scene) -> None:
    await scene.client.send(ask(f"Via: 1.1 {scene.rig.gateway.via}"))


async def no_descriptor(scene: Scene) -> None:
    with no_descriptor_left():
        await scene.client.send(ask())
        await scene.client.holds(b"\r\n\r\n")


async def no_tls(link: Link) -> None:
    await link.exactly(1)
    await link.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")


async def opened(scene: Scene) -> None:
    other = await scene.rig.connect()
    await other.send(request("/fails"))
    link = await scene.upstream.link()
    await link.head()
    link.close()
    assert (await other.response()).status == 502
    await scene.client.send(ask())


async def no_events_behind_comments(scene: Scene) -> None:
    await (await scene.rig.connect()).send(request("/other"))
    link = await scene.upstream.link()
    await link.head()
    await scene.client.send(ask("Accept: text/event-stream"))
    await scene.client.holds(b"position=1")
    await link.send(answer(b"ok"))
    await link.head()
    await link.send(answer(b"{}", "Content-Type: application/json"))


async def a_drain(scene: Scene) -> None:
    await scene.asked()
    assert not await scene.rig.gateway.drain(SHORT)


async def a_drain_in_mid_answer(scene: Scene) -> None:
    await (await scene.asked()).send(*PART)
    await scene.client.holds(b"half")
    assert not await scene.rig.gateway.drain(SHORT)


async def an_upload_that_nobody_reads(scene: Scene) -> None:
    """It goes on until every buffer on the way is full, and the gateway has put an end to it."""
    await scene.asked("Content-Length: 50000000", method="POST")
    sending = asyncio.ensure_future(scene.client.send(b"x" * 50_000_000))
    await scene.client.holds(b"\r\n\r\n")
    await scene.rig.log.wait()
    await sending


# -- the table

ANSWER, CUT, LEFT = "answer", "cut", "left"
"""How the exchange ends for the client: it is told, its connection is cut, or it was gone before."""


@dataclass(frozen=True)
class Row:
    """One way to reach ``code``. ``to``: where the proxy leads, by the upstream's scheme or by a word of `url_of`.

    ``status`` is what the log has for an answer that was cut: the one that had been sent. ``failures`` is what the
    breaker has counted in the end; without a word about it 1 when the reason is the upstream's doing, else 0.
    """

    code: str
    how: str
    play: Play
    proxy: dict[str, Any] = field(default_factory=dict)
    limits: Limits = LIMITS
    tls: Tls | None = None
    to: str = "http"
    behaviour: Callable[[Link], Awaitable[None]] | None = None
    ending: str = ANSWER
    status: int = 0
    failures: int | None = None


def times(**seconds: float) -> dict[str, Any]:
    return {"timeouts": replace(TIMEOUTS, **seconds)}


ONE = {"max_concurrent": 1}
UPGRADE = ("Connection: Upgrade", "Upgrade: websocket")
COMMENTS = (head("Content-Type: text/event-stream", "Transfer-Encoding: chunked"), chunk(b": keepalive\n\n"))
WATCHED = {"stream": Stream(first_event=SHORT)}
SOCKETS = {"websocket": True, "tunnel_idle": SHORT}
STAYS = {"tunnel_idle": LONG}
BOTH_LENGTHS = ("Content-Length: 2", "Transfer-Encoding: chunked")
NEEDS_A_SECRET = (Header("X-Key", (Missing("secret.KEY"),)),)

TWO_DOMAINS = Tls(
    (certificate("gateway.test"), certificate("closed.test", client_auth="required", client_ca=authority()))
)

ROWS = [
    Row("bad_request", "no Host", says(b"GET / HTTP/1.1\r\n\r\n")),
    Row("bad_request", "dots lead out of the prefix", says(ask(target="/a/../b")), {"path": "/a"}),
    Row("bad_framing", "two lengths", says(ask(*BOTH_LENGTHS, method="POST"))),
    Row("bad_framing", "a broken chunk", a_bad_chunk),
    Row("unauthenticated", "no login", says(ask()), {"access_rule": ""}),
    Row("forbidden", "a rule that admits nobody", says(ask()), {"access_rule": "false"}),
    Row("no_route", "another path", says(ask(target="/b")), {"path": "/a"}),
    Row("proxy_disabled", "switched off", says(ask()), {"active": False}),
    Row("client_timeout", "half a head", says(b"GET / HT"), limits=Limits(header_timeout=SHORT)),
    Row("client_timeout", "no body", no_more_body, limits=Limits(body_timeout=SHORT)),
    Row(
        "client_timeout",
        "the answer is not read",
        a_reader_that_stops,
        limits=Limits(body_timeout=SHORT),
        ending=CUT,
        status=200,
    ),
    Row("body_too_large", "by its length", says(ask(method="POST", body=b"x" * 11)), limits=Limits(max_body_bytes=10)),
    Row("body_too_large", "in chunks", too_many_chunks, limits=Limits(max_body_bytes=10)),
    Row("uri_too_long", "65 bytes", says(ask(target="/" + "x" * 64)), limits=Limits(max_uri=64)),
    Row("misdirected", "a name with client certificates", says(ask(host="closed.test")), tls=TWO_DOMAINS),
    Row("headers_too_large", "three of two", says(ask("X-Three: 3")), limits=Limits(max_headers=2)),
    Row("headers_too_large", "too many bytes", says(b"GET / HTTP/1.1\r\nX: " + b"x" * 600), limits=Limits(64, 512)),
    Row("rate_limit", "a second one", one_too_often, {"rate_limits": (RateLimit("client", 1.0, per=86400.0),)}),
    Row("concurrency_limit", "a second one", one_too_many, ONE),
    Row("queue_full", "a third one", a_full_queue, ONE | {"queue": Queue(1, LONG)}),
    Row(
        "queue_predicted_timeout",
        "permits are held for minutes",
        no_time_to_wait,
        ONE | {"queue": Queue(1, LONG, predict=True)},
    ),
    Row("queue_timeout", "nobody leaves", one_too_many, ONE | {"queue": Queue(1, SHORT)}),
    Row("client_gone", "before the answer", leaves_early, ending=LEFT),
    Row("client_gone", "in mid-answer", leaves_in_the_middle, ending=LEFT),
    Row("template_missing", "a secret that is gone", says(ask()), {"headers": NEEDS_A_SECRET}),
    Row("internal", "an exception", a_fault_of_our_own),
    Row("websocket_disabled", "a handshake", says(ask(*UPGRADE))),
    Row("client_gone", "out of a WebSocket", a_tunnel_that_the_client_resets, SOCKETS, ending=LEFT, status=101),
    Row("tunnel_idle_timeout", "a silent WebSocket", a_silent_tunnel, SOCKETS, ending=CUT, status=101),
    Row("upstream_reset", "a WebSocket", a_tunnel_that_breaks_off, SOCKETS, ending=CUT, status=101, failures=0),
    Row("draining", "a WebSocket in mid-frame", a_drain_of_a_tunnel, SOCKETS | STAYS, ending=CUT, status=101),
    Row("not_implemented", "TRACE", says(ask(method="TRACE"))),
    Row("not_implemented", "CONNECT", says(ask(method="CONNECT", target="gateway.test:80"))),
    Row("dial_failed", "nobody listens", says(ask()), to="refused"),
    Row("dns_failed", "no such name", says(ask()), to="http://does-not-exist.invalid:1"),
    Row("tls_failed", "it speaks no TLS", says(ask()), to="https", behaviour=no_tls),
    Row("upstream_reset", "no answer", answered()),
    Row("upstream_reset", "half an answer", answered(*PART), ending=CUT, status=200),
    Row("upstream_bad_response", "another protocol", answered(b"SSH-2.0-OpenSSH_9.6\r\n\r\n")),
    Row(
        "upstream_bad_response",
        "a broken chunk",
        answered(head("Transfer-Encoding: chunked"), b"no size\r\n"),
        ending=CUT,
        status=200,
    ),
    Row("breaker_open", "after one failure", opened, {"circuit_breaker": CircuitBreaker(True, 1, LONG)}, failures=1),
    Row("no_healthy_endpoint", "drained", says(ask()), {"endpoints": (Endpoint("http://127.0.0.1:1", drain=True),)}),
    Row("answer_too_large", "announced", answered(answer(b"a" * 11)), {"answer_limit": 10}),
    Row(
        "answer_too_large",
        "in chunks",
        answered(head("Transfer-Encoding: chunked"), chunk(b"a" * 10), chunk(b"a")),
        {"answer_limit": 10},
        ending=CUT,
        status=200,
    ),
    Row(
        "no_event_stream",
        "behind comments of the queue",
        no_events_behind_comments,
        ONE | {"queue": Queue(1, LONG, comments=SHORT)},
        status=200,
    ),
    Row("upstream_denied", "a link-local address", says(ask()), to="http://169.254.169.254:1"),
    Row("loop_detected", "our own name in Via", a_loop),
    Row("overloaded", "more memory than a byte", too_much_to_do, limits=Limits(shed_memory=1)),
    Row("local_resources", "no descriptor for a dial", no_descriptor),
    Row("draining", "no answer yet", a_drain, ending=CUT),
    Row("draining", "in mid-answer", a_drain_in_mid_answer, ending=CUT, status=200),
    Row("dial_timeout", "a black hole", says(ask()), times(dial=SHORT), to="black hole"),
    Row("tls_timeout", "a silent peer", says(ask()), times(tls_handshake=SHORT), to="https"),
    Row("header_timeout", "no head", stalled(), times(response_header=SHORT)),
    Row("body_idle_timeout", "in mid-answer", stalled(*PART), times(body_idle=SHORT), ending=CUT, status=200),
    Row("body_idle_timeout", "the upload stalls", an_upload_that_nobody_reads, times(body_idle=SHORT)),
    Row("stream_stalled", "comments alone", stalled(*COMMENTS), WATCHED, ending=CUT, status=200),
    Row("total_timeout", "no answer", stalled(), times(total=SHORT), failures=1),
    Row("total_timeout", "in mid-answer", stalled(*PART), times(total=SHORT), ending=CUT, status=200),
    Row(
        "total_timeout", "in the queue", out_of_time_in_the_queue, ONE | {"queue": Queue(1, LONG)} | times(total=SHORT)
    ),
]

OF_CALLS = {"not_authorized", "token_unavailable"}
"""Of calls of actions alone, which need access tokens: tests/e2e/test_grants.py."""
MORE_FIELDS = {
    "unauthenticated": {"www-authenticate"},
    "rate_limit": {"retry-after", "ratelimit", "ratelimit-policy"},
    "concurrency_limit": {"retry-after"},
    "queue_full": {"retry-after"},
    "queue_timeout": {"retry-after"},
    "queue_predicted_timeout": {"retry-after"},
    "breaker_open": {"retry-after", "x-circuit-breaker"},
    "no_healthy_endpoint": {"retry-after"},
    "overloaded": {"retry-after"},
    "local_resources": {"retry-after"},
}
"""What these refusals say besides; no other does."""
BESIDES = set().union(*MORE_FIELDS.values())


class Spans:
    """Stands where the SDK would send spans from. Every exchange of ``rig`` is traced."""

    def __init__(self, rig: Rig) -> None:
        self._attributes: list[dict[str, Any]] = []
        export = SpanExport("http://127.0.0.1:9/v1/traces", "gateway")
        export._processor.shutdown()
        export._processor = cast(Any, self)
        rig.gateway.recorder.sampler, rig.gateway.recorder.export = Sampler(1.0), export.export

    def on_end(self, span: ReadableSpan) -> None:
        if span.kind is SpanKind.SERVER:
            self._attributes.append(dict(span.attributes or {}))

    def of(self, request_id: str) -> tuple[str, int]:
        """The reason and the status on the span of that exchange."""
        (found,) = [each for each in self._attributes if each["gateway.request_id"] == request_id]
        assert found["error.type"] == found["gateway.reason"]
        return found["gateway.reason"], found["http.response.status_code"]


async def observed(rig: Rig, told: Message | None, spans: Spans) -> dict[str, tuple[str, int]]:
    """(code, status) in each place that tells of the exchange; ``told`` is what the client was answered, if anything.

    A place more is a line more.
    """
    id_ = ID if told is None else (told.get("x-request-id") or b"").decode()
    line = await line_of(rig, id_)
    places = {"access log": (line["reason"], line["status_code"]), "metric": metric(rig, line), "trace": spans.of(id_)}
    kept = rig.gateway.find(id_)
    assert kept == line, "what is kept for explanations is the line"
    if told is not None:
        places["body"] = (body_of(told)["code"], told.status)
        if not in_event(told):
            places["header"] = ((told.get("x-gateway-reason") or b"").decode(), told.status)
    return places


def in_event(told: Message) -> bool:
    """The response had begun, and the error is its last event."""
    return told.get("content-type") == b"text/event-stream"


def body_of(told: Message) -> dict[str, Any]:
    text = told.body.rstrip().rpartition(b"\ndata: ")[2] if in_event(told) else told.body
    return cast(dict[str, Any], json.loads(text))


def metric(rig: Rig, line: dict[str, Any]) -> tuple[str, int]:
    """The reason and the status of the exchange, when they were counted as often as the log has them."""
    proxy, reason, status = line["proxy_name"] or "-", line["reason"], line["status_code"]
    alike = [other for other in rig.log.lines() if (other["proxy_name"] or "-") == proxy]
    counted = {"reason": 0.0, "status": 0.0}
    for family in text_string_to_metric_families("".join(Exposition(rig.gateway.counters).render(open_metrics=False))):
        for sample in family.samples:
            if sample.labels.get("proxy") != proxy:
                continue
            if sample.name == "gateway_errors_total" and sample.labels["reason"] == reason:
                assert sample.labels["source"] == REASONS[reason].source.value
                counted["reason"] += sample.value
            if sample.name == "gateway_requests_total" and sample.labels["status"] == str(status):
                counted["status"] += sample.value
    assert counted["reason"] == sum(other["reason"] == reason for other in alike)
    assert counted["status"] == sum(other["status_code"] == status for other in alike)
    return reason, status


async def line_of(rig: Rig, request_id: str) -> dict[str, Any]:
    """The one line of that exchange in the access log, without waiting for the batch that it would go out with."""

    def found() -> list[dict[str, Any]]:
        rig.gateway.recorder.flush()
        return [line for line in rig.log.lines() if line["request_id"] == request_id]

    await eventually(found, "its line in the access log")
    (line,) = found()
    return line


def failures(rig: Rig) -> int:
    """What the breaker holds against the upstream; a proxy that is switched off has none."""
    upstream = rig.gateway.upstreams.get("p")
    breaker = None if upstream is None else upstream.endpoints[0].breaker
    return 0 if breaker is None else breaker.failures


async def heard(client: Client) -> Message | None:
    """The whole answer that the client gets; None when its connection ends before."""
    try:
        return await client.response()
    except Truncated:
        return None


def url_of(row: Row, upstream: Upstream, black_hole: BlackHole) -> str:
    known = {"http": upstream.url, "https": upstream.url.replace("http", "https"), "black hole": black_hole.url}
    return refused_url() if row.to == "refused" else known.get(row.to, row.to)


def test_no_reason_is_left_out() -> None:
    assert {row.code for row in ROWS} | OF_CALLS == REASONS.keys()


@pytest.mark.covers("T049")
@pytest.mark.parametrize(
    "row",
    # The fault of our own is injected by replacing a method of the gateway's.
    [pytest.param(row, marks=[pytest.mark.interpreted] if row.code == "internal" else []) for row in ROWS],
    ids=[f"{row.code}: {row.how}" for row in ROWS],
)
async def test_each_reason(row: Row, gateway_for: GatewayFor, upstream: Upstream, black_hole: BlackHole) -> None:
    reason = REASONS[row.code]
    upstream.behaviour = row.behaviour
    settings = {"circuit_breaker": ATTENTIVE, "max_concurrent": 100} | row.proxy
    rig = await gateway_for(url_of(row, upstream, black_hole), limits=row.limits, tls=row.tls, **settings)
    spans = Spans(rig)
    client = await rig.connect(receive_buffer=4096)
    await row.play(Scene(rig, client, upstream))
    told = None if row.ending == LEFT else await heard(client)
    assert (told is not None) == (row.ending == ANSWER)
    places = await observed(rig, told, spans)
    assert set(places.values()) == {(reason.code, row.status or reason.status)}, places
    blamed = reason.source is Source.UPSTREAM
    assert failures(rig) == (blamed if row.failures is None else row.failures)
    if told is not None:
        assert body_of(told)["error"] == reason.title
        besides = {name for name in BESIDES if told.get(name) is not None}
        assert besides == MORE_FIELDS.get(row.code, set())

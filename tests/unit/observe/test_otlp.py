"""Spans as a collector gets them: OTLP over HTTP, decoded by OpenTelemetry's own messages."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web
from harness.answers import answer, each_request, ok
from harness.models import OPENAI_CHAT
from harness.patience import eventually
from harness.rig import GatewayFor
from harness.upstream import Upstream, refused_url
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from unit.scene import told

from gateway.config.records import Document, Tracing
from gateway.observe.otlp import SpanExport, intervals
from gateway.observe.timing import phases

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


class Collector:
    """Takes what is exported to ``url``."""

    def __init__(self) -> None:
        self.spans: list[Any] = []
        self.service = ""
        self.url = ""

    async def take(self, request: web.Request) -> web.Response:
        message = ExportTraceServiceRequest.FromString(await request.read())
        for resource in message.resource_spans:
            self.service = next(a.value.string_value for a in resource.resource.attributes if a.key == "service.name")
            for scope in resource.scope_spans:
                self.spans += scope.spans
        return web.Response()


@pytest.fixture
async def collector() -> AsyncIterator[Collector]:
    made = Collector()
    application = web.Application()
    application.router.add_post("/v1/traces", made.take)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    made.url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1/traces"
    yield made
    await runner.cleanup()


async def traced(rig: Any, tracing: Tracing | None) -> None:
    document: Document = rig.document
    from dataclasses import replace

    await rig.gateway.reload(replace(document, tracing=tracing))


def attributes(span: Any) -> dict[str, Any]:
    return {a.key: getattr(a.value, a.value.WhichOneof("value")) for a in span.attributes}


async def test_a_sampled_request_becomes_a_span_with_its_phases(
    gateway_for: GatewayFor, upstream: Upstream, collector: Collector
) -> None:
    upstream.behaviour = ok()
    rig = await gateway_for(upstream)
    await traced(rig, Tracing(collector.url, service="edge"))
    answer = await rig.ask("/x?key=hidden", f"traceparent: 00-{TRACE}-{SPAN}-01", "X-Request-Id: r1")
    unsampled = f"00-{TRACE}-{SPAN}-00"
    await rig.ask("/x", f"traceparent: {unsampled}")
    await rig.ask("/x")
    assert answer.status == 200
    sent = [message.get("traceparent") for message in upstream.requests]
    assert sent[1:] == [unsampled.encode(), None], "what is not sampled is not touched"
    await rig.log.wait(3)
    await traced(rig, None)  # sends what is queued
    await eventually(lambda: bool(collector.spans))
    (server,) = [span for span in collector.spans if span.kind == 2]
    assert collector.service == "edge"
    assert (server.trace_id.hex(), server.parent_span_id.hex()) == (TRACE, SPAN)
    assert sent[0] == f"00-{TRACE}-{server.span_id.hex()}-01".encode(), "the upstream's parent is our span"
    found = attributes(server)
    assert found["gateway.request_id"] == "r1"
    assert found["url.path"] == "/x"
    assert "hidden" not in str(collector.spans)
    assert found["http.response.status_code"] == 200
    children = [span for span in collector.spans if span.parent_span_id == server.span_id]
    assert {"dial", "first_byte"} <= {span.name for span in children}
    assert len(children) == len(collector.spans) - 1, "nothing of the others"
    for child in children:
        assert server.start_time_unix_nano <= child.start_time_unix_nano <= child.end_time_unix_nano
        assert child.end_time_unix_nano <= server.end_time_unix_nano
    line = (await rig.log.wait(3))[0]
    assert line["trace_id"] == TRACE
    total = sum(found[f"gateway.{phase}_ms"] for phase in ("dial", "first_byte", "own", "pool", "upload", "transfer"))
    assert total == pytest.approx(line["duration_ms"], abs=1.0)


async def test_a_response_of_a_model_has_the_words_of_the_conventions(
    gateway_for: GatewayFor, upstream: Upstream, collector: Collector
) -> None:
    lines = ("Content-Type: text/event-stream",)
    upstream.behaviour = each_request(lambda _: answer(b"".join(OPENAI_CHAT), *lines))
    rig = await gateway_for(upstream, ai="openai")
    await traced(rig, Tracing(collector.url, share=1.0))
    await rig.ask("/v1", method="POST", body=b"{}")
    await rig.ask("/v1")
    await rig.log.wait(2)
    await traced(rig, None)
    await eventually(lambda: bool(collector.spans))
    asked, other = [attributes(span) for span in collector.spans if span.kind == 2]
    found = {name: value for name, value in asked.items() if name.startswith("gen_ai.")}
    assert found.pop("gen_ai.response.time_to_first_chunk") > 0.0
    assert found == {
        "gen_ai.response.model": "gpt-4o-mini-2024-07-18",
        "gen_ai.usage.input_tokens": 19,
        "gen_ai.usage.output_tokens": 10,
        "gen_ai.usage.cache_read.input_tokens": 4,
    }
    assert not any(name.startswith("gen_ai.") for name in other)


async def test_a_failure_names_its_reason(gateway_for: GatewayFor, collector: Collector) -> None:
    rig = await gateway_for(refused_url())
    await traced(rig, Tracing(collector.url, share=1.0))
    await rig.ask()
    await rig.log.wait()
    await traced(rig, None)
    await eventually(lambda: bool(collector.spans))
    (server,) = [span for span in collector.spans if span.kind == 2]
    assert attributes(server)["gateway.reason"] == "dial_failed"
    assert attributes(server)["error.type"] == "dial_failed"
    assert server.status.code == 2
    assert not server.parent_span_id
    assert server.trace_id.hex() == (await rig.log.last())["trace_id"]


async def test_a_collector_that_is_away_delays_nobody(gateway_for: GatewayFor, upstream: Upstream) -> None:
    upstream.behaviour = ok()
    rig = await gateway_for(upstream)
    await traced(rig, Tracing(refused_url() + "/v1/traces", share=1.0))
    for _ in range(20):
        assert (await rig.ask()).status == 200


def test_phases_have_their_place() -> None:
    ex = told(
        start_at=0.0, identified=0.1, queued=0.2, pooled=0.05, dialled=0.1, asked_at=1.0, sent_at=1.5,
        first_byte_at=2.0, commit_at=2.1, last_byte_at=3.0, end_at=3.1,
    )  # fmt: skip
    found = {phase: (round(begin, 6), round(end, 6)) for phase, begin, end in intervals(ex, phases(ex))}
    assert found == {
        "identity": (0.0, 0.1),
        "queue": (0.1, 0.3),
        "pool": (0.85, 0.9),
        "dial": (0.9, 1.0),
        "upload": (1.0, 1.5),
        "first_byte": (1.5, 2.0),
        "transfer": (2.1, 3.0),
    }


async def test_closing_without_a_span_is_quick(collector: Collector) -> None:
    export = SpanExport(collector.url, "edge")
    async with asyncio.timeout(5):
        await export.aclose()
    assert collector.spans == []

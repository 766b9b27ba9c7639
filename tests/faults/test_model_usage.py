"""What responses of language models say of their tokens, read as they pass: on the wire, in the log, and in limits."""

from __future__ import annotations

import gzip
import json
from typing import Any

import pytest
from harness.answers import LAST_CHUNK, answer, chunk, each_request, head
from harness.client import Client, code_of, request
from harness.http2_upstream import Session
from harness.message import Message
from harness.models import ANTHROPIC, ANTHROPIC_BODY, OPENAI_BODY, OPENAI_CHAT, OPENAI_RESPONSES
from harness.rig import GatewayFor, Rig, proxy_to
from harness.upstream import Link, Upstream

from gateway.config.records import Ai, RateLimit, Stream
from gateway.control.metrics.exposition import Exposition

pytestmark = pytest.mark.protocols

DAY = 86400.0
EVENTS = head("Content-Type: text/event-stream; charset=utf-8", "Transfer-Encoding: chunked")
JSON = "Content-Type: application/json"
ASKED = b'{"model":"m","stream":true}'
STREAMS: list[tuple[Ai, list[bytes], str]] = [
    ("openai", OPENAI_CHAT, "gpt-4o-mini-2024-07-18"),
    ("openai", OPENAI_RESPONSES, "gpt-5"),
    ("anthropic", ANTHROPIC, "claude-sonnet-4-5"),
]


async def asked(rig: Rig, upstream: Upstream) -> tuple[Client, Link]:
    client = await rig.connect()
    await client.send(request("/v1/chat/completions", JSON, method="POST", body=ASKED))
    link = await upstream.link()
    await link.request()
    return client, link


async def usage_of(rig: Rig, lines: int = 1) -> dict[str, Any]:
    """What the newest line of the log says."""
    said: dict[str, Any] = (await rig.log.wait(lines))[-1]["ai"]
    return said


def counted(rig: Rig) -> str:
    rig.gateway.sample()
    return "".join(Exposition(rig.gateway.counters).render(open_metrics=False))


@pytest.mark.parametrize(("vendor", "events", "model"), STREAMS, ids=["chat", "responses", "anthropic"])
async def test_a_stream_goes_on_at_once_and_is_read(
    gateway_for: GatewayFor, upstream: Upstream, vendor: Ai, events: list[bytes], model: str
) -> None:
    rig = await gateway_for(upstream, ai=vendor)
    client, link = await asked(rig, upstream)
    await link.send(EVENTS)
    await client.until(b"\r\n\r\n")
    for event in events:
        for piece in (event[:7], event[7:]):
            await link.send(chunk(piece))
            await client.expect(chunk(piece))
    await link.send(LAST_CHUNK)
    await client.expect(LAST_CHUNK)
    said = await usage_of(rig)
    assert said.pop("first_token_ms") > 0.0
    said.pop("tokens_per_second")  # null where all came at once
    assert said == {"model": model, "input_tokens": 19, "output_tokens": 10, "cached_tokens": 4, "unknown": ""}
    shown = counted(rig)
    for kind, tokens in (("input", 19), ("output", 10), ("cached", 4)):
        assert f'gateway_ai_tokens_total{{proxy="p",kind="{kind}"}} {tokens}\n' in shown
    assert 'gateway_ai_time_to_first_token_seconds_count{proxy="p"} 1\n' in shown
    assert "gateway_ai_usage_unknown_total{" not in shown


@pytest.mark.parametrize(("vendor", "body"), [("openai", OPENAI_BODY), ("anthropic", ANTHROPIC_BODY)])
async def test_a_body_of_json_is_read(
    gateway_for: GatewayFor, upstream: Upstream, vendor: Ai, body: dict[str, Any]
) -> None:
    data = json.dumps(body).encode()
    upstream.behaviour = each_request(lambda _: answer(data, JSON))
    rig = await gateway_for(upstream, ai=vendor)
    told = await rig.ask("/v1", method="POST", body=ASKED)
    assert told.body == data
    said = await usage_of(rig)
    assert (said["input_tokens"], said["output_tokens"], said["cached_tokens"]) == (19, 10, 4)
    assert (said["first_token_ms"], said["tokens_per_second"], said["unknown"]) == (None, None, "")


@pytest.mark.parametrize(
    ("body", "lines", "unknown"),
    [
        (gzip.compress(json.dumps(OPENAI_BODY).encode()), (JSON, "Content-Encoding: gzip"), "encoded"),
        (b"{}", (JSON,), "absent"),
        (b"<html>", (JSON,), "malformed"),
        (b'{"usage":{"prompt_tokens":1e300}}', (JSON,), "malformed"),
        (b"RIFF", ("Content-Type: audio/wav",), "media_type"),
        (b'{"usage":{"prompt_tokens":9},"data":"' + b"x" * 300_000 + b'"}', (JSON,), "too_long"),
    ],
    ids=["gzip", "absent", "html", "no number", "audio", "long"],
)
async def test_what_cannot_be_read_goes_on_as_it_is_and_is_counted(
    gateway_for: GatewayFor, upstream: Upstream, body: bytes, lines: tuple[str, ...], unknown: str
) -> None:
    upstream.behaviour = each_request(lambda _: answer(body, *lines))
    rig = await gateway_for(upstream, ai="openai")
    told = await rig.ask("/v1", method="POST", body=ASKED)
    assert (told.status, told.body) == (200, body)
    said = await usage_of(rig)
    assert (said["unknown"], said["input_tokens"]) == (unknown, None)
    assert f'gateway_ai_usage_unknown_total{{proxy="p",cause="{unknown}"}} 1\n' in counted(rig)


async def test_what_is_no_response_of_a_model_says_nothing(gateway_for: GatewayFor, upstream: Upstream) -> None:
    def reply(message: Message) -> bytes:
        return answer(b'{"error":{}}', JSON, status=200 if message.method == b"GET" else 429)

    upstream.behaviour = each_request(reply)
    rig = await gateway_for(upstream, ai="openai")
    assert (await rig.ask("/v1/models")).status == 200
    assert (await rig.ask("/v1", method="POST", body=ASKED)).status == 429
    assert all("ai" not in line for line in await rig.log.wait(2))
    assert "gateway_ai_usage_unknown_total{" not in counted(rig)


async def test_without_the_setting_nothing_is_read(gateway_for: GatewayFor, upstream: Upstream) -> None:
    upstream.behaviour = each_request(lambda _: answer(json.dumps(OPENAI_BODY).encode(), JSON))
    rig = await gateway_for(upstream)
    await rig.ask("/v1", method="POST", body=ASKED)
    assert "ai" not in (await rig.log.wait())[-1]


@pytest.mark.plain
async def test_a_stream_of_an_endpoint_over_http_2(gateway_for: GatewayFor, upstream: Upstream) -> None:
    rig = await gateway_for(upstream, proxies=(proxy_to(upstream, ai="anthropic", http2="always"),))
    client = await rig.connect()
    await client.send(request("/v1/messages", JSON, method="POST", body=ASKED))
    session = await Session(await upstream.link()).greet()
    call = await session.request()
    await session.begin(call, (b"content-type", b"text/event-stream"))
    for event in ANTHROPIC:
        await session.data(call, event)
    await session.data(call, b"", ended=True)
    assert (await client.response("POST")).body == b"".join(ANTHROPIC)
    line = (await rig.log.wait())[-1]
    assert line["upstream_protocol"] == "2"
    said = line["ai"]
    assert (said["model"], said["input_tokens"], said["output_tokens"]) == ("claude-sonnet-4-5", 19, 10)


async def test_a_stream_is_bounded_and_read_at_the_same_time(gateway_for: GatewayFor, upstream: Upstream) -> None:
    rig = await gateway_for(upstream, ai="openai", stream=Stream(first_event=30.0, on_stall="error_event"))
    client, link = await asked(rig, upstream)
    await link.send(EVENTS, *map(chunk, OPENAI_CHAT), LAST_CHUNK)
    assert (await client.response("POST")).body == b"".join(OPENAI_CHAT)
    line = (await rig.log.wait())[-1]
    assert (line["events"]["count"], line["ai"]["output_tokens"]) == (5, 10)


async def test_what_runs_is_explained(gateway_for: GatewayFor, upstream: Upstream) -> None:
    rig = await gateway_for(upstream, ai="openai")
    client, link = await asked(rig, upstream)
    await link.send(EVENTS, chunk(OPENAI_CHAT[0]))
    await client.until(chunk(OPENAI_CHAT[0]))

    def ai() -> tuple[int, int]:
        told = rig.gateway.explain("p")
        assert told is not None
        said = told["ai"]
        assert said is not None
        return said["responses"], said["waiting"]

    assert ai() == (1, 1)
    await link.send(chunk(OPENAI_CHAT[1]))
    await client.expect(chunk(OPENAI_CHAT[1]))
    assert ai() == (1, 0)


class TestLimits:
    LIMIT = RateLimit("client", 20.0, per=DAY, unit="tokens")

    async def test_tokens_of_responses_are_what_a_caller_has(self, gateway_for: GatewayFor, upstream: Upstream) -> None:
        data = json.dumps(OPENAI_BODY).encode()
        upstream.behaviour = each_request(lambda _: answer(data, JSON))
        rig = await gateway_for(upstream, ai="openai", rate_limits=(self.LIMIT,))
        first = await rig.ask("/v1", method="POST", body=ASKED)
        assert first.all("RateLimit") == [b'"client";r=20'], "what it uses is known when it has ended"
        refused = await rig.ask("/v1", method="POST", body=ASKED)
        assert (refused.status, code_of(refused)) == (429, "rate_limit")
        after = int(refused.get("retry-after") or 0)
        assert 10 * DAY / 20 - 10 < after <= 10 * DAY / 20, "29 used, 20 there: one more comes after ten"
        assert len(upstream.requests) == 1

    async def test_what_was_seen_of_a_stream_that_is_cut_counts(
        self, gateway_for: GatewayFor, upstream: Upstream
    ) -> None:
        rig = await gateway_for(upstream, ai="anthropic", rate_limits=(self.LIMIT,))
        client, link = await asked(rig, upstream)
        await link.send(EVENTS, chunk(ANTHROPIC[0]))
        await client.until(chunk(ANTHROPIC[0]))
        client.close()
        await link.gone()
        said = await usage_of(rig)
        assert (said["input_tokens"], said["output_tokens"], said["unknown"]) == (19, 1, "cut")
        assert (await rig.ask("/v1", method="POST", body=ASKED)).status == 429

    async def test_what_is_not_known_counts_nothing(self, gateway_for: GatewayFor, upstream: Upstream) -> None:
        upstream.behaviour = each_request(lambda _: answer(b"{}", JSON))
        rig = await gateway_for(upstream, ai="openai", rate_limits=(self.LIMIT,))
        for _ in range(3):
            told = await rig.ask("/v1", method="POST", body=ASKED)
            assert told.all("RateLimit") == [b'"client";r=20']
        assert 'gateway_ai_usage_unknown_total{proxy="p",cause="absent"} 3\n' in counted(rig)

    async def test_shadow_mode_serves_and_counts(self, gateway_for: GatewayFor, upstream: Upstream) -> None:
        upstream.behaviour = each_request(lambda _: answer(json.dumps(OPENAI_BODY).encode(), JSON))
        shadow = RateLimit("client", 20.0, per=DAY, unit="tokens", mode="shadow")
        rig = await gateway_for(upstream, ai="openai", rate_limits=(shadow,))
        assert [(await rig.ask("/v1", method="POST", body=ASKED)).status for _ in range(3)] == [200] * 3
        assert [line["shadow"] for line in await rig.log.wait(3)] == ["", "rate_limit", "rate_limit"]

    async def test_a_limit_that_goes_while_a_stream_runs(self, gateway_for: GatewayFor, upstream: Upstream) -> None:
        rig = await gateway_for(upstream, ai="openai", rate_limits=(self.LIMIT,))
        client, link = await asked(rig, upstream)
        await link.send(EVENTS, *map(chunk, OPENAI_CHAT))
        await client.until(b"[DONE]")
        await rig.change(rate_limits=())
        await link.send(LAST_CHUNK)
        await client.until(LAST_CHUNK)
        await rig.log.wait()
        await rig.change(rate_limits=(self.LIMIT,))
        upstream.behaviour = None
        other = await rig.connect()
        await other.send(request("/v1", JSON, method="POST", body=ASKED))
        await link.request()
        await link.send(answer(b"{}", JSON))
        assert (await other.response("POST")).status == 200

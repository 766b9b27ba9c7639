"""Spans of sampled exchanges, sent over OTLP/HTTP by the OpenTelemetry SDK (the ``otel`` extra).

An exchange becomes one server span with a child for each phase that took time. They are made when it is over, from the
times that it holds anyway, and leave in a thread of the SDK's: an exchange that is not sampled never meets this module.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from random import getrandbits
from time import monotonic, time
from typing import Final

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags

from gateway import __version__
from gateway.core.exchange import Exchange
from gateway.core.message import VERSIONS
from gateway.core.usage import Usage
from gateway.observe.timing import PHASES, Phases

_SHUTDOWN_SECONDS: Final = 2.0
_SAMPLED: Final = TraceFlags(TraceFlags.SAMPLED)
_SCOPE: Final = InstrumentationScope("gateway", __version__)

_GRPC_ERRORS = frozenset({2, 4, 12, 13, 14, 15})
"""Statuses of gRPC that make a span of a server an error, by the semantic conventions."""

Interval = tuple[str, float, float]
"""(phase, beginning, end) on the monotonic clock."""


class SpanExport:
    """Where sampled exchanges go. Headers for the collector come from OTEL_EXPORTER_OTLP_HEADERS."""

    def __init__(self, endpoint: str, service: str) -> None:
        self._resource = Resource.create({"service.name": service, "service.version": __version__})
        self._processor = BatchSpanProcessor(OTLPSpanExporter(endpoint=endpoint, timeout=5))

    def export(self, ex: Exchange, phases: Phases) -> None:
        """Queue the spans of an exchange with a ``trace``. What does not fit the SDK's queue is dropped by it."""
        epoch = time() - monotonic()
        _, trace, span, _ = ex.trace.split(b"-")
        context = _context(int(trace, 16), int(span, 16))
        parent = _context(context.trace_id, int(ex.parent, 16)) if ex.parent else None
        for phase, begin, end in intervals(ex, phases):
            child = _context(context.trace_id, getrandbits(64) or 1)
            self._emit(phase, child, context, SpanKind.INTERNAL, begin + epoch, end + epoch, {})
        failed = ex.status >= 500 or ex.grpc_status in _GRPC_ERRORS or (ex.committed and bool(ex.reason))
        self._emit(
            f"{ex.request.method.decode()} {ex.proxy or '-'}",
            context,
            parent,
            SpanKind.SERVER,
            ex.start_at + epoch,
            ex.end_at + epoch,
            _attributes(ex, phases),
            Status(StatusCode.ERROR, ex.reason or None) if failed else None,
        )

    async def aclose(self) -> None:
        """Send what is queued; a collector that is away is not waited for."""
        loop = asyncio.get_running_loop()
        closing = loop.run_in_executor(None, self._processor.shutdown)
        await asyncio.wait({closing}, timeout=_SHUTDOWN_SECONDS)

    def _emit(
        self,
        name: str,
        context: SpanContext,
        parent: SpanContext | None,
        kind: SpanKind,
        begin: float,
        end: float,
        attributes: dict[str, str | int | float],
        status: Status | None = None,
    ) -> None:
        self._processor.on_end(
            ReadableSpan(
                name,
                context=context,
                parent=parent,
                resource=self._resource,
                attributes=attributes,
                kind=kind,
                status=status or Status(StatusCode.UNSET),
                start_time=int(begin * 1e9),
                end_time=int(end * 1e9),
                instrumentation_scope=_SCOPE,
            )
        )


def intervals(ex: Exchange, phases: Phases) -> Iterator[Interval]:
    """When each phase was, as far as it has a place: what is ``blocked`` lies scattered over the transfer."""
    spent = dict(zip(PHASES, phases, strict=True))
    asked = ex.attempt.asked_at or ex.end_at
    first = ex.attempt.first_byte_at or ex.end_at
    identified = ex.start_at + spent["identity"]
    places = {
        "identity": (ex.start_at, identified),
        "queue": (identified, identified + spent["queue"]),
        "pool": (asked - spent["dial"] - spent["pool"], asked - spent["dial"]),
        "dial": (asked - spent["dial"], asked),
        "upload": (asked, asked + spent["upload"]),
        "first_byte": (first - spent["first_byte"], first),
        "transfer": (ex.commit_at, ex.end_at if ex.reason else max(ex.commit_at, ex.attempt.last_byte_at)),
    }
    for phase, (begin, end) in places.items():
        if spent[phase] > 0.0:
            yield phase, begin, end


def _context(trace: int, span: int) -> SpanContext:
    return SpanContext(trace, span, is_remote=False, trace_flags=_SAMPLED)


def _attributes(ex: Exchange, phases: Phases) -> dict[str, str | int | float]:
    """By the semantic conventions for HTTP where they have a word; the query is left out, callers put keys there."""
    attributes: dict[str, str | int | float] = {
        "http.request.method": ex.request.method.decode(),
        "url.path": ex.request.target.partition(b"?")[0].decode(),
        "http.response.status_code": ex.status,
        "network.protocol.version": VERSIONS[ex.request.minor],
        "client.address": ex.downstream.peer.address.rpartition(":")[0].strip("[]"),
        "gateway.request_id": ex.request_id.decode(),
        "gateway.proxy": ex.proxy,
        "gateway.upstream": ex.attempt.endpoint,
        "gateway.upstream_protocol": ex.attempt.http_version,
        "gateway.attempts": ex.attempts,
        **{f"gateway.{phase}_ms": seconds * 1e3 for phase, seconds in zip(PHASES, phases, strict=True)},
    }
    if ex.grpc_status >= 0:
        attributes["rpc.grpc.status_code"] = ex.grpc_status
    if ex.reason:
        attributes["error.type"] = attributes["gateway.reason"] = ex.reason
    if ex.hedge is not None and ex.hedge.sent:
        attributes["gateway.hedge"] = ex.hedge.result
        attributes["gateway.hedge.other"] = ex.hedge.endpoint
    if ex.fallback is not None and not ex.fallback.rejected:
        attributes["gateway.fallback"] = ex.fallback.cause
    if ex.usage is not None:
        attributes |= _of_model(ex, ex.usage)
    if ex.shadow:
        attributes["gateway.shadow"] = ex.shadow
    return attributes


def _of_model(ex: Exchange, usage: Usage) -> dict[str, str | int | float]:
    """By the semantic conventions for generative AI: input tokens include those from the cache."""
    found: dict[str, str | int | float] = {}
    if usage.model:
        found["gen_ai.response.model"] = usage.model
    counts = {"input_tokens": usage.input, "output_tokens": usage.output, "cache_read.input_tokens": usage.cached}
    found |= {f"gen_ai.usage.{name}": count for name, count in counts.items() if count >= 0}
    if usage.first_token_at:
        found["gen_ai.response.time_to_first_chunk"] = usage.first_token_at - ex.start_at
    return found

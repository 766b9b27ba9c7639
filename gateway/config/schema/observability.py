"""What the gateway records of requests: access log and traces."""

from __future__ import annotations

import importlib.util
from typing import Annotated

from pydantic import AfterValidator, Field

from gateway.config.schema.section import Section
from gateway.config.schema.types import UpstreamUrl


def _with_sdk(endpoint: str) -> str:
    try:  # other packages bring parts of it: only the exporter shows that all is there
        found = importlib.util.find_spec("opentelemetry.exporter.otlp.proto.http")
    except ModuleNotFoundError:
        found = None
    if found is None:
        raise ValueError("tracing needs the OpenTelemetry SDK; run: pip install 'breakwater-gateway[otel]'")
    return endpoint


class AccessLog(Section):
    """Where the access log goes."""

    path: str = Field(default="-", min_length=1, examples=["/var/log/gateway/access.log"])
    """One JSON object a line. "-": standard output; else a file, appended to, and reopened on SIGUSR1."""


class Tracing(Section):
    """Spans of sampled requests, over OTLP/HTTP. Needs the `otel` extra."""

    endpoint: Annotated[UpstreamUrl, AfterValidator(_with_sdk)] = Field(examples=["http://127.0.0.1:4318/v1/traces"])
    """Where the collector takes traces. Headers for it come from `OTEL_EXPORTER_OTLP_HEADERS`."""
    share: float = Field(default=0.0, ge=0, le=1, examples=[0.01])
    """Share of the requests without a `traceparent` that begin a trace. Others follow their sender's sampling."""
    service: str = Field(default="gateway", min_length=1, max_length=100, examples=["gateway"])
    """`service.name` of the spans."""

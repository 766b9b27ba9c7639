"""In which of the two text formats a reader of metrics gets them."""

from __future__ import annotations

from typing import Final

_TEXT: Final = "text/plain; version=0.0.4; charset=utf-8"
_OPEN_METRICS: Final = "application/openmetrics-text; version=1.0.0; charset=utf-8"


def wants_open_metrics(accept: str) -> bool:
    """Whether an Accept header asks for OpenMetrics, as Prometheus does."""
    return "application/openmetrics-text" in accept


def content_type(*, open_metrics: bool) -> str:
    return _OPEN_METRICS if open_metrics else _TEXT

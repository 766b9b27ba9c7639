"""A reader of metrics names the format, as Prometheus does."""

from __future__ import annotations

import pytest

from gateway.api.media_types import content_type, wants_open_metrics

PROMETHEUS = "application/openmetrics-text;version=1.0.0;q=0.6,text/plain;version=0.0.4;q=0.4,*/*;q=0.1"


@pytest.mark.covers("T043")
@pytest.mark.parametrize(("accept", "open_metrics"), [(PROMETHEUS, True), ("*/*", False), ("", False)])
def test_the_format_that_is_asked_for(accept: str, open_metrics: bool) -> None:
    assert wants_open_metrics(accept) == open_metrics
    assert content_type(open_metrics=open_metrics).startswith("application/open" if open_metrics else "text/plain")

"""The state of the data plane: explanations, metrics and the live view."""

from __future__ import annotations

from collections.abc import AsyncGenerator

from gateway.admin.rights import metrics_readers_only, superusers_only
from gateway.api import schemas, sse
from gateway.api.call import Call, Result, Text
from gateway.api.media_types import content_type, wants_open_metrics
from gateway.api.route import route


@route("GET", "/upstreams/{name}/explain", responds={200: schemas.Explained})
async def explain_upstream(call: Call) -> Result:
    """Why a proxy admits or refuses now."""
    return 200, await call.administration.explanations.upstream(call.actor, call.parameters["name"])


@route("GET", "/requests/{id}", responds={200: schemas.RequestExplained})
async def explain_request(call: Call) -> Result:
    """What happened to a recent request."""
    return 200, await call.administration.explanations.request(call.actor, call.parameters["id"])


@route("GET", "/metrics", responds={200: None}, right=metrics_readers_only, kind="text/plain")
async def metrics(call: Call) -> Result:
    """Metrics, for Prometheus."""
    open_metrics = wants_open_metrics(call.accept)
    text = await call.administration.explanations.metrics(call.actor, open_metrics=open_metrics)
    return 200, Text(content_type(open_metrics=open_metrics), text)


def _events(call: Call) -> AsyncGenerator[bytes, None]:
    return sse.watch(call.administration, call.actor)


@route("GET", "/live", responds={200: None}, stream=_events)
async def watch(call: Call) -> Result:
    """Watch the data plane, an event a second."""
    superusers_only(call.actor)
    call.administration.live_feed.check_room()
    return 200, None

"""The health of the gateway, and the description of its API: for everyone."""

from __future__ import annotations

from gateway.api import schemas
from gateway.api.call import Call, Result
from gateway.api.route import route


@route("GET", "/healthz", responds={200: schemas.Healthy}, public=True, tells_superusers=True)
async def live(call: Call) -> Result:
    """The control process lives."""
    health = call.health.live()
    return 200, health if call.actor.superuser else {"status": health["status"]}


@route(
    "GET",
    "/readyz",
    responds={200: schemas.Healthy, 503: schemas.Healthy},
    public=True,
    tells_superusers=True,
)
async def ready(call: Call) -> Result:
    """Traffic is served."""
    ready, details = call.health.ready()
    status = {"status": "ready" if ready else "not ready"}
    return 200 if ready else 503, {**status, **details} if call.actor.superuser else status


@route("GET", "/openapi.json", responds={200: schemas.Document}, public=True)
async def openapi(call: Call) -> Result:
    """This document."""
    return 200, call.described

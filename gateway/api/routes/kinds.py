"""The connectors of named calls, and the state of the rooms that serve them."""

from __future__ import annotations

from gateway.api import action_schemas as schemas
from gateway.api.call import Call, Result
from gateway.api.route import route
from gateway.api.tenant import TENANT, TENANT_FIELD, tenant_of


@route("GET", "/kinds", responds={200: schemas.KindList})
async def list_kinds(call: Call) -> Result:
    """List connectors, with the JSON Schemas of their connections and actions."""
    return 200, call.administration.actions.kinds(call.actor)


@route("GET", "/system/stats", responds={200: schemas.CallStats}, query=(TENANT,), fields=(TENANT_FIELD,))
async def system_stats(call: Call) -> Result:
    """Count connections, actions, and the Idempotency-Keys that are known."""
    return 200, await call.administration.actions.stats(call.actor, tenant_of(call))

"""Secrets: store, bind and delete them; none is ever shown."""

from __future__ import annotations

from gateway.api import schemas
from gateway.api.call import Call, Result
from gateway.api.route import route


@route("GET", "/secrets", responds={200: schemas.SecretList})
async def list_secrets(call: Call) -> Result:
    """List secrets, masked."""
    return 200, await call.administration.secrets.all(call.actor)


@route("GET", "/secrets/{key}", responds={200: schemas.SecretAnswer})
async def get_secret(call: Call) -> Result:
    """Show a secret, masked."""
    return 200, await call.administration.secrets.get(call.actor, call.parameters["key"])


@route("PUT", "/secrets/{key}", responds={200: schemas.SecretAnswer}, body=schemas.NewSecret)
async def put_secret(call: Call) -> Result:
    """Store a secret."""
    body = call.model(schemas.NewSecret)
    key = call.parameters["key"]
    return 200, await call.administration.secrets.put(call.actor, key, body.value, body.description, body.origins)


@route("PATCH", "/secrets/{key}", responds={200: schemas.SecretAnswer}, body=schemas.SecretBinding)
async def bind_secret(call: Call) -> Result:
    """Say to which upstream origins a secret may be sent."""
    body = call.model(schemas.SecretBinding)
    return 200, await call.administration.secrets.bind(call.actor, call.parameters["key"], body.origins)


@route(
    "DELETE",
    "/secrets/{key}",
    responds={200: schemas.Deleted},
    query=(("force", bool, "true: even while proxies name it."),),
)
async def delete_secret(call: Call) -> Result:
    """Delete a secret."""
    secrets = call.administration.secrets
    return 200, await secrets.delete(call.actor, call.parameters["key"], force=call.flag("force"))

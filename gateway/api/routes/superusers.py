"""Superusers: who may use the API."""

from __future__ import annotations

from gateway.api import schemas
from gateway.api.call import Call, Result
from gateway.api.route import route


@route("GET", "/superusers", responds={200: schemas.SuperuserList})
async def list_superusers(call: Call) -> Result:
    """List superusers."""
    return 200, await call.administration.superusers.all(call.actor)


@route("POST", "/superusers", responds={201: schemas.SuperuserAnswer}, body=schemas.NewSuperuser)
async def create_superuser(call: Call) -> Result:
    """Create a superuser."""
    body = call.model(schemas.NewSuperuser)
    return 201, await call.administration.superusers.create(call.actor, body.email, body.password)


@route("DELETE", "/superusers/{id}", responds={204: None})
async def delete_superuser(call: Call) -> Result:
    """Delete a superuser."""
    await call.administration.superusers.delete(call.actor, call.parameters["id"])
    return 204, None


@route("PUT", "/superusers/{id}/password", responds={200: schemas.PasswordChanged}, body=schemas.NewPassword)
async def set_password(call: Call) -> Result:
    """Set another superuser's password; all logins of that one end."""
    body = call.model(schemas.NewPassword)
    superusers = call.administration.superusers
    return 200, await superusers.set_password(call.actor, call.parameters["id"], body.password, tokens=body.tokens)

"""Tokens of callers and machines."""

from __future__ import annotations

from gateway.api import schemas
from gateway.api.call import Call, Result
from gateway.api.route import route


@route("GET", "/tokens", responds={200: schemas.TokenList})
async def list_tokens(call: Call) -> Result:
    """List tokens."""
    return 200, await call.administration.tokens.all(call.actor)


@route("POST", "/tokens", responds={201: schemas.TokenAnswer}, body=schemas.NewToken)
async def create_token(call: Call) -> Result:
    """Create a token."""
    body = call.model(schemas.NewToken)
    made = await call.administration.tokens.create(
        call.actor,
        body.name,
        superuser=body.superuser,
        metrics=body.metrics,
        expires_in=body.expires_in,
        claims=body.claims,
    )
    return 201, made


@route("DELETE", "/tokens/{id}", responds={204: None})
async def delete_token(call: Call) -> Result:
    """Revoke a token."""
    await call.administration.tokens.delete(call.actor, call.parameters["id"])
    return 204, None

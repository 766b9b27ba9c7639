"""Logins: begin and end them, and change one's own password."""

from __future__ import annotations

from gateway.api import schemas
from gateway.api.call import Call, LoginResult, Result
from gateway.api.route import route


@route("POST", "/auth/login", responds={200: schemas.Session}, body=schemas.Login, public=True)
async def login(call: Call) -> Result:
    """Log in."""
    body = call.model(schemas.Login)
    made = await call.administration.logins.login(body.email, body.password, call.client, call.device)
    return 200, LoginResult(made.session, made.device)


@route("POST", "/auth/logout", responds={204: None})
async def logout(call: Call) -> Result:
    """End this login."""
    await call.administration.logins.logout(call.actor)
    return 204, None


@route("POST", "/auth/password", responds={200: schemas.PasswordChanged}, body=schemas.PasswordChange)
async def change_password(call: Call) -> Result:
    """Change your own password; your other logins end."""
    body = call.model(schemas.PasswordChange)
    return 200, await call.administration.superusers.change_password(call.actor, body.current, body.password)


@route("GET", "/sessions", responds={200: schemas.SessionList})
async def list_sessions(call: Call) -> Result:
    """List logins."""
    return 200, await call.administration.logins.sessions(call.actor)


@route("DELETE", "/sessions/{id}", responds={204: None})
async def end_session(call: Call) -> Result:
    """End a login."""
    await call.administration.logins.end_session(call.actor, call.parameters["id"])
    return 204, None

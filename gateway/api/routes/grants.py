"""Access tokens of connections: how they stand, and the authorizations of persons."""

from __future__ import annotations

from html import escape

from gateway.admin.errors import AdminError
from gateway.api import action_schemas as schemas
from gateway.api.call import Call, Result, Text
from gateway.api.route import route
from gateway.api.tenant import TENANT, TENANT_FIELD, tenant_of

_PAGE = (
    '<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title>'
    '<meta name="viewport" content="width=device-width"><h1>{title}</h1><p>{text}</p></html>\n'
)
_HTML = "text/html; charset=utf-8"


@route(
    "GET",
    "/connections/{trn}/status",
    responds={200: schemas.ConnectionStatus},
    query=(TENANT,),
    fields=(TENANT_FIELD,),
)
async def connection_status(call: Call) -> Result:
    """Show whether calls of a connection can authenticate, and why not."""
    return 200, await call.administration.grants.status(call.actor, tenant_of(call), call.parameters["trn"])


@route(
    "POST",
    "/connections/{trn}/authorize",
    responds={201: schemas.AuthorizationBegun},
    body=schemas.Authorize,
    query=(TENANT,),
    fields=(TENANT_FIELD,),
)
async def authorize_connection(call: Call) -> Result:
    """Begin an authorization of a connection by a person."""
    call.model(schemas.Authorize)
    return 201, await call.administration.grants.authorize(call.actor, tenant_of(call), call.parameters["trn"])


@route(
    "GET",
    "/connections/{trn}/authorize/{id}",
    responds={200: schemas.AuthorizationState},
    query=(TENANT,),
    fields=(TENANT_FIELD,),
)
async def authorization_state(call: Call) -> Result:
    """Look what came of an authorization."""
    trn, id_ = call.parameters["trn"], call.parameters["id"]
    return 200, await call.administration.grants.authorization(call.actor, tenant_of(call), trn, id_)


@route(
    "POST",
    "/connections/{trn}/revoke",
    responds={200: schemas.Revoked},
    body=schemas.Authorize,
    query=(TENANT,),
    fields=(TENANT_FIELD,),
)
async def revoke_connection(call: Call) -> Result:
    """Forget the tokens of a connection, and revoke them."""
    call.model(schemas.Authorize)
    return 200, await call.administration.grants.revoke(call.actor, tenant_of(call), call.parameters["trn"])


@route(
    "GET",
    "/oauth/callback",
    responds={200: None, 400: None, 409: None, 503: None},
    query=(
        ("state", str, "What the gateway gave the browser to take along."),
        ("code", str, "The authorization code."),
        ("error", str, "Why there is none."),
    ),
    public=True,
    kind="text/html",
    from_elsewhere=True,
)
async def oauth_callback(call: Call) -> Result:
    """Take the authorization code that a browser brings back from an identity provider."""
    state, code, error = call.text("state"), call.text("code"), call.text("error")
    try:
        name, failure = await call.administration.grants.redeem(state, code, error)
    except AdminError as refused:
        return refused.status, _page("Not authorized", refused.details)
    if failure:
        return 400, _page("Not authorized", f"Connection {name}: {failure}")
    return 200, _page("Authorized", f"Connection {name} is authorized. You can close this window.")


def _page(title: str, text: str) -> Text:
    return Text(_HTML, _PAGE.format(title=escape(title), text=escape(text)))

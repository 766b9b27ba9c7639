"""Proxies: list, change and delete them."""

from __future__ import annotations

from typing import Final

from gateway.api import schemas
from gateway.api.call import Call, Result
from gateway.api.route import DRY_RUN, PAGING, Query, route

_SEARCH: Final[Query] = ("search", str, "In name, path, upstream and hosts.")
_VERSION: Final[Query] = ("version", int, "The version that is deleted; none: whatever stands there.")


@route("GET", "/proxies", responds={200: schemas.ProxyList}, query=(*PAGING, _SEARCH))
async def list_proxies(call: Call) -> Result:
    """List proxies with their state."""
    page, per_page = call.paging()
    proxies = call.administration.proxies
    return 200, await proxies.find(call.actor, page=page, per_page=per_page, search=call.text("search"))


@route(
    "POST",
    "/proxies",
    responds={201: schemas.ProxyAnswer, 200: schemas.DryRun},
    body=schemas.NewProxy,
    query=(DRY_RUN,),
)
async def create_proxy(call: Call) -> Result:
    """Create a proxy."""
    dry_run = call.flag("dry_run")
    made = await call.administration.proxies.create(call.actor, call.body, dry_run=dry_run)
    return 200 if dry_run else 201, made


@route("POST", "/proxies/validate", responds={200: schemas.DryRun}, body=schemas.NewProxy)
async def validate_proxy(call: Call) -> Result:
    """Check a proxy."""
    return 200, await call.administration.proxies.validate(call.actor, call.body)


@route("GET", "/proxies/{name}", responds={200: schemas.ProxyAnswer})
async def get_proxy(call: Call) -> Result:
    """Show a proxy."""
    return 200, await call.administration.proxies.get(call.actor, call.parameters["name"])


@route(
    "PUT",
    "/proxies/{name}",
    responds={200: schemas.ProxyAnswer},
    body=schemas.NewProxy,
    query=(DRY_RUN,),
    versioned=True,
)
async def replace_proxy(call: Call) -> Result:
    """Replace a proxy."""
    body, version = call.versioned()
    proxies, name = call.administration.proxies, call.parameters["name"]
    return 200, await proxies.replace(call.actor, name, body, version, dry_run=call.flag("dry_run"))


@route(
    "PATCH",
    "/proxies/{name}",
    responds={200: schemas.ProxyAnswer},
    body=schemas.ProxyPatch,
    query=(DRY_RUN,),
    versioned=True,
)
async def patch_proxy(call: Call) -> Result:
    """Change a proxy."""
    body, version = call.versioned()
    proxies, name = call.administration.proxies, call.parameters["name"]
    return 200, await proxies.patch(call.actor, name, body, version, dry_run=call.flag("dry_run"))


@route(
    "DELETE",
    "/proxies/{name}",
    responds={200: schemas.Deleted},
    query=(DRY_RUN, _VERSION),
    versioned=True,
)
async def delete_proxy(call: Call) -> Result:
    """Delete a proxy."""
    version = call.deleted_version()
    proxies, name = call.administration.proxies, call.parameters["name"]
    return 200, await proxies.delete(call.actor, name, version, dry_run=call.flag("dry_run"))


@route("POST", "/proxies/{name}/breaker/reset", responds={200: schemas.ProxyAnswer})
async def reset_breaker(call: Call) -> Result:
    """Close the circuit breaker by hand."""
    return 200, await call.administration.proxies.reset_breaker(call.actor, call.parameters["name"])

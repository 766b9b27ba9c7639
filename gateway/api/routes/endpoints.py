"""The endpoints of an upstream: list them, drain one and give it requests again."""

from __future__ import annotations

from gateway.api import endpoint_schemas as schemas
from gateway.api.call import Call, Result
from gateway.api.route import route


@route("GET", "/upstreams/{name}/endpoints", responds={200: schemas.EndpointList})
async def list_endpoints(call: Call) -> Result:
    """List the endpoints of an upstream, and who has drained them."""
    return 200, await call.administration.endpoints.all(call.actor, call.parameters["name"])


@route("POST", "/upstreams/{name}/endpoints/drain", responds={200: schemas.EndpointsChanged}, body=schemas.Drain)
async def drain_endpoint(call: Call) -> Result:
    """Give an endpoint no new requests."""
    body, endpoints = call.model(schemas.Drain), call.administration.endpoints
    return 200, await endpoints.drain(call.actor, call.parameters["name"], body.url, force=body.force)


@route("POST", "/upstreams/{name}/endpoints/undrain", responds={200: schemas.EndpointsChanged}, body=schemas.Undrain)
async def undrain_endpoint(call: Call) -> Result:
    """Give an endpoint requests again."""
    body = call.model(schemas.Undrain)
    return 200, await call.administration.endpoints.undrain(call.actor, call.parameters["name"], body.url)

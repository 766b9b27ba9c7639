"""The worker processes."""

from __future__ import annotations

from gateway.api import schemas
from gateway.api.call import Call, Result
from gateway.api.route import route


@route("GET", "/workers", responds={200: schemas.WorkerList})
async def list_workers(call: Call) -> Result:
    """Show the worker processes."""
    return 200, await call.administration.workers.show(call.actor)


@route("POST", "/workers/restart", responds={202: schemas.WorkersRestarted})
async def restart_workers(call: Call) -> Result:
    """Replace the worker processes, one after the other."""
    return 202, await call.administration.workers.restart(call.actor)


@route("POST", "/workers/upgrade", responds={202: schemas.UpgradeBegun}, seconds=150)
async def upgrade_gateway(call: Call) -> Result:
    """Replace all programs by those that are installed, after a trial."""
    return 202, await call.administration.workers.upgrade(call.actor)

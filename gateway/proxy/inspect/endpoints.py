"""The endpoints of an upstream as an explanation shows them."""

from __future__ import annotations

from gateway.ipc.explanation import EndpointView, GroupView, PoolView, ReportView
from gateway.policy.capacity import Reported
from gateway.policy.ejection import Standing
from gateway.policy.group import Group
from gateway.proxy.inspect.status import in_flight, standing
from gateway.upstream.endpoint import Endpoint
from gateway.upstream.upstream import Upstream


def group_view(upstream: Upstream, epoch: float) -> GroupView | None:
    """``epoch``: what the wall clock is ahead of the monotonic one. None: a single endpoint gets every request."""
    group, settings = upstream.group, upstream.settings
    if group is None:
        return None
    group.expire()
    ejection, health = settings.ejection, settings.health
    return {
        "balance": settings.balance,
        "panic": group.panicking,
        "ejection_mode": ejection.mode if ejection.enabled else "off",
        "health_mode": health.mode if health.enabled else "off",
        "endpoints": [_endpoint(each, epoch, group, checks=health.enabled) for each in upstream.endpoints],
        "reports": settings.capacity.mode if settings.capacity.enabled else "off",
        "places": group.places(),
    }


def _endpoint(endpoint: Endpoint, epoch: float, group: Group, *, checks: bool) -> EndpointView:
    member, condition, breaker = endpoint.member, endpoint.condition, endpoint.breaker
    checked, ejection = condition.checked, condition.ejection
    return {
        "url": endpoint.origin.url + endpoint.origin.base.decode(),
        "address": endpoint.origin.address,
        "standing": standing(member),
        "weight": member.weight,
        "in_flight": in_flight(endpoint),
        "attempts": member.attempts,
        "failures": member.failures,
        "breaker": "off" if breaker is None else breaker.state.api_word,
        "health": checked.state.value if checks else "",
        "checked_at": checked.at + epoch if checked.at else 0.0,
        "check_failure": checked.why,
        "ejections": ejection.steps,
        "ejected_until": ejection.until + epoch if ejection.until else 0.0,
        "ejected_because": ejection.why,
        "probation": ejection.state is Standing.PROBATION,
        "reported": _reported(endpoint.condition.reported, epoch, group),
    }


def _reported(reported: Reported, epoch: float, group: Group) -> ReportView | None:
    said = None if group.capacity is None else group.capacity.holding(reported, group.clock())
    return None if said is None else {"at": reported.at + epoch, "in_use": said.in_use, "total": said.total}


def pool_view(upstream: Upstream) -> PoolView:
    """The connections to all of its endpoints."""
    pools = [endpoint.pool for endpoint in upstream.endpoints]
    opened, idle = sum([pool.open for pool in pools]), sum([pool.idle for pool in pools])
    return {
        "endpoint": ", ".join([endpoint.origin.label for endpoint in upstream.endpoints]),
        "open": opened,
        "idle": idle,
        "in_use": opened - idle,
        "sessions": sum([pool.sessions for pool in pools]),
        "streams": sum([pool.streams for pool in pools]),
        "dials": sum([pool.dials for pool in pools]),
        "reuses": sum([pool.reuses for pool in pools]),
        "idle_timeout": upstream.settings.timeouts.idle,
    }

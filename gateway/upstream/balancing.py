"""From the settings of an upstream to the group that chooses among its endpoints."""

from __future__ import annotations

from collections.abc import Sequence
from random import random

from gateway.config import records
from gateway.core.events import EndpointChanged, PanicChanged, Sink
from gateway.policy.balance import Balance, LeastRequest, Random, RingHash, RoundRobin
from gateway.policy.capacity import ReportRules
from gateway.policy.ejection import EjectionRules
from gateway.policy.group import Group, Rules
from gateway.policy.member import Member
from gateway.upstream.endpoint import Endpoint


def group_of(settings: records.Upstream, endpoints: Sequence[Endpoint], sink: Sink) -> Group | None:
    """The group of ``endpoints``; None where there is nothing to choose: no endpoint, or a single one that gets every
    request: no checks, not drained, not asked for its capacity. ``sink`` hears what changes.
    """
    if not endpoints:
        return None
    watched = settings.health.enabled or settings.capacity.enabled
    if len(endpoints) == 1 and not watched and not settings.endpoints[0].drain:
        return None
    conditions = [endpoint.condition for endpoint in endpoints]
    modes = {
        "ejected": settings.ejection.mode,
        **dict.fromkeys(("leaving", "returned"), settings.capacity.mode),
        **dict.fromkeys(("down", "up"), settings.health.mode),
    }

    def changed(member: Member, cause: str, why: str) -> None:
        sink(EndpointChanged(settings.name, member.name, cause, why, modes.get(cause) == "shadow"))

    return Group(
        conditions,
        _balance(settings, [each.member for each in conditions]),
        _rules(settings),
        on_change=changed,
        on_panic=lambda panics: sink(PanicChanged(settings.name, panics)),
    )


def _balance(settings: records.Upstream, members: Sequence[Member]) -> Balance:
    match settings.balance:
        case "round_robin":
            return RoundRobin()
        case "random":
            return Random(random)
        case "ring_hash":
            weights = [endpoint.weight for endpoint in settings.endpoints]
            return RingHash(members, weights, random, settings.hash_load)
        case "least_request":
            return LeastRequest(random)


def _rules(settings: records.Upstream) -> Rules:
    ejection, health, capacity = settings.ejection, settings.health, settings.capacity
    scales = settings.balance == "least_request"
    return Rules(
        ejection=EjectionRules(
            ejection.consecutive_failures,
            ejection.failure_rate,
            ejection.window,
            ejection.minimum_requests,
            ejection.base_time,
            ejection.max_time,
        )
        if ejection.enabled
        else None,
        shadow=ejection.mode == "shadow",
        max_share=ejection.max_share,
        panic=settings.panic,
        slow_start=settings.slow_start,
        healthy_after=health.healthy_after,
        unhealthy_after=health.unhealthy_after,
        reporting=ReportRules(capacity.max_age, capacity.mode == "shadow", scales) if capacity.enabled else None,
        checks_shadow=health.mode == "shadow",
    )

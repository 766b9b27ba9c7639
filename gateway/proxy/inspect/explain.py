"""Why a proxy's protections are in their present state, in facts and in a sentence: from the machines themselves.

Everything here is read, nothing is counted for it: an explanation costs the data path nothing.
"""

from __future__ import annotations

from collections.abc import Iterable

from gateway.config.records import Missing, Route
from gateway.config.records import Upstream as Settings
from gateway.core.exchange import SWITCHED, Exchange
from gateway.core.hedge import Carrier
from gateway.core.message import VERSIONS
from gateway.errors import OVERLOADED, RATE_LIMIT
from gateway.ipc.explanation import (
    AiView,
    BreakerView,
    Explanation,
    FallbackView,
    HedgeView,
    Holder,
    LimiterView,
    QueueView,
    RateView,
    RetriesView,
    StreamView,
)
from gateway.policy.breaker import Breaker
from gateway.policy.causes import Causes
from gateway.policy.limiter import Limiter
from gateway.policy.rate_store import FORGOTTEN, HELD
from gateway.policy.waiting_line import PRIORITIES, Rank
from gateway.proxy.inspect.breakers import breaker_view, verdict_at_the_endpoints
from gateway.proxy.inspect.decisions import adaptive_view
from gateway.proxy.inspect.endpoints import group_view, pool_view
from gateway.proxy.layers.limit_rate import RateRule
from gateway.proxy.snapshot import Served

_MOST_HOLDERS = 100
_TOO_MUCH = "(503 overloaded): the gateway itself has too much to do"


def explain(served: Served, live: Iterable[Exchange], now: float, epoch: float, shedding: float = 0.0) -> Explanation:
    """``live``: the exchanges of its upstream, which share its permits.

    ``now`` is on the monotonic clock; ``epoch``: what the wall clock is ahead of that. ``shedding``: the share of all
    new requests that is refused.
    """
    upstream = served.upstream
    settings, limiter, own = upstream.settings, upstream.limiter, upstream.breaker
    best = upstream.best
    running = sorted(live, key=lambda ex: ex.start_at)
    verdict, reason, sentence = _verdict(served)
    if shedding >= 1.0:
        verdict, reason, sentence = "refuse", OVERLOADED.code, f"a request would be refused {_TOO_MUCH}"
    elif shedding > 0.0:
        sentence += f"; {shedding:.0%} of the new requests are refused {_TOO_MUCH}"
    if verdict == "refuse":
        sentence += _taken_over(served, reason)
    return {
        "proxy": served.settings.name,
        "at": now + epoch,
        "verdict": verdict,
        "reason": reason,
        "sentence": sentence,
        "active": [holder(ex, now) for ex in running[:_MOST_HOLDERS]],
        "active_count": len(running),
        "limiter": None if limiter is None else _limiter(limiter, settings.limiter.mode),
        "adaptive": None
        if upstream.adaptive is None or settings.limiter.adaptive is None
        else adaptive_view(upstream.adaptive, settings.limiter.adaptive, epoch),
        "queue": None
        if limiter is None or not settings.queue.max_waiting
        else _queue(limiter, settings, _rank(served)),
        "breaker": _breaker(best or own, own, now, epoch),
        "upstream_breaker": None if best is None else _breaker(own, own, now, epoch),
        "rates": [_rate(rule, at) for rule in served.rules for at in range(len(rule.settings))],
        "fallback": _fallback(served),
        "stream": _stream(served.settings, running, now) if served.settings.stream.watches else None,
        "retries": _retries(served, running) if served.settings.retries.active else None,
        "hedge": _hedge(served, running) if served.settings.hedge.active else None,
        "ai": None if served.settings.ai == "none" else _ai(served.settings, running, now),
        "group": group_view(upstream, epoch),
        "pool": pool_view(upstream),
    }


def _breaker(breaker: Breaker | None, own: Breaker | None, now: float, epoch: float) -> BreakerView | None:
    """``own``: that of the upstream as a whole."""
    return None if breaker is None else breaker_view(breaker, now, epoch, whole=breaker is own)


def _stream(route: Route, running: Iterable[Exchange], now: float) -> StreamView:
    events = [ex.events for ex in running if ex.events is not None and ex.proxy == route.name]
    return {
        "mode": route.stream.mode,
        "first_event": route.stream.first_event,
        "event_gap": route.stream.event_gap,
        "on_stall": route.stream.on_stall,
        "watched": len(events),
        "silence": max([now - each.since for each in events], default=0.0),
    }


def _ai(route: Route, running: Iterable[Exchange], now: float) -> AiView:
    mine = [ex for ex in running if ex.usage is not None and ex.proxy == route.name]
    waits = [now - ex.start_at for ex in mine if ex.usage is not None and not ex.usage.first_token_at]
    return {"format": route.ai, "responses": len(mine), "waiting": len(waits), "longest_wait": max(waits, default=0.0)}


def _retries(served: Served, running: Iterable[Exchange]) -> RetriesView:
    name, settings, budget = served.settings.name, served.settings.retries, served.upstream.retry_budget
    return {
        "mode": settings.mode,
        "attempts": settings.attempts,
        "on": list(settings.on),
        "budget": settings.budget,
        "burst": budget.size(settings.burst),
        "left": budget.left(settings.burst),
        "waiting": sum(1 for ex in running if _waits(ex) and ex.proxy == name),
    }


def _hedge(served: Served, running: Iterable[Exchange]) -> HedgeView:
    name, settings, upstream = served.settings.name, served.settings.hedge, served.upstream
    burst = served.settings.retries.burst
    return {
        "mode": settings.mode,
        "after": settings.after if isinstance(settings.after, str) else f"{settings.after:g}",
        "measured": upstream.latency.quantile(),
        "samples": upstream.latency.samples,
        "burst": upstream.retry_budget.size(burst),
        "left": upstream.retry_budget.left(burst),
        "running": sum(1 for ex in running if ex.hedge is not None and len(ex.hedge.carriers) > 1 and ex.proxy == name),
    }


def _waits(ex: Exchange) -> bool:
    """Between two attempts."""
    return ex.retries is not None and ex.retries.waiting


def _rate(rule: RateRule, at: int) -> RateView:
    settings, limit = rule.settings[at], rule.machine.limits[at]
    counts = limit.buckets.store.table.counts
    return {
        "name": limit.name,
        "of": rule.of,
        "key": settings.key,
        "mode": settings.mode,
        "rate": settings.rate,
        "per": settings.per,
        "burst": limit.burst,
        "unit": settings.unit,
        "weight": rule.machine.weight,
        "max_keys": settings.max_keys,
        "keys": counts[HELD],
        "forgotten": counts[FORGOTTEN],
        "left": rule.left(at) if settings.key == "all" else -1,
    }


def _fallback(served: Served) -> FallbackView | None:
    fallback, second = served.settings.fallback, served.second
    if fallback is None:
        return None
    breaker = None if second is None else second.gate
    limiter = None if second is None else second.limiter
    statuses = [f"{first}" if first == last else f"{first}-{last}" for first, last in fallback.statuses]
    return {
        "on": [*fallback.on, *statuses],
        "endpoint": "" if second is None else ", ".join([endpoint.origin.url for endpoint in second.endpoints]),
        "status": 0 if fallback.response is None else fallback.response.status,
        "breaker": "off" if breaker is None else breaker.state.api_word,
        "in_flight": 0 if limiter is None else limiter.in_flight,
        "limit": 0 if limiter is None else limiter.max,
        "waiting": 0 if limiter is None else limiter.waiting,
    }


def _taken_over(served: Served, reason: str) -> str:
    """What its fallback does with a request that would be refused for ``reason``; empty: nothing."""
    told, fallback = _fallback(served), served.settings.fallback
    if told is None or fallback is None or not Causes(fallback.on).word_for(reason):
        return ""
    if reason == RATE_LIMIT.code and _used_up(served.rates, []):  # those of the proxy come before
        return ""
    taker = f"at {told['endpoint']} would be asked" if told["endpoint"] else f"would respond with {told['status']}"
    return f"; instead, the fallback {taker}"


def phase(ex: Exchange) -> str:
    """What an exchange is doing now."""
    if ex.committed:
        return "tunnel" if ex.status == SWITCHED else "transfer"
    if _waits(ex):
        return "retry"
    attempt = _carrier(ex).attempt
    if attempt.asked_at:
        return "first_byte" if attempt.sent_at else "upload"
    if ex.failures and not attempt.endpoint and ex.fallback is None:
        return "retry"  # of a call, which holds no permit meanwhile
    return "dial" if _carrier(ex).attempts else "queue"


def _carrier(ex: Exchange) -> Carrier:
    """What knows the attempt that runs: of two that may win, the first one."""
    return ex if ex.hedge is None or not ex.hedge.carriers else ex.hedge.carriers[0]


def holder(ex: Exchange, now: float) -> Holder:
    """What is shown of an exchange that runs. ``now`` is on the monotonic clock."""
    told: Holder = {
        "request_id": ex.request_id.decode("latin-1"),
        "phase": phase(ex),
        "age": now - ex.start_at,
        "protocol": VERSIONS[ex.request.minor],
        "upstream_protocol": _carrier(ex).attempt.http_version,
    }
    if "/" in ex.proxy:  # no proxy has such a name
        told["action"] = ex.proxy
    return told


def _verdict(served: Served) -> tuple[str, str, str]:
    """Missing values come first, then rate limits, the limiter, the breaker and the rate limits of the upstream, as in
    the pipeline."""
    upstream = served.upstream
    settings, limiter = upstream.settings, upstream.limiter
    if missing := _missing(served.settings):
        names = ", ".join(missing)
        return (
            "refuse",
            "template_missing",
            f"a request would be refused (500 template_missing): there is no value for {names}",
        )
    notes: list[str] = []
    waits = ""
    if sentence := _used_up(served.rates, notes):
        return "refuse", RATE_LIMIT.code, sentence
    if limiter is not None and not limiter.available:
        verdict, reason, sentence = _full(limiter, settings, _rank(served))
        if settings.limiter.mode == "shadow":
            notes.append(f"without the limiter's shadow mode: {sentence}")
        elif verdict == "refuse":
            return verdict, reason, sentence
        else:
            waits = sentence
    there = verdict_at_the_endpoints(upstream, notes)
    if there is None or there[0] == "probe":  # a probe takes a token, too
        used_up = _used_up(served.upstream_rates, notes)
        there = ("refuse", RATE_LIMIT.code, used_up) if used_up else there
    if there is not None:
        verdict, reason, sentence = there
        return verdict, reason, f"{waits}; then {sentence}" if waits else sentence
    if waits:
        return "wait", "", waits
    if upstream.group is not None and upstream.group.panicking:
        notes.append("all endpoints are used, because too few are usable (panic)")
    if limiter is not None and limiter.lowered:
        notes.append(f"the endpoints report that they may have {limiter.max} requests, which lowers the limit")
    free = f"{limiter.available} of {limiter.max} permits are free" if limiter is not None else "there is no limit"
    return "admit", "", "; ".join([f"a request would be forwarded at once: {free}", *notes])


def _missing(settings: Route) -> list[str]:
    """The references of its headers that have no value, as in ``{secret.KEY}``."""
    parts = (part for header in settings.headers for part in header.parts)
    return sorted({f"{{{part.reference}}}" for part in parts if isinstance(part, Missing)})


def _used_up(rule: RateRule | None, notes: list[str]) -> str:
    """A sentence for the first of the limits for all that would refuse any caller; empty: none would. What those in
    shadow mode would do before it is added to ``notes``."""
    for at, limit in enumerate(() if rule is None else rule.machine.limits):
        assert rule is not None
        machine = rule.machine
        if rule.settings[at].key == "all" and (wait := limit.wait(rule.key_of_all, machine.weight, machine.clock())):
            of = f" of {rule.of}" if rule.of else ""
            has = f"the rate limit {limit.name}{of} has {rule.left(at)} of {limit.burst} tokens"
            takes = "a request needs one" if limit.late else f"a request takes {machine.weight}"
            sentence = f"a request would be refused (429 rate_limit): {has}, and {takes}; try again in {wait:.1f} s"
            if not limit.shadow:
                return sentence
            notes.append(f"without the rate limit's shadow mode: {sentence}")
    return ""


def _rank(served: Served) -> Rank:
    """Of a request of the proxy that says nothing about itself: its class decides its place in the queue."""
    return Rank(PRIORITIES.index(served.settings.priority.default))


def _full(limiter: Limiter, settings: Settings, rank: Rank) -> tuple[str, str, str]:
    queue, total = settings.queue, settings.timeouts.total
    max_waiting = queue.max_waiting
    taken = f"all {limiter.max} permits are in use"
    later = f"try again in about {limiter.peek_retry_after()} s"
    if not max_waiting or queue.mode == "shadow":
        return "refuse", "concurrency_limit", f"a request would be refused (429 concurrency_limit): {taken}; {later}"
    if limiter.full and not limiter.line.yields_to(rank):
        room = f"all {max_waiting} places in the queue"
        return "refuse", "queue_full", f"a request would be refused (429 queue_full): {taken}, and {room}; {later}"
    wait = limiter.predicted_wait(rank)
    expected = f"; the expected wait is {wait:.1f} s" if wait else ""
    if queue.predict and limiter.expects_timeout(min(queue.timeout, total or queue.timeout), rank):
        refused = "a request would be refused (429 queue_predicted_timeout)"
        return "refuse", "queue_predicted_timeout", f"{refused}: {taken}{expected}; {later}"
    return "wait", "", f"a request would wait as number {round(limiter.expected_place(rank))}: {taken}{expected}"


def _queue(limiter: Limiter, settings: Settings, rank: Rank) -> QueueView:
    mode = settings.queue.mode if settings.limiter.mode == "enforce" else "shadow"
    return {
        "mode": mode,
        "max_waiting": settings.queue.max_waiting,
        "waiting": limiter.waiting,
        "timeout": settings.queue.timeout,
        "order": "lifo" if limiter.line.newest_first else "fifo",
        "by_priority": dict(zip(PRIORITIES, limiter.line.counts, strict=True)),
        "expected_wait": limiter.predicted_wait(rank),
        "comments": settings.queue.comments if mode == "enforce" else 0.0,
    }


def _limiter(limiter: Limiter, mode: str) -> LimiterView:
    return {
        "mode": mode,
        "max_concurrent": limiter.max,
        "in_flight": limiter.in_flight,
        "available": limiter.available,
        "hold": limiter.hold,
        "retry_after": limiter.peek_retry_after(),
    }

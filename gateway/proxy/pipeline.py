"""THE MAP: the path of an exchange, outermost layer first, and the reason for the place of each layer.

route chain      once for each request: record, identify, fall back
call chain       instead of it, once for each call that the gateway makes by itself: record, repeat
aside chain      instead of that, for a message about a call that is over: without limiter and breaker
surface chain    instead of it, where the gateway itself responds, as a front door of actions: record, identify, limit
upstream chain   once for each upstream that it goes to: limit, retry, choose an endpoint
attempt chain    once for each attempt at an endpoint: judge, send
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

from gateway.config import records
from gateway.core.layer import Handler, Layer, chain
from gateway.core.statuses import statuses
from gateway.policy.breaker import Breaker
from gateway.policy.budget import RetryBudget
from gateway.policy.estimated_queue import EstimatedQueue
from gateway.policy.limiter import Limiter
from gateway.policy.overload import Overload
from gateway.proxy.layers.adapt import adapt
from gateway.proxy.layers.answer_locally import answer_locally
from gateway.proxy.layers.balance import balance, key_of
from gateway.proxy.layers.break_circuit import break_circuit, keep_state
from gateway.proxy.layers.count_attempts import count_attempts
from gateway.proxy.layers.deadline import deadline
from gateway.proxy.layers.fall_back import fall_back, takes_over
from gateway.proxy.layers.hedge import hedge
from gateway.proxy.layers.keep_secrets import keep_secrets
from gateway.proxy.layers.keep_to_events import keep_to_events
from gateway.proxy.layers.limit import limit
from gateway.proxy.layers.limit_attempts import limit_attempts
from gateway.proxy.layers.limit_rate import RateRule, limit_rate
from gateway.proxy.layers.require_templates import require_templates
from gateway.proxy.layers.rescue import rescue, rescue_for
from gateway.proxy.layers.retry import retry
from gateway.proxy.layers.retry_within_budget import retry_within_budget
from gateway.proxy.layers.server_timing import server_timing
from gateway.proxy.layers.shadow_limit import shadow_limit
from gateway.proxy.layers.shed import shed
from gateway.proxy.layers.tunnel import tunnel
from gateway.proxy.queue_comments import QueueComments
from gateway.proxy.race import Means
from gateway.proxy.ranks import rank_of
from gateway.proxy.retries import never
from gateway.proxy.rewrite import VIA
from gateway.proxy.send import send
from gateway.upstream.endpoint import Endpoint
from gateway.upstream.upstream import Upstream

Performer = Callable[[records.Route, Endpoint], Handler | None]
_UNAUTHORIZED: Final = frozenset((401,))
"""It is about the token, which the gateway gets by itself, and not about the endpoint."""


def no_rates(route: records.Route) -> RateRule | None:
    """Of a gateway without rate limits."""
    del route
    return None


def no_upstream_rates(upstream: records.Upstream) -> RateRule | None:
    """Of a gateway whose upstreams have no rate limits."""
    del upstream
    return None


def no_performer(route: records.Route, endpoint: Endpoint) -> Handler | None:
    """Of a gateway whose calls are requests of HTTP alone."""
    del route, endpoint
    return None


def no_repeats(next_handler: Handler) -> Handler:
    """Of a gateway that makes no calls by itself."""
    return next_handler


class Surface(NamedTuple):
    """What responds for the gateway itself. ``speak``: takes the request, and says in the words of its protocol what
    the layers below refuse. ``handle``: serves it."""

    speak: Layer
    handle: Handler


def no_surface(route: records.Route) -> Surface:
    """Of a gateway that has none."""
    raise AssertionError(f"nothing responds for {route.name}")


@dataclass(frozen=True, slots=True)
class OuterLayers:
    """The layers that come from rooms that this one may not import: ``observe`` by the proxy's name, ``identify`` by
    its settings.

    ``via``: the name of this gateway in Via, for its whole life. ``rates``: what gives a route its rate limits.
    ``overload``: sheds load; None: nothing does. ``repeat``: bounds the time of the gateway's own calls, and repeats
    them. ``perform``: makes the calls of a route that are no requests of HTTP, at an endpoint; None: they are.
    ``surface``: what responds for a front door. ``upstream_rates``: what gives an upstream its rate limits.
    """

    observe: Callable[[str], Layer]
    identify: Callable[[records.Route], Layer]
    via: bytes = VIA
    rates: Callable[[records.Route], RateRule | None] = no_rates
    overload: Overload | None = None
    repeat: Layer = no_repeats
    perform: Performer = no_performer
    surface: Callable[[records.Route], Surface] = no_surface
    upstream_rates: Callable[[records.Upstream], RateRule | None] = no_upstream_rates


def route_chain(
    route: records.Route,
    upstream: Upstream,
    outer: OuterLayers,
    rates: RateRule | None = None,
    second: Upstream | None = None,
) -> Handler:
    """The handler of one route: what happens once for each request, however many attempts it takes.

    ``rates``: its rate limits. ``second``: the upstream of its fallback, when that has one.
    """
    return chain(
        upstream_chain(route, upstream, outer),
        # must be outermost because it records every exchange, however it ended
        outer.observe(route.name),
        # must be outside rescue because the gateway's own responses have the field too
        server_timing(enabled=route.server_timing),
        # must be inside observe because its responses are recorded; outside all else because all else may fail
        rescue_for(route.cors),
        # must be inside observe and rescue because its refusals are recorded and become responses; above all else
        # because a process that has too much to do spends nothing on what it refuses
        shed(outer.overload),
        # must be above everything that costs or waits because a caller who is not admitted must not take a place
        outer.identify(route),
        # must be below identify because a stranger does not learn which features a proxy has
        answer_locally(websocket=route.websocket),
        # must be below identify for the same reason; above the limiter because such a request cannot go on
        require_templates(route.headers),
        # must be above the limiter because a caller who comes too often must not take a place, or one in the queue, and
        # above the fallback because it counts requests; below identify because a limit may count by the caller
        limit_rate(rates),
        # must be above the fallback because the response of either upstream may not fit; inside rescue, which says so
        keep_to_events(enabled=_opens_streams(upstream, second)),
        # must be above all that an upstream has because the permit and the time of the first one are given back before
        # the second is asked; below the layers that judge the caller, because their refusals are no failures
        fall_back(
            route.fallback,
            None if second is None else upstream_chain(route, second, outer, last=True),
            upstream.limiter,
            route.cors,
            upstream.buffers,
            upstream.settings.shown_name,
        ),
    )


def call_chain(route: records.Route, upstream: Upstream, outer: OuterLayers) -> Handler:
    """The handler of the calls that the gateway makes by itself as ``route``: they have no caller to be judged."""
    return chain(
        upstream_chain(route, upstream, outer),
        # must be outermost because it records every exchange, however it ended
        outer.observe(route.name),
        # must be inside observe and above all else because all else may fail, and becomes a response here
        rescue,
        # must be inside rescue because it needs the error itself; above the limiter because a call that waits to be
        # repeated must not hold a permit
        outer.repeat,
        # must be above everything that costs because a call takes as much of the process as a request
        shed(outer.overload),
    )


def aside_chain(route: records.Route, upstream: Upstream, outer: OuterLayers) -> Handler:
    """The handler of a message about a call of ``route`` that is over. It takes no permit, because that of the call is
    given back already and others wait for it. What becomes of it says nothing about the upstream.
    """
    endpoints = tuple([replace(endpoint, breaker=None) for endpoint in upstream.endpoints])
    alone = replace(upstream, endpoints=endpoints, limiter=None, adaptive=None, breaker=None)
    return call_chain(route, alone, outer)


def surface_chain(
    route: records.Route, upstream: Upstream, outer: OuterLayers, rates: RateRule | None = None
) -> Handler:
    """The handler of ``route``, to which the gateway itself responds. ``rates``: its rate limits."""
    surface = outer.surface(route)
    return chain(
        surface.handle,
        # must be outermost because it records every exchange, however it ended
        outer.observe(route.name),
        # must be inside observe because its responses are recorded; outside all else because all else may fail
        rescue_for(route.cors),
        # must be above all else because a process that has too much to do spends nothing on what it refuses
        shed(outer.overload),
        # must be above everything that costs because a caller who is not admitted must not take a place
        outer.identify(route),
        # must be below identify because a stranger's body is not read; above the limits because it says in words what
        # they refuse
        surface.speak,
        # must be below identify because a limit may count by the caller; above the limiter because a caller who comes
        # too often must not take a place
        limit_rate(rates),
        # must be below all that refuses because one permit covers the whole request, until the kernel has the response
        _limit(upstream.settings, upstream.limiter, route),
    )


def upstream_chain(route: records.Route, upstream: Upstream, outer: OuterLayers, *, last: bool = False) -> Handler:
    """The handler of what goes to ``upstream``. ``last``: it is that of the route's fallback."""
    return chain(
        # the attempt chain of the endpoint; where there are several, the balancer chooses among their chains
        _attempts(route, upstream, outer, last=last),
        # must be above the limiter because such a request cannot go on
        keep_secrets(route, legible=any(endpoint.pool.connector.absolute_form for endpoint in upstream.endpoints)),
        # must be above the limiter because time in the queue is time
        deadline(upstream.settings.timeouts.total),
        # must be above retry because one permit covers all attempts and the whole streamed body, until the kernel has
        # it; above the breaker because a slow client says nothing about the upstream
        _limit(upstream.settings, upstream.limiter, route),
        # must be below the limiter because a permit covers the whole tunnel; above retry and the breaker because its
        # end says nothing about the upstream, which did what it was asked for when it switched
        tunnel(route.tunnel_idle, enabled=route.websocket),
        # must be above the breaker because each attempt is judged, also one whose response the caller does not get;
        # below the limiter because one permit covers all attempts, and the pauses between them, which are short
        retry_within_budget(
            route.retries,
            upstream.retry_budget,
            upstream.buffers,
            upstream.limiter,
            takes_over(None if last else route.fallback) or never,
        ),
        # must be below those because the retries decide on the response that stands for both attempts; above the
        # balancer because the attempts go to different endpoints
        _hedge(route, upstream, last=last),
        # must be below those because a stale connection is no failure, and takes nothing of their budget
        retry(),
        # must be below those because each attempt is judged, also a hedge; above the balancer because it judges what
        # happens at all endpoints, and while it is open none is chosen
        _break_circuit(upstream.breaker, upstream.settings, route, whole=len(upstream.endpoints) > 1),
        # must be between the two kinds of breakers because it knows the states of both
        keep_state(enabled=upstream.breaker is not None and len(upstream.breakers) > 1),
    )


def _break_circuit(
    breaker: Breaker | None, settings: records.Upstream, route: records.Route, *, whole: bool = False
) -> Layer:
    failures = statuses(settings.circuit_breaker.failure_statuses)
    makes = route.name.encode() if route.own else b""
    return break_circuit(breaker, failures, makes, _UNAUTHORIZED if route.tokens else (), whole=whole)


def _hedge(route: records.Route, upstream: Upstream, *, last: bool) -> Layer:
    """A response that the proxy would retry, or leave to its fallback, does not win while the other attempt runs."""
    if not route.hedge.active:
        return lambda next_handler: next_handler
    settings, retries = upstream.settings, route.retries
    bad = statuses(settings.circuit_breaker.failure_statuses) | {int(word) for word in retries.on if word.isdigit()}
    if route.fallback is not None and not last:
        bad |= {status for least, most in route.fallback.statuses for status in range(least, most + 1)}
    means = Means(
        route.hedge,
        bad,
        upstream.retry_budget,
        upstream.latency,
        upstream.limiter,
        settings.limiter.mode == "enforce",
        retries.budget,
        retries.burst,
        imagined=RetryBudget(upstream.retry_budget.sharers),
    )
    return hedge(means, upstream.buffers, retries.replay_buffer)


def _opens_streams(*upstreams: Upstream | None) -> bool:
    return any(upstream is not None and upstream.settings.queue.comments > 0.0 for upstream in upstreams)


def _attempts(route: records.Route, upstream: Upstream, outer: OuterLayers, *, last: bool) -> Handler:
    rates = outer.upstream_rates(upstream.settings)
    chains = {
        endpoint.member: attempt_chain(route, upstream, endpoint, outer, rates, last=last)
        for endpoint in upstream.endpoints
    }
    if upstream.group is None:
        return chains[upstream.endpoints[0].member]
    settings = upstream.settings
    failures = statuses(settings.circuit_breaker.failure_statuses)
    return balance(upstream.group, chains, key_of(settings.hash_on), failures)


def attempt_chain(
    route: records.Route,
    upstream: Upstream,
    endpoint: Endpoint,
    outer: OuterLayers,
    rates: RateRule | None = None,
    *,
    last: bool = False,
) -> Handler:
    """The handler of one attempt at ``endpoint``. ``rates``: the rate limits of ``upstream``; others as above."""
    settings = upstream.settings
    adaptive = settings.limiter.adaptive
    failures = statuses(settings.circuit_breaker.failure_statuses)
    by_event = adaptive is not None and adaptive.signal == "first_event"
    return chain(
        # a connector speaks in place of `send` where the call is no request of HTTP
        outer.perform(route, endpoint)
        or send(
            route,
            endpoint,
            settings.timeouts.response_header,
            outer.via,
            watch_events=by_event,
            last=last,
            reports=upstream.reports,
        ),
        # must be above the breaker because what that rejects is no attempt; of fallbacks alone, because the figures of
        # other single endpoints are those of their proxies
        count_attempts(endpoint.member if last and upstream.group is None else None, failures),
        # must be close to the wire because it judges the endpoint and nothing else
        _break_circuit(endpoint.breaker, settings, route),
        # must be below the breaker because what that refuses takes no token, and close to the wire because each attempt
        # that is made takes one
        limit_attempts(rates),
        # must be just above the wire because each call of what is below is one request at the endpoint
        adapt(upstream.adaptive, by_event=by_event),
    )


def _limit(settings: records.Upstream, limiter: Limiter | None, route: records.Route) -> Layer:
    """A queue cannot be enforced behind a limit that is not."""
    queue = settings.queue
    if limiter is None:
        return limit(None)
    ranks = rank_of(route.priority, queue.fair)
    if settings.limiter.mode == "shadow":
        return shadow_limit(limiter, queue.timeout, ranks, predict=queue.predict)
    if queue.mode == "shadow" and queue.max_waiting:
        estimated = EstimatedQueue(limiter, queue.max_waiting, queue.timeout, predict=queue.predict)
        return limit(limiter, 0.0, estimated.rejection)
    comments = QueueComments(limiter, queue.comments, route.cors) if queue.comments and not route.own else None
    return limit(limiter, queue.timeout, None, ranks, predict=queue.predict, comments=comments)

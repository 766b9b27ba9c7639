"""THE MAP: the way of an exchange, outermost layer first, and why each stands where it stands."""

from __future__ import annotations

from gateway.config.document import Proxy
from gateway.core.layer import Handler, Layer, chain
from gateway.policy.estimated_queue import EstimatedQueue
from gateway.policy.limiter import Limiter
from gateway.proxy.layers.answer_locally import answer_locally
from gateway.proxy.layers.break_circuit import break_circuit
from gateway.proxy.layers.deadline import deadline
from gateway.proxy.layers.deliver import deliver
from gateway.proxy.layers.keep_secrets import keep_secrets
from gateway.proxy.layers.limit import limit
from gateway.proxy.layers.require_templates import require_templates
from gateway.proxy.layers.rescue import rescue_for
from gateway.proxy.layers.retry import retry
from gateway.proxy.layers.server_timing import server_timing
from gateway.proxy.layers.shadow_limit import shadow_limit
from gateway.proxy.rewrite import VIA
from gateway.proxy.send import send
from gateway.upstream.upstream import Upstream


def build(proxy: Proxy, upstream: Upstream, observe: Layer, identify: Layer, via: bytes = VIA) -> Handler:
    """The handler of one route. ``observe`` and ``identify`` come from rooms that this one may not import.

    ``via``: the name of this gateway in Via.
    """
    return chain(
        send(upstream, via),
        # must be outermost because it tells of every exchange, however it ended
        observe,
        # must be outside rescue because refusals tell it too
        server_timing(enabled=proxy.server_timing),
        # must be inside observe because what it answers is to be told of; outside all else because all else may fail
        rescue_for(proxy.cors),
        # must be above everything that costs or waits because who is not allowed in must not take a place
        identify,
        # must be below identify because a stranger is not told which features a proxy has
        answer_locally,
        # must be below identify for the same reason; above the limiter because such a request can not go on
        require_templates(proxy.headers),
        # must be above the limiter for the same reason
        keep_secrets(proxy, legible=bool(upstream.pool.connector.absolute_form)),
        # must be above the limiter because time in the queue is time
        deadline(proxy.timeouts.total),
        # must be above retry because one permit covers all attempts and the whole streamed body
        _limit(proxy, upstream.limiter),
        # must be below the limiter because a permit covers the response until the kernel has it; above retry and the
        # breaker because a slow client says nothing about the upstream
        deliver,
        # must be above the breaker because each attempt is judged
        retry(),
        # must be just above the wire because it judges the upstream and nothing else
        break_circuit(upstream.breaker),
    )


def _limit(proxy: Proxy, limiter: Limiter | None) -> Layer:
    """A queue can not be enforced behind a limit that is not."""
    queue = proxy.queue
    if limiter is None:
        return limit(None)
    if proxy.limiter.mode == "shadow":
        return shadow_limit(limiter, queue.timeout)
    if queue.mode == "shadow" and queue.max_waiting:
        return limit(limiter, 0.0, EstimatedQueue(limiter, queue.max_waiting, queue.timeout).rejection)
    return limit(limiter, queue.timeout)

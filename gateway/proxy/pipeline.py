"""THE MAP: the way of an exchange, outermost layer first, and why each stands where it stands."""

from __future__ import annotations

from gateway.config.document import Proxy
from gateway.core.layer import Handler, Layer, chain
from gateway.policy.breaker import break_circuit
from gateway.policy.deadline import deadline
from gateway.policy.limiter import limit
from gateway.policy.retry import retry
from gateway.proxy.fields import require_templates
from gateway.proxy.forward import forward
from gateway.proxy.local import answer_locally
from gateway.proxy.rescue import rescue
from gateway.upstream.upstream import Upstream


def build(proxy: Proxy, upstream: Upstream, observe: Layer, identify: Layer) -> Handler:
    """The handler of one route. ``observe`` and ``identify`` come from rooms that this one may not import."""
    return chain(
        forward(upstream),
        # must be outermost because it tells of every exchange, however it ended
        observe,
        # must be inside observe because what it answers is to be told of; outside all else because all else may fail
        rescue,
        # must be above everything that costs or waits because who is not allowed in must not take a place
        identify,
        # must be below identify because a stranger is not told which features a proxy has
        answer_locally,
        # must be below identify for the same reason; above the limiter because such a request can not go on
        require_templates(proxy.headers),
        # must be above the limiter because time in the queue is time
        deadline(proxy.timeouts.total),
        # must be above retry because one permit covers all attempts and the whole streamed body
        limit(upstream.limiter, proxy.queue.timeout),
        # must be above the breaker because each attempt is judged
        retry(),
        # must be just above the wire because it judges the upstream and nothing else
        break_circuit(upstream.breaker),
    )

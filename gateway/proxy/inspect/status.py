"""The status of a proxy and its machines at a moment, in the few figures that operators look at."""

from __future__ import annotations

from typing import Final

from gateway.core.message import HTTP_2, VERSIONS
from gateway.ipc.messages import BreakerPulse, ProxyState, Transition
from gateway.observe import families
from gateway.proxy.server import Server
from gateway.upstream.upstream import Upstream
from gateway.wire.buffers import BufferPool

_GAUGES: Final = [
    cell
    for family in families.PROXY.families
    if isinstance(family, families.Values) and family.kind == "gauge"
    for cell in range(family.at, family.at + len(family.labels))
]


def state(upstream: Upstream, live: int) -> ProxyState:
    """Of a proxy with ``live`` exchanges. What its upstream has, all proxies of that upstream share."""
    limiter, breaker, pool = upstream.limiter, upstream.endpoint.breaker, upstream.endpoint.pool
    return ProxyState(
        in_flight=limiter.held if limiter is not None else live,
        waiting=limiter.own_waiting if limiter is not None else 0,
        streams=live,
        breaker=breaker.state.api_word if breaker is not None else "off",
        connections_open=pool.open,
        connections_idle=pool.idle,
    )


def breaker_pulse(upstream: Upstream, epoch: float) -> BreakerPulse:
    """``epoch``: what the wall clock is ahead of the monotonic one."""
    breaker = upstream.endpoint.breaker
    if breaker is None:
        return {"breaker": "off", "since": 0.0, "history": []}
    moves = [move for move in breaker.moves if move.old is not move.new]
    history: list[Transition] = [
        {"at": move.at + epoch, "from": move.old.api_word, "to": move.new.api_word, "reason": move.cause}
        for move in moves
    ]
    return {"breaker": breaker.state.api_word, "since": moves[-1].at + epoch if moves else 0.0, "history": history}


def gauges(upstream: Upstream | None, live: int, tunnels: int = 0) -> tuple[tuple[int, int], ...]:
    """(cell of `families.PROXY`, value) of each gauge. ``tunnels``: how many of the ``live`` exchanges are some.

    ``upstream`` is None for a proxy that is switched off: ``live`` exchanges still run, and all else is 0. What its
    limiter, queue, breaker and pool showed last is no longer true of it, because they are gone or serve other proxies.
    """
    if upstream is None:
        running = {families.ACTIVE: live, families.IN_FLIGHT: live, families.TUNNELS: tunnels}
        return tuple([(cell, running.get(cell, 0)) for cell in _GAUGES])
    settings, limiter, breaker = upstream.settings, upstream.limiter, upstream.endpoint.breaker
    now = state(upstream, live)
    places = settings.queue.max_waiting if limiter is not None else 0
    limited = _mode(settings.limiter.mode) if limiter is not None else 0
    return (
        (families.ACTIVE, live),
        (families.TUNNELS, tunnels),
        (families.IN_FLIGHT, now["in_flight"]),
        (families.LIMIT, limiter.max if limiter is not None else 0),
        (families.WAITING, now["waiting"]),
        (families.QUEUE_LIMIT, places),
        (families.MODE, limited),
        # A queue is enforced only where its limit is.
        (families.MODE + 1, min(limited, _mode(settings.queue.mode)) if places else 0),
        (families.MODE + 2, _mode(settings.circuit_breaker.mode) if breaker is not None else 0),
        (families.BREAKER_STATE, breaker.state if breaker is not None else 0),
        (families.POOL_OPEN, now["connections_open"]),
        (families.POOL_IDLE, now["connections_idle"]),
        (families.POOL_SESSIONS, upstream.endpoint.pool.sessions),
        (families.POOL_STREAMS, upstream.endpoint.pool.streams),
    )


def process_gauges(server: Server, buffers: BufferPool) -> tuple[tuple[int, int], ...]:
    """(cell of `families.PROCESS`, value) of what belongs to no proxy."""
    admission, handshakes = server.admission, server.handshakes
    shared = [connection for connection in server.connections if connection.http_version == VERSIONS[HTTP_2]]
    return (
        (families.CONNECTIONS, len(server.connections)),
        (families.HTTP_2_CONNECTIONS, len(shared)),
        (families.HTTP_2_STREAMS, sum([len(connection.exchanges) for connection in shared])),
        (families.CONNECTION_LIMIT, admission.limit),
        (families.CONNECTIONS_REFUSED, admission.refused),
        (families.CONNECTIONS_REFUSED + 1, admission.refused_client),
        (families.CONNECTIONS_CLOSED_IDLE, admission.closed_idle),
        (families.ACCEPT_FAILURES, server.listeners.failures),
        *((families.HANDSHAKES + at, count) for at, count in enumerate(handshakes.counts.values())),
        (families.HANDSHAKES_OPEN, len(handshakes)),
        (families.BUFFER_GETS, buffers.gets),
        (families.BUFFER_PUTS, buffers.puts),
        (families.BUFFER_ALLOCATIONS, buffers.allocations),
    )


def _mode(mode: str) -> int:
    """As `families.MODE` has it."""
    return 1 if mode == "shadow" else 2

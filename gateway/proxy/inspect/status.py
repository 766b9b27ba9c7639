"""The status of a proxy and its machines at a moment, in the few figures that operators look at."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from gateway.core.message import HTTP_2, VERSIONS
from gateway.core.quota import KINDS
from gateway.ipc.messages import BreakerPulse, ProxyState, Transition
from gateway.observe import families
from gateway.observe.sheet import Values
from gateway.policy.breaker_store import State
from gateway.policy.limiter import Limiter
from gateway.policy.member import AWAY, DRAINED, EJECTED, UNHEALTHY, Member
from gateway.policy.rate_store import HELD
from gateway.proxy.layers.limit_rate import RateRule
from gateway.proxy.server import Server
from gateway.upstream.endpoint import Endpoint
from gateway.upstream.upstream import Upstream
from gateway.wire.buffers import BufferPool

_GAUGES: Final = [
    cell
    for family in families.PROXY.families
    if isinstance(family, Values) and family.kind == "gauge"
    for cell in range(family.at, family.at + len(family.labels))
]
# What is not there, once for all proxies without it: a scrape looks at each proxy.
_NO_ORDER: Final = (*((families.WAITING_BY_PRIORITY + at, 0) for at in range(3)), (families.NEWEST_FIRST, 0))
_NO_ENDPOINTS: Final = (0,) * len(families.ENDPOINT_STATES)
_NO_KEYS: Final = tuple((families.RATE_KEYS + at, 0) for at in range(len(KINDS)))


def state(upstream: Upstream, live: int) -> ProxyState:
    """Of a proxy with ``live`` exchanges. What its upstream has, all proxies of that upstream share."""
    limiter, breaker = upstream.limiter, upstream.gate
    pools = [endpoint.pool for endpoint in upstream.endpoints]
    return ProxyState(
        in_flight=limiter.held if limiter is not None else live,
        waiting=limiter.own_waiting if limiter is not None else 0,
        streams=live,
        breaker=breaker.state.api_word if breaker is not None else "off",
        connections_open=sum([pool.open for pool in pools]),
        connections_idle=sum([pool.idle for pool in pools]),
    )


def breaker_pulse(upstream: Upstream, epoch: float) -> BreakerPulse:
    """``epoch``: what the wall clock is ahead of the monotonic one."""
    breaker = upstream.gate
    if breaker is None:
        return {"breaker": "off", "since": 0.0, "history": []}
    moves = [move for move in breaker.moves if move.old is not move.new]
    history: list[Transition] = [
        {"at": move.at + epoch, "from": move.old.api_word, "to": move.new.api_word, "reason": move.cause}
        for move in moves
    ]
    return {"breaker": breaker.state.api_word, "since": moves[-1].at + epoch if moves else 0.0, "history": history}


def open_since(upstream: Upstream | None) -> float:
    """When its breaker opened, on the monotonic clock; 0.0: it is not open, or there is none."""
    breaker = None if upstream is None else upstream.gate
    return breaker.since if breaker is not None and breaker.state is State.OPEN else 0.0


def gauges(
    upstream: Upstream | None, live: int, tunnels: int = 0, rates: Sequence[RateRule] = ()
) -> tuple[tuple[int, int], ...]:
    """(cell of `families.PROXY`, value) of each gauge. ``tunnels``: how many of the ``live`` exchanges are some.
    ``rates``: the rate limits of the proxy, and of its upstream.

    ``upstream`` is None for a proxy that is switched off: ``live`` exchanges still run, and all else is 0. What its
    limiter, queue, breaker and pool showed last is no longer true of it, because they are gone or serve other proxies.
    """
    if upstream is None:
        running = {families.ACTIVE: live, families.IN_FLIGHT: live, families.TUNNELS: tunnels}
        return tuple([(cell, running.get(cell, 0)) for cell in _GAUGES])
    settings, limiter, breaker = upstream.settings, upstream.limiter, upstream.gate
    opened = idle = sessions = streams = 0
    for endpoint in upstream.endpoints:
        pool = endpoint.pool
        opened += pool.open
        idle += pool.idle
        sessions += pool.sessions
        streams += pool.streams
    places = settings.queue.max_waiting if limiter is not None else 0
    limited = _mode(settings.limiter.mode) if limiter is not None else 0
    return (
        *_rate_keys(rates),
        (families.ACTIVE, live),
        (families.TUNNELS, tunnels),
        (families.IN_FLIGHT, limiter.held if limiter is not None else live),
        (families.LIMIT, limiter.max if limiter is not None else 0),
        (families.ADAPTIVE_LIMIT, limiter.max if limiter is not None and upstream.adaptive is not None else 0),
        (families.WAITING, limiter.own_waiting if limiter is not None else 0),
        *_order(limiter),
        (families.QUEUE_LIMIT, places),
        (families.MODE, limited),
        # A queue is enforced only where its limit is.
        (families.MODE + 1, min(limited, _mode(settings.queue.mode)) if places else 0),
        (families.MODE + 2, _mode(settings.circuit_breaker.mode) if breaker is not None else 0),
        (families.BREAKER_STATE, breaker.state if breaker is not None else 0),
        (families.POOL_OPEN, opened),
        (families.POOL_IDLE, idle),
        (families.POOL_SESSIONS, sessions),
        (families.POOL_STREAMS, streams),
        *enumerate(endpoints_by_state(upstream), families.ENDPOINTS),
    )


def stance(
    upstream: Upstream | None, live: int, tunnels: int = 0, rates: Sequence[RateRule] = ()
) -> tuple[object, ...] | None:
    """All that `gauges` depend on, which is cheaper to read than they are; None: it would be too much.

    Most proxies do nothing between two scrapes, or the same: what is equal need not be written again.
    """
    if upstream is None:
        return live, tunnels
    if rates or len(upstream.endpoints) != 1 or upstream.group is not None:
        return None  # a front door for MCP has no endpoint
    (endpoint,) = upstream.endpoints
    pool, breaker, limiter = endpoint.pool, upstream.gate, upstream.limiter
    pooled = pool.open, pool.idle, pool.sessions, pool.streams
    state = breaker and (breaker.state, breaker.since)
    if limiter is None:
        return upstream.settings, live, tunnels, pooled, state
    order = limiter.own_waiting and limiter.line.counts, limiter.line.newest_first
    return upstream.settings, live, tunnels, pooled, state, limiter.held, limiter.max, order


def _order(limiter: Limiter | None) -> Iterable[tuple[int, int]]:
    """Of those who wait in this process."""
    if limiter is None:
        return _NO_ORDER
    line = limiter.line
    return *enumerate(line.counts, families.WAITING_BY_PRIORITY), (families.NEWEST_FIRST, int(line.newest_first))


def endpoints_by_state(upstream: Upstream) -> Sequence[int]:
    """How many there are in each of `families.ENDPOINT_STATES`. All 0: one without checks, which gets what comes."""
    if upstream.group is None:
        return _NO_ENDPOINTS
    upstream.group.expire()
    found = [standing(endpoint.member) for endpoint in upstream.endpoints]
    return [found.count(each) for each in families.ENDPOINT_STATES]


def standing(member: Member) -> str:
    """One of `families.ENDPOINT_STATES`: what keeps requests from it. One on probation is usable."""
    if member.out & AWAY:
        return "drained" if member.out & DRAINED else "leaving"
    if member.out & UNHEALTHY:
        return "down"
    return "ejected" if member.out & EJECTED else "usable"


def in_flight(endpoint: Endpoint) -> int:
    """Requests that run there. The balancer does not know those that began when there was no other to choose."""
    return max(endpoint.member.in_flight, endpoint.pool.requests)


def counts(upstream: Upstream) -> tuple[tuple[int, int], ...]:
    """(cell of `families.PROXY`, what to add to it): since the last call."""
    taken = [endpoint.pool.take_counts() for endpoint in upstream.endpoints]
    if upstream.group is None and taken == [(0, 0)]:
        return ()
    panics, held_back = (0, 0) if upstream.group is None else upstream.group.take_counts()
    return (
        (families.DIALS, sum([dials for dials, _ in taken])),
        (families.REUSES, sum([reuses for _, reuses in taken])),
        (families.PANICS, panics),
        (families.EJECTIONS_HELD_BACK, held_back),
    )


def _rate_keys(rates: Sequence[RateRule]) -> Iterable[tuple[int, int]]:
    if not rates:
        return _NO_KEYS
    held = [0] * len(KINDS)
    for rule in rates:
        for kind, limit in zip(rule.kinds, rule.machine.limits, strict=True):
            held[kind] += limit.buckets.store.table.counts[HELD]
    return enumerate(held, families.RATE_KEYS)


def process_gauges(
    server: Server, buffers: BufferPool, generation: int, dropped: int, failures: int, unresolved: int = 0
) -> tuple[tuple[int, int], ...]:
    """(cell of `families.PROCESS`, value) of what belongs to no proxy.

    ``generation``: the number of the configuration; ``dropped``: lines of the log; ``failures``: of callbacks;
    ``unresolved``: resolutions of names that failed.
    """
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
        (families.GENERATION, generation),
        (families.LINES_DROPPED, dropped),
        (families.CALLBACK_FAILURES, failures),
        (families.NAMES_UNRESOLVED, unresolved),
        (families.BUFFER_ALLOCATIONS, buffers.allocations),
    )


def _mode(mode: str) -> int:
    """As `families.MODE` has it."""
    return 1 if mode == "shadow" else 2

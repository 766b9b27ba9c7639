"""A protection in shadow mode beside the same proxy without it: the same bytes, and a count of what it would refuse."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from harness.client import request
from harness.message import Message
from harness.patience import eventually
from harness.rig import GatewayFor, Rig
from harness.upstream import Link, Upstream

from gateway.config.records import CircuitBreaker, Limiter, Queue
from gateway.observe import families

ASKED = 8


class Gate:
    """Answers when it is open; requests for /bad with a failure."""

    def __init__(self) -> None:
        self.open = asyncio.Event()

    async def serve(self, link: Link) -> None:
        while True:
            asked = await link.request()
            await self.open.wait()
            status = b"503 Broken" if asked.target == b"/bad" else b"200 OK"
            await link.send(b"HTTP/1.1 " + status + b"\r\nDate: then\r\nContent-Length: 2\r\n\r\nok")


def shown(message: Message) -> tuple[bytes, list[bytes], bytes]:
    """All that was said, but the time of our own refusals."""
    return message.start, [line for line in message.lines if not line.startswith(b"Date:")], message.body


async def asked_at_once(rig: Rig, gate: Gate, shadows: int) -> list[tuple[bytes, list[bytes], bytes]]:
    """What each of `ASKED` clients is answered who ask in this order, each before any is answered by the upstream.

    ``shadows``: how many are to be noted as refused before that.
    """
    gate.open.clear()
    clients = [await rig.connect() for _ in range(ASKED)]
    for number, client in enumerate(clients):
        await client.send(request("/", f"X-Request-Id: r{number}"))
        await eventually(lambda number=number: arrived(rig) > number, "the next one asks after this one has come")
    await eventually(lambda: noted(rig) == shadows, f"{shadows} that would have been refused")
    gate.open.set()
    return [shown(await client.response()) for client in clients]


def arrived(rig: Rig) -> int:
    """Exchanges that run, or are over."""
    rig.gateway.recorder.flush()
    return len(rig.gateway.server.running()) + len(rig.log.lines())


def noted(rig: Rig) -> int:
    """Exchanges that would have been refused, be they over or not."""
    rig.gateway.recorder.flush()
    over = sum(bool(line["shadow"]) for line in rig.log.lines())
    return over + sum(bool(exchange.shadow) for exchange in rig.gateway.server.running())


def refused(rig: Rig) -> dict[str, int]:
    """What would have been refused, by reason."""
    rig.gateway.sample()
    at = dict(rig.gateway.counters.live())["p"] + families.SHADOW_REFUSALS
    counts = rig.gateway.counters.ints[at : at + len(families.SHADOWED)].tolist()
    return {reason: count for reason, count in zip(families.SHADOWED, counts, strict=True) if count}


@pytest.mark.parametrize(
    ("without", "shadowed", "expected"),
    [
        ({}, {"max_concurrent": 3, "limiter": Limiter("shadow")}, {"concurrency_limit": 5}),
        (
            {},
            {"max_concurrent": 3, "queue": Queue(2, 5.0), "limiter": Limiter("shadow")},
            {"queue_full": 3},
        ),
        (
            {},
            {"max_concurrent": 3, "queue": Queue(9, 0.01), "limiter": Limiter("shadow")},
            {"queue_timeout": 5},
        ),
        (
            {"max_concurrent": 3},
            {"max_concurrent": 3, "queue": Queue(2, 5.0, "shadow")},
            {"queue_full": 3},
        ),
    ],
)
async def test_a_limit_that_only_counts_changes_no_byte(
    without: dict[str, Any],
    shadowed: dict[str, Any],
    expected: dict[str, int],
    gateway_for: GatewayFor,
    upstream: Upstream,
) -> None:
    # A Retry-After depends on when in its second a caller was refused: by chance it may differ, thrice it does not.
    for _ in range(3):
        gate = Gate()
        upstream.behaviour = gate.serve
        plain, counting = await gateway_for(upstream, **without), await gateway_for(upstream, **shadowed)
        answers = await asked_at_once(counting, gate, sum(expected.values()))
        wanted = await asked_at_once(plain, gate, 0)
        if answers == wanted:
            break
    assert answers == wanted
    assert refused(counting) == expected
    assert refused(plain) == {}
    lines = await counting.log.wait(ASKED)
    assert sorted(line["shadow"] for line in lines if line["shadow"]) == sorted(
        reason for reason, count in expected.items() for _ in range(count)
    )


async def test_a_breaker_that_only_counts_changes_no_byte(gateway_for: GatewayFor, upstream: Upstream) -> None:
    gate = Gate()
    gate.open.set()
    upstream.behaviour = gate.serve
    fence = CircuitBreaker(enabled=True, failure_threshold=2, recovery_timeout=60.0, mode="shadow")
    plain, counting = await gateway_for(upstream), await gateway_for(upstream, circuit_breaker=fence)
    for number in range(6):
        id_ = f"X-Request-Id: r{number}"
        assert shown(await counting.ask("/bad", id_)) == shown(await plain.ask("/bad", id_))
    assert refused(counting) == {"breaker_open": 4}
    assert len(upstream.requests) == 12

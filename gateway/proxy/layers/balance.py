"""Applies the balancer: chooses the endpoint of an attempt, and says how it ended.

It ends the route chain: below it each endpoint has an attempt chain of its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Final

from gateway.core.exchange import SWITCHED, Exchange
from gateway.core.layer import Handler
from gateway.core.outcome import Outcome
from gateway.errors import BREAKER_OPEN, NO_HEALTHY_ENDPOINT, RATE_LIMIT, GatewayError
from gateway.policy.group import Group
from gateway.policy.member import Member
from gateway.proxy.layers.break_circuit import FAILURES, judged

IGNORED: Final = Outcome.IGNORED
FAILURE: Final = Outcome.FAILURE
_RETRY_AFTER: Final = 1
"""Whole seconds: when an endpoint comes back is not known here."""

Key = Callable[[Exchange], bytes]
"""What a request is hashed by."""


def balance(group: Group, chains: Mapping[Member, Handler], key: Key, failures: frozenset[int] = FAILURES) -> Handler:
    """Run an attempt at the endpoint that ``group`` chooses, by its chain of ``chains``.

    An endpoint whose breaker rejects the attempt is passed over: nothing was sent, so that the next one is chosen at
    once. When the breakers of all reject it, BREAKER_OPEN stands of the one that admits a probe first.
    NO_HEALTHY_ENDPOINT when none may be chosen. An attempt that fails, or whose response the caller does not get, is
    noted in ``tried`` of the exchange: a further one goes to another endpoint first.
    ``failures``: the statuses that are failures. A hedge goes to another endpoint than the attempt that runs, where
    there are several.
    """
    lone = len(chains) == 1

    async def attempt(ex: Exchange, member: Member) -> GatewayError | None:
        """The rejection of the endpoint's breaker, before anything was sent; None: the attempt was made."""
        began = group.begin(member)
        attempts, hedge = ex.attempts, ex.hedge
        if hedge is not None:
            hedge.running = (*hedge.running, member)
        outcome, unused, made = IGNORED, False, True
        try:
            await chains[member](ex)
            outcome = judged(ex, None, failures)[0]
            unused = not ex.committed
            if ex.status == SWITCHED:
                _stay(ex, member)
        except GatewayError as error:
            if error.reason is BREAKER_OPEN and ex.attempts == attempts:
                made = False
                return error
            outcome, made = judged(ex, error)[0], error.reason is not RATE_LIMIT
            raise
        except asyncio.CancelledError as cancelled:  # a name of its own, because mypyc gives a name one type
            outcome = judged(ex, cancelled)[0]
            made = hedge is None or ex.attempt.asked_at > 0.0
            raise
        finally:
            group.end(member, began, outcome, made=made)
            if hedge is not None:
                hedge.running = _without(hedge.running, member)
            if outcome is FAILURE or unused:
                ex.tried = (*ex.tried, member)
        return None

    async def handle(ex: Exchange) -> None:
        refused: GatewayError | None = None
        # Two attempts at one endpoint would wait for the same thing.
        passed: tuple[object, ...] = () if ex.hedge is None or lone else ex.hedge.running
        hashed = key(ex)
        while True:
            member = group.choose(hashed, ex.tried, passed)
            if member is None:
                raise refused or GatewayError(NO_HEALTHY_ENDPOINT, retry_after=_RETRY_AFTER)
            rejection = await attempt(ex, member)
            if rejection is None:
                return
            if refused is None or rejection.retry_after < refused.retry_after:
                refused = rejection
            passed = (*passed, member)

    return handle


def _without(running: tuple[object, ...], member: Member) -> tuple[object, ...]:
    """``running`` without one of its occurrences of ``member``."""
    at = running.index(member)
    return running[:at] + running[at + 1 :]


def _stay(ex: Exchange, member: Member) -> None:
    """The attempt is over, and its tunnel is not: ``member`` has it until then. It is a load for the
    balancer, and an operator who drains the endpoint waits for it."""
    tunnel = ex.downstream.tunnel
    if tunnel is not None:
        member.in_flight += 1
        tunnel.when_over(member.leave)


def key_of(hash_on: str) -> Key:
    """What ``hash_on`` of the settings names, as bytes; empty when a request does not have it."""
    kind, _, name = hash_on.partition(":")
    wanted = name.encode()
    if kind == "client":
        return _client
    if kind == "header":
        return lambda ex: _field(ex, wanted)
    if kind == "cookie":
        return lambda ex: _cookie(ex, wanted)
    return lambda ex: b""


def _client(ex: Exchange) -> bytes:
    """The caller's address, without a port where it is the connection's own."""
    peer = ex.downstream.peer
    address = peer.real_client(ex.request)
    return peer.host if address == peer.address else address.encode()


def _field(ex: Exchange, name: bytes) -> bytes:
    """The value of the first field of that name."""
    known = ex.request.known.get(name)
    if known is not None:
        return known
    length = len(name)
    for line in ex.request.fields:
        if line[length : length + 1] == b":" and line[:length].lower() == name:
            return line[length + 1 :].strip()
    return b""


def _cookie(ex: Exchange, name: bytes) -> bytes:
    """The value of the first cookie of that name (RFC 6265 4.2.1)."""
    for line in ex.request.fields:
        if line[:7].lower() == b"cookie:":
            for pair in line[7:].split(b";"):
                found, _, value = pair.strip().partition(b"=")
                if found == name:
                    return value
    return b""

"""Long streams of tokens; a third of the clients leaves in the middle."""

from __future__ import annotations

import time

from load import pictures, promises
from load.exposition import percentile
from load.findings import Findings
from load.scenario import Chart, Criterion, Scenario, Size
from load.users import RECORD, Client
from load.variant import Variant
from load.wire import LateError
from locust import task
from work import Behaviour

__all__ = ["Reader"]

INTERVAL = 0.1
"""Seconds between two tokens."""
TOKENS = 100
LEAVERS = 1 / 3
FIRST, GAP, STREAM = "first token", "gap", "stream"


class Reader(Client):
    """Reads one stream after the other, each token as it comes."""

    @task
    def turn(self) -> None:
        began = time.monotonic()
        self.wire.deadline = began + self.plan.patience
        tokens = max(10, min(TOKENS, int(self.plan.seconds / 4 / INTERVAL)))
        leaves = self.random.randrange(1, tokens) if self.random.random() < LEAVERS else tokens + 1
        failure: Exception | None = None
        try:
            outcome = self._read(began, tokens, leaves)
        except (OSError, LateError) as lost:
            outcome, failure = "cut", lost
        self.told(STREAM, outcome, began, began, failure)

    def _read(self, began: float, tokens: int, leaves: int) -> str:
        """200 for a whole stream, `left` when we went away, `short` when it ended too soon."""
        self.wire.send(f"/tokens?n={tokens}&interval={INTERVAL}")
        pieces = self.wire.pieces()
        next(pieces)
        seen, before, tail, done = 0, began, b"", False
        for piece in pieces:
            now = time.monotonic()
            RECORD.add(GAP if seen else FIRST, "200", before, before, now)
            # A piece may end in the middle of an event, which then counts with the next.
            whole, _, rest = (tail + piece).rpartition(b"\n\n")
            seen, before, tail, done = seen + whole.count(b"data: {"), now, rest, done or b"[DONE]" in whole
            if seen >= leaves:
                self.wire.leave()
                return "left"
        return "200" if seen == tokens and done else "short"


def variants(size: Size) -> tuple[Variant, ...]:
    """The rate is the number of streams at once."""
    streams = int(size.rate)
    behaviour = Behaviour(capacity=streams * 2)
    return (
        Variant(
            "streams",
            "Reader",
            streams,
            size.seconds,
            streams,
            {"max_concurrent": streams * 2},
            behaviour,
            patience=TOKENS * INTERVAL * 3,
        ),
    )


def broken(findings: Findings) -> float:
    """Streams that were neither whole nor left."""
    outcomes = findings["streams"].outcomes(STREAM)
    return outcomes.total() - outcomes["200"] - outcomes["left"] if outcomes else -1


def stalls(findings: Findings) -> float:
    return findings["streams"].latency(GAP).percentile(99) * 1e3


def gone(findings: Findings) -> float:
    return percentile(findings["streams"].buckets("gateway_client_gone_to_upstream_closed_seconds"), 99) * 1e3


def criteria(size: Size) -> tuple[Criterion, ...]:
    return (
        Criterion("Streams that broke", "", broken, "neither whole nor left by their client", at_least=0, at_most=0),
        promises.p99("streams", 50, FIRST),
        Criterion(
            "P99 of the gap between tokens",
            "",
            stalls,
            "at the client, between one piece and the next; the sidecar sends one each 100 ms",
            "ms",
            at_most=INTERVAL * 1.5e3,
        ),
        Criterion(
            "From a client's leaving to the end of the sidecar's work, P99",
            "",
            gone,
            "the upper bound of the bucket of `gateway_client_gone_to_upstream_closed_seconds`",
            "ms",
            at_most=100,
        ),
        # What is kept of the newest 8,192 requests, for explanations, grows to its size: 6,000 streams do not fill it.
        promises.memory("streams", 8),
    )


SCENARIO = Scenario(
    name="streams",
    sentence="300 streams of tokens at once, a third of their readers leaving in the middle",
    story=(
        "Readers take streams of a hundred tokens, one each 100 ms. A third of them resets the connection at a random "
        "token: the work of the sidecar has to end with it."
    ),
    seconds=120,
    rate=300,
    variants=variants,
    criteria=criteria,
    charts=(
        Chart(
            "gaps",
            "Gaps between tokens",
            "ms",
            lambda f: {f"p{p:g}": f["streams"].line(p, GAP) for p in (50.0, 99.0, 99.9)},
        ),
        pictures.crowd("streams"),
        Chart(
            "ends",
            "Streams by their end, at the second of their begin",
            "a second",
            lambda f: {name: f["streams"].per_second(name, STREAM) for name in ("200", "left", "cut", "short")},
        ),
        pictures.memory("streams"),
    ),
)

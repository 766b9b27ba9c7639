"""When a closed breaker opens: by failures in a row, by the share of attempts that failed, by the share that was slow.

A *slow call* took more than ``slow_call`` seconds to the first byte of its response. The whole duration says nothing,
because a good stream is long. Shares are those of the attempts of a window (`gateway.policy.window`), as in
resilience4j's time-based sliding window: only once it holds ``minimum_requests`` of them. Each rule can need failures,
or slow calls, of ``distinct_callers`` different callers, so that one caller whose requests always fail does not close
an upstream to all others.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, NamedTuple

from gateway.policy.window import Tally, width_of

FAILURE_THRESHOLD: Final = "failure_threshold"
FAILURE_RATE: Final = "failure_rate"
SLOW_RATE: Final = "slow_rate"
RULES: Final = (FAILURE_THRESHOLD, FAILURE_RATE, SLOW_RATE)
"""The rules by the names of their settings, which are the causes of the moves that they make."""


class Figures(NamedTuple):
    """By which numbers a rule opened a breaker: ``bad`` failures in a row; or ``bad`` of ``total`` attempts in the
    last ``window`` seconds, each of them slow that took more than ``slow_call``. ``bound``: that of the rule.
    ``callers``: how many different ones those were of; 0: they do not matter.
    """

    bad: int
    bound: float
    total: int = 0
    window: float = 0.0
    slow_call: float = 0.0
    callers: int = 0

    @property
    def text(self) -> str:
        """In 60 characters or fewer, for `figures_of`."""
        bad, bound, total, window, slow_call, callers = self
        return f"{bad:d} {bound:.9g} {total:d} {window:.9g} {slow_call:.9g} {callers:d}"


def figures_of(text: str) -> Figures | None:
    """The `Figures` that ``text`` has; None when it has none."""
    try:
        bad, bound, total, window, slow_call, callers = text.split(" ")
        return Figures(int(bad), float(bound), int(total), float(window), float(slow_call), int(callers))
    except ValueError:
        return None


@dataclass(frozen=True, slots=True)
class Rules:
    """What a breaker counts besides failures in a row. A rate of 0 switches its rule off."""

    failure_rate: float = 0.0
    slow_call: float = 0.0
    """Seconds to the first byte."""
    slow_rate: float = 0.0
    window: float = 30.0
    """Seconds."""
    minimum_requests: int = 20
    distinct_callers: int = 0
    """0 or 1: any callers."""
    of_endpoints: bool = False
    """The callers are endpoints: what is judged is what stands behind several of them."""
    width: int = field(init=False)
    """As `gateway.policy.window.Window.add` takes it."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "width", width_of(self.window) if self.failure_rate or self.slow_rate else 0)

    @property
    def counts(self) -> bool:
        """Whether there is anything to count."""
        return self.width > 0 or self.distinct_callers > 1

    def is_slow(self, seconds: float) -> bool:
        """``seconds`` to the first byte."""
        return self.slow_rate > 0.0 and seconds > self.slow_call

    def verdict(self, tally: Tally, threshold: int) -> tuple[str, Figures] | None:
        """The rule that opens the breaker, by which figures; None: it stays closed."""
        if threshold and tally.run >= threshold and self._of_enough(tally.run_callers):
            return FAILURE_THRESHOLD, Figures(tally.run, threshold, callers=tally.run_callers)
        total = tally.total
        if not self.width or total < self.minimum_requests:
            return None
        # Quotients, no products: 3 of 30 are 0.1, and 0.1 times 30 is more than 3.
        if 0.0 < self.failure_rate <= tally.failed / total and self._of_enough(tally.failed_callers):
            return FAILURE_RATE, self._figures(tally.failed, self.failure_rate, total, tally.failed_callers)
        if 0.0 < self.slow_rate <= tally.slow / total and self._of_enough(tally.slow_callers):
            return SLOW_RATE, self._figures(tally.slow, self.slow_rate, total, tally.slow_callers)
        return None

    def _of_enough(self, callers: int) -> bool:
        return self.distinct_callers <= 1 or callers >= self.distinct_callers

    def _figures(self, bad: int, bound: float, total: int, callers: int) -> Figures:
        return Figures(bad, bound, total, self.window, self.slow_call, callers)

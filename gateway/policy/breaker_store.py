"""Where a breaker keeps what all processes have to agree on: its state, what was counted in it, and what led to it.

State and generation are one number, the *word*, so that they are read together. A permit carries the word under which
it was given. Each operation that changes something names the word that it is meant for, and does nothing when that is
over: of several processes that see the same cause, one changes the state.
"""

from __future__ import annotations

import enum
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, Protocol

from gateway.core.outcome import Outcome
from gateway.policy.breaker_rules import Figures
from gateway.policy.window import CELLS, Sample, Tally, Window

CLOSED: Final = 0
OPEN: Final = 1
HALF_OPEN: Final = 2
STATE_OF: Final = 3
"""The bits of a word that are its state; those above are the generation."""
WORD: Final = 0
FAILURES: Final = 1
"""Their places in `BreakerStore.numbers`."""

WORDS: Final = ("closed", "open", "half-open")
"""The states as people and pybreaker write them, by their number."""


class State(enum.IntEnum):
    """The states of a breaker, numbered as its store numbers them."""

    CLOSED = CLOSED
    OPEN = OPEN
    HALF_OPEN = HALF_OPEN

    @property
    def word(self) -> str:
        """As people and pybreaker write it."""
        return WORDS[self]

    @property
    def api_word(self) -> str:
        """As the API and metrics write it."""
        return self.word.replace("-", "_")


@dataclass(frozen=True, slots=True)
class Judged:
    """A result that counted; ``at`` on the breaker's clock. ``reason`` is empty, the code of the failure, the status
    that gRPC has, or how slow the call was. Behind ``request_id``, and a space, may stand what has made the request."""

    at: float
    outcome: Outcome
    reason: str
    status: int
    request_id: bytes
    worker: int = -1
    """The number of the worker that saw it; -1: there is one alone."""


@dataclass(frozen=True, slots=True)
class Move:
    """A change of state, or a reset that changed none. ``outcomes``: what counted in the state that it left."""

    at: float
    old: State
    new: State
    cause: str
    by: str
    """Who reset it; empty otherwise."""
    outcomes: tuple[Judged, ...]
    figures: Figures | None = None
    """By which numbers a rule opened it; None: no rule did."""


class BreakerNumbers(NamedTuple):
    """All that a store of this process alone knows, for another store to go on with."""

    word: int
    since: float
    failures: int
    probes: int
    outcomes: Sequence[Judged]
    moves: Sequence[Move]
    window: Sequence[int] = ()
    """As `Window.saved`."""


class BreakerStore(Protocol):
    """The numbers of one breaker. ``word`` as a parameter: the one that the operation is meant for."""

    @property
    def numbers(self) -> Sequence[int]:
        """``word`` and ``failures`` as they are at each look: for each attempt, because a property costs more."""
        ...

    @property
    def word(self) -> int:
        """Generation times 4, and the state. The generation grows by each `enter`; 0 before the first."""
        ...

    @property
    def since(self) -> float:
        """When the state was entered, on the clock of the machines."""
        ...

    @property
    def failures(self) -> int:
        """Failures in a row."""
        ...

    @property
    def probes(self) -> int:
        """Probes inside."""
        ...

    @property
    def outcomes(self) -> Sequence[Judged]:
        """The newest that counted in the present state, oldest first."""
        ...

    @property
    def moves(self) -> Sequence[Move]:
        """The newest changes of state, oldest first."""
        ...

    def begin(self, now: float) -> None:
        """Enter CLOSED for the first time; does nothing in a store that has a state."""
        ...

    def enter(
        self,
        word: int,
        state: int,
        now: float,
        cause: str,
        by: str = "",
        after: float = 0.0,
        figures: Figures | None = None,
    ) -> bool:
        """Begin a new generation in ``state``: without probes, with an empty window, and in CLOSED without failures.

        Only when the present state has lasted for ``after`` seconds. False: nothing has changed.
        """
        ...

    def keep(self, word: int, judged: Judged) -> None:
        """Add one to the `outcomes`."""
        ...

    def fail(self, word: int) -> int:
        """Count one more failure; how many there are now, or 0."""
        ...

    def forgive(self, word: int) -> None:
        """Set the failures back to 0."""
        ...

    def count(self, word: int, width: int, sample: Sample) -> Tally | None:
        """Count ``sample`` in a window with buckets of ``width``, and as a failure more, or the end of those in a row.

        What there is now, or None.
        """
        ...

    def tally(self, now: float) -> Tally:
        """What `count` has counted, as it stands ``now``."""
        ...

    def take_probe(self, word: int, most: int) -> bool:
        """Count one more probe inside; False when there are ``most``."""
        ...

    def end_probe(self, word: int) -> None:
        """Count one probe less. Called once for each `take_probe` that returned True."""
        ...

    def hand_over(self) -> BreakerNumbers:
        """The breaker of this process goes on in another store. The next one that uses this store begins."""
        ...

    def take_over(self, numbers: BreakerNumbers) -> None:
        """Go on from the ``numbers`` of another store. The word stays, and with it what was given under it."""
        ...


_KEPT_OUTCOMES: Final = 128
_KEPT_MOVES: Final = 32


class MemoryBreakerStore:
    """The breaker of one process."""

    __slots__ = ("_window", "moves", "numbers", "outcomes", "probes", "since")

    def __init__(self) -> None:
        self.numbers = [0, 0]
        self.since = 0.0
        self.probes = 0
        self.outcomes: deque[Judged] = deque(maxlen=_KEPT_OUTCOMES)
        self.moves: deque[Move] = deque(maxlen=_KEPT_MOVES)
        self._window = Window([0] * CELLS)

    @property
    def word(self) -> int:
        return self.numbers[WORD]

    @property
    def failures(self) -> int:
        return self.numbers[FAILURES]

    def begin(self, now: float) -> None:
        if not self.word:
            self._next(CLOSED, now)

    def enter(
        self,
        word: int,
        state: int,
        now: float,
        cause: str,
        by: str = "",
        after: float = 0.0,
        figures: Figures | None = None,
    ) -> bool:
        if word != self.word or (after and now - self.since < after):
            return False
        self.moves.append(Move(now, State(word & STATE_OF), State(state), cause, by, tuple(self.outcomes), figures))
        self.outcomes.clear()
        self._next(state, now)
        return True

    def keep(self, word: int, judged: Judged) -> None:
        if word == self.word:
            self.outcomes.append(judged)

    def fail(self, word: int) -> int:
        if word != self.word:
            return 0
        self.numbers[FAILURES] += 1
        return self.failures

    def forgive(self, word: int) -> None:
        if word == self.word:
            self.numbers[FAILURES] = 0

    def count(self, word: int, width: int, sample: Sample) -> Tally | None:
        numbers = self.numbers
        if word != numbers[WORD]:
            return None
        numbers[FAILURES] = run = numbers[FAILURES] + 1 if sample.failed else 0
        return self._window.add(word, width, sample, run)

    def tally(self, now: float) -> Tally:
        return self._window.tally(self.word, now, self.failures)

    def take_probe(self, word: int, most: int) -> bool:
        if word != self.word or self.probes >= most:
            return False
        self.probes += 1
        return True

    def end_probe(self, word: int) -> None:
        if word == self.word:
            self.probes -= 1

    def hand_over(self) -> BreakerNumbers:
        numbers = BreakerNumbers(
            self.word,
            self.since,
            self.failures,
            self.probes,
            tuple(self.outcomes),
            tuple(self.moves),
            self._window.saved(),
        )
        self.numbers[WORD] = self.probes = 0
        self._window.clear()
        return numbers

    def take_over(self, numbers: BreakerNumbers) -> None:
        word, self.since, failures, self.probes, outcomes, moves, window = numbers
        self.numbers[:] = word, failures
        self.outcomes = deque(outcomes, maxlen=_KEPT_OUTCOMES)
        self.moves = deque(moves, maxlen=_KEPT_MOVES)
        self._window.load(window)

    def _next(self, state: int, now: float) -> None:
        self.numbers[WORD] = ((self.word >> 2) + 1) << 2 | state
        self.since = now
        self.probes = 0
        if state == CLOSED:
            self.numbers[FAILURES] = 0

"""What an adaptive limit has learnt, and where it is kept: in the memory of a process, or in a page that several share.

A process changes all of it in one step (`LearnedStore.update`), a few times a second. What each process has at the
upstream stands in the store for itself, and decisions are made on the sums. So there is one limit, whichever process
decides.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Final, NamedTuple, Protocol

KEPT_DECISIONS: Final = 10
KEPT_SAMPLES: Final = 64
CAUSES: Final = ("probe", "late", "dropped", "relearn", "bounds")
"""Why a decision was made: the limit was used up, and responses began in time; they began late; the upstream refused,
or did not respond; what is usual was forgotten; the configuration has other bounds."""


class Load(NamedTuple):
    """What is at the upstream now. ``begun``: those of ``sent`` whose response has begun; ``overdue``: those whose
    response is late already."""

    sent: int = 0
    begun: int = 0
    overdue: int = 0


class Decision(NamedTuple):
    """A decision, with the figures that it was made on. ``at``: a reading of the monotonic clock."""

    at: float
    old: int
    new: int
    cause: str
    """One of `CAUSES`."""
    sent: int
    """As in `Load`, like the next two."""
    begun: int
    overdue: int
    timely: float
    """The newest outcomes, where older ones weigh less: responses in time, late ones, and drops."""
    late: float
    dropped: float
    usual: float
    """Seconds to the first byte, on average, of responses in time."""
    bound: float
    """Seconds after which a response is late; 0.0: not known."""
    busy: float
    """Requests that the upstream worked on at a time, as far as could be seen; 0.0: none, or not known."""


@dataclass(slots=True)
class Learned:
    """All that is known. Times are readings of the monotonic clock, 0.0: never. ``limit`` 0: nothing is known."""

    limit: int = 0
    changed_at: float = 0.0
    raised_at: float = 0.0
    """The last probe began."""
    rest_until: float = 0.0
    """No probe before."""
    rest: float = 0.0
    """Seconds of the last rest."""
    looked_at: float = 0.0
    timely: float = 0.0
    """As in `Decision`, like the next two, since the last change."""
    late: float = 0.0
    dropped: float = 0.0
    proved: bool = False
    """A request that took one of the last permits since the change had its response in time."""
    span: float = 0.0
    """Seconds, of which older ones weigh less, for which responses have been late without a break. In that time:"""
    area: float = 0.0
    """the sum of begun responses over the seconds,"""
    begins: float = 0.0
    """and the number of responses that began."""
    misjudged: int = 0
    """Late responses since the change, while the upstream worked on all that it had."""
    sampled_at: float = 0.0
    slow: float = math.inf
    """Seconds to the first byte of a slow response in time; it may fall at once, and rises slowly."""
    samples: list[float] = field(default_factory=list)
    """Seconds to the first byte of the newest responses in time, oldest first."""
    decisions: list[Decision] = field(default_factory=list)
    """The newest, oldest first."""

    def copy(self) -> Learned:
        return replace(self, samples=[*self.samples], decisions=[*self.decisions])


Change = Callable[[Learned, Load], float]
"""Changes what is known, by what all processes have at the upstream; the seconds after which a response is late."""


class LearnedStore(Protocol):
    """Keeps what an adaptive limit has learnt."""

    @property
    def bound(self) -> float:
        """Seconds after which a response is late, as the last `Change` said; inf: not known."""
        ...

    def update(self, load: Load, change: Change) -> None:
        """Make a ``change``, and no process makes another one meanwhile. ``load``: of this process."""
        ...

    def read(self) -> Learned:
        """A copy of what is known."""
        ...

    def write(self, learned: Learned, bound: float) -> None:
        """Go on from what another store had."""
        ...


class MemoryLearnedStore:
    """That of one process."""

    __slots__ = ("_learned", "bound")

    def __init__(self) -> None:
        self._learned = Learned()
        self.bound = math.inf

    def update(self, load: Load, change: Change) -> None:
        """As `LearnedStore.update`."""
        self.bound = change(self._learned, load)

    def read(self) -> Learned:
        """As `LearnedStore.read`."""
        return self._learned.copy()

    def write(self, learned: Learned, bound: float) -> None:
        """As `LearnedStore.write`."""
        self._learned, self.bound = learned.copy(), bound

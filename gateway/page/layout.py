"""Where each number lies in the shared page. A cell has 8 bytes, and is read and written whole.

    block 0       the page itself: what it is, and the lock of its directory
    block 1, 2..  a slab each: the cells of one limiter, breaker or rate limit, then the ring of its waiters
    areas         one for each slab: the table of a rate limit

Truth and cache. In a slab ``HELD``, ``PROBES``, ``HEAD``, ``TAIL`` and the ring are the truth. ``TOTAL``, ``PROBING``
and ``WAITING`` are sums of them, which are computed again when a holder of the lock has died.
"""

from __future__ import annotations

from typing import Final

CELL: Final = 8
SLOTS: Final = 65
"""Processes at once, 64 of them; slot `QUARANTINE` belongs to none."""
QUARANTINE: Final = SLOTS - 1
"""Holds the permits of the dead until the endpoint has seen their end, too."""
CELLS: Final = 2048
"""Of a block, before its ring."""
RING: Final = 1 << 17
"""Bytes: one for each place in a queue, of which a configuration may have 100,000."""
BLOCK: Final = CELLS * CELL + RING
MAX_SLABS: Final = 8191
SIZE: Final = BLOCK * (MAX_SLABS + 1)

AREAS: Final = -(-SIZE // (1 << 20)) << 20
"""Where the areas begin: one for each slab, for the table of a rate limit. Untouched ones take no memory."""
AREA: Final = 24 << 20
"""Bytes of an area: a table of 1,500,000 slots of 16 bytes."""
WITH_AREAS: Final = AREAS + MAX_SLABS * AREA
"""Bytes of the file from the first area that is used. It never gets another length, so no process takes away what
another one has.
"""

# Of block 0, where its lock, which is that of a slab, needs no cell.
SEED: Final = CELLS - 8
"""Two cells: what the keys of rate limits are hashed with, so that no one can make keys that collide."""
ORDER: Final = CELLS - 6
"""Of the supervisor to the only worker, a number that grows: odd, share your limits; even, keep them for yourself.
0: there are several workers, which always share.
"""
REUSED: Final = CELLS - 5
"""How often a slab was given to another limiter or breaker."""
MAGIC: Final = CELLS - 4
VERSION: Final = CELLS - 3
USED: Final = CELLS - 2
"""Slabs that were ever used: the first so many."""
FILE_LOCKS: Final = CELLS - 1
"""1: the locks are those of a file, because this system does not give a mutex back when its holder dies."""

# Of a slab.
IN_USE: Final = 0
LIMIT: Final = 1
TOTAL: Final = 2
HEAD: Final = 3
TAIL: Final = 4
WAITING: Final = 5
MAX_WAITING: Final = 6
HOLD: Final = 7
MUTEX: Final = 8
JOURNALED: Final = 16
JOURNAL: Final = 17
JOURNAL_PAIRS: Final = 8
DIRTY: Final = 40
"""1 while a lock of a file is held."""
KEY: Final = 44
KEY_CELLS: Final = 4
WORD: Final = 48
FAILURES: Final = 49
SINCE: Final = 50
PROBING: Final = 51
NEXT_OUTCOME: Final = 52
NEXT_MOVE: Final = 53
CONNECTIONS: Final = 41
SCHEDULE: Final = 54
SCHEDULE_CELLS: Final = 7
RATE_INTERVAL: Final = 42
"""`gateway.policy.rate_store.RateTable.interval`."""
RATE_SLOTS: Final = 61
"""Slots of the table of a rate limit; 0: it is to be cleared first."""
RATE_COUNTS: Final = 62
"""Two cells: its `gateway.policy.rate_store.RateTable.counts`."""
HELD: Final = 64
PROBES: Final = HELD + SLOTS
ARRIVED: Final = PROBES + SLOTS
USERS: Final = ARRIVED + SLOTS
"""1 for each process that uses the slab."""
DUE: Final = USERS + SLOTS
"""Of a limiter."""
WINDOW: Final = DUE
"""Of a breaker."""
OUTCOMES: Final = 640
RECORD_CELLS: Final = 16
KEPT_OUTCOMES: Final = 64
MOVES: Final = OUTCOMES + RECORD_CELLS * KEPT_OUTCOMES
KEPT_MOVES: Final = 16
OPEN: Final = MOVES + RECORD_CELLS * KEPT_MOVES
"""Connections of each process to the upstream."""

# Of the slab of a limiter, which has no outcomes and moves.
LEARNED: Final = OUTCOMES
"""What an adaptive limit has learnt: its numbers, of which there is room for 32;"""
LOADS: Final = LEARNED + 32
"""what each process has at the upstream;"""
LOAD_CELLS: Final = 3
SAMPLES: Final = LOADS + SLOTS * LOAD_CELLS
"""64 samples; and its decisions."""
DECISIONS: Final = SAMPLES + 64
DECISION_CELLS: Final = 16
OBEYED: Final = OUTCOMES
"""Of block 0, which has no outcomes: the last `ORDER` that each process has obeyed."""

RING_AT: Final = 1 << 32
"""An address in a journal from here on is a byte of the ring."""

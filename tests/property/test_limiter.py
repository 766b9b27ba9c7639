"""The limiter against a plain model: 100,000 random steps of clients that come, wait, lose patience, leave and return
permits, some of them twice, several within one turn of the event loop, on a clock that the test turns.

With restarts, it is the limiter of one process alone, which another one replaces again and again. The model stays what
it is, because no client must notice.
"""

from __future__ import annotations

import asyncio
import math
import random
from collections import Counter
from dataclasses import dataclass
from typing import cast

import pytest
from unit.page.stage import PageStage, page_stage

from gateway.core.outcome import Outcome
from gateway.page.permits import PagePermitStore
from gateway.policy.limiter import Limiter
from gateway.policy.machine import REFUSED
from gateway.policy.retry_after import MAX_RETRY_AFTER
from gateway.policy.store import MemoryPermitStore

STEPS = 10_000
SEEDS = 10


class TurnedByHand(asyncio.SelectorEventLoop):
    """An event loop whose time stands still until ``now`` is moved."""

    now = 0.0

    def time(self) -> float:
        return self.now


@dataclass(eq=False)
class Client:
    number: int
    limiter: Limiter
    task: asyncio.Task[int]
    patience_ends: float
    left: bool = False
    """Its task was cancelled in this turn of the loop."""


class Model:
    """Permits are a number and waiters a list."""

    def __init__(self, permits: int, room: int) -> None:
        self.permits = permits
        self.room = room
        self.used = 0
        self.line: list[Client] = []
        self.admitted: list[Client] = []
        """Those who got a permit in this turn, and have not woken to it."""
        self.refused: list[Client] = []
        self.gone: list[Client] = []

    def admit(self) -> None:
        while self.line and self.used < self.permits:
            client = self.line.pop(0)
            if not client.left:
                self.used += 1
                self.admitted.append(client)

    def give_back(self) -> None:
        self.used -= 1
        self.admit()

    def leave(self, client: Client) -> None:
        client.left = True
        self.gone.append(client)

    def turn(self, now: float) -> None:
        """The loop turns: those who left go, what they had been given is passed on, then patience ends."""
        for client in self.gone:
            if client in self.admitted:
                self.admitted.remove(client)
                self.give_back()
        self.line = [client for client in self.line if not client.left]
        self.refused += [client for client in self.line if client.patience_ends <= now]
        self.line = [client for client in self.line if client.patience_ends > now]


class Walk:
    def __init__(self, seed: int, loop: TurnedByHand) -> None:
        self.dice = random.Random(seed)
        self.loop = loop
        self.model = Model(3, 6)
        self.limiter = Limiter(3, 6, clock=loop.time)
        """That of the newest process."""
        self.seen: Counter[str] = Counter()
        self.order: list[int] = []
        self.permits: list[tuple[Limiter, int]] = []
        """Those that are known to somebody; a waiter knows its own when it wakes."""
        self.released: list[tuple[Limiter, int]] = []
        self.clients = 0
        self.too_late = 0
        """Clients who left in the moment between being given a permit and waking to it."""

    async def run(self) -> None:
        while self.seen.total() < STEPS:
            if self.dice.random() < 0.4:
                self.arrive()
            else:
                for _ in range(self.dice.randint(1, 4)):
                    self.dice.choice(
                        (
                            self.try_one,
                            self.give_back,
                            self.give_back,
                            self.give_back_again,
                            self.leave,
                            self.leave,
                            self.resize,
                            self.wait,
                            self.restart,
                        )
                    )()
                    self.hear()
            await self.turn()
            self.model.turn(self.loop.now)
            self.compare()
        await self.empty()

    async def turn(self) -> None:
        for _ in range(4):
            await asyncio.sleep(0)

    def hear(self) -> None:
        """Nothing, from no other process."""

    # -- steps

    def restart(self) -> None:
        self.seen["restarted"] += 1

    @property
    def chosen(self) -> Limiter:
        """The limiter to which a request comes."""
        return self.limiter

    def arrive(self) -> None:
        """One comes to wait if it must; alone in its turn, so that the model needs no notion of who runs first."""
        self.seen["arrived"] += 1
        model, self.clients = self.model, self.clients + 1
        patience = self.dice.choice((None, None, 0.0, 1.0, 5.0))
        limiter = self.chosen
        task = self.loop.create_task(limiter.acquire(patience))
        client = Client(self.clients, limiter, task, math.inf if patience is None else self.loop.now + patience)
        if model.used < model.permits:
            model.used += 1
            model.admitted.append(client)
        elif patience == 0.0 or len(model.line) >= model.room:
            model.refused.append(client)
        else:
            model.line.append(client)

    def try_one(self) -> None:
        self.seen["tried"] += 1
        there = self.model.used < self.model.permits
        limiter = self.chosen
        permit = limiter.try_acquire()
        assert (permit != REFUSED) is there
        self.model.used += there
        if there:
            self.permits.append((limiter, permit))

    def give_back(self) -> None:
        self.seen["gave back"] += 1
        if self.permits:
            limiter, permit = self.permits.pop(self.dice.randrange(len(self.permits)))
            limiter.release(permit, Outcome.IGNORED, self.dice.random())
            self.released.append((limiter, permit))
            self.model.give_back()

    def give_back_again(self) -> None:
        """What the model knows nothing of, since it changes nothing."""
        self.seen["gave back again"] += 1
        limiter, permit = self.dice.choice([(self.limiter, REFUSED), *self.released[-20:]])
        extra, hold = limiter.extra_releases, limiter.hold
        limiter.release(permit, Outcome.FAILURE, 9.0)
        assert (limiter.extra_releases, limiter.hold) == (extra + 1, hold)

    def leave(self) -> None:
        """One leaves who waits, or who has just been given a permit and has not woken to it."""
        who = [client for client in self.model.line + self.model.admitted if not client.left]
        if who:
            client = self.dice.choice(who)
            self.seen["left"] += 1
            self.too_late += client in self.model.admitted
            assert client.task.cancel()
            self.model.leave(client)

    def resize(self) -> None:
        if self.dice.random() < 0.2:
            self.seen["resized"] += 1
            self.model.permits = self.dice.randint(1, 6)
            self.model.room = self.dice.randint(0, 9)
            self.limiter.resize(self.model.permits, self.model.room)
            self.model.admit()

    def wait(self) -> None:
        self.seen["waited"] += 1
        self.loop.now += self.dice.choice((0.5, 1.0, 2.0))

    # -- what must hold after each turn

    def compare(self) -> None:
        limiter, model = self.limiter, self.model
        assert limiter.in_flight == model.used
        assert limiter.waiting == len(model.line)
        assert limiter.available == max(0, model.permits - model.used)
        assert not (limiter.waiting and limiter.available), "nobody waits beside a free permit"
        assert 1 <= limiter.peek_retry_after() <= MAX_RETRY_AFTER
        for client in model.admitted:
            assert client.task.result() != REFUSED
            self.permits.append((client.limiter, client.task.result()))
            self.order.append(client.number)
        for client in model.refused:
            assert client.task.result() == REFUSED
        assert all(client.task.cancelled() for client in model.gone)
        assert not any(client.task.done() for client in model.line)
        model.admitted.clear()
        model.refused.clear()
        model.gone.clear()

    async def empty(self) -> None:
        """Everybody goes home: all permits are back, and none is too many."""
        line = list(self.model.line)
        for client in line:
            client.task.cancel()
        await asyncio.gather(*(client.task for client in line), return_exceptions=True)
        await self.turn()
        extra = self.limiter.extra_releases
        assert len(self.permits) == len(set(self.permits)) == self.model.used
        for limiter, permit in self.permits:
            limiter.release(permit)
        assert (self.limiter.in_flight, self.limiter.waiting, self.limiter.extra_releases) == (0, 0, extra)


@pytest.mark.covers("FR-010", "SC-005", "T056")
@pytest.mark.parametrize("seed", range(SEEDS))
def test_no_permit_is_lost_or_doubled(seed: int) -> None:
    with asyncio.Runner(loop_factory=TurnedByHand) as runner:
        loop = runner.get_loop()
        assert isinstance(loop, TurnedByHand)
        walk = Walk(seed, loop)
        runner.run(walk.run())
    assert walk.order == sorted(walk.order), "served in the order of arrival"
    for step in ("arrived", "tried", "gave back", "gave back again", "left", "resized", "waited"):
        assert walk.seen[step] > STEPS / 100, f"the walk saw too little: {walk.seen}"
    assert len(walk.order) > STEPS / 10
    assert walk.too_late > STEPS / 200


class Restarted(Walk):
    """The limiter of a process alone is in its memory, and in the page while another one takes over from it."""

    def __init__(self, seed: int, loop: TurnedByHand, stage: PageStage) -> None:
        super().__init__(seed, loop)
        self.stage = stage
        self.page, self.other = stage.pages
        self.old: Limiter | None = None
        """That of the process that is replaced; both are used until it drains."""
        self.drains = False

    @property
    def chosen(self) -> Limiter:
        both = self.old is not None and not self.drains and self.dice.random() < 0.5
        return self.old if both and self.old is not None else self.limiter

    def restart(self) -> None:
        """The next step of a restart."""
        if self.old is None:
            self.old = self.limiter
            self.old.move(self.page.permits("ai"))
            self.limiter = Limiter(self.model.permits, self.model.room, self.loop.time, self.other.permits("ai"))
        elif not self.drains:
            self.drains = True
        elif not self.old.held and not self.old.own_waiting:
            self.page.forget(self.old.store)
            self.stage.supervisor.bury(self.page.slot)()
            shared = self.limiter.store
            self.limiter.move(MemoryPermitStore(self.loop.now))
            self.other.forget(shared)
            self.released = [each for each in self.released if each[0] is self.limiter]
            self.page, self.other = self.other, self.page
            self.old, self.drains = None, False
            self.seen["restarted"] += 1

    def hear(self) -> None:
        """News from another process comes by a doorbell; here at once, because the model knows no delay."""
        for _ in range(2):  # one may wake the other to pass a permit on
            for page in self.stage.pages:
                page._rung()

    async def turn(self) -> None:
        for _ in range(3):
            await super().turn()
            self.hear()
        await super().turn()

    def compare(self) -> None:
        super().compare()
        if self.old is not None:
            assert (self.old.in_flight, self.old.waiting) == (self.model.used, len(self.model.line))
            cast(PagePermitStore, self.old.store).slab.check()


@pytest.mark.parametrize("seed", range(3))
def test_no_permit_is_lost_or_doubled_while_the_process_is_replaced(seed: int) -> None:
    with page_stage(2) as stage, asyncio.Runner(loop_factory=TurnedByHand) as runner:
        loop = runner.get_loop()
        assert isinstance(loop, TurnedByHand)
        walk = Restarted(seed, loop, stage)
        runner.run(walk.run())
    assert walk.order == sorted(walk.order), "served in the order of arrival, in whatever process"
    assert walk.seen["restarted"] > STEPS / 200, f"the walk saw too little: {walk.seen}"
    assert walk.too_late > STEPS / 400

"""All workers, as the control process sees them: each gets the configuration, or none does.

A worker that dies is replaced by one that knows nothing: it gets the configuration and the credentials before it
accepts connections. One that could not follow a change is killed, and so replaced, because it would serve callers by a
configuration that the others have left.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final, TypeVar

from gateway.config.records import Credentials, Document
from gateway.ipc import merge
from gateway.ipc.channel import ChannelError, RefusedError
from gateway.ipc.client import Worker, WorkerClient
from gateway.ipc.explanation import Explanation
from gateway.ipc.messages import BreakerPulse, InForce, Inspection, Prepared, ProxyState, Refusals
from gateway.ipc.tokens import AccessToken, Wanted

_log = logging.getLogger("gateway")

_PING_SECONDS: Final = 0.1
_RETRY_SECONDS: Final = 0.05
Result = TypeVar("Result")


class Fleet(Inspection):
    """Keeps the configuration and the credentials of ``workers`` current, and answers for all of them together.

    ``seated``: the ids of the processes that run now, by place. ``kill``: ends a process that cannot follow, by its
    place and id. Every operation raises `ChannelError` when no worker responds.
    """

    def __init__(
        self,
        workers: Sequence[Worker],
        seated: Callable[[], Mapping[int, int]],
        kill: Callable[[int], object] = lambda pid: os.kill(pid, signal.SIGKILL),
    ) -> None:
        self.workers = workers
        self._seated = seated
        self._kill = kill
        self._lock = asyncio.Lock()
        self._document: Document | None = None
        self._applied: Document | None = None
        """What the workers serve; None: nothing."""
        self._credentials = Credentials()
        self._wanted: set[str] = set()
        self._tokens: Mapping[str, AccessToken] = {}
        self.on_tokens_wanted: Callable[[Sequence[Wanted]], None] = lambda wanted: None
        """Gets the access tokens that calls need, as soon as a worker says so."""
        self._refusals = merge.RefusalLog()
        self._reading = asyncio.Lock()
        """Held while refusals are fetched, so that none is fetched twice."""
        self.in_force = InForce(0, ())
        """What the workers said last."""

    # -- how they stand

    @property
    def responding(self) -> list[Worker]:
        return [worker for worker in self.workers if worker.health is not None]

    @property
    def reachable(self) -> bool:
        """A worker responds."""
        return bool(self.responding)

    @property
    def draining(self) -> bool:
        """No worker takes new connections any more."""
        return self.reachable and all(worker.leaves for worker in self.responding)

    def take_wanted(self) -> list[str]:
        """Addresses of key sets in which tokens named keys that are missing, since the last call."""
        wanted, self._wanted = self._wanted, set()
        return sorted(wanted)

    def asked(self) -> list[Worker]:
        """Those that can respond to a question."""
        return self.responding or self._present()

    def follows(self, worker: Worker) -> bool:
        """Whether the process that runs at its place has the configuration."""
        return worker.pid > 0 and self._seated().get(worker.place) == worker.pid

    async def aclose(self) -> None:
        for worker in self.workers:
            await worker.client.aclose()

    # -- the configuration

    async def apply(self, document: Document) -> InForce:
        """Apply ``document`` on all workers. Raises `RefusedError`, changing nothing, when one cannot serve it.

        Raises `ChannelError` when no worker responds: they get the document as soon as they are back.
        """
        async with self._lock:
            before, self._document = self._document, document
            present = self._present()
            if document == self._applied and all(worker.current for worker in present):
                await self._all(present, WorkerClient.ping)
                if all(worker.current for worker in present):
                    return self.in_force  # to apply it again would cost time that traffic needs
            try:
                await self._apply(present, document)
            except RefusedError:
                self._document = before
                raise
            return self.in_force

    async def _apply(self, present: Sequence[Worker], document: Document) -> None:
        ready: dict[Worker, Prepared] = {}
        failures: dict[Worker, ChannelError] = {}

        async def prepare(worker: Worker) -> None:
            try:
                await self._introduce(worker)
                ready[worker] = await worker.client.prepare(document)
            except ChannelError as error:
                if not await self._drains(worker):
                    failures[worker] = error

        await asyncio.gather(*map(prepare, present))
        refused = {worker.slot: str(error) for worker, error in failures.items() if isinstance(error, RefusedError)}
        if refused:
            await asyncio.gather(*(worker.client.abandon() for worker in ready), return_exceptions=True)
            raise RefusedError(merge.refusal(refused, of=len(present)))
        generation = self._number(list(ready.values()))
        committed = 0

        async def commit(worker: Worker) -> None:
            nonlocal committed
            try:
                self.in_force = await worker.client.commit(generation)
                self._know(worker)
                committed += 1
            except ChannelError as error:
                if not await self._drains(worker):
                    failures[worker] = error

        await asyncio.gather(*map(commit, ready))
        if not committed:
            raise next(iter(failures.values()), ChannelError("no worker is there to take the configuration"))
        self._applied = document
        for worker, error in failures.items():
            self._replace(worker, error)

    @staticmethod
    async def _drains(worker: Worker) -> bool:
        """Whether it has just begun to drain: then it refuses every change, and none concerns it."""
        try:
            health = await worker.client.ping()
        except ChannelError:
            return False
        if health.draining:
            worker.health = health
        return health.draining

    @staticmethod
    def _number(ready: Sequence[Prepared]) -> int:
        """Of the configuration: the one that it has already, when a worker serves it, else the next."""
        same = [each.generation for each in ready if not each.changed]
        return max(same, default=max((each.generation for each in ready), default=0) + 1)

    def _replace(self, worker: Worker, error: ChannelError) -> None:
        """End a process that has not followed; one that is only about to start gets everything when it responds."""
        pid = self._seated().get(worker.place, 0)
        worker.health, worker.synced = None, 0
        if pid and pid == worker.pid:
            _log.error("worker %d has not followed a change of the configuration and is killed: %s", worker.slot, error)
            worker.pid = 0
            with contextlib.suppress(ProcessLookupError):  # it has just ended by itself
                self._kill(pid)

    def _present(self) -> list[Worker]:
        """Those that a change concerns. At the start they are all that have a process: none responds yet."""
        seated = self._seated()
        return [
            worker
            for worker in self.workers
            if worker.place in seated
            and not worker.leaves
            and (self._applied is None or worker.health is not None or worker.pid == seated[worker.place])
        ]

    async def identify(self, credentials: Credentials) -> None:
        """Send the credentials to all. Raises `ChannelError`: who did not get them gets them when it is back."""
        async with self._lock:
            self._credentials = credentials
            failures = await asyncio.gather(*(self._identify(worker) for worker in self._present()))
        for error in failures or [ChannelError("no worker is there")]:
            if error is not None:
                raise error

    async def _identify(self, worker: Worker) -> ChannelError | None:
        try:
            await worker.client.identify(self._credentials)
        except ChannelError as error:
            worker.synced = 0
            return error
        return None

    async def supply(self, tokens: Mapping[str, AccessToken]) -> None:
        """Give the access tokens to all; who does not get them gets them when it is back."""
        self._tokens = tokens
        await asyncio.gather(*map(self._supply, self._present()))

    async def _supply(self, worker: Worker) -> None:
        try:
            await worker.client.supply(self._tokens)
        except RefusedError:
            pass  # a worker of an older version, which has no such calls
        except ChannelError:
            worker.synced = 0

    # -- a worker that comes back

    async def keep_synced(self) -> None:
        """Watch the workers until cancelled: a new one gets everything at once."""
        async with asyncio.TaskGroup() as tasks:
            for worker in self.workers:
                tasks.create_task(self._watch(worker), name=f"watch place {worker.place}")

    async def _watch(self, worker: Worker) -> None:
        while True:
            pid = self._seated().get(worker.place, 0)
            if not pid:
                worker.health = None
                await asyncio.sleep(_PING_SECONDS)
                continue
            try:
                health = await worker.client.ping()
                self._wanted.update(health.wanted)
                if health.tokens:
                    self.on_tokens_wanted(health.tokens)
                if not worker.current and not health.draining:
                    async with self._lock:
                        await self._tell(worker)
                worker.health = health
                worker.complaint = ""
                pause = _PING_SECONDS
            except ChannelError as error:
                if self._seated().get(worker.place, 0) == pid:
                    self._complain(worker, error)
                worker.health = None  # also of a process that has ended meanwhile, as it should in a restart
                pause = _RETRY_SECONDS
            await asyncio.sleep(pause)

    def _complain(self, worker: Worker, error: ChannelError) -> None:
        """Once about a worker that responded before, and once about each reason for which one refuses."""
        if str(error) != worker.complaint and (worker.health is not None or isinstance(error, RefusedError)):
            _log.error("%s", error)
            worker.complaint = str(error)

    async def _introduce(self, worker: Worker) -> None:
        """Make sure that the process there has the credentials."""
        await worker.client.ping()
        if not worker.current:
            await self._inform(worker)

    async def _inform(self, worker: Worker) -> None:
        """Send what needs no agreement of the others."""
        await worker.client.identify(self._credentials)
        if self._tokens:
            await self._supply(worker)

    async def _tell(self, worker: Worker) -> None:
        """Send everything to one worker. Should its channel break meanwhile, the next watch sees another number."""
        await worker.client.ping()
        await self._inform(worker)
        if self._document is None:
            return
        try:
            prepared = await worker.client.prepare(self._document)
        except RefusedError as error:
            if self._applied is None or self._document == self._applied:
                raise
            # No worker was there when it came. What was served before is better than nothing.
            _log.error(
                "the newest configuration is rejected, configuration %d stays: %s", self.in_force.generation, error
            )
            self._document = self._applied
            prepared = await worker.client.prepare(self._document)
        if self._document == self._applied:
            generation = self.in_force.generation
        else:
            generation = max(self.in_force.generation, prepared.generation) + prepared.changed
        self.in_force = await worker.client.commit(generation)
        self._applied = self._document
        self._know(worker)

    def _know(self, worker: Worker) -> None:
        worker.synced = worker.client.dials
        worker.pid = self._seated().get(worker.place, 0)

    # -- what operators ask

    async def each(
        self, operation: Callable[[WorkerClient], Awaitable[Result]], most: int | None = None
    ) -> dict[Worker, Result]:
        """The results of those that respond, by worker; of ``most`` of them. Raises `ChannelError` when none does."""
        found, failures = await self._all(self.asked()[:most], operation)
        if not found:
            raise failures[0] if failures else ChannelError("no worker responds")
        return found

    @staticmethod
    async def _all(
        workers: Sequence[Worker], operation: Callable[[WorkerClient], Awaitable[Result]]
    ) -> tuple[dict[Worker, Result], list[ChannelError]]:
        found: dict[Worker, Result] = {}
        failures: list[ChannelError] = []

        async def ask(worker: Worker) -> None:
            try:
                found[worker] = await operation(worker.client)
            except ChannelError as error:
                failures.append(error)

        await asyncio.gather(*map(ask, workers))
        return {worker: found[worker] for worker in workers if worker in found}, failures

    async def state(self) -> Mapping[str, ProxyState]:
        return merge.states(list((await self.each(WorkerClient.state)).values()))

    async def take_used(self) -> Mapping[str, float]:
        return merge.latest(list((await self.each(WorkerClient.take_used)).values()))

    async def reset_breaker(self, name: str, by: str) -> bool:
        # One is enough: all share the breaker.
        return any((await self.each(lambda client: client.reset_breaker(name, by), most=1)).values())

    async def breakers(self) -> Mapping[str, BreakerPulse]:
        return merge.pulses(list((await self.each(WorkerClient.breakers)).values()))

    async def explain(self, name: str) -> Explanation | None:
        found = await self.each(lambda client: client.explain(name))
        found_by = [(worker, each) for worker, each in found.items() if each is not None]
        stay, leave = ([(w.slot, each) for w, each in found_by if w.leaves is leaves] for leaves in (False, True))
        return merge.explanations(stay, leave) if found_by else None

    async def find(self, request_id: str) -> Mapping[str, object] | None:
        found = await self.each(lambda client: client.find(request_id))
        for worker, line in found.items():
            if line is not None:
                return line if len(found) == 1 else {**line, "worker": worker.slot}
        return None

    async def refusals(self, since: int, most: int) -> Refusals:
        """The lines of all workers, by the time of their arrival here; ``since`` counts them together."""
        log, several = self._refusals, len(self.responding) > 1
        new: list[dict[str, object]] = []

        async def fetch(worker: Worker) -> None:
            known = log.cursor(worker.place)
            found = await worker.client.refusals(known, most)
            if found["next"] < known:  # another process, which counts from 0
                found = await worker.client.refusals(0, most)
            log.advance(worker.place, found["next"])
            new.extend({**line, "worker": worker.slot} if several else line for line in found["items"])

        async with self._reading:
            results = await asyncio.gather(*map(fetch, self.responding), return_exceptions=True)
            log.add(new)
        failures = [error for error in results if isinstance(error, BaseException)]
        if failures and len(failures) == len(results):
            raise failures[0]
        count, items = log.since(since, most)
        return {"next": count, "items": items}

"""The control process: owns configuration file, database and admin API, and sends the workers their configuration.

When it dies the supervisor starts another, which reads everything again.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import pathlib
import signal
import sys
from collections.abc import Callable, Sequence
from typing import Final

from gateway import launch
from gateway.admin.password import PasswordHasher
from gateway.admin.service import Administration
from gateway.api.server import AdminListener
from gateway.config.errors import ConfigError
from gateway.control.admission import admit, admit_later, why_away
from gateway.control.composer import Composer
from gateway.control.declared import DeclaredFile
from gateway.control.followers import Followers
from gateway.control.issuers import Issuers
from gateway.control.live import LiveGateway
from gateway.control.memory_watch import MemoryWatch
from gateway.control.metrics.telemetry import Telemetry
from gateway.control.options import Options
from gateway.control.renewal import Renewal
from gateway.control.report import Report
from gateway.control.status_socket import StatusSocket
from gateway.control.sync import Sync
from gateway.control.workforce import Workforce
from gateway.core.tasks import Tasks
from gateway.grants.authorizer import Authorizer
from gateway.grants.broker import Broker
from gateway.grants.endpoint import TokenEndpoint
from gateway.grants.provider import Provider
from gateway.ipc.channel import ChannelClient, ChannelError, operations
from gateway.ipc.client import Worker, WorkerClient
from gateway.ipc.dispatch import Dispatch
from gateway.ipc.fleet import Fleet
from gateway.ipc.messages import DataPlane
from gateway.observe.counters import CounterMap
from gateway.observe.process_log import begin_process_log
from gateway.store.errors import StoreError
from gateway.store.keys import KeyRing
from gateway.store.store import Store
from gateway.workers import confinement
from gateway.workers.greeting import SIGHUP
from gateway.workers.inherited import channel
from gateway.workers.parent_watch import parent_watch
from gateway.workers.pulse import beating
from gateway.workers.roster import Roster
from gateway.workers.signals import signals

_log = logging.getLogger("gateway")

_END_SECONDS: Final = 5.0


class Process:
    """From the command line to the exit code."""

    def __init__(
        self,
        options: Options,
        fleet: Fleet,
        roster: Roster,
        counters: Sequence[CounterMap],
        *,
        alive: int,
        ready: int,
        pulse: int,
    ) -> None:
        """``counters``: the maps of the workers, by place. The rest are ends of pipes."""
        self._options = options
        self._fleet = fleet
        self._roster = roster
        self._counters = counters
        self._supervisor = os.getppid()
        self._alive = alive
        self._ready = ready
        self._pulse = pulse
        self._stopping = asyncio.Event()
        self._tasks = Tasks(self._task_failed)
        self._code = 0

    async def run(self) -> int:
        """Serve until a signal, the supervisor's end or a task that failed; the exit code."""
        async with contextlib.AsyncExitStack() as stack:
            # First: the database may be slow, and the supervisor has to see that this process lives.
            stack.enter_context(beating(self._pulse))
            declared = DeclaredFile(self._options.config, os.environ, self._options.overrides.listen)
            url = declared.settings.database
            assert url is not None
            store = Store.barred(url, KeyRing.for_database(url, os.environ))
            stack.push_async_callback(store.aclose)
            away = await self._admit(store, url, file_serves=declared.settings.serves_without_database)
            plane = self._fleet
            stack.push_async_callback(plane.aclose)
            memory = MemoryWatch(plane, self._roster, lambda: declared.settings.worker_max_memory)
            provider = Provider(TokenEndpoint(destinations=lambda: declared.destinations))
            stack.push_async_callback(provider.aclose)
            broker = Broker(store.grants, provider.next_tokens, plane.supply)
            stack.push_async_callback(broker.aclose)
            plane.on_tokens_wanted = broker.want
            telemetry = Telemetry(
                self._counters, plane, self._roster, memory, lambda: declared.settings.certificates(), broker
            )
            stack.push_async_callback(telemetry.aclose)
            issuers = Issuers(store.key_sets, destinations=lambda: declared.destinations)
            stack.push_async_callback(issuers.aclose)
            report = Report(telemetry)
            composer = Composer(self._options, declared.env)
            config = self._options.config
            workforce = Workforce(self._roster, self._supervisor, config)
            renewal = Renewal(self._roster, workforce.restart, config, self._supervisor)
            sync = Sync(declared, store, plane, composer, issuers, report, renewal, broker)
            stack.push_async_callback(self._tasks.aclose)
            await sync.start(cold=away)
            live = LiveGateway(sync, report, plane, telemetry, workforce)
            status = StatusSocket(config, telemetry.workers)
            stack.push_async_callback(status.aclose)
            authorizer = Authorizer(broker, provider, store.grants, store.authorizations, store.tokens)
            await status.start()
            where = await self._listen(stack, declared, store, live, broker, authorizer)
            with signals(self._handlers(sync)), parent_watch(self._alive, self._stop):
                Followers(declared, store, plane, sync, issuers, memory, broker).start(self._tasks, away=away)
                if away:
                    self._tasks.start(admit_later(store, url), "wait for the database")
                os.write(self._ready, b".")
                renewal.begin(declared.settings)
                _log.info("%s%s", live.greeting(), where)
                await self._stopping.wait()
        return self._code

    async def _admit(self, store: Store, url: str, *, file_serves: bool) -> bool:
        """Use the database, or return True when it is unavailable and ``file_serves`` proxies without it.

        Without a proxy in the file nothing could be served: then the start waits for the database, or fails.
        """
        why = await why_away(url) if file_serves else ""
        if why:
            _log.error("the database is away, the proxies of the file are served and the rest follows: %s", why)
        else:
            await admit(store, url)
        return bool(why)

    async def _listen(
        self,
        stack: contextlib.AsyncExitStack,
        declared: DeclaredFile,
        store: Store,
        live: LiveGateway,
        broker: Broker,
        authorizer: Authorizer,
    ) -> str:
        """Open the admin listener until ``stack`` exits. Returns its address for the log; empty without one."""
        admin = declared.settings.admin
        if admin is None:
            return ""
        passwords = PasswordHasher()
        stack.push_async_callback(passwords.aclose)
        plane = self._fleet
        calls = Dispatch(plane)
        administration = Administration(
            store,
            declared,
            live,
            plane,
            calls,
            passwords=passwords,
            broker=broker,
            authorizer=authorizer,
            session_ttl=admin.session_ttl,
        )
        listener = AdminListener(administration, live, admin.address, admin.hosts, tls=declared.admin_tls)
        await listener.start()
        stack.push_async_callback(listener.aclose)
        return f"; admin on {listener.url}"

    def _task_failed(self, task: asyncio.Task[None]) -> None:
        # A process that silently stopped following is worse than none: the supervisor starts another.
        _log.error("to %s failed", task.get_name(), exc_info=task.exception())
        self._code = 1
        self._stop()

    def _stop(self) -> None:
        launch.end_within(_END_SECONDS, 1, logging.shutdown)
        self._stopping.set()

    def _handlers(self, sync: Sync) -> dict[int, Callable[[], object]]:
        return {
            signal.SIGTERM: self._stop,
            signal.SIGHUP: lambda: self._tasks.start(sync.reload(SIGHUP), "reload"),
            signal.SIGINT: lambda: None,  # a terminal sends it to the whole group; the supervisor decides
            signal.SIGUSR1: lambda: None,
            signal.SIGUSR2: lambda: None,
        }


def main(arguments: list[str]) -> int:
    """``arguments``: the `Options`, the folder of the channels, and the descriptors of the supervisor's two pipes, of
    the pipe to beat on, of the roster, and of the map of each place.
    """
    options, folder, *descriptors = arguments
    alive, ready, pulse, table, *maps = map(int, descriptors)
    begin_process_log()
    confinement.rename("gateway-control")
    confinement.seal()
    try:
        roster = Roster(len(maps) // 2, table)
        fleet = _fleet(pathlib.Path(folder), roster)
        counters = [CounterMap(each) for each in maps]
        process = Process(Options.decode(options), fleet, roster, counters, alive=alive, ready=ready, pulse=pulse)
        return asyncio.run(process.run())
    except ConfigError as error:
        _log.error("%s", error)
        return launch.BAD_CONFIGURATION
    except (StoreError, ChannelError, OSError) as error:
        _log.error("cannot start: %s", error)
        return 1


def _fleet(folder: pathlib.Path, roster: Roster) -> Fleet:
    table = operations(DataPlane)
    workers = [
        Worker(place, roster.slot_of(place), WorkerClient(ChannelClient(str(channel(folder, place)), table)))
        for place in range(2 * roster.workers)
    ]
    return Fleet(workers, roster.pids)


if __name__ == "__main__":  # a supervisor that began with an earlier version starts it like that
    sys.exit(main(sys.argv[1:]))

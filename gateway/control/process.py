"""The control process: owns configuration file, database and admin API, and tells the worker what is in force.

Traffic never waits for it. When it dies the supervisor starts another, which reads everything anew; while the database
is away, what was read last stays in force.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import pathlib
import signal
import sys
import time
from collections.abc import Callable, Collection, Coroutine, Mapping, Sequence
from dataclasses import dataclass

from gateway import __version__, launch
from gateway.admin.live import Applied
from gateway.admin.password import PasswordHasher
from gateway.admin.precedence import shadowed
from gateway.admin.service import Administration
from gateway.admin.snapshot import LiveSnapshot
from gateway.api.server import AdminListener
from gateway.config import header, installation, parse, single, values
from gateway.config.document import Credentials, Document, TokenRecord
from gateway.config.networks import Destinations
from gateway.config.problem import ConfigError
from gateway.config.provider import fingerprint, watch
from gateway.config.reloads import Reloads
from gateway.config.schema.listeners import AUDIT_RETENTION
from gateway.config.schema.proxy import Proxy as ProxyModel
from gateway.config.schema.settings import Settings
from gateway.control.issuers import Issuers
from gateway.control.metrics.telemetry import Telemetry
from gateway.control.options import Options
from gateway.core.address import Address
from gateway.core.tasks import Tasks
from gateway.ipc.channel import ChannelClient, ChannelError, RefusedError, operations
from gateway.ipc.client import WorkerClient
from gateway.ipc.messages import DataPlane, Refusals
from gateway.observe.process_log import begin_process_log
from gateway.observe.slabs import Slabs
from gateway.store import schema
from gateway.store.accounts import Token
from gateway.store.database import is_embedded
from gateway.store.keys import KeyRing
from gateway.store.problem import StoreError, StoreUnavailable
from gateway.store.proxies import StoredProxy
from gateway.store.remarks import remarks
from gateway.store.store import Store
from gateway.workers import confinement
from gateway.workers.greeting import SIGHUP, greeting, unchanged
from gateway.workers.parent_watch import parent_watch
from gateway.workers.pulse import beating
from gateway.workers.signals import signals

_log = logging.getLogger("gateway")

DATABASE_CHANGE = "database change"
_POLL_SECONDS = 0.2
_COLD_SECONDS = 2.0
"""Longer than this the proxies of the file do not wait for the database."""
_WORKER_SECONDS = 60.0
"""What a worker may take to begin."""
_STORE_SECONDS = 5.0
"""Longer than this the control process does not wait for its database."""
_TOUCH_SECONDS = 5.0
_END_SECONDS = 5.0
_PRUNE_SECONDS = 3600.0


class DeclaredFile:
    """The part of the configuration that stands in the file (the `Declared` of the admin room)."""

    def __init__(self, path: pathlib.Path, env: Mapping[str, str], listen: tuple[Address, ...] | None = None) -> None:
        """``listen``: where the gateway listens, when the command line says so and not the file."""
        self.name = path.name
        self.path = path
        self._listen = listen
        self.env = env
        self.content = fingerprint(path)
        """Digest of the file that `settings` was read from."""
        self.settings: Settings = parse.load_settings(path, env)

    def read(self) -> Settings:
        """The file as it is now. Raises `ConfigError`."""
        return parse.load_settings(self.path, self.env)

    @property
    def template_env(self) -> Collection[str]:
        return self.settings.template_env

    @property
    def destinations(self) -> Destinations:
        return self.settings.destinations(self._listen)

    def proxies(self) -> tuple[Mapping[str, object], ...]:
        return tuple(proxy.model_dump(mode="json") for proxy in self.settings.proxies)


@dataclass(frozen=True, slots=True)
class _Known:
    """What was read from the database last."""

    proxies: Sequence[StoredProxy]
    secrets: Mapping[str, str]
    bound: Mapping[str, frozenset[str]]
    tokens: Mapping[str, Token]
    read: bool = True
    """False: nothing was read yet, because the database is away."""


class Control:
    """Composes the documents and puts them in force; the `Live` of the admin room."""

    def __init__(
        self,
        options: Options,
        declared: DeclaredFile,
        store: Store,
        plane: WorkerClient,
        telemetry: Telemetry,
        failed: Callable[[], object] = lambda: None,
    ) -> None:
        """``failed`` is called when it can not follow something any more."""
        self._failed = failed
        self._options = options
        self._declared = declared
        self._store = store
        self._plane = plane
        self._telemetry = telemetry
        self._issuers = Issuers(store.key_sets)
        self._lock = asyncio.Lock()
        self._reloads = Reloads(self.reload)
        self._known = _Known([], {}, {}, {}, read=False)
        self._away = False
        """The database was away at the start."""
        self._revision = -1
        self._error = ""
        """Why the newest configuration is not in force; empty when it is."""
        self._unusable: frozenset[str] = frozenset()
        self._warnings: frozenset[str] = frozenset()
        """What is wrong with proxies that are served all the same: each is logged once."""
        self._served = 0
        self._models: dict[tuple[str, int], ProxyModel] = {}
        self._told_generation = 1
        self._tasks = Tasks(self._task_failed)

    # -- what the admin room asks

    async def apply(self) -> Applied:
        """A change was committed: put it in force now."""
        await self._renew(DATABASE_CHANGE)
        return self.applied()

    def applied(self) -> Applied:
        return Applied(self._plane.in_force.generation, self._error)

    async def snapshot(self) -> LiveSnapshot:
        return await self._telemetry.snapshot()

    async def refusals(self, since: int) -> Refusals:
        return await self._telemetry.refusals(since)

    async def metrics(self, *, open_metrics: bool) -> str:
        return await self._telemetry.metrics(open_metrics=open_metrics)

    def greeting(self) -> str:
        """One line for the operator: what is served where."""
        return greeting(self._plane.in_force.addresses, self._served)

    def live(self) -> dict[str, object]:
        return {"status": "healthy", "version": __version__}

    def ready(self) -> tuple[bool, dict[str, object]]:
        plane = self._plane
        ready = plane.reachable and plane.in_force.generation > 0 and not plane.draining
        told = {"data_plane": plane.reachable, "generation": plane.in_force.generation, "draining": plane.draining}
        return ready, told | {"error": self._error}

    # -- composing

    async def start(self, *, cold: bool) -> None:
        """Put the first configuration in force; ``cold``: that of the file alone, because the database is away.

        Raises `ChannelError`, `StoreError`, OSError.
        """
        revision = -1 if cold else await self._read()
        self._away = cold
        await self._identify()
        document = self._compose()
        end = time.monotonic() + _WORKER_SECONDS
        while True:
            try:
                await self._plane.apply(document)
                break
            except RefusedError:
                raise
            except ChannelError:  # it may still be importing, on a machine that is busy
                if time.monotonic() > end:
                    raise
                await asyncio.sleep(_POLL_SECONDS)
        self._revision = revision

    def keep_up(self) -> None:
        """Follow the file, the database, the keys of issuers and the worker until `aclose`."""
        self.own(self._plane.keep_told(), "watch the worker")
        self.own(self._watch_file(), "watch the file")
        self.own(self._follow_store(), "follow the database")
        self.own(self._follow_issuers(), "follow the issuers of tokens")
        self.own(self._touch_tokens(), "note the use of tokens")
        self.own(self._prune(), "delete what is over")

    async def reload(self, source: str) -> None:
        """Read the file anew; a bad one is told and changes nothing."""
        content = await asyncio.to_thread(fingerprint, self._declared.path)
        if content is not None and content == self._declared.content and not self._error:
            if source == SIGHUP:
                _log.info("%s", unchanged(source, self._plane.in_force.generation))
            return
        try:
            settings = await asyncio.to_thread(self._declared.read)
        except (ConfigError, OSError) as error:
            self._tell(source, str(error))
            return
        before, self._declared.settings = self._declared.settings, settings
        at_start = (settings.admin, settings.database, settings.worker_env)
        if at_start != (before.admin, before.database, before.worker_env):
            _log.warning("admin, database and worker_env take effect at the next start")
        if await self._renew(source):
            self._declared.content = content
        else:
            self._declared.settings = before

    def reload_soon(self, source: str) -> None:
        """Reload in a task of its own; of many wishes that wait only one is done."""
        self.own(self._reloads.ask(source), "reload")

    async def aclose(self) -> None:
        await self._tasks.aclose()
        await self._issuers.aclose()
        await self._telemetry.aclose()

    def own(self, work: Coroutine[None, None, None], name: str) -> None:
        """Run ``work`` beside, until `aclose`."""
        self._tasks.start(work, name)

    def _task_failed(self, task: asyncio.Task[None]) -> None:
        # A process that no longer follows something is worse than none: the supervisor starts another.
        _log.error("to %s failed", task.get_name(), exc_info=task.exception())
        self._failed()

    async def _renew(self, source: str) -> bool:
        """Put in force what stands in file and database now; False when the worker refused it.

        What failed for another reason is tried again as soon as the database or the worker is back.
        """
        async with self._lock:
            error, refused = "", False
            try:
                try:
                    async with asyncio.timeout(_STORE_SECONDS):
                        revision = await self._read()
                except (StoreUnavailable, TimeoutError):
                    if source == DATABASE_CHANGE:
                        raise
                    revision = -1  # the file is in force all the same, and the rest is read when the database is back
                await self._identify()
                document = self._compose()
                self._revision = revision
                await self._plane.apply(document)
            except TimeoutError:
                error, self._revision = f"the database did not answer within {_STORE_SECONDS:g} seconds", -1
            except RefusedError as caught:
                error, refused = str(caught), True
            except ChannelError as caught:
                error = str(caught)
            except (ConfigError, StoreError, OSError) as caught:
                error, self._revision = str(caught), -1
        self._tell(source, error)
        return not refused

    def _tell(self, source: str, error: str) -> None:
        before, self._error = self._error, error
        generation = self._plane.in_force.generation
        if error or generation != self._told_generation:
            self._telemetry.reloaded(ok=not error)
        if error:
            _log.error("%s refused, configuration %d stays in force:\n%s", source, generation, error)
        elif generation != self._told_generation:  # a login changes nothing that is served
            _log.info("configuration %d in force (%s)", generation, source)
        elif before or source != DATABASE_CHANGE:
            _log.info("%s", unchanged(source, generation))
        self._told_generation = generation

    async def _read(self) -> int:
        """Read all of the database that is served from; its revision. Raises `StoreError`."""
        store = self._store
        revision = await store.revision()
        self._known = _Known(
            await store.proxies.list(),
            await store.secrets.reveal(),
            await store.secrets.bound(),
            await store.tokens.all(),
        )
        return revision

    def _compose(self) -> Document:
        settings = self._declared.settings
        stored, secrets, bound = self._known.proxies, self._known.secrets, self._known.bound
        hidden = shadowed(self._declared.proxies(), [proxy.settings for proxy in stored])
        usable = []
        unusable: dict[str, str] = {}
        for proxy in stored:
            if proxy.name in hidden:
                continue
            try:
                usable.append(self._model(proxy))
            except ConfigError as error:
                unusable[proxy.name] = str(error)
        self._models = {key: self._models[key] for key in ((p.id, p.version) for p in stored) if key in self._models}
        for name in unusable.keys() - self._unusable:
            _log.error("left out, the others are served: %s", unusable[name])
        self._unusable = frozenset(unusable)
        served = [proxy for proxy in stored if proxy.name not in hidden and proxy.name not in unusable]
        # While the database is away no secret is known to be missing: it may be there when the database is back.
        keys = secrets if self._known.read else header.AnySecret()
        warnings = frozenset(remarks(settings, served, keys, bound))
        for warning in sorted(warnings - self._warnings):
            _log.warning("%s", warning)
        self._warnings = warnings
        document = settings.record(self._declared.env, secrets, usable, bound)
        self._served = len(document.routes)
        return installation.named(self._options.overrides.apply(document), self._options.config)

    def _model(self, proxy: StoredProxy) -> ProxyModel:
        """The proxy, checked; once for each of its versions, which is most of the work of a change."""
        key = proxy.id, proxy.version
        if key not in self._models:
            self._models[key] = single.stored(proxy.settings, name=f"proxy {proxy.name} of the database")
        return self._models[key]

    async def _identify(self) -> None:
        records = {
            digest: TokenRecord(token.id, token.name, token.kind, token.superuser, token.expires_at, token.claims)
            for digest, token in self._known.tokens.items()
            if token.scope is None  # what is good for the control plane alone proves nothing to a proxy
        }
        with contextlib.suppress(StoreUnavailable):
            await self._issuers.restore()
        issuers = self._issuers.of(self._declared.settings.auth.jwt)
        with contextlib.suppress(ChannelError):  # the worker hears it when it is back
            await self._plane.identify(Credentials(records, issuers))

    # -- following

    async def _watch_file(self) -> None:
        await watch(self._declared.path, lambda: self._reloads.ask("file change"), since=self._declared.content)

    async def _follow_store(self) -> None:
        """Changes that others made: another node of the fleet, the command line on this machine."""
        away = self._away
        while True:
            await asyncio.sleep(_POLL_SECONDS)
            try:
                async with asyncio.timeout(_STORE_SECONDS):
                    revision = await self._store.revision()
                if away:
                    _log.info("the database is back")
                away = False
                if revision != self._revision:
                    await self._renew(DATABASE_CHANGE)
            except (StoreError, OSError, TimeoutError) as error:
                if not away:
                    _log.error("the database is away, what was read last stays in force: %s", error or "no answer")
                away = True
                await asyncio.sleep(_POLL_SECONDS)

    async def _follow_issuers(self) -> None:
        """Fetch the keys of issuers when they are due; no change of anything else waits for that."""

        async def changed() -> None:
            with contextlib.suppress(StoreError, OSError, TimeoutError):
                async with asyncio.timeout(_STORE_SECONDS):
                    await self._identify()

        await self._issuers.follow(lambda: self._declared.settings.auth.jwt, self._plane.take_wanted, changed)

    async def _touch_tokens(self) -> None:
        while True:
            await asyncio.sleep(_TOUCH_SECONDS)
            with contextlib.suppress(ChannelError, StoreError, OSError, TimeoutError):
                used = await self._plane.take_used()
                if used:
                    async with asyncio.timeout(_STORE_SECONDS):
                        await self._store.tokens.touch(used)

    async def _prune(self) -> None:
        """Delete tokens and logins that have expired, and old entries of the audit trail: now, and every hour."""
        while True:
            admin = self._declared.settings.admin
            keep = AUDIT_RETENTION if admin is None else admin.audit_retention
            try:
                await self._store.tokens.purge(time.time())
                if keep and (gone := await self._store.audit.prune(time.time() - keep)):
                    _log.info("%d entries of the audit trail were older than %g days", gone, keep / 86400)
            except StoreError as error:
                _log.warning("what is over could not be deleted, it is tried again in an hour: %s", error)
            await asyncio.sleep(_PRUNE_SECONDS)


class Process:
    """From the command line to the exit code."""

    def __init__(self, options: Options, channel: str, alive: int, ready: int, slabs: Slabs, pulse: int) -> None:
        self._options = options
        self._slabs = slabs
        self._channel = ChannelClient(channel, operations(DataPlane))
        self._alive = alive
        self._ready = ready
        self._pulse = pulse
        self._stopping = asyncio.Event()
        self._code = 0

    async def run(self) -> int:
        async with contextlib.AsyncExitStack() as stack:
            # First: the database may take its time, and the supervisor has to see that this process lives.
            stack.enter_context(beating(self._pulse))
            declared = DeclaredFile(self._options.config, os.environ, self._options.overrides.listen)
            settings = declared.settings
            assert settings.database is not None
            url = settings.database
            store = Store.barred(url, KeyRing.for_database(url, os.environ))
            stack.push_async_callback(store.aclose)
            # Without a proxy in the file nothing could be served: then the start waits for the database, or fails.
            away = await _why_away(url) if settings.proxies else ""
            if away:
                _log.error("the database is away, the proxies of the file are served and the rest follows: %s", away)
            else:
                await _admit(store, url)
            stack.push_async_callback(self._channel.aclose)
            plane = WorkerClient(self._channel)
            control = Control(self._options, declared, store, plane, Telemetry(self._slabs, plane), self._fail)
            stack.push_async_callback(control.aclose)
            await control.start(cold=bool(away))
            passwords = PasswordHasher()
            stack.push_async_callback(passwords.aclose)
            where = ""
            if settings.admin is not None:
                administration = Administration(
                    store, declared, control, plane, passwords=passwords, session_ttl=settings.admin.session_ttl
                )
                address = values.address(settings.admin.listen)
                listener = AdminListener(administration, control, address.host, address.port, settings.admin.hosts)
                await listener.start()
                stack.push_async_callback(listener.aclose)
                where = f"; admin on {listener.url}"
            with signals(self._handlers(control)), parent_watch(self._alive, self._stop):
                control.keep_up()
                if away:
                    control.own(_admit_later(store, url), "wait for the database")
                os.write(self._ready, b".")
                _log.info("%s%s", control.greeting(), where)
                await self._stopping.wait()
        return self._code

    def _fail(self) -> None:
        self._code = 1
        self._stop()

    def _stop(self) -> None:
        launch.end_within(_END_SECONDS, 1, logging.shutdown)
        self._stopping.set()

    def _handlers(self, control: Control) -> dict[int, Callable[[], object]]:
        return {
            signal.SIGTERM: self._stop,
            signal.SIGHUP: lambda: control.reload_soon(SIGHUP),
            signal.SIGINT: lambda: None,  # a terminal sends it to the whole group; the supervisor decides
            signal.SIGUSR1: lambda: None,
        }


async def _why_away(url: str) -> str:
    """Why the database can not be used now; empty when it answers."""
    asking = asyncio.ensure_future(schema.status(url))
    await asyncio.wait({asking}, timeout=_COLD_SECONDS)
    if not asking.done():
        # It goes on: to cancel a statement of SQLite means to wait for it.
        asking.add_done_callback(lambda task: task.cancelled() or task.exception())
        return f"no answer within {_COLD_SECONDS:g} seconds"
    try:
        await asking
    except StoreUnavailable as error:
        return str(error)
    return ""


async def _admit(store: Store, url: str) -> None:
    """Use the database from now on. Raises `StoreError`."""
    if is_embedded(url):
        # A file of this machine alone; a database that several gateways share is upgraded on purpose.
        await schema.upgrade(url)
    await store.admit()


async def _admit_later(store: Store, url: str) -> None:
    """As `_admit`, as soon as the database is back and has the right schema."""
    told = ""
    while True:
        await asyncio.sleep(_POLL_SECONDS)
        try:
            await _admit(store, url)
            return
        except StoreUnavailable:
            continue
        except StoreError as error:
            if str(error) != told:
                _log.error("the database can not be used: %s", error)
            told = str(error)


def main(arguments: list[str]) -> int:
    """``arguments``: the channel's path, the descriptors of the supervisor's two pipes, of the worker's map and of the
    pipe to beat on, the `Options`.
    """
    channel, alive, ready, slabs, pulse, options = arguments
    begin_process_log()
    confinement.seal()
    try:
        process = Process(Options.decode(options), channel, int(alive), int(ready), Slabs(int(slabs)), int(pulse))
        return asyncio.run(process.run())
    except ConfigError as error:
        _log.error("%s", error)
        return launch.BAD_CONFIGURATION
    except (StoreError, ChannelError, OSError) as error:
        _log.error("can not start: %s", error)
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""The parts of a control process around a file and a database of their own, and a worker that remembers."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from gateway.config import single
from gateway.config.errors import ConfigError
from gateway.config.overrides import Overrides
from gateway.config.records import Credentials, Document
from gateway.config.schema.proxy import Proxy
from gateway.control.composer import Composer
from gateway.control.declared import DeclaredFile
from gateway.control.issuers import Issuers
from gateway.control.memory_watch import MemoryWatch
from gateway.control.metrics.telemetry import Telemetry
from gateway.control.options import Options
from gateway.control.renewal import Renewal
from gateway.control.report import Report
from gateway.control.sync import Sync
from gateway.grants.broker import Broker
from gateway.grants.endpoint import TokenEndpoint
from gateway.grants.provider import Provider
from gateway.identity.tokens import digest
from gateway.ipc import client
from gateway.ipc.channel import ChannelClient, operations
from gateway.ipc.fleet import Fleet
from gateway.ipc.messages import DataPlane, InForce, Prepared
from gateway.ipc.server import ChannelServer
from gateway.observe.counters import CounterMap
from gateway.store import schema
from gateway.store.audit import Author
from gateway.store.keys import KeyRing
from gateway.store.proxies import StoredProxy
from gateway.store.repository import Record
from gateway.store.store import Store
from gateway.workers.local_plane import LocalPlane
from gateway.workers.roster import Roster

ANN = Author("ann")
DIGEST = digest("a token")
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def line(name: str, path: str = "", **more: str) -> str:
    """A proxy as it stands in a file."""
    keys = {"name": name, "path": path or f"/{name}", "upstream": '"http://h"', **more}
    return f"{{{', '.join(f'{key}: {value}' for key, value in keys.items())}}}"


def database(folder: Path) -> str:
    return f"sqlite:///{folder}/gateway.db"


def written(folder: Path, *proxies: str, more: str = "") -> str:
    """A file with these proxies and a database."""
    return f"database: {database(folder)}\nproxies: [{', '.join(proxies)}]\n{more}"


def stored(name: str, version: int = 1, **settings: object) -> StoredProxy:
    known = {"name": name, "path": f"/{name}", "upstream": "http://h", **settings}
    value: Proxy | ConfigError
    try:
        value = single.stored(known, name=f"proxy {name} of the database")
    except ConfigError as error:
        value = error
    return Record(f"id of {name}", name, version, NOON, NOON, known, value)


class Worker(LocalPlane):
    """Serves no traffic. It refuses a document that has the proxy ``refused``."""

    def __init__(self) -> None:
        super().__init__()
        self.document = self._next_document = Document()
        self.credentials = Credentials()
        self.used: dict[str, float] = {}
        self.refused = ""
        self._generation = 0

    @property
    def names(self) -> list[str]:
        return sorted(proxy.name for proxy in self.document.routes)

    async def prepare(self, document: Document) -> Prepared:
        if self.refused in [proxy.name for proxy in document.routes]:
            raise OSError("the address is taken")
        self._next_document = document
        return Prepared(self._generation, document != self.document)

    async def commit(self, generation: int) -> InForce:
        self.document = self._next_document
        self._generation = generation
        return InForce(self._generation, (("127.0.0.1", 80),))

    async def abandon(self) -> None:
        self._next_document = self.document

    async def identify(self, credentials: Credentials) -> None:
        self.credentials = credentials

    async def take_used(self) -> dict[str, float]:
        used, self.used = self.used, {}
        return used


@dataclass
class Scene:
    declared: DeclaredFile
    store: Store
    worker: Worker
    plane: Fleet
    telemetry: Telemetry
    report: Report
    issuers: Issuers
    memory: MemoryWatch
    roster: Roster
    restarts: int = 0
    """How often all workers were to be replaced."""
    renewal: Renewal = field(init=False)
    broker: Broker = field(init=False)
    sync: Sync = field(init=False)

    def __post_init__(self) -> None:
        composer = Composer(Options(self.declared.path, Overrides()), self.declared.env)
        self.renewal = Renewal(self.roster, self._restart, self.declared.path, 4711)
        self.broker = Broker(self.store.grants, Provider(TokenEndpoint()).next_tokens, self.plane.supply)
        parts = self.declared, self.store, self.plane, composer, self.issuers, self.report, self.renewal
        self.sync = Sync(*parts, self.broker)

    def _restart(self) -> None:
        self.restarts += 1

    def write(self, *proxies: str, more: str = "") -> None:
        self.declared.path.write_text(written(self.declared.path.parent, *proxies, more=more))


@asynccontextmanager
async def scene(folder: Path, *proxies: str) -> AsyncIterator[Scene]:
    """With ``proxies`` in the file."""
    file = folder / "gateway.yaml"
    file.write_text(written(folder, *proxies))
    url = database(folder)
    await schema.upgrade(url)
    store = await Store.open(url, KeyRing.for_database(url, {}))
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(folder / "channel"))
    listener.listen()
    worker = Worker()
    server = ChannelServer(operations(DataPlane), worker)
    await server.start(listener)
    channel = ChannelClient(str(folder / "channel"), operations(DataPlane), timeout=5)
    plane = Fleet([client.Worker(0, 0, client.WorkerClient(channel))], lambda: {0: 1})
    roster = Roster(1)
    memory = MemoryWatch(plane, roster, lambda: 0)
    telemetry = Telemetry([CounterMap()], plane, roster, memory)
    issuers = Issuers(store.key_sets)
    try:
        yield Scene(DeclaredFile(file, {}), store, worker, plane, telemetry, Report(telemetry), issuers, memory, roster)
    finally:
        await issuers.aclose()
        await telemetry.aclose()
        await channel.aclose()
        await server.aclose()
        await store.aclose()


async def until(condition: Callable[[], Awaitable[bool]], within: float = 20.0) -> None:
    """As `harness.patience.eventually`, for a condition that has to be awaited."""
    loop = asyncio.get_running_loop()
    end = loop.time() + within
    while not await condition():
        assert loop.time() < end, f"never within {within} s: {condition}"
        await asyncio.sleep(0.01)

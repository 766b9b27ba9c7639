"""The data plane's composition root: builds the rooms bottom-up, reloads them, and takes them down in reverse."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
from collections.abc import Callable, Mapping
from time import monotonic, time
from typing import Self

import uvloop

from gateway.actions.service import Actions
from gateway.config import installation
from gateway.config.networks import Destinations
from gateway.config.records import ALL_CALLS, Document
from gateway.core.events import Event
from gateway.core.tasks import in_turns
from gateway.identity.access import identify
from gateway.identity.authenticator import Authenticator
from gateway.ipc.explanation import Explanation
from gateway.ipc.messages import BreakerPulse, ProxyState
from gateway.mcp.door import doors
from gateway.observe.counters import CounterMap
from gateway.observe.failures import CallbackFailures
from gateway.observe.loop_lag import LoopLag
from gateway.observe.metrics import Metrics
from gateway.observe.process_log import log_event
from gateway.observe.recent_requests import Recent
from gateway.observe.recorder import ExchangeRecorder
from gateway.policy.stores import Stores
from gateway.proxy.bindings import Binder
from gateway.proxy.inspect.explain import explain, holder
from gateway.proxy.inspect.forward_proxies import log_forward_proxy
from gateway.proxy.inspect.status import breaker_pulse, gauges, open_since, process_gauges, stance, state
from gateway.proxy.inspect.upstream_metrics import UpstreamMetrics
from gateway.proxy.outputs import Outputs
from gateway.proxy.pipeline import OuterLayers
from gateway.proxy.rates import Rates
from gateway.proxy.server import Server
from gateway.proxy.shedding import Shedding
from gateway.proxy.snapshot import PreparedDocument, Served, Snapshot
from gateway.upstream import forward_proxy
from gateway.upstream.names import Names
from gateway.upstream.registry import Registry
from gateway.upstream.upstream import Upstream
from gateway.wire.buffers import BufferPool
from gateway.wire.h1.head import HeadParser

_log = logging.getLogger("gateway")


def tune_gc() -> None:
    """Collect less often, and never the objects that live as long as the process.

    Exchanges free themselves by reference counting; a collection after each 700 new objects, the default, only finds
    that a burst of new streams is alive.
    """
    gc.set_threshold(10_000, 20, 10)
    gc.collect()
    gc.freeze()


class Gateway:
    """A data plane in this event loop: ``async with Gateway(document) as gateway``, or `start` and `aclose`.

    ``counters``: the counters that it uses; None: its own memory. ``binder``: the owner of the sockets on which it
    listens, which stay open at its end; None: its own. ``stores``: of its limiters and breakers; None: its own memory.
    """

    def __init__(
        self,
        document: Document,
        counters: CounterMap | None = None,
        binder: Binder | None = None,
        stores: Stores | None = None,
    ) -> None:
        self.document = document
        self.buffers = BufferPool()
        self.counters = CounterMap() if counters is None else counters
        self.metrics = Metrics(self.counters)
        self._upstream_metrics = UpstreamMetrics(self.metrics, self.counters)
        self.recent = Recent()
        self.recorder = ExchangeRecorder(self.metrics, self.recent)
        self.failures = CallbackFailures()
        self._watch: LoopLag | None = None
        self._outputs = Outputs(self.recorder)
        parser = HeadParser()
        self._registry = Registry(self.buffers, parser, self._on_event, stores)
        self.names = Names(self._readdress)
        self._rates = Rates(self._registry.stores)
        self.authenticator = Authenticator()
        self.via = document.via or installation.passing()
        self.shedding = Shedding()
        self.actions = calls = Actions()
        layers = identify(self.authenticator), self.via.encode(), self._rates.of, self.shedding.overload
        surfaces = doors(calls, lambda: self.server)
        self._outer = OuterLayers(
            self.recorder.observe, *layers, calls.repeat, calls.perform, surfaces, self._rates.of_upstream
        )
        self.server = Server(self.buffers, parser, self._outer, binder)
        self.generation = 0
        """The number of the configuration that is applied; 0: none."""

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.aclose()

    async def start(self) -> None:
        """Listen and serve. Raises OSError when an address or the access log cannot be opened, and for a `http_proxy`
        that cannot be used.

        Raises RuntimeError on any loop but uvloop's: another would treat our protocols as streaming ones, because they
        do not inherit from `asyncio.BufferedProtocol`, and each read would fail.
        """
        self.begin()
        await self.reload(self.document)

    def begin(self) -> None:
        """The part of `start` before the first configuration, with its errors."""
        if not isinstance(asyncio.get_running_loop(), uvloop.Loop):
            raise RuntimeError("the data plane runs on uvloop alone; start it with uvloop.run(...)")
        self.failures.attach(asyncio.get_running_loop())
        forward_proxies = forward_proxy.settings()  # even unused ones must be valid
        if forward_proxies:
            _log.info("forward proxies of the environment: %s; never for this machine", ", ".join(forward_proxies))
        self._watch = LoopLag(self.metrics, asyncio.get_running_loop(), self.shedding.on_lag)
        self._watch.start()

    async def reload(self, document: Document) -> None:
        """Apply ``document`` atomically; on an error the configuration before it stays."""
        prepared = await self.prepare(document)
        try:
            await self.commit(prepared, self.generation + 1)
        except OSError:
            await self.abandon(prepared)
            raise

    async def prepare(self, document: Document) -> PreparedDocument:
        """Do what can fail, and change nothing: build the snapshot, and open addresses and the access log.

        Raises OSError. The result goes to `commit` or to `abandon`.
        """
        with contextlib.ExitStack() as undo:
            undo.callback(self.names.release)
            self.names.hold()
            undo.callback(self._registry.abandon)
            undo.callback(self._adopt_rates, self.document)
            await self.names.learn(document.used_upstreams())
            upstreams = await in_turns(self._registry.prepare(map(self.names.expanded, document.used_upstreams())))
            before = self.server.snapshot if self.generation else None
            served = await in_turns(Snapshot.serving(document, upstreams, self._outer, before))
            snapshot = Snapshot.of(self.generation + 1, document, served, self._outer)
            undo.callback(self.actions.abandon)
            await self.actions.prepare(document)
            certificates = self.server.certificates.prepare(document.listen)
            writer = self._outputs.open(document.access_log)
            undo.callback(self._outputs.drop, writer)
            sockets = await self.server.listeners.prepare(document.listen)
            undo.pop_all()
        return PreparedDocument(document, upstreams, snapshot, certificates, writer, sockets)

    async def abandon(self, prepared: PreparedDocument) -> None:
        """Give up what `prepare` has opened."""
        self._registry.abandon()
        self.actions.abandon()
        self.names.release()
        self._adopt_rates(self.document)
        self._outputs.drop(prepared.writer)
        await self.server.listeners.abandon(prepared.sockets)

    async def commit(self, prepared: PreparedDocument, generation: int) -> None:
        """Serve what was prepared, from now on and as configuration ``generation``.

        Raises OSError, changing nothing, when the owner of the listening sockets has ended.
        """
        document, upstreams, snapshot = prepared.document, prepared.upstreams, prepared.snapshot
        before = self.server.snapshot if self.generation else None
        if before is None:
            self.server.snapshot = snapshot
            self.server.certificates.adopt(prepared.certificates)
        await self.server.listeners.commit(prepared.sockets)
        self.metrics.retain(route.name for route in document.everything())
        self._upstream_metrics.replace(self.upstreams, upstreams, document.sharers())
        self._registry.adopt(upstreams)
        self._adopt_rates(document)
        self._registry.restrict(Destinations.of(document, self.addresses))
        self.server.snapshot = snapshot
        self.server.certificates.adopt(prepared.certificates)
        self._note_changes(before.served if before is not None else {}, snapshot.served)
        self.server.admission.configure(document.limits)
        self.shedding.configure(document.limits)
        self.generation = generation
        self.document = document
        self._outputs.use(prepared.writer, document.tracing)
        self.names.follow(document.used_upstreams())
        every = upstreams.get(ALL_CALLS)
        self.actions.adopt(document, None if every is None else every.limiter)

    def _adopt_rates(self, document: Document) -> None:
        self._rates.adopt(document.routes, document.used_upstreams())

    def _readdress(self) -> None:
        """A name has other addresses: serve the document with those. Raises OSError, changing nothing."""
        document, before = self.document, self.server.snapshot
        try:
            upstreams = dict(self._registry.prepare(map(self.names.expanded, document.used_upstreams())))
            served = dict(Snapshot.serving(document, upstreams, self._outer, before))
            snapshot = Snapshot.of(self.generation, document, served, self._outer)
        except OSError:
            self._registry.abandon()
            raise
        self._upstream_metrics.replace(self.upstreams, upstreams, self._upstream_metrics.sharers)
        self._registry.adopt(upstreams)
        self.server.snapshot = snapshot
        self._note_changes(before.served, snapshot.served)

    def _note_changes(self, before: Mapping[str, Served], after: Mapping[str, Served]) -> None:
        """Gauges change with the configuration, so that no time counts for a breaker that is gone."""
        live, tunnels = self.server.live(), self.server.tunnels()
        for name in {**before, **after}:
            served = after.get(name)
            if served is not before.get(name):
                self._sample(name, served, live[name], tunnels[name])
                if served is not None:
                    log_forward_proxy(served)

    def move(self) -> None:
        """``stores`` gives others from now on: limiters and breakers go on there."""
        self._registry.move()
        self._rates.move()

    def stop_accepting(self) -> None:
        """At once: who connects from here on waits for the next process, where the supervisor has the sockets."""
        self.server.listeners.close()

    async def drain(self, timeout: float, linger: float = 0.0, give: Callable[[int], bool] | None = None) -> bool:
        """Stop accepting, finish what runs, then cut; True when nothing was cut. Others as in `Server.drain`."""
        began = monotonic()
        whole = await self.server.drain(timeout, linger, give)
        # The tail of a long body of a call is still here when its exchange has ended.
        return await self.actions.bodies.drain(timeout - (monotonic() - began)) and whole

    async def drain_or_cut(
        self, cut: asyncio.Event, linger: float = 0.0, give: Callable[[int], bool] | None = None
    ) -> None:
        """Drain as the document says; ``cut`` ends the wait at once."""
        drained = asyncio.ensure_future(self.drain(self.document.drain_timeout, linger, give))
        cutting = asyncio.ensure_future(cut.wait())
        await asyncio.wait({drained, cutting}, return_when=asyncio.FIRST_COMPLETED)
        cutting.cancel()
        if not drained.done():
            drained.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await drained
        elif not drained.result():
            _log.warning("drain_timeout is over: what still ran was cut")

    def reopen_log(self) -> None:
        """Open the access log's file again, after a rotation."""
        self._outputs.reopen()

    def state(self) -> dict[str, ProxyState]:
        """The status of each active proxy, by name."""
        live = self.server.live()
        return {name: state(served.upstream, live.get(name, 0)) for name, served in self._served.items()}

    def sample(self) -> None:
        """Bring counters and gauges up to date."""
        self.recorder.flush()
        live, tunnels = self.server.live(), self.server.tunnels()
        self._upstream_metrics.sample(self.upstreams)
        for route in self.document.everything():
            self._sample(route.name, self._served.get(route.name), live[route.name], tunnels[route.name])
        counted = self.generation, self.recorder.dropped, self.failures.count, self.names.failures
        self.metrics.note(process_gauges(self.server, self.buffers, *counted))

    def breakers(self) -> dict[str, BreakerPulse]:
        """The status of the breakers, by proxy."""
        epoch = time() - monotonic()
        return {name: breaker_pulse(served.upstream, epoch) for name, served in self._served.items()}

    def explain(self, name: str) -> Explanation | None:
        """Why a proxy's protections are in their state; None when no such proxy is active."""
        served = self._served.get(name)
        if served is None:
            return None
        sharers = self._upstream_metrics.sharers[served.settings.upstream]
        live = [exchange for exchange in self.server.running() if exchange.proxy in sharers]
        found = explain(served, live, monotonic(), time() - monotonic(), self.shedding.share)
        self.actions.explain_token(found)
        return found

    def find(self, request_id: str) -> dict[str, object] | None:
        """The log line of a recent exchange; of a running one, its proxy, phase, protocols and age in seconds."""
        wanted = request_id.encode("latin-1", "replace")
        for exchange in self.server.running():
            if exchange.request_id == wanted:
                return {"proxy_name": exchange.proxy, **holder(exchange, monotonic())}
        self.recorder.flush()
        return self.recent.find(request_id)

    def _sample(self, name: str, served: Served | None, live: int, tunnels: int) -> None:
        """``served`` is None for a proxy that is switched off."""
        upstream, rates = (served.upstream, served.rules) if served is not None else (None, ())
        if self.metrics.differs(name, stance(upstream, live, tunnels, rates)):
            self.metrics.note(gauges(upstream, live, tunnels, rates), name)
            self.metrics.note_open(name, open_since(upstream), monotonic())

    def _on_event(self, event: Event) -> None:
        self._upstream_metrics.note(event, self.upstreams)
        log_event(event)

    def reset_breaker(self, name: str, by: str = "") -> bool:
        """Close the breakers of a proxy and its fallback by hand; False when there are none. ``by``: the operator."""
        served = self._served.get(name)
        upstreams = () if served is None else (served.upstream, served.second)
        breakers = [breaker for upstream in upstreams if upstream is not None for breaker in upstream.breakers]
        for breaker in breakers:
            breaker.reset(by)
        return bool(breakers)

    async def aclose(self) -> None:
        """Cut running exchanges and release all resources."""
        await self.names.aclose()
        await self.server.cut()
        await self.actions.cancel_calls()  # over connections that are there until the registry closes
        for name in self._served:
            self.metrics.note_open(name, 0.0, monotonic())  # its breaker is open no longer
        self._rates.adopt(())
        await self._registry.aclose()
        await self.actions.aclose()
        if self._watch is not None:
            self._watch.close()
        await self._outputs.aclose()
        self.failures.detach()

    @property
    def addresses(self) -> list[tuple[str, int]]:
        return self.server.listeners.addresses

    @property
    def _served(self) -> Mapping[str, Served]:
        """The active proxies by name."""
        return self.server.snapshot.served if self.generation else {}

    @property
    def upstreams(self) -> dict[str, Upstream]:
        return self._registry.upstreams

    @property
    def exchanges(self) -> int:
        return self.server.exchanges

    @property
    def loop_lag(self) -> float:
        """Seconds: the worst of late."""
        return 0.0 if self._watch is None else self._watch.worst

    @property
    def connections(self) -> int:
        return len(self.server.connections)

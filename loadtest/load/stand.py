"""One run of one variant: sidecar, gateway and locust in processes of their own, watched from this one."""

from __future__ import annotations

import asyncio
import json
import math
import os
import signal
import sys
import tempfile
import time
from contextlib import AsyncExitStack, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any, Self

import aiohttp
from stage import HOST, GatewayProcess, reserved_port

from load import plan
from load.findings import Mark, Run
from load.plan import Plan
from load.record import Record
from load.variant import Variant
from load.watch import Sample, Watch

LOADTEST = Path(__file__).resolve().parents[1]
WEB = 8089
"""Port of locust's page: its own default."""
GRACE = 60.0
"""Seconds that locust may need beyond its time, to start and to end, before it is ended."""
STOP = 5
"""Seconds that locust's users have to finish their last request."""


class Stand:
    """One run, as a context manager; ``marks`` end up in the report. A variant's ``disturb`` gets it as `Disturbed`."""

    def __init__(self, scenario: str, variant: Variant) -> None:
        """``scenario`` is the name of the one that ``variant`` belongs to."""
        self.variant = variant
        self.marks: list[Mark] = []
        self._scenario = scenario
        self._house = AsyncExitStack()

    async def __aenter__(self) -> Self:
        try:
            await self._open()
        except BaseException:
            await self._house.aclose()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._house.aclose()

    async def _open(self) -> None:
        variant = self.variant
        self.folder = Path(self._house.enter_context(tempfile.TemporaryDirectory(prefix="gateway-load-")))
        self.session = await self._house.enter_async_context(
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5))
        )
        self.sidecar_port = reserved_port()
        script, behaviour = str(LOADTEST / "sidecar.py"), json.dumps(asdict(variant.sidecar))
        self.sidecar = await self._start(script, str(self.sidecar_port), behaviour)
        await self._sidecar_answers()
        self.gateway = GatewayProcess(
            self.sidecar_port,
            admin=True,
            proxies=[] if variant.stored else None,
            settings=variant.settings,
            **variant.proxy,
        )
        await self._house.enter_async_context(self.gateway)
        self._superuser = self.gateway.token("--superuser")
        if variant.stored:
            await self.api("POST", "/proxies", self.gateway.proxy)

    async def _start(self, *arguments: str, **more: Any) -> asyncio.subprocess.Process:
        """A Python process that this stand ends; the pipe to it tells it when this process is gone."""
        process = await asyncio.create_subprocess_exec(
            sys.executable, *arguments, stdin=asyncio.subprocess.PIPE, **more
        )
        self._house.push_async_callback(ended, process)
        return process

    async def _sidecar_answers(self) -> None:
        for _ in range(200):
            with suppress(aiohttp.ClientError):
                await self.behave()
                return
            await asyncio.sleep(0.05)
        raise SystemExit("the sidecar did not start")

    async def behave(self, **changes: Any) -> None:
        """Change the sidecar's `Behaviour`, and note when."""
        async with self.session.post(f"http://{HOST}:{self.sidecar_port}/behave", json=changes) as answer:
            answer.raise_for_status()
        if changes:
            self.note(", ".join(f"{name}: {json.dumps(value)}" for name, value in changes.items()))

    async def stats(self) -> dict[str, int]:
        """What the sidecar saw so far."""
        async with self.session.get(f"http://{HOST}:{self.sidecar_port}/stats") as answer:
            return dict(await answer.json())

    async def api(self, method: str, path: str, body: Any = None, **headers: str) -> dict[str, Any]:
        """The answer of the admin API; ClientResponseError for a refusal."""
        headers |= {"Authorization": f"Bearer {self._superuser}"}
        async with self.session.request(method, self.gateway.api + path, json=body, headers=headers) as answer:
            answer.raise_for_status()
            return dict(await answer.json()) if answer.status != 204 else {}

    def note(self, what: str, took: float | None = None, count: int = 0) -> None:
        """Write down what happened now, how many seconds it took, and how many it concerned."""
        self.marks.append(Mark(time.monotonic(), what, took, count))

    async def run(self) -> Run:
        """Load for the variant's seconds. SystemExit when locust fails."""
        whole = math.ceil(self.variant.seconds)  # locust knows no part of a second
        process = await self._locust("--headless", "--run-time", f"{whole}s")
        processes = {"worker": self.gateway.pid, "sidecar": self.sidecar.pid, "locust": process.pid}
        watch = Watch(self.session, self.gateway, self.sidecar_port, self._superuser, processes, self._tell)
        self._began = time.monotonic()
        beside = [asyncio.create_task(watch.run()), asyncio.create_task(self._disturb())]
        try:
            async with asyncio.timeout(self.variant.seconds + GRACE):
                code = await process.wait()
            await watch.look()
        finally:
            for task in beside:
                task.cancel()
            results = await asyncio.gather(*beside, return_exceptions=True)
        for result in results:
            if isinstance(result, Exception):
                raise result
        if code:
            raise SystemExit(f"locust failed with {code}:\n{self._told()}")
        return Run(self.variant, Record.load(self._record), watch.samples, self.marks)

    async def _disturb(self) -> None:
        """Locust takes a while to start: the variant's times count from the first request on."""
        while True:
            if (await self.stats())["started"]:
                break
            await asyncio.sleep(0.02)
        await self.variant.disturb(self)

    async def serve_page(self) -> None:
        """Locust's web page, until it is ended."""
        process = await self._locust("--web-host", HOST, "--web-port", str(WEB))
        print(f"locust's page: http://{HOST}:{WEB}/ (Ctrl-C ends it); the gateway: http://{HOST}:{self.gateway.port}/")
        await process.wait()

    async def _locust(self, *how: str) -> asyncio.subprocess.Process:
        path, self._record = self.folder / "plan.json", self.folder / "record.jsonl"
        variant, users = self.variant, str(self.variant.users)
        Plan(
            port=self.gateway.port,
            direct=self.sidecar_port,
            users=variant.users,
            rate=variant.rate,
            seconds=variant.seconds,
            patience=variant.patience,
            seed=variant.sidecar.seed,
            record=str(self._record),
        ).write(path)
        module = LOADTEST / "scenarios" / f"{self._scenario.replace('-', '_')}.py"
        environment = {name: value for name, value in os.environ.items() if name != "LOCUST_SKIP_MONKEY_PATCH"}
        environment |= {plan.VARIABLE: str(path), "PYTHONPATH": str(LOADTEST)}
        with (self.folder / "locust.log").open("wb") as log:
            return await self._start(
                *("-m", "locust", "-f", str(module), variant.user, *how),
                *("--users", users, "--spawn-rate", users, "--stop-timeout", str(STOP)),
                *("--host", f"http://{HOST}:{self.gateway.port}", "--exit-code-on-error", "0", "--only-summary"),
                env=environment,
                stdout=log,
                stderr=log,
            )

    def _told(self) -> str:
        return (self.folder / "locust.log").read_text()[-4000:]

    def _tell(self, sample: Sample) -> None:
        """A line of progress every five seconds."""
        seconds = int(sample.at - self._began)
        if seconds % 5 == 0:
            shown = ("sidecar_answered", "sidecar_inside", "waiting", "breaker", "connections", "rss", "cpu_locust")
            figures = "  ".join(f"{name} {sample.figures.get(name, float('nan')):.4g}" for name in shown)
            print(f"  {self.variant.name} {seconds:3} s  {figures}", flush=True)


async def ended(process: asyncio.subprocess.Process) -> None:
    """Ask it to end, and make it."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        if process.returncode is None:
            process.send_signal(number)
        with suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), 10)
            return

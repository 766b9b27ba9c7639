"""A whole gateway as an operator runs it: supervisor, control process and worker, with a database."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import aiohttp
import argon2
from stage import child_of, children_of

from gateway.identity.tokens import digest, mint
from gateway.store import schema
from gateway.store.keys import KeyRing
from gateway.store.store import Store
from harness import command
from harness.ending import end
from harness.patience import ANSWER, eventually

EMAIL, PASSWORD = "root@example.org", "correct horse battery"
_MODULES = {"control": "gateway.control.process", "worker": "gateway.workers.worker"}
_GREETING = re.compile(r"gateway \S+ serves \d+ prox\w+ on (https?://[^;,\s]+)(?:, [^;\s]+)*(?:; admin on (\S+))?")
START = 45.0
"""Seconds for processes to start on a busy machine."""


class Deployment:
    """`start` it; ``url`` is where it serves, ``admin`` the base of its API."""

    def __init__(
        self,
        folder: Path,
        *,
        proxies: str = "[]",
        more: str = "",
        database: str = "",
        listen: str = "127.0.0.1:0",
        admin: str = "{listen: 127.0.0.1:0}",
    ) -> None:
        self.folder = folder
        self.listen = listen
        self.admin_section = admin
        self.database = database or f"sqlite:///{folder}/gateway.db"
        self.config = folder / "gateway.yaml"
        self.log = folder / "log"
        self.url = ""
        self.admin = ""
        self.token = ""
        self.session: aiohttp.ClientSession
        self._process: subprocess.Popen[bytes] | None = None
        self.env = {**os.environ, "GATEWAY_MASTER_KEY": "11" * 32}
        self.write(proxies, more)

    def write(self, proxies: str, more: str = "") -> None:
        self.config.write_text(
            f"listen: {self.listen}\nadmin: {self.admin_section}\ndatabase: {self.database}\n"
            f"access_log: {{path: {self.folder}/access.log}}\n{more}\nproxies: {proxies}\n"
        )

    def cli(self, *arguments: str, stdin: str = "", config: bool = True) -> subprocess.CompletedProcess[str]:
        where = ["--config", str(self.config)] if config else []
        line = [sys.executable, "-m", "gateway", *arguments, *where]
        return subprocess.run(line, input=stdin, capture_output=True, text=True, timeout=90, env=self.env)

    async def here(self, *arguments: str, config: bool = True) -> subprocess.CompletedProcess[str]:
        """As `cli`, without a process of its own."""
        where = ["--config", str(self.config)] if config else []
        code, out, error = await command.run([*arguments, *where], self.env)
        return subprocess.CompletedProcess([*arguments], code, out.decode(), error.decode())

    async def __aenter__(self) -> Self:
        await self._prepare()
        self.session = aiohttp.ClientSession(timeout=ANSWER)
        try:
            await self.start()
        except BaseException as error:
            await self.__aexit__(type(error), error, None)
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.session.close()
        if self._process is not None:
            await end(self._process)

    async def _prepare(self) -> None:
        """A database with a superuser and a token of his: what the commands do, without the time that they take."""
        await schema.upgrade(self.database)
        store = await Store.open(self.database, KeyRing.of(self.env["GATEWAY_MASTER_KEY"]))
        hashed = argon2.PasswordHasher.from_parameters(argon2.profiles.CHEAPEST).hash(PASSWORD)
        await store.superusers.create(EMAIL, hashed, "test")
        self.token = mint()
        await store.tokens.create("test", digest(self.token), "token", True, None, 0.0, {}, "test")
        await store.aclose()

    async def start(self) -> None:
        with self.log.open("ab") as log:
            line = [sys.executable, "-P", "-m", "gateway", "run", "--config", str(self.config)]
            self._process = subprocess.Popen(line, stdout=log, stderr=log, env=self.env, cwd=self.folder)
        await self.greeted(1)

    async def greeted(self, times: int) -> None:
        """Wait until the control process has said ``times`` times that it is there."""
        await eventually(lambda: len(_GREETING.findall(self.log.read_text())) >= times, "a greeting", START)
        self.url, self.admin = _GREETING.findall(self.log.read_text())[-1]

    @property
    def greetings(self) -> int:
        return len(_GREETING.findall(self.log.read_text()))

    async def call(self, method: str, path: str, body: Mapping[str, object] | None = None, **headers: str) -> Any:
        """The API's answer, which has to be a good one."""
        given = {"Authorization": f"Bearer {self.token}", **headers}
        async with self.session.request(method, f"{self.admin}/api/gateway{path}", json=body, headers=given) as answer:
            text = await answer.text()
            assert answer.status < 400, text
            return await answer.json() if text else None

    async def get(self, path: str, **headers: str) -> tuple[int, str]:
        """Through the gateway: status, and the reason where it is a refusal."""
        async with self.session.get(self.url + path, headers=headers) as answer:
            await answer.read()
            return answer.status, answer.headers.get("X-Gateway-Reason", "")

    async def comes_to(self, path: str, expected: tuple[int, str]) -> None:
        """Wait until `get` gives this: the log announces a change before the worker has applied it."""
        got: object = None
        end = time.monotonic() + START
        while got != expected:
            assert time.monotonic() < end, f"{path}: {got}, never {expected}"
            try:
                got = await self.get(path)
            except aiohttp.ClientError as error:  # the worker is being replaced
                got = error
            await asyncio.sleep(0.01)

    def pid(self, role: str) -> int:
        """Of the ``supervisor``, ``worker`` or ``control`` process of this gateway."""
        assert self._process is not None
        if role == "supervisor":
            return self._process.pid
        return child_of(self._process.pid, _MODULES[role])

    def pids(self, role: str) -> list[int]:
        """As `pid`, of all processes with this role."""
        assert self._process is not None
        return children_of(self._process.pid, _MODULES[role])

    async def replaced(self, role: str, before: int) -> None:
        """Wait until another process than ``before`` has this role."""
        await eventually(lambda: self.pid(role) not in (0, before), f"another {role}", START)

    def kill(self, role: str) -> None:
        os.kill(self.pid(role), signal.SIGKILL)

    def signal(self, number: int) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    async def ended(self) -> int:
        """Wait for the end of the supervisor; its exit code."""
        assert self._process is not None
        return await asyncio.to_thread(self._process.wait, 15)

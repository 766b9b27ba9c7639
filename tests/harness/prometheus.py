"""A real Prometheus with the project's own configuration and rules, that scrapes a gateway; and its promtool.

Both are of Debian's package: the installed one, or one that is unpacked into the cache.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import aiohttp
import yaml

from harness import toolbox
from harness.ending import end
from harness.patience import ANSWER
from harness.ports import reserved_port

SOURCE = Path(__file__).resolve().parents[2] / "grafana/prometheus"
START = 20.0
"""Seconds that it may take until it answers, on a busy machine."""


def binary(name: str) -> Path:
    """``prometheus`` or ``promtool``; skips the test where there is none and none can be fetched."""
    installed = shutil.which(name)
    return Path(installed) if installed else toolbox.cached("prometheus", _unpack) / "usr/bin" / name


def _unpack(folder: Path) -> None:
    if shutil.which("apt-get") is None or shutil.which("dpkg") is None:
        toolbox.unavailable("Prometheus is not installed, and this is no Debian to fetch it from")
    download = ["apt-get", "download", "-qq", "prometheus"]
    if subprocess.run(download, cwd=folder, capture_output=True, timeout=150).returncode:
        if os.geteuid() == 0:  # the list of packages may be missing or old
            toolbox.run(["apt-get", "update", "-qq"], folder)
        toolbox.run(download, folder)
    for package in folder.glob("prometheus_*.deb"):
        toolbox.run(["dpkg", "-x", package, folder], folder)
        package.unlink()


def promtool(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [binary("promtool"), *arguments]
    return subprocess.run(command, cwd=SOURCE, capture_output=True, text=True, timeout=150)


class Prometheus:
    """Scrapes the gateway whose admin listener has ``url``, each second; closed at the end of its ``async with``."""

    def __init__(self, folder: Path, url: str, token: str) -> None:
        self._folder = folder
        self._target = url.removeprefix("http://").rstrip("/")
        self._token = token
        self._process: subprocess.Popen[bytes]
        self._session: aiohttp.ClientSession
        self.url = ""

    async def __aenter__(self) -> Self:
        configuration = self._configure()
        program = await asyncio.to_thread(binary, "prometheus")
        address = f"127.0.0.1:{reserved_port()}"
        self.url = f"http://{address}"
        command = [
            str(program),
            f"--config.file={configuration}",
            f"--storage.tsdb.path={self._folder / 'data'}",
            f"--web.listen-address={address}",
            "--log.level=warn",
        ]
        self._log = self._folder / "log"
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(command, cwd=self._folder, stdout=log, stderr=log)
        self._session = aiohttp.ClientSession(timeout=ANSWER)
        try:
            await self._ready()
        except BaseException as error:
            await self.__aexit__(type(error), error, None)
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._session.close()
        await end(self._process)

    def _configure(self) -> Path:
        """The project's files, but for the pace, the target and the token."""
        secret = self._folder / "token"
        secret.write_text(self._token)
        shutil.copytree(SOURCE / "rules", self._folder / "rules")
        for path in (self._folder / "rules").iterdir():
            rules = yaml.safe_load(path.read_text())
            for group in rules["groups"]:
                group["interval"] = "1s"
            path.write_text(yaml.safe_dump(rules))
        configuration = yaml.safe_load((SOURCE / "prometheus.yml").read_text())
        configuration["global"] = {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"}
        [job] = configuration["scrape_configs"]
        job["authorization"]["credentials_file"] = str(secret)
        job["static_configs"] = [{"targets": [self._target]}]
        path = self._folder / "prometheus.yml"
        path.write_text(yaml.safe_dump(configuration))
        return path

    async def _ready(self) -> None:
        loop = asyncio.get_running_loop()
        end = loop.time() + START
        while True:
            assert self._process.poll() is None, f"Prometheus ended: {self._log.read_text()}"
            assert loop.time() < end, f"Prometheus does not answer: {self._log.read_text()}"
            try:
                async with self._session.get(f"{self.url}/-/ready") as answer:
                    if answer.status == 200:
                        return
            except aiohttp.ClientError:
                pass
            await asyncio.sleep(0.05)

    async def query(self, expr: str) -> list[Any]:
        """The series that ``expr`` has now."""
        answer = await self._get("query", query=expr)
        return list(answer["result"])

    async def query_range(self, expr: str, start: float, end: float, step: str = "1s") -> list[Any]:
        """The series that ``expr`` had from ``start`` to ``end``, in seconds of the epoch."""
        answer = await self._get("query_range", query=expr, start=str(start), end=str(end), step=step)
        return list(answer["result"])

    async def rules(self) -> list[dict[str, Any]]:
        """Every rule, with its ``health``."""
        groups = (await self._get("rules"))["groups"]
        return [rule for group in groups for rule in group["rules"]]

    async def _get(self, path: str, **parameters: str) -> Any:
        async with self._session.get(f"{self.url}/api/v1/{path}", params=parameters) as answer:
            body = await answer.json()
            assert body["status"] == "success", f"{parameters}: {body}"
            return body["data"]

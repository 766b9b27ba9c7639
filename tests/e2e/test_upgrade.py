"""The installed programs take over from those that run: the same process, the same sockets, and no request fails."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import os
import re
import shutil
import signal
import subprocess
from pathlib import Path

import aiohttp
import pytest
from harness.deployment import START, Deployment
from harness.fleet import alone, load, pids, requests, several
from harness.patience import eventually, when
from harness.ports import reserved_port
from harness.upstream import Upstream

import gateway as package

FAILS = 'import sys\nif "gateway.launch" in sys.orig_argv:\n    raise SystemExit(1)\n'

pytestmark = pytest.mark.timeout(180)


class Site:
    """A copy of the package, which a test replaces by other versions while a gateway runs from it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        shutil.copytree(Path(package.__file__).parent, folder / "gateway", ignore=shutil.ignore_patterns("*.so"))

    def install(self, version: str) -> None:
        self.change("__init__.py", r'__version__ = ".*"', f'__version__ = "{version}"')

    def change(self, name: str, pattern: str, text: str) -> None:
        path = self.folder / "gateway" / name
        before = path.read_text()
        after = re.sub(pattern, lambda _: text, before, count=1)
        assert after != before
        new = path.with_suffix(".new")
        new.write_text(after)
        new.rename(path)  # as an installer does it: no process reads half a file
        # The cache knows a file by its second and its size, and an installer does not write a file twice in a second.
        Path(importlib.util.cache_from_source(str(path))).unlink(missing_ok=True)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    made = Site(tmp_path / "site")
    made.install("1.0")
    return made


def gateway_of(site: Site, folder: Path, upstream: Upstream, number: int = 2) -> Deployment:
    # A port of its own: the next control process listens there again.
    gateway = several(folder, upstream, number, admin=f"{{listen: 127.0.0.1:{reserved_port()}}}")
    gateway.env["PYTHONPATH"] = str(site.folder)
    return gateway


async def upgrade(gateway: Deployment) -> subprocess.CompletedProcess[str]:
    token = gateway.folder / "token"
    token.write_text(gateway.token)
    where = ["--server", gateway.admin, "--token-file", str(token)]
    return await asyncio.to_thread(gateway.cli, "upgrade", *where, config=False)


async def versions(gateway: Deployment) -> list[str]:
    """Of each worker that runs, also of those that drain."""
    return [each["version"] for each in (await gateway.call("GET", "/workers"))["items"]]


async def comes_to(gateway: Deployment, version: str, workers: int) -> None:
    async def there() -> bool:
        with contextlib.suppress(aiohttp.ClientConnectionError):  # between two control processes
            return await versions(gateway) == [version] * workers
        return False

    await when(there, START, f"version {version} alone")


@pytest.mark.parametrize(("number", "newer"), [(1, ["2.0", "2.1"]), (2, ["2.0"])])
async def test_upgrades_under_load_fail_no_request(
    tmp_path: Path, upstream: Upstream, site: Site, number: int, newer: list[str]
) -> None:
    async with gateway_of(site, tmp_path, upstream, number) as gateway:
        supervisor, before = gateway.pid("supervisor"), pids(gateway)
        assert await versions(gateway) == ["1.0"] * number
        async with load(gateway, pace=0.02) as failed, load(gateway, 2, keep_alive=False, pace=0.02) as refused:
            for version in newer:
                site.install(version)
                done = await upgrade(gateway)
                assert done.returncode == 0, done.stderr + gateway.log.read_text()
                assert f"version {version} takes over" in done.stdout
                await comes_to(gateway, version, number)
        assert failed == refused == []
        served = await requests(gateway)
        assert served > 100, "the counters were kept"
        assert gateway.pid("supervisor") == supervisor
        assert not set(pids(gateway).values()) & set(before.values())
        os.kill(pids(gateway)[0], signal.SIGKILL)
        await eventually(lambda: len(pids(gateway)) == number, "another worker", START)
        assert await alone(gateway) == 200
        newest = (await gateway.call("GET", "/audit"))["items"][0]
        assert (newest["action"], newest["subject"]) == ("workers.upgrade", newer[-1])
        log = gateway.log.read_text()
    assert "version 2.0 takes over from version 1.0" in log
    assert "Traceback" not in log
    assert "ResourceWarning" not in log


async def test_a_version_that_cannot_start_is_refused(tmp_path: Path, upstream: Upstream, site: Site) -> None:
    async with gateway_of(site, tmp_path, upstream) as gateway:
        before = pids(gateway)
        site.install("2.0")
        site.change("workers/worker.py", "import sys", "import no_such_module")
        done = await upgrade(gateway)
        assert done.returncode == 3, "a conflict"
        assert "nothing has changed: ModuleNotFoundError: No module named 'no_such_module'" in done.stderr
        site.change("workers/worker.py", "import no_such_module", "import sys")
        site.change("workers/roster.py", "FORMAT: Final = 1", "FORMAT: Final = 2")
        assert "stop the gateway, and start it again" in (await upgrade(gateway)).stderr
        site.change("workers/roster.py", "FORMAT: Final = 2", "FORMAT: Final = 1")
        good = gateway.config.read_text()
        gateway.config.write_text(good + "no_such_key: 1\n")
        assert "no_such_key" in (await upgrade(gateway)).stderr
        gateway.config.write_text(good)
        assert pids(gateway) == before
        assert await versions(gateway) == ["1.0"] * 2
        assert await alone(gateway) == 200


async def test_a_version_that_fails_after_its_trial_ends_no_worker(
    tmp_path: Path, upstream: Upstream, site: Site
) -> None:
    async with gateway_of(site, tmp_path, upstream) as gateway:
        before = pids(gateway)
        site.install("2.0")
        site.change("control/process.py", "import asyncio", f"{FAILS}import asyncio")
        async with load(gateway, pace=0.02) as failed:
            done = await upgrade(gateway)
            assert done.returncode == 0, done.stderr
            await eventually(lambda: "is in a crash loop" in gateway.log.read_text(), "failures of the new one", START)
            assert pids(gateway).keys() == before.keys()
            assert await alone(gateway) == 200
            site.change("control/process.py", re.escape(FAILS), "")
            await comes_to(gateway, "2.0", 2)
        assert failed == []

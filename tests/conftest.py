"""Every asynchronous test runs on uvloop, the loop of the data plane, and ends with nothing left behind."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import uvloop

sys.path.insert(0, str(Path(__file__).parent))  # the harness is imported the same in every import mode of pytest

from harness.patience import eventually
from harness.upstream import BlackHole, Upstream

if TYPE_CHECKING:
    from harness.rig import GatewayFor

# A run starts some hundred processes of the gateway. Without the cache of compiled modules, which some environments
# switch off, each of them compiles all of its code again: a third of the start of a worker.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# A shell that runs the tests in the background has SIGINT ignored, and so would each process that they start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

PASSED = pytest.StashKey[bool]()
FAILED = pytest.StashKey[bool]()
"""The test has failed, in whichever phase."""


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"uvloop": uvloop.new_event_loop}


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """For `-n auto`: tests wait as long as they compute, so there are more at a time than cores."""
    return max(1, (os.cpu_count() or 1) * 3 // 2)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if call.when == "call":
        item.stash[PASSED] = report.passed
    item.stash[FAILED] = report.failed or item.stash.get(FAILED, False)
    if call.when == "teardown" and item.stash[FAILED]:
        sys.unraisablehook = _ignore
    return report


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """What a failed test leaves open is freed here, because the warning would fail the next test."""
    hook = sys.unraisablehook
    result = yield
    if item.stash.get(FAILED, False):
        for name in ("last_exc", "last_type", "last_value", "last_traceback"):  # they hold the frames of the test
            vars(sys).pop(name, None)
        gc.collect()
        sys.unraisablehook = hook
    return result


def _ignore(_: sys.UnraisableHookArgs) -> None:
    pass


@pytest.fixture
def upstream_class() -> type[Upstream]:
    """What upstreams are made of; the folders wire and faults run each dialogue over TLS too."""
    return Upstream


@pytest.fixture
async def upstream(upstream_class: type[Upstream]) -> AsyncIterator[Upstream]:
    """An upstream for a dialogue; give it a ``behaviour`` to have it answer by itself."""
    async with upstream_class() as upstream:
        yield upstream


@pytest.fixture
def black_hole() -> Iterator[BlackHole]:
    hole = BlackHole()
    yield hole
    hole.close()


@pytest.fixture
def over(request: pytest.FixtureRequest) -> str:
    """What callers speak: ``plain``, ``tls`` or ``h2``. The variable TESTS_OVER is for `make test-protocols`."""
    if request.node.get_closest_marker("raw") is not None:
        return "plain"
    way = str(getattr(request, "param", os.environ.get("TESTS_OVER", "plain")))
    return "plain" if way == "h2" and request.node.get_closest_marker("http1") is not None else way


@pytest.fixture
async def gateway_for(
    tmp_path: Path, upstream: Upstream, over: str, request: pytest.FixtureRequest
) -> AsyncIterator[GatewayFor]:
    """Starts gateways. At the end no exchange, permit, buffer or task is left, and no error went uncaught."""
    from harness.rig import Workshop

    before = asyncio.all_tasks()
    workshop = Workshop(tmp_path, over=over)
    yield workshop
    passed = request.node.stash.get(PASSED, False)
    await workshop.aclose(check=passed)
    if passed:
        await no_tasks_but(before | upstream.tasks)


async def no_tasks_but(known: set[asyncio.Task[None]]) -> None:
    def left() -> set[asyncio.Task[None]]:
        return {task for task in asyncio.all_tasks() - known if task is not asyncio.current_task()}

    await eventually(lambda: not left(), "no task left")

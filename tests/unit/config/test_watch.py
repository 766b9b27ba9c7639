import asyncio
import contextlib
import pathlib
from collections.abc import AsyncIterator

import pytest
from harness.descriptors import no_descriptor_left

from gateway.config.load import ConfigError
from gateway.config.records import Listener
from gateway.config.watch import FileProvider, fingerprint, watch
from gateway.core.address import Address

PATIENCE = 5.0
"""Seconds after which a change that should have been told is taken to be lost."""

GLANCE = 0.3
"""Seconds in which news that must not come is given the chance to."""


class Watch:
    """A running watch; each call of ``on_change`` is a piece of news."""

    def __init__(self, path: pathlib.Path) -> None:
        self.path = path
        self.news: asyncio.Queue[bytes | None] = asyncio.Queue()

    def tell(self) -> None:
        self.news.put_nowait(self.path.read_bytes() if self.path.exists() else None)

    async def next(self) -> bytes | None:
        return await asyncio.wait_for(self.news.get(), PATIENCE)

    async def hears_nothing(self) -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(self.news.get(), GLANCE)


@contextlib.asynccontextmanager
async def watching(path: pathlib.Path, recheck: float = 0.1) -> AsyncIterator[Watch]:
    """A watch that has already taken the content at the start for known; cancelled at the end."""
    watched = Watch(path)
    task = asyncio.create_task(watch(path, watched.tell, debounce=0.05, recheck=recheck))
    await asyncio.sleep(0)  # one step of the task: the first fingerprint
    try:
        yield watched
    finally:
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


def config_map(directory: pathlib.Path, content: str, version: str) -> None:
    """Puts a version of gateway.yaml in force as Kubernetes does: one rename of the link ``..data``."""
    (directory / version).mkdir()
    (directory / version / "gateway.yaml").write_text(content)
    (directory / "..data_tmp").symlink_to(version)
    (directory / "..data_tmp").rename(directory / "..data")


def test_load_reads_the_file_each_time(tmp_path: pathlib.Path) -> None:
    file = tmp_path / "gateway.yaml"
    provider = FileProvider(file, {"PORT": "1"})
    file.write_text("listen: h:${PORT}")
    assert provider.load().document.listen == (Listener(Address("h", 1)),)
    file.write_text("listen: h:2")
    assert provider.load().document.listen == (Listener(Address("h", 2)),)
    file.unlink()
    with pytest.raises(ConfigError, match="no such file"):
        provider.load()


async def test_a_file_that_no_descriptor_is_left_for_is_no_news(tmp_path: pathlib.Path) -> None:
    file = tmp_path / "gateway.yaml"
    file.write_text("a")
    async with watching(file) as watched:
        with no_descriptor_left():
            await watched.hears_nothing()
        file.write_text("b")
        assert await watched.next() == b"b"


async def test_an_edit_in_place_is_told(tmp_path: pathlib.Path) -> None:
    file = tmp_path / "gateway.yaml"
    file.write_text("a")
    async with watching(file) as watched:
        file.write_text("b")
        assert await watched.next() == b"b"


async def test_a_file_put_in_the_old_one_s_place_is_told_each_time(tmp_path: pathlib.Path) -> None:
    file, new = tmp_path / "gateway.yaml", tmp_path / "new"
    file.write_text("a")
    async with watching(file) as watched:
        for content in (b"b", b"c", b"d"):
            new.write_bytes(content)
            new.rename(file)
            assert await watched.next() == content


async def test_the_directory_tells_at_once(tmp_path: pathlib.Path) -> None:
    """The periodic look is a minute away here, so that only the watch can have told."""
    file = tmp_path / "gateway.yaml"
    file.write_text("a")
    async with watching(file, recheck=60) as watched:
        for number in range(int(PATIENCE / 0.1)):  # the watch of the kernel begins a moment after the first step
            file.write_text(str(number))
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(watched.news.get(), 0.1)
                break
        else:
            pytest.fail("no change was told")


async def test_a_swapped_link_of_kubernetes_is_told(tmp_path: pathlib.Path) -> None:
    config_map(tmp_path, "a", "..1")
    file = tmp_path / "gateway.yaml"
    file.symlink_to("..data/gateway.yaml")
    async with watching(file) as watched:
        config_map(tmp_path, "b", "..2")
        assert await watched.next() == b"b"
        config_map(tmp_path, "c", "..3")
        assert await watched.next() == b"c"


async def test_a_change_behind_a_link_is_told(tmp_path: pathlib.Path) -> None:
    (tmp_path / "far").mkdir()
    (tmp_path / "near").mkdir()
    target, file = tmp_path / "far" / "real.yaml", tmp_path / "near" / "gateway.yaml"
    target.write_text("a")
    file.symlink_to(target)
    async with watching(file) as watched:
        target.write_text("b")
        assert await watched.next() == b"b"


async def test_the_same_content_is_no_news_nor_is_another_file(tmp_path: pathlib.Path) -> None:
    file = tmp_path / "gateway.yaml"
    file.write_text("a")
    async with watching(file) as watched:
        file.write_text("a")
        (tmp_path / "other.yaml").write_text("x")
        await watched.hears_nothing()


async def test_a_file_that_vanishes_and_returns_is_told_twice(tmp_path: pathlib.Path) -> None:
    file = tmp_path / "gateway.yaml"
    file.write_text("a")
    async with watching(file) as watched:
        file.unlink()
        assert await watched.next() is None
        file.write_text("a")
        assert await watched.next() == b"a"


async def test_without_a_directory_to_watch_the_file_is_looked_for(tmp_path: pathlib.Path) -> None:
    file = tmp_path / "later" / "gateway.yaml"
    async with watching(file) as watched:
        file.parent.mkdir()
        file.write_text("a")
        assert await watched.next() == b"a"


async def test_a_coroutine_is_awaited_and_its_error_ends_the_watch(tmp_path: pathlib.Path) -> None:
    file = tmp_path / "gateway.yaml"
    file.write_text("a")

    async def on_change() -> None:
        raise LookupError("told")

    task = asyncio.create_task(watch(file, on_change, debounce=0.05, recheck=0.1))
    await asyncio.sleep(0)
    file.write_text("b")
    with pytest.raises(LookupError, match="told"):
        await asyncio.wait_for(task, PATIENCE)


async def test_a_change_between_the_first_load_and_the_watch_is_told_at_once(tmp_path: pathlib.Path) -> None:
    file = tmp_path / "g.yaml"
    file.write_text("one")
    before = fingerprint(file)
    file.write_text("two")
    told = asyncio.Event()
    watching = asyncio.create_task(watch(file, told.set, since=before))
    await asyncio.wait_for(told.wait(), 3)
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)

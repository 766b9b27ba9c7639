from __future__ import annotations

import ctypes
import errno
import mmap
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator

import pytest

from gateway.page import mutex
from gateway.page.layout import CELLS, DIRTY
from gateway.page.mutex import OWNER, FileLock, Lock, RobustMutex, address_of, robust


class Scene:
    """A lock of each kind, as several processes have it."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.descriptor = os.memfd_create("test")
        os.ftruncate(self.descriptor, CELLS * 8)
        self.memory = mmap.mmap(self.descriptor, CELLS * 8)
        self.cells = memoryview(self.memory).cast("q")
        if kind == "robust":
            RobustMutex(address_of(self.memory)).make()

    def lock(self) -> Lock:
        """As one process has it."""
        if self.kind == "robust":
            return RobustMutex(address_of(self.memory))
        return FileLock(self.descriptor, 0, self.cells)

    @property
    def owner(self) -> int:
        """The thread that holds it; 0: none."""
        if self.kind == "robust":
            return int.from_bytes(self.memory[:4], sys.byteorder) & OWNER
        return int(self.cells[DIRTY])

    def child(self, do: Callable[[Lock], object]) -> int:
        child = os.fork()
        if not child:
            do(self.lock())
            os._exit(0)
        return child


@pytest.fixture(params=["robust", "file"])
def scene(request: pytest.FixtureRequest) -> Iterator[Scene]:
    made = Scene(request.param)
    yield made
    os.close(made.descriptor)


def test_a_lock_is_taken_and_given_back(scene: Scene) -> None:
    lock = scene.lock()
    for _ in range(3):
        assert not lock.acquire()
        assert scene.owner in (os.getpid(), threading.get_native_id())
        lock.release()
        assert scene.owner == 0


def test_a_holder_that_asks_again_does_not_wait_for_itself(scene: Scene) -> None:
    lock = scene.lock()
    lock.acquire()
    with pytest.raises(OSError, match="deadlock") as caught:
        lock.acquire()
    assert caught.value.errno == errno.EDEADLK
    lock.release()


def test_the_next_holder_learns_that_one_has_died(scene: Scene) -> None:
    os.waitpid(scene.child(lambda lock: lock.acquire()), 0)
    lock = scene.lock()
    assert lock.acquire()
    lock.repaired()
    lock.release()
    assert not lock.acquire()
    lock.release()


def test_what_cannot_be_taken_at_once_is_settled(scene: Scene) -> None:
    lock = scene.lock()
    assert lock.try_acquire() == 0
    lock.release()
    os.waitpid(scene.child(lambda lock: lock.try_acquire()), 0)
    code = lock.try_acquire()
    assert code
    assert lock.settle(code), "its holder has died"
    lock.repaired()
    lock.release()
    assert lock.try_acquire() == 0
    lock.release()


def test_a_lock_that_is_held_is_waited_for(scene: Scene) -> None:
    here, there = os.pipe()

    def hold(lock: Lock) -> None:
        lock.acquire()
        os.write(there, b".")
        os.kill(os.getpid(), signal.SIGSTOP)
        lock.release()

    child = scene.child(hold)
    os.read(here, 1)
    os.waitpid(child, os.WUNTRACED)
    lock = scene.lock()
    assert scene.owner == child, "of a process of one thread that is its id"
    timer = threading.Timer(0.05, os.kill, (child, signal.SIGCONT))
    timer.start()
    assert not lock.acquire(), "it waits until the other goes on"
    lock.release()
    timer.join()
    os.waitpid(child, 0)
    os.close(here)
    os.close(there)


def test_a_file_lock_says_which_process_holds_it() -> None:
    scene = Scene("file")
    lock = scene.lock()
    lock.acquire()
    assert scene.cells[DIRTY] == os.getpid()
    lock.release()
    os.close(scene.descriptor)


def test_this_system_gives_a_mutex_back() -> None:
    assert robust()


def test_a_system_that_has_no_such_mutex_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(attributes: object, value: int) -> int:
        return errno.EINVAL

    monkeypatch.setattr(mutex, "_SETTINGS", ((unknown, 1),))
    assert not robust()


def test_a_system_that_says_nothing_of_the_dead_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = [(set_, value) for set_, value in mutex._SETTINGS if "robust" not in set_.__name__]
    monkeypatch.setattr(mutex, "_SETTINGS", tuple(settings))
    assert not robust()


def test_an_error_of_the_system_is_raised() -> None:
    scene = Scene("robust")
    with pytest.raises(OSError, match="Invalid argument"):
        RobustMutex(ctypes.addressof(ctypes.create_string_buffer(64))).repaired()
    os.close(scene.descriptor)

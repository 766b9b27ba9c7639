"""Locks in shared memory that the kernel gives back when their holder dies.

`RobustMutex` is a mutex of pthreads: robust, shared by processes, and checked for errors
(pthread_mutexattr_setrobust(3), pthread_mutexattr_settype(3)). Taking and giving back takes 0.3 us. Some sandboxes do
not say that a holder has died: there `FileLock` serves, which takes ten times as long.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import mmap
import os
from collections.abc import Callable
from functools import partial
from typing import Final, Protocol

from gateway.page.layout import DIRTY

_HOLDER_DIED: Final = errno.EOWNERDEAD
_ERRORCHECK: Final = 2
"""PTHREAD_MUTEX_ERRORCHECK of glibc and musl."""
OWNER: Final = 0x3FFFFFFF
"""The bits of the first word of a mutex that are the thread id of its holder (glibc and musl)."""

_quick = ctypes.PyDLL(None)
"""Keeps Python's own lock: for calls that never wait."""
_slow = ctypes.CDLL(None)
"""Lets other threads run: for the one call that may wait."""


def _function(library: ctypes.CDLL, name: str, *types: type) -> Callable[..., int]:
    function = getattr(library, name)
    function.argtypes, function.restype = types, ctypes.c_int
    called: Callable[..., int] = function
    return called


_address = ctypes.c_void_p
# Taking and giving back happens twice for each request. A call without declared arguments, with a `ctypes.byref`, takes
# 0.6 of the time that one with a converted address takes; a result that no one reads is not made.
_trylock: Callable[[object], int] = ctypes.PYFUNCTYPE(ctypes.c_int)(("pthread_mutex_trylock", _quick))
_unlock: Callable[[object], None] = ctypes.PYFUNCTYPE(None)(("pthread_mutex_unlock", _quick))
_lock = _function(_slow, "pthread_mutex_lock", _address)
_consistent = _function(_quick, "pthread_mutex_consistent", _address)
_init = _function(_quick, "pthread_mutex_init", _address, _address)
_attributes_init = _function(_quick, "pthread_mutexattr_init", _address)
_SETTINGS: Final = (
    (_function(_quick, "pthread_mutexattr_setpshared", _address, ctypes.c_int), 1),
    (_function(_quick, "pthread_mutexattr_setrobust", _address, ctypes.c_int), 1),
    (_function(_quick, "pthread_mutexattr_settype", _address, ctypes.c_int), _ERRORCHECK),
)


class Lock(Protocol):
    """A lock that two threads of one process do not share."""

    @property
    def try_acquire(self) -> Callable[[], int]:
        """Takes the lock, or returns a code that is not 0, with which `settle` has to be called."""
        ...

    def settle(self, code: int) -> bool:
        """Wait for the lock when ``code`` says that it is held. True: its holder died, so that what it guards may be
        half-changed; see `repaired`.

        Raises OSError with EDEADLK when this thread holds it.
        """
        ...

    def acquire(self) -> bool:
        """`try_acquire`, and `settle` where that is needed."""
        ...

    def repaired(self) -> None:
        """What the lock guards is whole again; it is still held."""
        ...

    @property
    def release(self) -> Callable[[], object]:
        """Gives the lock back."""
        ...


def address_of(memory: mmap.mmap) -> int:
    """Where ``memory`` lies. It cannot be closed from then on."""
    return ctypes.addressof(ctypes.c_char.from_buffer(memory))


class RobustMutex:
    """A `Lock` at an address. `make` makes it, once, for all processes."""

    __slots__ = ("_address", "release", "try_acquire")

    def __init__(self, address: int) -> None:
        self._address = _address(address)
        there = ctypes.byref(ctypes.c_char.from_address(address))
        # A call less than a method.
        self.try_acquire: Callable[[], int] = partial(_trylock, there)
        """As `Lock.try_acquire`."""
        self.release: Callable[[], object] = partial(_unlock, there)
        """As `Lock.release`."""

    def make(self) -> None:
        """Raises OSError where the system has no such mutex."""
        attributes = ctypes.create_string_buffer(64)
        _check(_attributes_init(attributes))
        for set_, value in _SETTINGS:
            _check(set_(attributes, value))
        _check(_init(self._address, attributes))

    def acquire(self) -> bool:
        """As `Lock.acquire`."""
        code = self.try_acquire()
        return code > 0 and self.settle(code)

    def settle(self, code: int) -> bool:
        """As `Lock.settle`."""
        if code == errno.EBUSY:
            code = _lock(self._address)
        if code == errno.EOWNERDEAD:
            return True
        _check(code)
        return False

    def repaired(self) -> None:
        """As `Lock.repaired`."""
        _check(_consistent(self._address))


class FileLock:
    """A `Lock` on a byte of the page's file, with a cell that says whether its holder left it properly."""

    __slots__ = ("_cells", "_descriptor", "_held", "_offset")

    def __init__(self, descriptor: int, offset: int, cells: memoryview) -> None:
        self._descriptor = descriptor
        self._offset = offset
        self._cells = cells
        self._held = False

    def try_acquire(self) -> int:
        """As `Lock.try_acquire`: waits at once."""
        return _HOLDER_DIED if self.acquire() else 0

    def settle(self, code: int) -> bool:
        """As `Lock.settle`."""
        return code == _HOLDER_DIED

    def acquire(self) -> bool:
        """As `Lock.acquire`."""
        if self._held:
            raise OSError(errno.EDEADLK, os.strerror(errno.EDEADLK))
        fcntl.lockf(self._descriptor, fcntl.LOCK_EX, 1, self._offset)
        self._held = True
        died = self._cells[DIRTY] > 0
        self._cells[DIRTY] = os.getpid()
        return died

    def repaired(self) -> None:
        """As `Lock.repaired`."""

    def release(self) -> None:
        """As `Lock.release`."""
        self._cells[DIRTY] = 0
        self._held = False
        fcntl.lockf(self._descriptor, fcntl.LOCK_UN, 1, self._offset)


def _check(code: int) -> None:
    if code:
        raise OSError(code, os.strerror(code))


def robust() -> bool:
    """Whether this system gives a mutex back when its holder dies: a child process dies with one."""
    memory = mmap.mmap(-1, mmap.PAGESIZE)
    mutex = RobustMutex(address_of(memory))
    try:
        mutex.make()
    except OSError:
        return False
    child = os.fork()
    if not child:
        mutex.acquire()
        os._exit(0)
    os.waitpid(child, 0)
    # Not `acquire`, which would wait forever where the kernel does nothing.
    if mutex.try_acquire() != errno.EOWNERDEAD:
        return False
    mutex.repaired()
    mutex.release()  # a thread keeps a list of the mutexes that it holds, which must not lead into freed memory
    return True

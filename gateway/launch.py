"""The first steps of a process: it must run in every environment in which shells, cron, containers and service managers
start it.

Nothing heavy is imported here, because this has to happen before the imports of the gateway, which take a second.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import importlib
import os
import resource
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Final, TextIO

PYTHON: Final = (sys.executable, "-P", "-m")
"""The beginning of a command that runs a module of ours.

-P: files in the folder where the gateway was started are data, and must not be imported."""

PROGRAM: Final = (*PYTHON, "gateway.launch")
"""The beginning of a command that runs a program of ours which imports much: the name of its module comes next, then
what its ``main`` takes."""

BAD_CONFIGURATION: Final = 2
"""Exit code of a process that cannot use its configuration."""

SIGNALS: Final = frozenset({signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2})
"""The signals that a gateway handles. The default action of each would end the process."""

MOST_WORKERS: Final = 32
"""The shared page has a slot for two processes of each, and one more."""

_OBJECTS_OF_IMPORTS: Final = 200_000
"""More than the imports of any command make, so that they begin no collection; a large import of records does."""

_OTHERS: Final = 0o027
"""Permissions that are always masked, whatever umask the gateway was started with: others get no access."""
_OWNER: Final = 0o077
"""A umask beyond this would keep the gateway from its own files."""


@contextlib.contextmanager
def importing() -> Iterator[None]:
    """Import in this context without the garbage collector.

    Modules, classes and functions stay until the end, so that each collection would only find them alive: a fifth of
    the time that the imports take. For the same reason the collections that follow leave them out, also the one at the
    end of the process.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def ends_soon() -> None:
    """For the command line: collect rarely, and not at the end, because a command is mostly imports.

    It makes them where it needs them, and not all at its start as a program of `main` does.
    """
    gc.set_threshold(_OBJECTS_OF_IMPORTS)
    atexit.register(gc.freeze)


def hold_signals() -> None:
    """Let `SIGNALS` wait until this process has handlers for them; processes that it starts inherit that."""
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)


def release_signals() -> None:
    """Deliver `SIGNALS` again, as in any other process: for commands that do not serve."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)


@contextlib.contextmanager
def held() -> Iterator[None]:
    """A process that is started in this context gets its signals only once it has handlers for them."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def open_standard_descriptors() -> None:
    """Where 0, 1 or 2 is closed, /dev/null takes its place.

    Else the next socket would get the number, and a client would read the log.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            got = os.open(os.devnull, os.O_RDONLY if descriptor == 0 else os.O_WRONLY)
            if got != descriptor:
                os.dup2(got, descriptor)
                os.close(got)
            os.set_inheritable(descriptor, True)
    sys.stdout = sys.stdout or _null()
    sys.stderr = sys.stderr or _null()


def _null() -> TextIO:
    return open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123 - it lives as long as the process


def prepare() -> None:
    """For a process that serves: as many descriptors as it may have, files of its own for itself alone, and children
    whose exit code can be read.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with contextlib.suppress(ValueError, OSError):  # the kernel allows less than the limit says
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    os.umask((os.umask(_OWNER) | _OTHERS) & _OWNER)
    # Ignored by the process that started us, it would make the kernel forget the exit codes of our children.
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)


def reap_orphans(own: Callable[[int], bool]) -> None:
    """Take the exit codes of ended processes that the kernel gave us because their parent is gone.

    That happens to process 1 of a container. ``own`` says which process ids are children of ours: theirs are left.
    """
    while True:
        try:
            ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return
        if ended is None or own(ended.si_pid):
            return  # a child of ours just ended: its own SIGCHLD comes next, and with it another call
        with contextlib.suppress(ChildProcessError):
            os.waitpid(ended.si_pid, os.WNOHANG)


def end_within(seconds: float, code: int, last_words: Callable[[], object]) -> None:
    """End this process after ``seconds`` in any case, unless it has ended before.

    For hangs that no timeout of an event loop covers: a thread in a name look-up, or the loop itself.
    ``last_words`` is called before.
    """

    def end() -> None:
        time.sleep(seconds)
        last_words()
        os._exit(code)

    with contextlib.suppress(RuntimeError):  # no thread can be started: then none of ours hangs either
        threading.Thread(target=end, name="end", daemon=True).start()


def main(arguments: list[str]) -> int:
    """Run the program that the first argument names, a module with a ``main``; its exit code."""
    with importing():
        program = importlib.import_module(arguments[0])
    code: int = program.main(arguments[1:])
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

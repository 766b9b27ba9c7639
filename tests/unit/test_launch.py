"""What a process does first, each part in a process of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

BEGIN = "import os, resource, signal, sys, time\nfrom gateway import launch\n"


def run(code: str, *, before: str = "") -> str:
    """The output of ``code`` in a process that was started by the shell after ``before``."""
    command = f'{before} exec "$0" -c "$1"'
    done = subprocess.run(
        ["sh", "-c", command, sys.executable, BEGIN + code], capture_output=True, text=True, timeout=30
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_the_soft_limit_of_descriptors_becomes_the_hard_one() -> None:
    code = "n = resource.RLIMIT_NOFILE; resource.setrlimit(n, (64, 512)); launch.prepare()\n"
    assert run(code + "print(resource.getrlimit(n))") == "(512, 512)"


@pytest.mark.parametrize(("before", "after"), [("000", "027"), ("077", "077"), ("777", "077"), ("022", "027")])
def test_files_are_for_the_owner_whatever_the_umask_was(before: str, after: str) -> None:
    assert run("launch.prepare(); print(f'{os.umask(0):03o}')", before=f"umask {before};") == after


def test_exit_codes_of_children_can_be_read_where_the_parent_ignored_them() -> None:
    code = (
        "signal.signal(signal.SIGCHLD, signal.SIG_IGN); launch.prepare()\n"
        "import subprocess; print(subprocess.run(['sh', '-c', 'exit 3']).returncode)"
    )
    assert run(code) == "3"


def test_held_signals_come_when_they_are_released() -> None:
    code = (
        "launch.hold_signals(); os.kill(os.getpid(), signal.SIGUSR1); os.kill(os.getpid(), signal.SIGHUP)\n"
        "for n in (signal.SIGUSR1, signal.SIGHUP): signal.signal(n, lambda n, _: print(signal.Signals(n).name))\n"
        "print('later'); launch.release_signals(); time.sleep(0)"
    )
    assert sorted(run(code).split()) == ["SIGHUP", "SIGUSR1", "later"]
    assert run(code).split()[0] == "later"


def test_what_is_started_while_they_are_held_inherits_that() -> None:
    code = (
        "import subprocess\nwith launch.held(): child = subprocess.Popen(['sleep', '30'])\n"
        "child.send_signal(signal.SIGHUP)\n"
        "held = lambda pid: int(open(f'/proc/{pid}/status').read().split('SigBlk:')[1].split()[0], 16)\n"
        "print(child.poll(), held(child.pid) & 1, held(os.getpid()) & 1); child.kill(); child.wait()"
    )
    assert run(code) == "None 1 0"


def test_missing_standard_descriptors_become_the_null_device() -> None:
    code = (
        "launch.open_standard_descriptors(); import pathlib\n"
        "pathlib.Path(sys.argv[1]).write_text(' '.join(os.readlink(f'/proc/self/fd/{n}') for n in range(3)))\n"
        "print('lost', file=sys.stderr); print('lost')"
    )
    done = subprocess.run(
        ["sh", "-c", 'exec 3>&1; exec "$0" -c "$1" /dev/fd/3 <&- >&- 2>&-', sys.executable, BEGIN + code],
        capture_output=True,
        timeout=30,
    )
    assert (done.returncode, done.stdout) == (0, b"/dev/null /dev/null /dev/null")


def test_orphans_are_reaped_and_own_children_are_left() -> None:
    """A subreaper gets the orphans below it, as process 1 does."""
    code = (
        "import ctypes, subprocess; ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)\n"
        "subprocess.run(['sh', '-c', 'sleep 0 & sleep 0 &'])\n"
        "own = subprocess.Popen(['sh', '-c', 'exit 7'])\n"
        "mine = f'/proc/self/task/{os.getpid()}/children'\n"
        "children = lambda: {int(pid) for pid in open(mine).read().split()}\n"
        "end = time.monotonic() + 10\n"
        "while children() - {own.pid} and time.monotonic() < end:\n"
        "    launch.reap_orphans(lambda pid: pid == own.pid and own.poll() is None)\n"
        "print(children() <= {own.pid}, own.wait())"
    )
    assert run(code) == "True 7"


def test_a_process_that_does_not_end_is_ended() -> None:
    code = "launch.end_within(0.05, 5, lambda: print('last', flush=True)); time.sleep(30)"
    done = subprocess.run([sys.executable, "-c", BEGIN + code], capture_output=True, text=True, timeout=20)
    assert (done.returncode, done.stdout) == (5, "last\n")


def test_imports_are_made_without_the_collector_and_the_next_collections_leave_them_out() -> None:
    code = (
        "import gc\nwith launch.importing(): during = gc.isenabled(); import decimal\n"
        "print(during, gc.isenabled(), gc.get_freeze_count() > 1000, decimal in gc.get_objects())"
    )
    assert run(code) == "False True True False"


def test_the_collector_works_again_after_an_import_that_fails() -> None:
    code = (
        "import gc\ntry:\n    with launch.importing(): import no_such_module\nexcept ImportError: print(gc.isenabled())"
    )
    assert run(code) == "True"


def test_a_program_gets_its_arguments_and_its_result_is_the_exit_code(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text("def main(arguments):\n    print(arguments)\n    return 7\n")
    command = [sys.executable, "-m", "gateway.launch", "program", "a", "-b"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=30)
    assert (done.returncode, done.stdout, done.stderr) == (7, "['a', '-b']\n", "")


def test_a_command_collects_neither_while_it_imports_nor_at_its_end() -> None:
    code = (
        "import atexit, gc; atexit.register(lambda: print(before == [each['collections'] for each in gc.get_stats()],"
        " gc.get_freeze_count() > 1000))\n"
        "launch.ends_soon(); before = [each['collections'] for each in gc.get_stats()]; import gateway.control.process"
    )
    assert run(code) == "True True"


def test_a_command_that_makes_many_objects_collects() -> None:
    code = (
        "import gc; launch.ends_soon(); before = gc.get_stats()[0]['collections']\n"
        "kept = [[] for _ in range(1_000_000)]; print(gc.get_stats()[0]['collections'] - before)"
    )
    assert 0 < int(run(code)) < 10

"""Files and addresses that the machine does not provide: the key, the place, what is wrong, the remedy."""

from __future__ import annotations

import errno
import os
import pathlib
import socket
import sqlite3
from contextlib import closing

import pytest

from gateway.config import places
from gateway.config.load import settings_in


def found(text: str, access_log: str = "") -> list[str]:
    settings = settings_in(text + "\nproxies: []\n", "yaml", "f", {})
    return [problem.render("f") for problem in places.problems(settings, access_log)]


def test_folders_that_are_missing(tmp_path: pathlib.Path) -> None:
    no = tmp_path / "no"
    assert found(f"access_log: {{path: {no}/access.log}}\ndatabase: sqlite:///{no}/own.db") == [
        f"f: {key}: {no}/{name} cannot be written: No such file or directory; make the folder {no}, or change {key}"
        for key, name in (("access_log.path", "access.log"), ("database", "own.db"))
    ]
    assert list(tmp_path.iterdir()) == []


def test_what_is_no_file_and_what_is_no_folder(tmp_path: pathlib.Path) -> None:
    (tmp_path / "file").touch()
    (sentence,) = found(f"access_log: {{path: {tmp_path}}}")
    assert sentence.endswith("Is a directory; name a file in access_log.path")
    (sentence,) = found(f"access_log: {{path: {tmp_path}/file/x}}")
    assert sentence.endswith("Not a directory; change access_log.path")


def test_a_file_that_is_no_database(tmp_path: pathlib.Path) -> None:
    notes = tmp_path / "notes.txt"
    for text in ("x", "SQLite format 2\0" * 9):
        notes.write_text(text)
        assert places.not_sqlite(notes) == f"{notes} is a file that is no SQLite database; change database"
    notes.write_text("")
    assert places.not_sqlite(notes) == places.not_sqlite(tmp_path / "new") == places.not_sqlite(tmp_path) == ""
    with closing(sqlite3.connect(notes)) as connection:
        connection.execute("CREATE TABLE a (b)")
    assert places.not_sqlite(notes) == ""


def test_places_that_are_good(tmp_path: pathlib.Path) -> None:
    (tmp_path / "there.log").touch()
    for text in ("access_log: {path: '-'}", "access_log: null", f"access_log: {{path: {tmp_path}/there.log}}"):
        assert found(text) == []
    assert found(f"access_log: {{path: {tmp_path}/new.log}}\ndatabase: sqlite:///{tmp_path}/new.db") == []
    assert found("database: postgresql://h/x") == []
    assert [path.name for path in tmp_path.iterdir()] == ["there.log"]


def test_a_path_of_the_command_line_replaces_that_of_the_file(tmp_path: pathlib.Path) -> None:
    text = f"access_log: {{path: {tmp_path}/no/x}}"
    assert found(text, "-") == found(text, "off") == []
    (sentence,) = found("access_log: null", f"{tmp_path}/no/y")
    assert f"{tmp_path}/no/y cannot be written" in sentence


def test_what_this_user_may_not_write(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode, effective_ids: False)  # root may write everywhere
    (sentence,) = found(f"access_log: {{path: {tmp_path}/x}}")
    assert sentence.endswith(
        f"let the user of the gateway write it and its folder {tmp_path}, or change access_log.path"
    )


@pytest.mark.parametrize(
    ("error", "remedy"),
    [
        (OSError(errno.EADDRINUSE, "x"), "Address already in use; stop the program that uses it, or change listen"),
        (OSError(errno.EACCES, "x"), "Permission denied; choose a port above 1023 in listen, or give the gateway CAP_"),
        (OSError(errno.EADDRNOTAVAIL, "x"), "Cannot assign requested address; change listen"),
        (socket.gaierror(-2, "Name or service not known"), "not known; write an address of this machine in listen"),
    ],
)
def test_addresses(error: OSError, remedy: str) -> None:
    told = str(places.listen_failure("listen", "::1", 80, error))
    assert told.startswith("listen: cannot listen on [::1]:80: ")
    assert remedy in told


def admin_at(path: pathlib.Path) -> list[str]:
    return found(f"admin: {{listen: 'unix:{path}'}}\ndatabase: postgresql://h/x")


def test_a_socket_file_needs_a_folder_that_can_be_written(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert admin_at(tmp_path / "a.sock") == []
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(tmp_path / "a.sock"))
        assert admin_at(tmp_path / "a.sock") == [], "the gateway that runs has it"
    (tmp_path / "file").touch()
    (sentence,) = admin_at(tmp_path / "file")
    assert sentence.startswith(f"f: admin.listen: cannot listen on unix:{tmp_path}/file: there is a file that is no")
    (sentence,) = admin_at(tmp_path / "no" / "a.sock")
    assert f"make the folder {tmp_path}/no (RuntimeDirectory=" in sentence
    (sentence,) = admin_at(tmp_path / "file" / "a.sock")
    assert "Not a directory; change admin.listen" in sentence
    monkeypatch.setattr(os, "access", lambda path, mode, effective_ids: False)  # root may write everywhere
    (sentence,) = admin_at(tmp_path / "a.sock")
    assert sentence.endswith(f"let the user of the gateway write the folder {tmp_path}, or change admin.listen")

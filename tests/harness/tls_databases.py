"""Databases that speak TLS with certificates of `harness.tls`: PostgreSQL, MariaDB and Redis, from Debian's packages.

The PostgreSQL and the Valkey of the wheels are built without TLS.
"""

from __future__ import annotations

import asyncio
import getpass
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path

from harness import debian, mariadb, tls, toolbox
from harness.ports import reserved_port

PASSWORD = "database-pass-1732-planted"
_READY = 60.0


@contextmanager
def _folder(kind: str) -> Iterator[Path]:
    """With the certificate ``tls.pem`` of ``localhost`` and its key ``tls.key``, which its owner alone may read."""
    with tempfile.TemporaryDirectory(prefix=f"gateway-{kind}-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        made = tls.certificate("localhost")
        (folder / "tls.pem").write_text(made.chain)
        (folder / "tls.key").touch(0o600)
        (folder / "tls.key").write_text(made.key)
        (folder / "ca.pem").write_text(tls.pem_of(tls.authority()))
        yield folder


@contextmanager
def _running(command: list[str], folder: Path, word: bytes, **how: object) -> Iterator[None]:
    """Until it has logged ``word``, and then until it is left."""
    log = folder / "log"
    with log.open("wb") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out, **how)  # type: ignore[call-overload]
    try:
        end = time.monotonic() + _READY
        while word not in log.read_bytes():
            if process.poll() is not None or time.monotonic() > end:
                toolbox.unavailable(log.read_text()[-500:])
            time.sleep(0.02)
        yield
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextmanager
def postgres(*, speaks_tls: bool) -> Iterator[str]:
    """The URL of one that asks the user ``reader`` for its password as it is."""
    debian.prepare(("postgresql",), "pg_ctlcluster")
    programs = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
    if not programs:
        toolbox.unavailable("Debian's package postgresql is not installed here")
    with _folder("postgres") as folder:
        how: dict[str, object] = {}
        if os.geteuid() == 0:  # under which it does not run
            how["user"] = "postgres"
            for each in (folder, *folder.iterdir()):
                shutil.chown(each, "postgres")
        port, data = reserved_port(), folder / "data"
        initdb = [str(programs[-1].with_name("initdb")), "-D", str(data), "-U", "postgres", "--auth=trust", "-N"]
        subprocess.run(initdb, cwd=folder, check=True, capture_output=True, timeout=120, **how)  # type: ignore[call-overload]
        (data / "pg_hba.conf").write_text("local all all trust\nhost all all 127.0.0.1/32 password\n")
        command = [str(programs[-1]), "-D", str(data), "-k", str(folder), "-h", "127.0.0.1", "-p", str(port)]
        settings = ["ssl=on", f"ssl_cert_file={folder}/tls.pem", f"ssl_key_file={folder}/tls.key"] if speaks_tls else []
        options = [part for setting in settings for part in ("-c", setting)]
        with _running([*command, *options], folder, b"ready to accept connections", cwd=folder, **how):
            user = f"CREATE USER reader PASSWORD '{PASSWORD}'"
            psql = ["psql", "-h", str(folder), "-p", str(port), "-U", "postgres", "-c", user]
            subprocess.run(psql, check=True, capture_output=True, timeout=60)
            yield f"postgresql://localhost:{port}/postgres"


@contextmanager
def maria(*, speaks_tls: bool) -> Iterator[str]:
    """The URL of one that takes any password."""
    with _folder("mariadb") as folder:
        options = (f"--ssl-cert={folder}/tls.pem", f"--ssl-key={folder}/tls.key") if speaks_tls else ()
        for server in mariadb.start(*options):
            yield server.database().replace("root@127.0.0.1", "localhost")


def _fill(folder: Path) -> None:
    packages = ("redis-tools", "redis-server", "liblzf1", "libjemalloc2", "liblua5.1-0", "libatomic1")
    toolbox.run(["apt-get", "download", *packages], folder)
    for package in sorted(folder.glob("*.deb")):
        toolbox.run(["dpkg", "-x", package.name, "root"], folder)
        package.unlink()


@contextmanager
def redis(*, speaks_tls: bool) -> Iterator[str]:
    """The URL of one whose default user has the password."""
    root = toolbox.cached("redis", _fill) / "root"
    with _folder("redis") as folder:
        port = reserved_port()
        speaking = ["--tls-port", str(port), "--port", "0", "--tls-auth-clients", "no"]
        files = ["--tls-cert-file", f"{folder}/tls.pem", "--tls-key-file", f"{folder}/tls.key"]
        listening = (
            [*speaking, *files, "--tls-ca-cert-file", f"{folder}/ca.pem"] if speaks_tls else ["--port", str(port)]
        )
        command = [str(root / "usr/bin/redis-server"), "--bind", "127.0.0.1", "--save", "", "--requirepass", PASSWORD]
        env = {**os.environ, "LD_LIBRARY_PATH": str(root / "usr/lib/x86_64-linux-gnu"), "USER": getpass.getuser()}
        with _running([*command, "--dir", str(folder), *listening], folder, b"Ready to accept connections", env=env):
            yield f"redis://localhost:{port}"


SERVERS = {"postgresql": postgres, "mariadb": maria, "redis": redis}


class Wire:
    """What a client has sent in plain sight, through a relay at ``port``."""

    def __init__(self) -> None:
        self.sent = bytearray()
        self.port = 0


@asynccontextmanager
async def wire(to: int) -> AsyncIterator[Wire]:
    """A relay to the port ``to`` of this machine."""
    made = Wire()
    ends: list[asyncio.StreamWriter] = []

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, note: bytearray) -> None:
        with suppress(OSError):
            while data := await reader.read(65536):
                note += data
                writer.write(data)
                await writer.drain()
        writer.close()

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", to)
        ends.extend((writer, back))
        await asyncio.gather(carry(reader, back, made.sent), carry(there, writer, bytearray()))

    server = await asyncio.start_server(relay, "127.0.0.1", 0)
    async with server:
        made.port = server.sockets[0].getsockname()[1]
        yield made
        for each in ends:
            each.transport.abort()
            with suppress(OSError):
                await each.wait_closed()

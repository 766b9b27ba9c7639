"""Who may import whom: rooms look down only, and each third party comes in by one door."""

from __future__ import annotations

import pytest
from meta.sources import Module, modules, third_party

ORDER = (
    {"errors", "launch"},
    {"core"},
    {"rules"},
    {"config", "wire", "policy", "observe"},
    {"ipc", "page"},
    {"upstream", "connectors"},
    {"proxy"},
    {"identity", "store", "actions"},
    {"mcp"},
    {"app", "grants"},
    {"admin", "workers"},
    {"api"},
    {"control"},
    {"process", "demo"},
    {"cli"},
    {"__main__"},
)
"""From the ground up. A room imports itself and what stands below; the rooms of one row do not know each other."""

HEIGHT = {room: height for height, row in enumerate(ORDER) for room in row}

DEMO_SEES = {"demo", "config", "control", "core", "workers"}
"""The demo is a user of the gateway, so it gets in by the front door alone; it writes addresses as everyone does."""

HTTP = tuple(f"api/{name}.py" for name in ("app", "connection", "request", "responses", "server", "static"))
"""The half of the API that speaks HTTP. The other half, with the handlers, also serves commands on this machine."""

DOORS = {
    "aiohttp": (
        "upstream/",
        *(f"api/{name}.py" for name in ("app", "connection", "request", "responses", "server", "static")),
        "control/jwks.py",
        "grants/endpoint.py",
        "grants/outbound.py",
        "cli/remote.py",
        "demo/sidecar.py",
    ),
    "alembic": ("store/schema.py",),
    "argon2": ("admin/password.py",),
    "cryptography": ("store/keys.py", "config/certificate_files.py"),
    "joserfc": ("identity/", "control/jwks.py", "grants/signing.py"),
    "oauthlib": ("grants/flows.py",),
    "pycares": ("upstream/dns.py",),
    "sqlalchemy": ("store/", "connectors/sql.py"),
    "asyncpg": ("connectors/databases.py",),
    "bson": ("connectors/mongodb.py",),
    "pymongo": ("connectors/mongodb.py",),
    "aiomysql": ("connectors/databases.py",),
    "aiosqlite": ("connectors/databases.py",),
    "aiohappyeyeballs": ("upstream/",),
    "click": ("cli/",),
    "msgspec": ("ipc/", "config/records.py"),
    "orjson": ("observe/", "proxy/", "connectors/encoding.py", "actions/", "mcp/", "admin/", "api/", "cli/"),
    "jsonschema_rs": ("config/input_schema.py",),
    "opentelemetry": ("observe/otlp.py",),
    "prometheus_client": ("control/metrics/",),
    "pybreaker": ("policy/circuit.py",),
    "pydantic": ("config/", "api/"),
    "pydantic_core": ("config/",),
    "uvloop": ("app.py", "process.py", "workers/worker.py"),
    "watchfiles": ("config/",),
    "yaml": ("config/", "cli/files.py"),
    "multidict": ("upstream/",),
    "yarl": ("upstream/",),
}

PROTOCOLS = ("gateway.wire.h1.", "gateway.wire.h2.")
SHARED_MEMORIES = {"gateway.wire.h1.head"}
"""The parser whose memory of heads all connections share. Of all else in a protocol others know the interfaces alone:
core/stream.py, and wire/connections.py, whose connections wire/accept.py and wire/connect.py make."""

BELOW_PROTOCOLS = {
    f"gateway.wire.{name}"
    for name in ("buffers", "connections", "fields", "grammar", "hangup", "http_date", "link", "pace", "peer_watch")
} | {f"gateway.wire.{name}" for name in ("stall", "state_table", "timer", "turns")}
"""What a protocol rests on. It knows neither what chooses it nor another protocol: each is a folder of its own."""

EXCHANGES = {f"gateway.core.{name}" for name in ("attempt", "exchange", "layer", "message", "stream")}
"""What belongs to one request. A machine that knows none of it also serves a call that is no request."""

IO = {"asyncio", "logging", "os", "pathlib", "select", "selectors", "signal", "socket", "ssl", "subprocess"}

WIRE_WITH_IO = (
    {
        f"wire/{name}.py"
        for name in (
            "accept",
            "buffers",
            "connect",
            "connections",
            "hangup",
            "link",
            "loop_types",
            "peer_watch",
            "prior_knowledge",
            "server_names",
            "stall",
            "timer",
            "tls",
            "tls_client",
            "tls_server",
            "tunnel",
            "turns",
        )
    }
    | {
        f"wire/h1/{name}.py"
        for name in ("client", "message", "request_body", "request_heads", "response_reader", "server", "server_stream")
    }
    | {
        f"wire/h2/{name}.py"
        for name in (
            "client",
            "client_frames",
            "client_response",
            "client_stream",
            "exchanges",
            "frame_writer",
            "outlet",
            "server",
            "server_stream",
            "session",
        )
    }
)
"""The protocols and what serves them. All else in wire/ is rules on bytes, which a test may call without a loop."""


def rooms_seen(module: Module) -> set[str]:
    return {name.split(".")[1] for name in module.imports if name.startswith("gateway.")} & HEIGHT.keys()


@pytest.mark.parametrize("module", modules(), ids=lambda m: m.name)
def test_imports_go_down_only(module: Module) -> None:
    if module.name == "gateway":
        assert not rooms_seen(module), "the package itself is below everything: it imports no room"
        return
    assert module.room in HEIGHT, f"give the room {module.room!r} its place in ORDER"
    upward = {r for r in rooms_seen(module) if r != module.room and HEIGHT[r] >= HEIGHT[module.room]}
    assert not upward, f"{module.name} looks up or sideways to {sorted(upward)}"


@pytest.mark.parametrize("module", [m for m in modules() if m.room == "demo"], ids=lambda m: m.name)
def test_the_demo_uses_the_front_door(module: Module) -> None:
    assert rooms_seen(module) <= DEMO_SEES


@pytest.mark.parametrize("module", modules(), ids=lambda m: m.name)
def test_each_third_party_has_one_door(module: Module) -> None:
    for name in third_party(module):
        assert name in DOORS, f"{name} has no door: give it one in DOORS and a reason in pyproject.toml"
        assert module.file.startswith(DOORS[name]), f"{name} belongs to {DOORS[name]}, not to {module.file}"


def test_each_door_is_used() -> None:
    used = set().union(*(third_party(module) for module in modules()))
    assert DOORS.keys() == used, "a third party without a use: take it out of pyproject.toml too"


@pytest.mark.parametrize("module", [m for m in modules() if m.room in {"errors", "core"}], ids=lambda m: m.name)
def test_the_vocabulary_does_no_io(module: Module) -> None:
    tasks = {"asyncio"} if module.file == "core/tasks.py" else set()  # because a task needs its event loop
    assert not {name.split(".")[0] for name in module.imports} & IO - tasks
    assert not third_party(module)


@pytest.mark.parametrize(
    "module", [m for m in modules() if m.room == "wire" and m.file not in WIRE_WITH_IO], ids=lambda m: m.name
)
def test_the_rules_of_the_wire_do_no_io(module: Module) -> None:
    assert not {name.split(".")[0] for name in module.imports} & IO


@pytest.mark.parametrize("module", [m for m in modules() if m.room == "policy"], ids=lambda m: m.name)
def test_a_policy_knows_no_exchange(module: Module) -> None:
    assert not module.imports & EXCHANGES, f"{module.name}: what knows an exchange is a layer, in proxy/layers/"


@pytest.mark.parametrize("module", [m for m in modules() if m.room != "wire"], ids=lambda m: m.name)
def test_only_the_wire_knows_the_classes_of_a_protocol(module: Module) -> None:
    seen = {name for name in module.imports if name.startswith(PROTOCOLS)} - SHARED_MEMORIES
    assert not seen, f"{module.name}: use the streams of core/stream.py and the interfaces of wire/connections.py"


@pytest.mark.parametrize(
    "module",
    [m for m in modules() if f"gateway.{m.file.replace('/', '.')}".startswith(PROTOCOLS)],
    ids=lambda m: m.name,
)
def test_a_protocol_knows_no_other_protocol(module: Module) -> None:
    own = module.name.rpartition(".")[0]
    wire = {name for name in module.imports if name.startswith("gateway.wire.") and not name.startswith(f"{own}.")}
    assert wire - {own} <= BELOW_PROTOCOLS, f"{module.name} is below what chooses or joins protocols"


def test_another_protocol_in_one_is_seen() -> None:
    for own, others in (("h1", ("accept", "h2.frames", "tunnel", "tls")), ("h2", ("accept", "h1.head", "tunnel"))):
        for name in others:
            seen = frozenset({f"gateway.wire.{name}"})
            culprit = Module(f"gateway.wire.{own}.x", f"wire/{own}/x.py", seen, True)
            with pytest.raises(AssertionError, match="is below what"):
                test_a_protocol_knows_no_other_protocol(culprit)


def test_a_class_of_a_protocol_outside_of_the_wire_is_seen() -> None:
    for name in ("h1.client", "h1.server", "h1.server_stream", "h1.states", "h2.server"):
        culprit = Module("gateway.proxy.x", "proxy/x.py", frozenset({f"gateway.wire.{name}"}), True)
        with pytest.raises(AssertionError, match="use the streams"):
            test_only_the_wire_knows_the_classes_of_a_protocol(culprit)


def test_an_exchange_in_a_policy_is_seen() -> None:
    culprit = Module("gateway.policy.x", "policy/x.py", frozenset({"gateway.core.exchange"}), True)
    with pytest.raises(AssertionError, match="is a layer"):
        test_a_policy_knows_no_exchange(culprit)


def test_an_upward_import_is_seen() -> None:
    """The rule itself has teeth: a wire module that used the proxy would be named."""
    culprit = Module("gateway.wire.x", "wire/x.py", frozenset({"gateway.proxy.router", "gateway.core.clock"}), True)
    assert rooms_seen(culprit) == {"proxy", "core"}
    with pytest.raises(AssertionError, match="looks up or sideways"):
        test_imports_go_down_only(culprit)

"""The contract in the user's words: every refusal with its `file:line: path:` and a word of how to mend it."""

import json
import pathlib
import re
import textwrap
import traceback

import pytest

from gateway.config import collisions
from gateway.config.load import ConfigError, Format, load, parse
from gateway.config.records import (
    CircuitBreaker,
    Document,
    Endpoint,
    Header,
    Listener,
    Queue,
    Route,
    Timeouts,
    Upstream,
)
from gateway.core.address import Address
from gateway.core.limits import Limits

ENV = {"SIDECAR_KEY": "s3cret", "N": "7", "YES": "true", "PORT": "9001"}

EXAMPLE = """\
listen: 127.0.0.1:8080
admin: null
database: null
workers: 1
access_log: {path: "-"}
trusted_proxies: [10.0.0.0/8, 192.0.2.7]
drain_timeout: 30
limits:
  {max_uri: 8192, max_header_bytes: 32768, max_headers: 128, header_timeout: 10, body_timeout: 60,
   min_body_rate: 240,
   keepalive_timeout: 75}
proxies:
  - name: sidecar
    path: /-/ai
    hosts: []
    upstream: http://127.0.0.1:9000/base
    strip_path: true
    preserve_host: false
    access_rule: "true"
    headers: {Authorization: "Bearer {env.SIDECAR_KEY}"}
    active: true
    max_concurrent: 5
    queue: {max_waiting: 20, timeout: 2.5}
    circuit_breaker: {enabled: true, failure_threshold: 3, recovery_timeout: 30, half_open_requests: 1}
    timeout_config: {dial: 2, tls_handshake: 5, response_header: 30, body_idle: 300, idle: 90, total: 0}
    websocket: true
    tunnel_idle: 60
"""

DOCUMENT = Document(
    listen=(Listener(Address("127.0.0.1", 8080)),),
    access_log="-",
    trusted_proxies=("10.0.0.0/8", "192.0.2.7/32"),
    drain_timeout=30,
    limits=Limits(8192, 32768, 128, 0, 10, 60, 75),
    routes=(
        Route(
            name="sidecar",
            path="/-/ai",
            upstream="sidecar",
            access_rule="true",
            headers=(Header("Authorization", ("Bearer s3cret",), secret=True),),
            websocket=True,
            tunnel_idle=60,
        ),
    ),
    upstreams=(
        Upstream(
            name="sidecar",
            endpoints=(Endpoint("http://127.0.0.1:9000/base"),),
            max_concurrent=5,
            queue=Queue(20, 2.5),
            circuit_breaker=CircuitBreaker(True, 3, 30, 1),
            timeouts=Timeouts(2, 5, 30, 300, 90, 0),
            http2="never",
        ),
    ),
)

TOML = """\
listen = "127.0.0.1:8080"
trusted_proxies = ["10.0.0.0/8", "192.0.2.7"]
[[proxies]]
name = "sidecar"
path = "/-/ai"
upstream = "http://127.0.0.1:9000/base"
access_rule = "true"
max_concurrent = 5
websocket = true
tunnel_idle = 60
queue = {max_waiting = 20, timeout = 2.5}
headers.Authorization = "Bearer {env.SIDECAR_KEY}"
[proxies.circuit_breaker]
enabled = true
failure_threshold = 3
"""


def proxy(lines: str) -> str:
    """A file with one proxy; ``lines`` begin in line 5."""
    return "proxies:\n  - name: a\n    path: /a\n    upstream: http://h\n    " + lines.replace("\n", "\n    ")


def told(text: str, format_: Format = "yaml") -> list[str]:
    with pytest.raises(ConfigError) as caught:
        parse(text, format_, "f", ENV)
    return str(caught.value).split("\n")


@pytest.mark.covers("FR-008", "FR-012", "T011", "T030")
def test_the_whole_example() -> None:
    assert parse(EXAMPLE, "yaml", "f", ENV) == DOCUMENT


def test_the_same_in_toml() -> None:
    assert parse(TOML, "toml", "f", ENV) == DOCUMENT


def test_the_same_in_json(tmp_path: pathlib.Path) -> None:
    data = {
        "proxies": [
            {
                "name": "sidecar",
                "path": "/-/ai",
                "upstream": "http://127.0.0.1:9000/base",
                "access_rule": "true",
                "max_concurrent": 5,
                "websocket": True,
                "tunnel_idle": 60,
                "queue": {"max_waiting": 20, "timeout": 2.5},
                "headers": {"Authorization": "Bearer {env.SIDECAR_KEY}"},
                "circuit_breaker": {"enabled": True, "failure_threshold": 3},
            }
        ],
        "trusted_proxies": ["10.0.0.0/8", "192.0.2.7"],
    }
    file = tmp_path / "gateway.json"
    file.write_text(json.dumps(data))
    assert load(file, ENV) == DOCUMENT


@pytest.mark.parametrize(
    ("text", "listen"),
    [
        ("listen: 'localhost:0'", [Address("localhost", 0)]),
        ("listen: ['[::1]:8080', 0.0.0.0:80]", [Address("::1", 8080), Address("0.0.0.0", 80)]),
        ("listen: {address: h:1}", [Address("h", 1)]),
        ("listen: [{address: h:1}, h:2]", [Address("h", 1), Address("h", 2)]),
        ("listen: h:${PORT}", [Address("h", 9001)]),
    ],
)
def test_listen(text: str, listen: list[Address]) -> None:
    assert parse(text, "yaml", "f", ENV).listen == tuple(map(Listener, listen))


def test_http2_on_a_listener() -> None:
    found = parse("listen: [h:1, {address: h:2, http2: true}]", "yaml", "f", ENV).listen
    assert found == (Listener(Address("h", 1)), Listener(Address("h", 2), http2=True))


def test_no_access_log() -> None:
    assert parse("access_log: null", "yaml", "f", ENV).access_log is None


def test_a_proxy_is_normalised() -> None:
    text = proxy('hosts: [Example.ORG, "*.A.b"]\nheaders: {X-Empty: ""}')
    found = parse(text.replace("path: /a", "path: /a/"), "yaml", "f", ENV).routes[0]
    assert found == Route("a", "/a", "a", hosts=("example.org", "*.a.b"), headers=(Header("X-Empty", ()),))


@pytest.mark.parametrize(
    ("format_", "text"),
    [
        ("yaml", "drain_timeout: ${N}\naccess_log: ${UNSET:-null}"),
        ("yaml", 'drain_timeout: "${N}"\naccess_log: "${UNSET:-null}"'),
        ("yaml", "drain_timeout: ${UNSET:-7}\naccess_log: ${UNSET:-}"),
        ("json", '{"drain_timeout": "${N}", "access_log": "${UNSET:-null}"}'),
        ("toml", 'drain_timeout = "${N}"\naccess_log = "${UNSET:-null}"'),
    ],
)
def test_references_become_what_the_key_needs(format_: Format, text: str) -> None:
    assert parse(text, format_, "f", ENV) == Document(drain_timeout=7, access_log=None)


def test_references_in_a_proxy() -> None:
    text = proxy('active: ${YES}\nmax_concurrent: ${N}\naccess_rule: ${YES}\nheaders: {X-N: "${N}"}')
    found = parse(text, "yaml", "f", ENV)
    assert found.routes == (Route("a", "/a", "a", access_rule="true", headers=(Header("X-N", ("7",)),)),)
    assert found.upstreams == (Upstream("a", (Endpoint("http://h"),), max_concurrent=7),)


def test_an_alias_repeats_a_value() -> None:
    second = "\n  - {name: b, path: /b, upstream: http://h, circuit_breaker: *b}"
    found = parse(proxy("circuit_breaker: &b {enabled: true}") + second, "yaml", "f", ENV)
    assert [one.circuit_breaker for one in found.upstreams] == [CircuitBreaker(enabled=True)] * 2


@pytest.mark.parametrize(
    ("text", "line", "hint"),
    [
        ("listen: 8080", "f:1: listen: must be an address", 'write "127.0.0.1:8080"'),
        ("listen: []", "f:1: listen: must not be empty", "write at least one"),
        ("listen:\n- h:1\n- h", "f:3: listen.1: must be host:port", "write 127.0.0.1:8080"),
        ("listen:\n- address: h:1\n  tls: {}", "f:3: listen.0.tls.certificates: is required", "add this key"),
        ("listen: {address: h:1, tls: true}", "f:1: listen.tls: must be a mapping", "lines below it"),
        ("listen: {}", "f:1: listen.address: is required", "add this key"),
        (
            "listen: [h:1, h:1]",
            "f:1: listen.1: an address that overlaps this one is already in line 1",
            "change or remove",
        ),
        ("\nadmin: {listen: h:1}", "f:1: database: the admin listener needs a database", "set sqlite:///"),
        ("\nadmin: {listen: h}\ndatabase: sqlite:///x", "f:2: admin.listen: must be host:port", "write 127"),
        ("\ndatabase: mysql://x", "f:2: database: is not a database", "write sqlite:///"),
        ("\ndatabase: sqlite://x", "f:2: database: is not a database", "write sqlite:///"),
        (
            "\nauth: {jwt: [{issuer: i, audience: [a], algorithms: [RS256]}]}",
            "f:2: auth.jwt.0.secret: an issuer has either",
            "write one",
        ),
        (
            "\nauth: {jwt: [{issuer: i, audience: [a], algorithms: [HS256], jwks_url: 'https://i/k'}]}",
            "f:2: auth.jwt.0.secret: HS algorithms go with a secret",
            "change algorithms",
        ),
        (
            "\nauth: {jwt: [{issuer: i, audience: [a], algorithms: [RS256], jwks_url: 'http://i/k'}]}",
            "f:2: auth.jwt.0.jwks_url: must be https",
            "write https://",
        ),
        ("workers: 2", "f:1: workers: without a database the gateway is one process", "write 1"),
        ("workers: 0", "f:1: workers: without a database the gateway is one process", "set database: sqlite:///"),
        ("workers: true", "f:1: workers: must be a whole number", "in digits"),
        ("workers: 33", "f:1: workers: must be at most 32", "write such a number"),
        ("workers: -1", "f:1: workers: must be at least 0", "write such a number"),
        ("access_log: {path: ''}", "f:1: access_log.path: ", "1 character"),
        ("access_log: '-'", "f:1: access_log: must be a mapping", "write `key: value`"),
        ("trusted_proxies: 10.0.0.0/8", "f:1: trusted_proxies: must be a list", "write [first, second]"),
        ("trusted_proxies:\n- 10.0.0.1/8", "f:2: trusted_proxies.0: has bits set", "write 10.0.0.0/8"),
        ("trusted_proxies:\n- x", "f:2: trusted_proxies.0: is neither an IP address nor", "write 10.0.0.0/8"),
        ("drain_timeout: 30s", "f:1: drain_timeout: must be a number", "without a unit"),
        ("drain_timeout: .nan", "f:1: drain_timeout: must be a finite number", "write a number"),
        ("drain_timeout: -1", "f:1: drain_timeout: must be at least 0", "write such a number"),
        ("limits: 5", "f:1: limits: must be a mapping", "write `key: value`"),
        ("limits:\n  max_uri: 63", "f:2: limits.max_uri: must be at least 64", "write such"),
        ("limits:\n  max_header_bytes: 511", "f:2: limits.max_header_bytes: must be at least 512", "write such"),
        ("limits:\n  max_headers: 0", "f:2: limits.max_headers: must be at least 1", "write such"),
        ("limits:\n  max_headers: 1.5", "f:2: limits.max_headers: must be a whole number", "in digits"),
        ("limits:\n  max_body_bytes: '1'", "f:2: limits.max_body_bytes: must be a whole number", "without quotes"),
        ("limits:\n  header_timeout: 0", "f:2: limits.header_timeout: must be above 0", "write such"),
        ("limits:\n  body_timeout: 0", "f:2: limits.body_timeout: must be above 0", "write such"),
        ("limits:\n  keepalive_timeout: -1", "f:2: limits.keepalive_timeout: must be at least 0", "write such"),
        ("proxies:", "f:1: proxies: must be a list", "or [] for none"),
        ("proxies: {a: 1}", "f:1: proxies: must be a list", "write [first"),
        ("proxies:\n- 5", "f:2: proxies.0: must be a mapping", "write `key: value`"),
        ("proxies:\n- name: a\n  path: /", "f:2: proxies.0.upstream: is required", "add this key"),
        ("proxys: []", "f:1: proxys: unknown key", "did you mean proxies?"),
        ("a: ${NOPE}", "f:1: a: ${NOPE} is not set", "set it in the environment"),
        ("a: 1\na: 2", "f:2: a: this key is already in line 1", "remove one"),
    ],
)
def test_refusals_at_the_top(text: str, line: str, hint: str) -> None:
    refuses(text, line, hint)


@pytest.mark.parametrize(
    ("lines", "line", "hint"),
    [
        ("max_concurent: 5", "f:5: proxies.0.max_concurent: unknown key", "did you mean max_concurrent?"),
        ("maxConcurrent: 5", "f:5: proxies.0.maxConcurrent: unknown key", "did you mean max_concurrent?"),
        ("timeout: 5", "f:5: proxies.0.timeout: there is no such key", "timeout_config: {total"),
        ("max_concurrent: '5'", "f:5: proxies.0.max_concurrent: must be a whole number", "without quotes"),
        ("max_concurrent: true", "f:5: proxies.0.max_concurrent: must be a whole number", "in digits"),
        ("max_concurrent: five", "f:5: proxies.0.max_concurrent: must be a whole number", "in digits"),
        ("max_concurrent: ${UNSET:-x}", "f:5: proxies.0.max_concurrent: must be a whole number", "in digits"),
        ("max_concurrent: 10001", "f:5: proxies.0.max_concurrent: must be at most 10000", "write such"),
        ("max_concurrent: -1", "f:5: proxies.0.max_concurrent: must be at least 0", "write such"),
        ("strip_path: yes", "f:5: proxies.0.strip_path: must be true or false", "without quotes"),
        ("strip_path: 1", "f:5: proxies.0.strip_path: must be true or false", "write it"),
        ("access_rule: true", "f:5: proxies.0.access_rule: must be text", 'in quotes: "true"'),
        (
            "access_rule: \"@request.auth.id == ''\"",
            "f:5: proxies.0.access_rule: at character 18: there is no",
            "write =",
        ),
        ("websocket: 0", "f:5: proxies.0.websocket: must be true or false", "write it"),
        ("tunnel_idle: -1", "f:5: proxies.0.tunnel_idle: must be", "0"),
        ("tunnel_idle: 90000", "f:5: proxies.0.tunnel_idle: must be", "86400"),
        ("hosts: h", "f:5: proxies.0.hosts: must be a list", "write [first"),
        ("hosts:\n- h:80", "f:6: proxies.0.hosts.0: must be a host alone", "remove the scheme, the port"),
        ("hosts: [h, H]", "f:5: proxies.0.hosts.1: the same host", "change or remove"),
        ("queue: {max_waiting: 5}", "f:5: proxies.0.queue.timeout: a queue needs", "set both above 0"),
        ("queue: {timeout: 5}", "f:5: proxies.0.queue.timeout: a queue needs", "set both above 0"),
        ("queue:\n  max_waiting: 100001", "f:6: proxies.0.queue.max_waiting: must be at most 100000", "write such"),
        ("queue:\n  timeout: 3601", "f:6: proxies.0.queue.timeout: must be at most 3600", "write such"),
        ("queue: {max_waiting: 5, timeout: 1}", "f:5: proxies.0.queue: a queue without a limit", "set max_concurrent"),
        ("circuit_breaker: true", "f:5: proxies.0.circuit_breaker: must be a mapping", "write `key"),
        (
            "circuit_breaker: {failure_threshold: -1}",
            "f:5: proxies.0.circuit_breaker.failure_threshold: must be at",
            "0;",
        ),
        (
            "circuit_breaker: {enabled: true, failure_threshold: 0}",
            "f:5: proxies.0.circuit_breaker: nothing opens this breaker",
            "set failure_threshold, failure_rate or slow_rate above 0",
        ),
        ("circuit_breaker: {failure_rate: 1.5}", "f:5: proxies.0.circuit_breaker.failure_rate: must be at most", "1;"),
        ("circuit_breaker: {slow_rate: 0.5}", "f:5: proxies.0.circuit_breaker.slow_call: slow calls need", "set both"),
        ("circuit_breaker: {slow_call: 5}", "f:5: proxies.0.circuit_breaker.slow_call: slow calls need", "set both"),
        ("circuit_breaker: {window: 0}", "f:5: proxies.0.circuit_breaker.window: must be at least", "1;"),
        ("circuit_breaker: {minimum_requests: 0}", "f:5: proxies.0.circuit_breaker.minimum_requests: must be", "1;"),
        ("circuit_breaker: {distinct_callers: 17}", "f:5: proxies.0.circuit_breaker.distinct_callers: mus", "16;"),
        (
            "circuit_breaker:\n  failure_statuses: [5xx]",
            "f:6: proxies.0.circuit_breaker.failure_statuses.0: is neither a status nor a range",
            'write "503" or "500-599"',
        ),
        (
            "circuit_breaker:\n  failure_statuses: [503, 599-500]",
            "f:6: proxies.0.circuit_breaker.failure_statuses.1: ends before it begins",
            'write "500-599"',
        ),
        ("circuit_breaker: {failure_threshold: 101}", "f:5: proxies.0.circuit_breaker.failure_threshold: mu", "100;"),
        ("circuit_breaker: {recovery_timeout: 0}", "f:5: proxies.0.circuit_breaker.recovery_timeout: mus", "above 0;"),
        ("circuit_breaker: {recovery_timeout: 3601}", "f:5: proxies.0.circuit_breaker.recovery_timeout: m", "3600;"),
        ("circuit_breaker: {half_open_requests: 0}", "f:5: proxies.0.circuit_breaker.half_open_requests: mu", "1;"),
        ("circuit_breaker: {half_open_requests: 11}", "f:5: proxies.0.circuit_breaker.half_open_requests: m", "10;"),
        ("timeout_config: {dial: 0}", "f:5: proxies.0.timeout_config.dial: must be above 0", "write such"),
        ("timeout_config: {dial: 3601}", "f:5: proxies.0.timeout_config.dial: must be at most 3600", "write such"),
        ("timeout_config: {total: -1}", "f:5: proxies.0.timeout_config.total: must be at least 0", "write such"),
        ("timeout_config: {idle: .inf}", "f:5: proxies.0.timeout_config.idle: must be a finite", "write a number"),
        ("timeout_config: {conect: 1}", "f:5: proxies.0.timeout_config.conect: unknown key", "keys here are dial"),
        ("headers: [a]", "f:5: proxies.0.headers: must be a mapping", "or {} for none"),
        ("headers:\n  X-N: 5", "f:6: proxies.0.headers.X-N: must be text", "in quotes"),
        ("headers:\n  a b: x", "f:6: proxies.0.headers.a b: is not the name of a header", "use letters"),
        ("headers:\n  Host: x", "f:6: proxies.0.headers.Host: the gateway sets Host", "use preserve_host"),
        ("headers:\n  TE: x", "f:6: proxies.0.headers.TE: this field belongs to the connection", "remove it"),
        ("headers:\n  A: x\n  a: x", "f:7: proxies.0.headers.a: the same header", "change or remove"),
        ('headers:\n  A: "{env.NO}"', "f:6: proxies.0.headers.A: the variable NO", "set it"),
        ('headers:\n  A: "{secret.X}"', "f:6: proxies.0.headers.A: {secret.NAME} needs a database", "use {env.NAME}"),
        (
            'headers:\n  A: "@request.path"',
            "f:6: proxies.0.headers.A: holds an unknown template",
            "there are {env.NAME}",
        ),
        ('headers:\n  A: "x\\n"', "f:6: proxies.0.headers.A: holds a line break", "remove it"),
    ],
)
def test_refusals_in_a_proxy(lines: str, line: str, hint: str) -> None:
    refuses(proxy(lines), line, hint)


@pytest.mark.parametrize(
    ("old", "new", "line", "hint"),
    [
        ("name: a", "name: a b", "f:2: proxies.0.name: must be 1 to 64", "choose such a name"),
        ("name: a", "name: 5", "f:2: proxies.0.name: must be text", "put the value in quotes"),
        ("path: /a", "path: a", "f:3: proxies.0.path: must begin with a slash", "write /name"),
        ("path: /a", "path: /api/gateway/x", "f:3: proxies.0.path: /api/gateway and all below", "another prefix"),
        ("http://h", "ftp://h", "f:4: proxies.0.upstream: must begin with http:// or", "write http://host:port"),
        ("http://h", "http://u:s3cret@h", "f:4: proxies.0.upstream: must not hold a user", "send them in `headers`"),
    ],
)
def test_refusals_of_a_proxy_itself(old: str, new: str, line: str, hint: str) -> None:
    refuses(proxy("").replace(old, new), line, hint)


def refuses(text: str, line: str, hint: str) -> None:
    found = [one for one in told(text) if one.startswith(line)]
    assert len(found) == 1, told(text)
    assert hint in found[0]
    assert "s3cret" not in found[0]


def test_all_problems_are_reported_at_once_in_the_order_of_their_lines() -> None:
    text = "worker: 1\ndrain_timeout: x\n" + proxy("hosts: 5\nheaders: {A: ${NOPE}}\nname: a").replace(
        "{A: ${NOPE}}", '{A: "${NOPE}", a: "{env.NO}"}'
    )
    assert [one.split(": ")[:2] for one in told(text)] == [
        ["f:1", "worker"],
        ["f:2", "drain_timeout"],
        ["f:7", "proxies.0.hosts"],
        ["f:8", "proxies.0.headers.A"],
        ["f:8", "proxies.0.headers.a"],
        ["f:8", "proxies.0.headers.a"],
        ["f:9", "proxies.0.name"],
    ]


@pytest.mark.parametrize(
    ("upstream", "told_of"),
    [
        ("http://127.0.0.1:8080", "is a listener of this gateway"),
        ("http://localhost:8081/x", "is a listener of this gateway"),
        ("http://[::ffff:127.0.0.1]:8081", "is a listener of this gateway"),
        ("http://169.254.169.254/latest", "is in 169.254.0.0/16"),
        ("http://10.9.9.9", "is in 10.0.0.0/8"),
    ],
)
def test_an_upstream_with_a_denied_address_is_reported_with_its_line(upstream: str, told_of: str) -> None:
    text = (
        "listen: [127.0.0.1:8080]\nadmin: {listen: 127.0.0.1:8081}\ndatabase: sqlite:///x.db\n"
        "upstream_networks: {deny: [10.0.0.0/8], allow: [10.1.0.0/16]}\n"
        "proxies:\n  - {name: good, path: /good, upstream: 'http://10.1.0.1:8080'}\n"
        f"  - name: a\n    path: /a\n    upstream: {upstream}"
    )
    (line,) = told(text)
    assert line.startswith("f:9: proxies.1.upstream: ")
    assert told_of in line


def test_an_endpoint_of_an_identity_provider_is_reported_with_its_line() -> None:
    text = (
        "listen: 127.0.0.1:0\nconnections:\n  shop:\n    base_url: https://h\n    auth:\n"
        "      {type: oauth2_client_credentials, client_id: c, client_secret: s,\n"
        "      token_url: 'https://169.254.169.254/t'}"
    )
    (line,) = told(text)
    assert line.startswith("f:7: connections.shop.auth.token_url: is in 169.254.0.0/16")


def test_a_key_set_at_a_denied_address_is_rejected_with_its_line() -> None:
    text = (
        "listen: 127.0.0.1:0\nupstream_networks: {deny: [127.0.0.0/8]}\nauth:\n  jwt:\n"
        "    - {issuer: i, audience: [a], algorithms: [RS256], jwks_url: 'http://127.0.0.1:9/keys'}\n"
    )
    (line,) = told(text)
    assert line.startswith("f:5: auth.jwt.0.jwks_url: is in 127.0.0.0/8")


def test_collisions_are_reported_beside_other_problems() -> None:
    second = "\n  - name: a\n    path: /a\n    upstream: nonsense"
    assert [one.split(": ")[:2] for one in told(proxy("active: 5") + second)] == [
        ["f:5", "proxies.0.active"],
        ["f:6", "proxies.1.name"],
        ["f:7", "proxies.1.path"],
        ["f:8", "proxies.1.upstream"],
    ]


def test_an_unset_variable_is_reported_once() -> None:
    assert told(proxy("max_concurrent: ${NOPE}")) == [
        "f:5: proxies.0.max_concurrent: ${NOPE} is not set; set it in the environment or write ${NOPE:-default}"
    ]


def test_lines_in_toml_and_json() -> None:
    assert told('listen = "h:1"\n[[proxies]]\nname = "a"\npath = "/"\nupstream = "h"\n', "toml")[0].startswith(
        "f:5: proxies.0.upstream: "
    )
    assert told('{\n"proxies": [\n{"name": "a", "path": "/",\n"upstream": "h"}]}', "json")[0].startswith(
        "f:4: proxies.0.upstream: "
    )


def test_a_secret_is_in_no_trace_of_an_error() -> None:
    """Neither in the text, nor in an error that this one came from, nor in a value that it keeps."""
    text = proxy('max_concurrent: "${SIDECAR_KEY}"\nheaders: {A: "{env.SIDECAR_KEY}", B: "${SIDECAR_KEY}☃"}')
    with pytest.raises(ConfigError) as caught:
        parse(text, "yaml", "f", ENV)
    assert len(caught.value.problems) == 2
    assert "s3cret" not in "".join(traceback.format_exception(caught.value)) + repr(vars(caught.value))
    assert caught.value.__context__ is None


def test_the_file_is_named_in_errors(tmp_path: pathlib.Path) -> None:
    file = tmp_path / "gateway.yaml"
    file.write_text("worker: 1")
    with pytest.raises(ConfigError, match=r"gateway\.yaml:1: worker: unknown key; did you mean workers\?$") as caught:
        load(file, {})
    assert caught.value.name == str(file)


@pytest.mark.parametrize(
    "value",
    [
        "{env.SIDECAR_KEY}",
        "{secret.API}",
        "@request.auth.id",
        "{env.",
        "{",
        "@",
        "a@request",
        "{{env.SIDECAR_KEY}}",
        "{x.y}",
    ],
)
@pytest.mark.parametrize(
    "written", ["${KEY}", "Bearer ${KEY}", "${KEY}env.SIDECAR_KEY}", "${KEY}.auth.id", "${KEY}request.auth.id"]
)
def test_a_template_in_a_variable_is_text(value: str, written: str) -> None:
    """The docs: what comes out of a variable is data, and is not expanded again."""
    text = proxy(f'headers: {{X-Key: "{written}"}}')
    (header,) = parse(text, "yaml", "f", {**ENV, "KEY": value}).routes[0].headers
    assert header.parts == (written.replace("${KEY}", value),)


def test_the_file_may_name_a_variable_by_another() -> None:
    text = proxy('headers: {X-Key: "{env.${WHICH}}"}')
    assert parse(text, "yaml", "f", {**ENV, "WHICH": "SIDECAR_KEY"}).routes[0].headers[0].parts == ("s3cret",)


def test_a_fault_of_the_check_is_reported_and_ends_no_follower(monkeypatch: pytest.MonkeyPatch) -> None:
    """The exception may hold a secret, so that only its kind and its place are shown."""

    def broken(*_: object) -> None:
        raise TypeError("unhashable: sk-live-9")

    monkeypatch.setattr(collisions, "find", broken)
    with pytest.raises(ConfigError) as caught:
        parse("proxies: []", "yaml", "f", {})
    assert re.fullmatch(
        r"f: the check ends with TypeError at test_load.py:\d+, a fault of the gateway; please report it",
        str(caught.value),
    )


def test_what_came_from_a_variable_is_hidden_and_no_part_of_a_template() -> None:
    text = """
        connections: {shop: {base_url: "http://h/${HOOK}"}}
        actions: {find: {connection: shop, path: "/${HOOK}/{id}", query: {q: "${Q}"}}}
    """
    found = parse(textwrap.dedent(text), "yaml", "f", {"HOOK": "s3cret", "Q": "{id}"})
    (connection,), (action,) = found.connections, found.actions
    assert (connection.hidden, action.hidden) == (("s3cret",), ("s3cret", "{id}"))
    assert (action.path, action.query) == ("/s3cret/{id}", {"q": "{char.brace}id}"})
    assert "hidden" not in repr((connection, action))

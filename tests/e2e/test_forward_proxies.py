"""Requests through the forward proxy that the environment names: what it is told, and what it is not."""

from __future__ import annotations

import logging
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from harness.answers import ok
from harness.client import code_of
from harness.rig import GatewayFor, proxy_to
from harness.upstream import Upstream

from gateway.config.load import parse
from gateway.config.records import AuthField, Header

SECRET = Header("X-Key", ("s3cret",), secret=True)


@pytest.fixture(autouse=True)
def _through_the_upstream(upstream: Upstream, monkeypatch: pytest.MonkeyPatch) -> None:
    """The scripted upstream stands where the forward proxy is."""
    upstream.behaviour = ok()
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "https_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("http_proxy", f"http://user:pass@127.0.0.1:{upstream.port}")


async def test_it_gets_the_request_in_absolute_form(gateway_for: GatewayFor, upstream: Upstream) -> None:
    rig = await gateway_for("http://origin.test:81/base", headers=(Header("X-Plain", ("p",)),))
    assert (await rig.ask("/x")).status == 200
    (message,) = upstream.requests
    assert message.start == b"GET http://origin.test:81/base/x HTTP/1.1"
    assert message.get("host") == b"origin.test:81"


async def test_a_zone_is_not_told_to_it(gateway_for: GatewayFor, upstream: Upstream) -> None:
    rig = await gateway_for("http://[fd00::1%25eth0]:81")
    assert (await rig.ask("/x")).status == 200
    (message,) = upstream.requests
    assert message.start == b"GET http://[fd00::1]:81/x HTTP/1.1"
    assert message.get("host") == b"[fd00::1]:81"


async def test_it_reads_no_secret_unless_the_proxy_says_so(
    gateway_for: GatewayFor, upstream: Upstream, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "gateway"):
        rig = await gateway_for("http://origin.test", headers=(SECRET,))
        response = await rig.ask()
        assert (response.status, code_of(response)) == (502, "upstream_denied")
        assert upstream.requests == []
        (line,) = [line for line in caplog.messages if "proxy p" in line]
        assert f"http://127.0.0.1:{upstream.port}" in line
        assert "http_proxy" in line
        assert "clear_text_proxy: true" in line
        assert "pass" not in caplog.text
        await rig.change(clear_text_proxy=True)
        assert (await rig.ask()).status == 200
        assert upstream.requests[0].get("x-key") == b"s3cret"
        assert "which can read the secrets in its headers" in caplog.messages[-1]


async def test_what_says_who_calls_is_no_secret(gateway_for: GatewayFor, upstream: Upstream) -> None:
    rig = await gateway_for("http://origin.test", headers=(Header("X-Who", (AuthField("id"),)), Header("X-A", ("a",))))
    assert (await rig.ask()).status == 200


async def test_without_one_on_the_way_secrets_travel(gateway_for: GatewayFor, upstream: Upstream) -> None:
    """This machine is never reached through one."""
    rig = await gateway_for(upstream, headers=(SECRET,))
    assert (await rig.ask("/x")).status == 200
    assert upstream.requests[0].start == b"GET /x HTTP/1.1"


async def test_the_start_tells_what_applies(
    gateway_for: GatewayFor, upstream: Upstream, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "gateway"):
        rig = await gateway_for(
            "", proxies=(proxy_to("http://origin.test", name="far"), proxy_to(upstream, name="here", path="/here"))
        )
        told = [line for line in caplog.messages if re.search("forward prox|proxy (far|here)", line)]
        assert told == [
            f"forward proxies of the environment: http_proxy=http://127.0.0.1:{upstream.port}; never for this machine",
            f"proxy far: http://origin.test is reached through http://127.0.0.1:{upstream.port}, as http_proxy says",
        ]
        caplog.clear()
        await rig.gateway.reload(replace(rig.document, drain_timeout=2))
        assert not [line for line in caplog.messages if "proxy far" in line], "what was told already"


@pytest.mark.parametrize(
    ("value", "secret"),
    [("Bearer {env.KEY}", True), ("{env.KEY}", True), ("plain", False), ("@request.auth.id", False), ("", False)],
)
def test_which_fields_are_secret(value: str, secret: bool) -> None:
    text = f"proxies: [{{name: a, path: /a, upstream: 'http://h', headers: {{X-A: '{value}'}}}}]"
    (header,) = parse(text, "yaml", "f", {"KEY": "k"}).routes[0].headers or (Header("X-A", ()),)
    assert header.secret == secret


def test_a_literal_credential_is_secret() -> None:
    text = "proxies: [{name: a, path: /a, upstream: 'http://h', headers: {Authorization: Basic abc}}]"
    assert parse(text, "yaml", "f", {}).routes[0].headers[0].secret


def test_a_variable_that_can_not_be_used_ends_the_start(tmp_path: Path) -> None:
    config = tmp_path / "gateway.yaml"
    config.write_text("listen: 127.0.0.1:0\naccess_log: null\nproxies: []\n")
    process = subprocess.run(
        [sys.executable, "-P", "-m", "gateway", "run", "--config", str(config)],
        env={**os.environ, "http_proxy": "socks5://u:s3cret@h:1080"},
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert process.returncode == 1
    assert re.search(r"cannot start: http_proxy names no forward proxy that can be used; write", process.stderr)
    assert "s3cret" not in process.stderr

"""The parts of the control process that need no other process; tests/e2e/test_control_plane.py has the rest."""

from __future__ import annotations

import pathlib

import pytest

from gateway.config.document import Address
from gateway.config.overrides import Overrides
from gateway.config.problem import ConfigError
from gateway.workers.control import DeclaredFile, Options


@pytest.mark.parametrize(
    "overrides", [Overrides(), Overrides((Address("::1", 80), Address("h", 0)), "off", 1.5), Overrides(access_log="-")]
)
def test_options_survive_the_way_to_the_process(overrides: Overrides) -> None:
    options = Options(pathlib.Path("/a b/g.yaml"), overrides)
    assert Options.decode(options.encode()) == options


def test_the_file_as_the_admin_room_sees_it(tmp_path: pathlib.Path) -> None:
    file = tmp_path / "gateway.yaml"
    file.write_text('proxies: [{name: a, path: /a, upstream: "http://h", headers: {X-K: "{env.K}"}}]')
    declared = DeclaredFile(file, {"K": "s3cret"})
    assert declared.name == "gateway.yaml"
    (settings,) = declared.proxies()
    assert settings["headers"] == {"X-K": "{env.K}"}
    file.write_text("proxies: [{name: a}]")
    with pytest.raises(ConfigError):
        declared.read()
    assert len(declared.proxies()) == 1

"""What the command line gave reaches the control process unchanged."""

from __future__ import annotations

import pathlib

import pytest

from gateway.config.overrides import Overrides
from gateway.control.options import Options
from gateway.core.address import Address


@pytest.mark.parametrize(
    "overrides", [Overrides(), Overrides((Address("::1", 80), Address("h", 0)), "off", 1.5), Overrides(access_log="-")]
)
def test_options_survive_the_way_to_the_process(overrides: Overrides) -> None:
    options = Options(pathlib.Path("/a b/g.yaml"), overrides, "breakwater-1")
    assert Options.decode(options.encode()) == options

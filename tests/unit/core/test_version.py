from __future__ import annotations

import importlib.machinery

from click.testing import CliRunner

from gateway import errors
from gateway.cli import main
from gateway.core.version import COMPILED, EDITION


def test_a_build_knows_whether_it_is_machine_code() -> None:
    suffixes = tuple(importlib.machinery.EXTENSION_SUFFIXES)
    assert str(errors.__file__).endswith(suffixes if COMPILED else ".py")


def test_the_command_tells_it_with_its_version() -> None:
    assert EDITION in CliRunner().invoke(main, ["--version"]).output

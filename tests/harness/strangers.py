"""Distributions of others that a test installs: a folder on the path, with an entry point in its metadata."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from meta.sources import ROOT

from gateway.admin import kinds as described
from gateway.config import kinds
from gateway.connectors.connector import ActionSection, Call, ConnectionSection, Connector, Secret


class FarConnection(ConnectionSection):
    """Something far away."""

    host: str
    password: Secret


class FarAction(ActionSection):
    """A word to it."""

    word: str = "hello"


class Far(Connector[FarConnection, FarAction]):
    Connection = FarConnection
    Action = FarAction

    async def perform(self, call: Call[FarAction]) -> object:
        return call.action.word

    async def test(self) -> None: ...


class _Point:
    name, value = "far", "far:Far"

    def load(self) -> object:
        return Far


@contextmanager
def known(*points: _Point) -> Iterator[None]:
    """This process has the connectors of these entry points, and those of the gateway."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kinds, "_installed", lambda: {point.name: point for point in points})
        _look_again()
        yield
    _look_again()


FAR = _Point()


def connector_of_the_docs() -> str:
    """The source of the connector in docs/connectors.md."""
    (source,) = re.findall(r"```python\n(.*?)```", (ROOT / "docs/connectors.md").read_text(), re.DOTALL)
    return str(source)


def installed(folder: Path, kind: str, target: str, source: str) -> Path:
    """``folder`` with a module that has ``source``, and with the entry point ``kind`` -> ``target``."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{target.partition(':')[0]}.py").write_text(source)
    metadata = folder / f"{kind}_of_others-1.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {kind}-of-others\nVersion: 1\n")
    (metadata / "entry_points.txt").write_text(f"[{kinds.GROUP}]\n{kind} = {target}\n")
    return folder


def forget() -> None:
    """Look for connectors again."""
    kinds._installed.cache_clear()
    _look_again()


def _look_again() -> None:
    kinds.kind_of.cache_clear()
    described.kinds.cache_clear()

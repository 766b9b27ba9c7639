"""Distributions of others that a test installs: a folder on the path, with an entry point in its metadata."""

from __future__ import annotations

import re
from pathlib import Path

from meta.sources import ROOT

from gateway.config import kinds


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
    kinds.kind_of.cache_clear()

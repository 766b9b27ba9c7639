"""Pages whose commands a reader may paste: what stands in their fences is executed as it stands there."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from harness.ports import reserved_port

STOP_ALL = "trap 'kill $gateway $back_end 2>/dev/null; wait' EXIT\n"
"""Names under which the pages keep what they start."""


def section(page: str, title: str) -> str:
    return page.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def walk(
    text: str, folder: Path, ports: Sequence[str], env: Mapping[str, str], patience: float
) -> subprocess.CompletedProcess[str]:
    """Run the ``sh`` blocks of ``text`` in ``folder``, its one ``yaml`` block beside them as gateway.yaml.

    ``ports`` are those that the page uses; a test may not count on them, so each becomes a free one. What takes longer
    than ``patience`` seconds is ended, with all that it started, and raises TimeoutExpired.
    """
    if shutil.which("curl") is None and "CI" not in os.environ:
        pytest.skip("the page needs curl, which is not here")
    (configuration,) = blocks(text, "yaml")
    script = STOP_ALL + "".join(blocks(text, "sh"))
    for port in ports:
        free = str(reserved_port())
        configuration, script = configuration.replace(port, free), script.replace(port, free)
    (folder / "gateway.yaml").write_text(configuration)
    return _run(["bash", "-c", script], folder, {**os.environ, **env}, patience)


def _run(command: list[str], folder: Path, env: Mapping[str, str], patience: float) -> subprocess.CompletedProcess[str]:
    pipe = subprocess.PIPE
    with subprocess.Popen(
        command, cwd=folder, env=env, stdout=pipe, stderr=pipe, text=True, start_new_session=True
    ) as shell:
        try:
            out, err = shell.communicate(timeout=patience)
        except BaseException:
            os.killpg(shell.pid, signal.SIGKILL)
            raise
        return subprocess.CompletedProcess(command, shell.returncode, out, err)


def promised(text: str) -> str:
    """What the ``text`` blocks say that is printed."""
    return "".join(blocks(text, "text"))

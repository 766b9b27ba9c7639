"""A deployment that a test calls over its API and by the command, and everything that it ever said."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from typing import Any
from urllib.parse import quote

from harness import command
from harness.deployment import Deployment


class Spoken:
    """``texts``: each response of the API and each output of a command, for a search for secrets."""

    def __init__(self, deployment: Deployment) -> None:
        self.deployment = deployment
        self.texts: list[str] = []

    async def api(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        """The status, and the body: parsed when it is an object of JSON, as text otherwise."""
        deployment = self.deployment
        headers = {"Authorization": f"Bearer {deployment.token}"}
        url = f"{deployment.admin}/api/gateway{path}"
        async with deployment.session.request(method, url, json=body, headers=headers) as response:
            text = await response.text()
            self.texts.append(f"{response.headers} {text}")
            return response.status, json.loads(text) if text.startswith("{") else text

    async def execute(self, action: str, **given: object) -> tuple[int, Any]:
        return await self.api("POST", f"/actions/{quote(action, safe='')}/execute", {"input": given})

    async def here(self, *arguments: str, remote: bool) -> tuple[int, str, str]:
        """As `cli`, without a process of its own."""
        where, env = self._target(remote=remote)
        return self._said(*await command.run([*arguments, *where], env))

    async def cli(self, *arguments: str, remote: bool) -> tuple[int, str, str]:
        """The exit code of the command and both its outputs; ``remote``: through the gateway, not by its file."""
        where, env = self._target(remote=remote)
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "gateway", *arguments, *where),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=env,
        )
        out, error = await process.communicate()
        return self._said(process.returncode or 0, out, error)

    def _target(self, *, remote: bool) -> tuple[list[str], dict[str, str]]:
        deployment = self.deployment
        where = ["--server", deployment.admin] if remote else ["--config", str(deployment.config)]
        return where, {**deployment.env, "GATEWAY_TOKEN": deployment.token} if remote else deployment.env

    def _said(self, code: int, out: bytes, error: bytes) -> tuple[int, str, str]:
        self.texts += [out.decode(errors="replace"), error.decode()]
        return code, out.decode(errors="surrogateescape"), error.decode()

"""The options of the command line for the control process: the supervisor passes them on unchanged."""

from __future__ import annotations

import json
import pathlib
from dataclasses import dataclass

from gateway.config.overrides import Overrides
from gateway.core.address import Address


@dataclass(frozen=True, slots=True)
class Options:
    """``config``: the configuration file. ``via``: the name for Via where the file has none; empty: one is made of the
    file. It travels as JSON, in one argument of a command line.
    """

    config: pathlib.Path
    overrides: Overrides
    via: str = ""

    def encode(self) -> str:
        listen = self.overrides.listen
        return json.dumps(
            {
                "config": str(self.config),
                "listen": None if listen is None else [[address.host, address.port] for address in listen],
                "access_log": self.overrides.access_log,
                "drain_timeout": self.overrides.drain_timeout,
                "via": self.via,
            }
        )

    @classmethod
    def decode(cls, text: str) -> Options:
        """Raises KeyError or ValueError for a text that `encode` did not make."""
        data = json.loads(text)
        listen = None if data["listen"] is None else tuple(Address(*pair) for pair in data["listen"])
        overrides = Overrides(listen, data["access_log"], data["drain_timeout"])
        return cls(pathlib.Path(data["config"]), overrides, data["via"])

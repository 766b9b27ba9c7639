"""Front doors for MCP as plain frozen records: there its clients list actions as tools, and call them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from gateway.config.actions import DEFAULT_TENANT

DOOR: Final = "mcp/"
"""Begins the name by which log, metrics and explanations know a front door. No proxy has such a name."""


@dataclass(frozen=True, slots=True)
class ToolRule:
    """The actions whose names one of the patterns ``actions`` matches are there for the callers that ``access_rule``
    admits."""

    actions: tuple[str, ...]
    access_rule: str = ""


@dataclass(frozen=True, slots=True)
class Mcp:
    """A front door. ``allow``, ``deny``: patterns of the names of actions of ``tenant``; ``deny`` wins. An action must
    be admitted by each of ``rules`` that has its name."""

    tenant: str = DEFAULT_TENANT
    allow: tuple[str, ...] = ("*",)
    deny: tuple[str, ...] = ()
    rules: tuple[ToolRule, ...] = ()
    origins: tuple[str, ...] = ()
    """Serialized origins of the pages that may call it."""
    instructions: str = ""
    """What clients tell the model about all of the tools."""
    max_body_bytes: int = 1024 * 1024
    """Of a request."""

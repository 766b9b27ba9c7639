"""The name of this installation in Via: the same for its workers and over restarts, another for each other gateway."""

from __future__ import annotations

import hashlib
import pathlib
import secrets
import socket
from collections.abc import Iterable
from dataclasses import replace

from gateway.config.records import Document
from gateway.core.address import Address

_MACHINE_IDS = ("/etc/machine-id", "/var/lib/dbus/machine-id")
_DIGITS = 12


def named(document: Document, config: pathlib.Path) -> Document:
    """``document`` with a name for Via; ``config`` is the file that it comes from."""
    return (
        document
        if document.via
        else replace(document, via=pseudonym(config, (listener.address for listener in document.listen)))
    )


def written(document: Document, config: pathlib.Path) -> str:
    """The name for Via that the file itself gives to a document that `named` has made; empty: it gives none."""
    return "" if document == named(replace(document, via=""), config) else document.via


def pseudonym(config: pathlib.Path, listen: Iterable[Address]) -> str:
    """A name (RFC 9110 7.6.3) that does not disclose the machine, the file and the addresses that it is derived from.

    Gateways on one machine differ in their file or, in containers that share its network, in their addresses.
    """
    parts = [_machine(), socket.gethostname(), str(config.absolute())]
    parts += sorted(f"{address.host}:{address.port}" for address in listen)
    return _name(hashlib.sha256("\0".join(parts).encode()).hexdigest())


def passing() -> str:
    """A name for a gateway that has no file; it lasts as long as the process."""
    return _name(secrets.token_hex(_DIGITS))


def _name(digits: str) -> str:
    return f"breakwater-{digits[:_DIGITS]}"


def _machine() -> str:
    for path in map(pathlib.Path, _MACHINE_IDS):
        try:
            return path.read_text().strip()
        except (OSError, UnicodeDecodeError):
            continue
    return ""

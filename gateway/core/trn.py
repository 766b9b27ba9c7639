"""Names of stored things: ``trn:openact:TENANT:KIND/CONNECTOR/NAME@vVERSION``, or ``trn:openact:TENANT:KIND/NAME``."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

_PREFIX: Final = "trn:openact:"
_TENANT: Final = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_PART: Final = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_VERSION: Final = re.compile(r"[0-9]{1,9}")
FORM: Final = f"{_PREFIX}TENANT:KIND/CONNECTOR/NAME@vVERSION"


class InvalidTrnError(ValueError):
    """Says what is wrong with a name, and how it is written."""


class Trn(NamedTuple):
    """``kind``: ``connection`` or ``action``, or another word. ``connector`` "": the name has none."""

    tenant: str
    kind: str
    connector: str
    name: str
    version: int = 0
    """0: the name has none."""

    def __str__(self) -> str:
        connector = f"{self.connector}/" if self.connector else ""
        version = f"@v{self.version}" if self.version else ""
        return f"{_PREFIX}{self.tenant}:{self.kind}/{connector}{self.name}{version}"


def versioned(text: str) -> tuple[str, int]:
    """The name and the version of ``NAME@vVERSION``; without one the version is 1. Raises `InvalidTrnError`."""
    name, at, version = text.partition("@")
    if not at:
        return name, 1
    if not (version[:1] == "v" and _VERSION.fullmatch(version[1:]) and int(version[1:])):
        raise InvalidTrnError("the version behind a name is a number from 1; write it as in NAME@v2, or leave it out")
    return name, int(version[1:])


def short(name: str, version: int) -> str:
    """What `versioned` reads: the name alone for version 1."""
    return name if version == 1 else f"{name}@v{version}"


def parse(text: str) -> Trn:
    """Raises `InvalidTrnError`. The name stands behind the last slash; the connector is what is before it."""
    if not text.startswith(_PREFIX):
        raise InvalidTrnError(f"a TRN begins with {_PREFIX}; write {FORM}")
    tenant, colon, resource = text.removeprefix(_PREFIX).partition(":")
    if not colon or not _TENANT.fullmatch(tenant):
        raise InvalidTrnError(f"a TRN has a tenant of letters, digits, `_`, `.` and `-`; write {FORM}")
    path, slash, last = resource.rpartition("/")
    if not slash:
        raise InvalidTrnError(f"a TRN has a slash between its kind and its name; write {FORM}")
    kind, _, connector = path.partition("/")
    name, at, version = last.partition("@")
    if at and not (version[:1] == "v" and _VERSION.fullmatch(version[1:])):
        raise InvalidTrnError("the version of a TRN is a number; write it as in @v1, or leave it out")
    for what, part in (("kind", kind), ("name", name)):
        if not _PART.fullmatch(part):
            raise InvalidTrnError(f"a TRN has a {what} of letters, digits, `_`, `.` and `-`; write {FORM}")
    if (connector and not _PART.fullmatch(connector)) or path.endswith("/"):
        raise InvalidTrnError(f"a TRN has a connector of letters, digits, `_`, `.` and `-`, or none; write {FORM}")
    return Trn(tenant, kind, connector, name, int(version[1:]) if at else 0)

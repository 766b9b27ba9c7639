"""Encryption of secrets at rest: AES-256-GCM, bound to the row, with a ring of keys so that keys can be changed.

An envelope is ``key id (4 bytes) + nonce (12 bytes) + ciphertext and tag``. The additional data is the key id and the
place (table, row, column): a ciphertext that is moved to another row does not decrypt.
"""

from __future__ import annotations

import hashlib
import os
import pathlib
import stat
from collections.abc import Mapping
from contextlib import suppress

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from gateway.config import places
from gateway.store.errors import KeyProblem

VARIABLE = "GATEWAY_MASTER_KEY"

_ID_BYTES = 4
_NONCE_BYTES = 12
_KEY_BYTES = 32


class KeyRing:
    """``keys``: 32 bytes each; the first encrypts, all decrypt."""

    def __init__(self, keys: list[bytes]) -> None:
        if not keys or any(len(key) != _KEY_BYTES for key in keys):
            raise KeyProblem("a key must have 32 bytes; write 64 hexadecimal digits")
        self._keys = {hashlib.sha256(key).digest()[:_ID_BYTES]: AESGCM(key) for key in keys}
        self._current = next(iter(self._keys))

    def __repr__(self) -> str:
        return f"KeyRing({len(self._keys)} keys)"

    @classmethod
    def of(cls, text: str) -> KeyRing:
        """Keys as 64 hexadecimal digits each, the current one first, separated by commas. Raises `KeyProblem`."""
        try:
            return cls([bytes.fromhex(part.strip()) for part in text.split(",")])
        except ValueError:
            raise KeyProblem(f"{VARIABLE} is malformed; write 64 hexadecimal digits, more keys after commas") from None

    @classmethod
    def for_database(cls, url: str, env: Mapping[str, str]) -> KeyRing:
        """The keys in the environment, else for SQLite those in a file beside the database. Raises `KeyProblem`."""
        if env.get(VARIABLE):
            return cls.of(env[VARIABLE])
        if not url.startswith("sqlite:///"):
            raise KeyProblem(
                f"a database that several gateways share needs {VARIABLE}: 64 hexadecimal digits, the same on each "
                "(openssl rand -hex 32)"
            )
        file = pathlib.Path(url.removeprefix("sqlite:///"))
        key = file.with_name(file.name + ".key")
        if not key.exists() and (error := places.obstacle(file)):
            raise KeyProblem(str(places.file_failure("database", file, error)))  # the key file would hide the cause
        if not key.exists() and (said := places.not_sqlite(file)):
            raise KeyProblem(f"database: {said}")  # of a mistyped path, beside which no key is to be made
        return cls.embedded(key)

    @classmethod
    def problem(cls, url: str, env: Mapping[str, str]) -> str:
        """Why `for_database` would fail with the keys that are here; "": it would not, or there are none yet.

        Makes no file.
        """
        file = pathlib.Path(url.removeprefix("sqlite:///"))
        if not env.get(VARIABLE) and not file.with_name(file.name + ".key").exists():
            return places.not_sqlite(file) if url.startswith("sqlite:///") else ""
        try:
            cls.for_database(url, env)
        except KeyProblem as error:
            return str(error)
        return ""

    @classmethod
    def embedded(cls, path: pathlib.Path) -> KeyRing:
        """The keys in ``path``, a line each; a new file, readable by its owner alone, when there is none."""
        if not path.exists():
            try:
                _make(path)
            except OSError as error:
                raise KeyProblem(f"the key file {path} cannot be made: {error.strerror}") from None
        return cls._read(path)

    @classmethod
    def _read(cls, path: pathlib.Path) -> KeyRing:
        try:
            mode = stat.S_IMODE(path.stat().st_mode)
            text = path.read_text()
        except (OSError, UnicodeDecodeError) as error:
            raise KeyProblem(f"the key file {path} cannot be read: {error}") from None
        if mode & 0o077:
            raise KeyProblem(f"the key file {path} is open to others; run chmod 600 {path}")
        try:
            return cls.of(",".join(text.split()))
        except KeyProblem:
            raise KeyProblem(f"the key file {path} is malformed; restore it from a backup") from None

    def encrypt(self, text: str, place: str) -> bytes:
        nonce = os.urandom(_NONCE_BYTES)
        sealed = self._keys[self._current].encrypt(nonce, text.encode(), self._current + place.encode())
        return self._current + nonce + sealed

    def decrypt(self, envelope: bytes, place: str) -> str:
        """Raises `KeyProblem` when the key is not in the ring, or the envelope was moved or changed."""
        key_id, nonce = envelope[:_ID_BYTES], envelope[_ID_BYTES : _ID_BYTES + _NONCE_BYTES]
        key = self._keys.get(key_id)
        if key is None:
            raise KeyProblem(f"a secret was encrypted with a key that is not here; add it to {VARIABLE} or the file")
        try:
            return key.decrypt(nonce, envelope[_ID_BYTES + _NONCE_BYTES :], key_id + place.encode()).decode()
        except (InvalidTag, ValueError):  # ValueError: cut off within the nonce
            raise KeyProblem("a secret in the database was changed or moved to another row; store it again") from None

    def is_current(self, envelope: bytes) -> bool:
        return envelope[:_ID_BYTES] == self._current


def _make(path: pathlib.Path) -> None:
    """A new key, written atomically; a key that another process has put there meanwhile stays."""
    draft = path.with_name(f"{path.name}.{os.urandom(8).hex()}.new")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(os.urandom(_KEY_BYTES).hex() + "\n")
            file.flush()
            os.fsync(file.fileno())
        with suppress(FileExistsError):
            path.hardlink_to(draft)  # unlike a rename it never replaces a key that secrets are encrypted with
    finally:
        draft.unlink()

"""What can go wrong with the store; every text is a sentence for the operator."""

from __future__ import annotations


class StoreError(Exception):
    """Base of all. The text never holds a value that was to be stored."""


class StoreUnavailable(StoreError):  # noqa: N818 - a state, not a mistake
    """The database does not respond, or not as a database of this gateway."""


class SchemaBehind(StoreError):  # noqa: N818
    """The database is older than this gateway: it has to be upgraded first."""


class SchemaNewer(StoreError):  # noqa: N818
    """The database was upgraded by a newer gateway: this one must not use it."""


class WrongRevision(StoreError):  # noqa: N818
    """There is no such revision, or it does not lie in this direction."""


class KeyProblem(StoreError):  # noqa: N818
    """The keys that encrypt secrets are missing, malformed, or not those that a secret was encrypted with."""


class NotFound(StoreError):  # noqa: N818
    pass


class AlreadyExists(StoreError):  # noqa: N818
    """``field``: what is taken already."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


class LastSuperuser(StoreError):  # noqa: N818
    pass


class LastEndpoint(StoreError):  # noqa: N818
    pass

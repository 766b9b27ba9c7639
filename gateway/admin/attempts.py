"""Password checks for clients: each try is counted before it runs, and only a few run at a time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from gateway.admin.errors import AdminError
from gateway.admin.throttle import Crowded, LoginThrottle, Turns


class Attempts:
    """``throttle`` counts the tries that fail, ``turns`` bounds those that run."""

    def __init__(self, throttle: LoginThrottle, turns: Turns | None = None) -> None:
        self._throttle = throttle
        self._turns = turns or Turns()

    @contextmanager
    def attempt(self, client: str, account: str, device: str = "") -> Iterator[None]:
        """Wrap the slow part of a try. The try is counted before it, so that concurrent tries all count.

        Raises `AdminError` when the client has to wait.
        """
        wait = self._throttle.check(client, account, device)
        if wait:
            raise _too_many(f"too many logins have failed; try again in {wait} seconds", wait)
        self._throttle.failed(client, account, device)
        try:
            with self._turns.turn(client, known=bool(device)):
                yield
        except Crowded:
            self._throttle.withdrawn(client, account, device)
            raise _too_many("too many logins run at once; try again in a second", 1) from None

    def succeeded(self, client: str, account: str, device: str = "") -> None:
        """The last try was a login."""
        self._throttle.succeeded(client, account, device)

    def withdrawn(self, client: str, account: str) -> None:
        """The last try did not fail, and was no login."""
        self._throttle.withdrawn(client, account)


def _too_many(details: str, wait: int) -> AdminError:
    return AdminError(429, "too_many_logins", "Too Many Requests", details, (), {"retry_after": wait})

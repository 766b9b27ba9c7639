"""Warnings at the start: ways in which this gateway is more exposed than it has to be."""

from __future__ import annotations

from collections.abc import Iterator

from gateway.admin.seats import is_loopback
from gateway.config.schema.settings import Settings


def warnings(settings: Settings, user: int) -> Iterator[str]:
    """Sentences that name the risk and the fix. ``user``: the effective user id of this process."""
    if user == 0:
        yield (
            "it runs as root: a hole in it would open the whole machine; run it as a user of its own "
            "(User= in a systemd unit, USER in an image), and give that user the files of the configuration"
        )
    admin = settings.admin
    for address in () if admin is None or admin.tls is not None else admin.network_address:
        if address.host != "localhost" and not is_loopback(address.host):
            yield (
                f"the admin listener {address} can be reached from other machines and has no TLS: passwords and tokens "
                "travel in clear text; set admin.tls, or set admin.listen to 127.0.0.1:8081"
            )

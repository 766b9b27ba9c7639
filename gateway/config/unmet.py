"""Access rules that no caller can satisfy, because the file gives callers no way to authenticate."""

from __future__ import annotations

from collections.abc import Iterator

from gateway.config.schema.settings import Settings


def remarks(settings: Settings) -> Iterator[str]:
    """A sentence for each proxy and front door that rejects every caller although its rule does not say so."""
    if settings.database is not None:
        return
    served = [(f"proxy {proxy.name}", proxy.access_rule) for proxy in settings.proxies]
    for what, access_rule in (*served, *((f"front door {door.name}", door.access_rule) for door in settings.mcp)):
        if not access_rule:
            yield (
                f'{what}: access_rule "" admits superusers alone, and without a database there are none: '
                'every request gets 401. Write a rule, "true" for everyone, or set database'
            )
        elif "@request.auth" in access_rule and not settings.auth.jwt:
            yield (
                f"{what}: its access_rule names @request.auth, and no caller can authenticate: there is "
                "neither a database for tokens nor an issuer in auth.jwt"
            )

"""Access rules that no caller can satisfy, because the file gives callers no way to authenticate."""

from __future__ import annotations

from collections.abc import Iterator

from gateway.config.schema.settings import Settings


def remarks(settings: Settings) -> Iterator[str]:
    """A sentence for each proxy of the file that rejects every caller although its rule does not say so."""
    if settings.database is not None:
        return
    for proxy in settings.proxies:
        if not proxy.access_rule:
            yield (
                f'proxy {proxy.name}: access_rule "" admits superusers alone, and without a database there are none: '
                'every request gets 401. Write a rule, "true" for everyone, or set database'
            )
        elif "@request.auth" in proxy.access_rule and not settings.auth.jwt:
            yield (
                f"proxy {proxy.name}: its access_rule names @request.auth, and no caller can authenticate: there is "
                "neither a database for tokens nor an issuer in auth.jwt"
            )

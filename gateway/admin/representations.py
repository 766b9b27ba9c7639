"""The API's resources: stored records as plain JSON."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from gateway.config.errors import ConfigError
from gateway.config.header_template import is_credential, is_template
from gateway.config.schema.proxy import Proxy
from gateway.ipc.messages import ProxyState
from gateway.store.accounts import Superuser, Token
from gateway.store.audit import AuditRow, moment, without_secrets
from gateway.store.drains import DrainedEndpoint
from gateway.store.proxies import StoredProxy
from gateway.store.secrets import Secret

Resource = dict[str, object]

MASKED = "****"

_DEFAULTS = Proxy(name="any", path="/any", upstream="http://any")


def settings_of(proxy: Proxy) -> Resource:
    """Every key of a proxy, with the defaults filled in."""
    return proxy.model_dump(mode="json")


def masked(settings: Resource) -> Resource:
    """The settings without credentials that are written out in a file."""
    headers = settings["headers"]
    assert isinstance(headers, dict)
    shown = {n: MASKED if is_credential(n) and v and not is_template(v) else v for n, v in headers.items()}
    return settings | {"headers": shown}


def stored_proxy(proxy: StoredProxy, shadowed_by: str | None, state: Mapping[str, ProxyState]) -> Resource:
    return stored_settings(proxy) | {
        "id": proxy.id,
        "version": proxy.version,
        "created": shown_time(proxy.created),
        "updated": shown_time(proxy.updated),
        "source": "database",
        "shadowed_by": shadowed_by,
        "state": None if shadowed_by else state.get(proxy.name),
    }


def stored_settings(proxy: StoredProxy) -> Resource:
    """Settings that this version cannot use are shown as stored, so that they can be fixed or deleted."""
    if isinstance(proxy.value, ConfigError):
        return settings_of(_DEFAULTS) | without_secrets(proxy.settings)
    return settings_of(proxy.value)


def declared_proxy(proxy: Proxy, source: str, state: Mapping[str, ProxyState]) -> Resource:
    nothing = dict.fromkeys(("id", "version", "created", "updated", "shadowed_by"))
    return masked(settings_of(proxy)) | nothing | {"source": source, "state": state.get(proxy.name)}


def secret(record: Secret) -> Resource:
    return {
        "key": record.key,
        "masked_value": record.masked,
        "description": record.description,
        "origins": list(record.origins),
        "version": record.version,
        "created": shown_time(record.created),
        "updated": shown_time(record.updated),
    }


def drained_by_settings() -> Resource:
    return {"by": "settings", "at": None, "actor": None}


def drained_by_operator(drained: DrainedEndpoint) -> Resource:
    return {"by": "operator", "at": shown_time(drained.at), "actor": drained.actor}


def superuser(record: Superuser) -> Resource:
    return {"id": record.id, "email": record.email, "created": shown_time(record.created)}


def token(record: Token) -> Resource:
    return {
        "id": record.id,
        "name": record.name,
        "kind": record.kind,
        "superuser": record.superuser,
        "metrics": record.scope == "metrics",
        "claims": dict(record.claims),
        "created": shown_time(record.created),
        "expires_at": shown_time(moment(record.expires_at)) if record.expires_at else None,
        "last_used": shown_time(record.last_used) if record.last_used else None,
        "maker": record.maker,
        "ends_with_maker": record.owner is not None,
    }


def session(record: Token, *, current: bool) -> Resource:
    return {
        "id": record.id,
        "email": record.name,
        "client": record.client,
        "created": shown_time(record.created),
        "expires_at": shown_time(moment(record.expires_at)),
        "current": current,
    }


def audit_row(row: AuditRow) -> Resource:
    return {
        "id": row.id,
        "at": shown_time(row.at),
        "actor": row.actor,
        "action": row.action,
        "subject": row.subject,
        "detail": dict(row.detail),
        "client": row.client,
        "credential": row.credential,
        "before": None if row.before is None else dict(row.before),
        "after": None if row.after is None else dict(row.after),
    }


def moment_of(seconds: float) -> str | None:
    """Seconds of the epoch as a text; None for 0."""
    return shown_time(moment(seconds)) if seconds else None


def shown_time(at: datetime) -> str:
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")

"""The API's resources: stored records as plain JSON."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from gateway.admin.precedence import Settings
from gateway.config import single
from gateway.config.header import is_credential, is_template
from gateway.ipc.messages import ProxyState
from gateway.store.accounts import Superuser, Token
from gateway.store.audit import AuditRow, moment
from gateway.store.proxies import StoredProxy
from gateway.store.secrets import Secret

Resource = dict[str, object]

MASKED = "****"


def settings_of(settings: Settings) -> Resource:
    """Every key of a proxy, with the defaults filled in."""
    return single.stored(settings).model_dump(mode="json")


def masked(settings: Resource) -> Resource:
    """Without credentials that stand written out in a file."""
    headers = settings["headers"]
    assert isinstance(headers, dict)
    shown = {n: MASKED if is_credential(n) and v and not is_template(v) else v for n, v in headers.items()}
    return settings | {"headers": shown}


def stored_proxy(proxy: StoredProxy, shadowed_by: str | None, state: Mapping[str, ProxyState]) -> Resource:
    return settings_of(proxy.settings) | {
        "id": proxy.id,
        "version": proxy.version,
        "created": _time(proxy.created),
        "updated": _time(proxy.updated),
        "source": "database",
        "shadowed_by": shadowed_by,
        "state": None if shadowed_by else state.get(proxy.name),
    }


def declared_proxy(settings: Settings, source: str, state: Mapping[str, ProxyState]) -> Resource:
    nothing = dict.fromkeys(("id", "version", "created", "updated", "shadowed_by"))
    name = str(settings["name"])
    return masked(settings_of(settings)) | nothing | {"source": source, "state": state.get(name)}


def secret(record: Secret) -> Resource:
    return {
        "key": record.key,
        "masked_value": record.masked,
        "description": record.description,
        "origins": list(record.origins),
        "version": record.version,
        "created": _time(record.created),
        "updated": _time(record.updated),
    }


def superuser(record: Superuser) -> Resource:
    return {"id": record.id, "email": record.email, "created": _time(record.created)}


def token(record: Token) -> Resource:
    return {
        "id": record.id,
        "name": record.name,
        "kind": record.kind,
        "superuser": record.superuser,
        "metrics": record.scope == "metrics",
        "claims": dict(record.claims),
        "created": _time(record.created),
        "expires_at": _time(moment(record.expires_at)) if record.expires_at else None,
        "last_used": _time(record.last_used) if record.last_used else None,
        "maker": record.maker,
        "ends_with_maker": record.owner is not None,
    }


def session(record: Token, *, current: bool) -> Resource:
    return {
        "id": record.id,
        "email": record.name,
        "client": record.client,
        "created": _time(record.created),
        "expires_at": _time(moment(record.expires_at)),
        "current": current,
    }


def audit_row(row: AuditRow) -> Resource:
    return {
        "id": row.id,
        "at": _time(row.at),
        "actor": row.actor,
        "action": row.action,
        "subject": row.subject,
        "detail": dict(row.detail),
        "client": row.client,
        "credential": row.credential,
        "before": None if row.before is None else dict(row.before),
        "after": None if row.after is None else dict(row.after),
    }


def _time(at: datetime) -> str:
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")

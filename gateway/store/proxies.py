"""Proxies in the database, each in the shape in which it would stand in the file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from gateway.config import single
from gateway.config.schema.proxy import Proxy
from gateway.store.database import Database
from gateway.store.errors import AlreadyExists
from gateway.store.repository import Kind, Record, Repository, Unique, dump_section
from gateway.store.tables import PROXIES

StoredProxy = Record[Proxy]


def hosts_key(hosts: Iterable[str]) -> str:
    """Hosts as one text, in which neither order nor repetition counts; "" stands for every host."""
    return ",".join(sorted(set(hosts)))


def name_taken(proxy: Proxy) -> AlreadyExists:
    return AlreadyExists("name", f"there is a proxy {proxy.name} already; choose another name")


def path_taken(proxy: Proxy) -> AlreadyExists:
    return AlreadyExists("path", f"another proxy serves {proxy.path} for the same hosts; choose another path")


def _read(settings: Mapping[str, object], place: str) -> Proxy:
    return single.stored(settings, name=place)


def _keys(proxy: Proxy) -> Mapping[str, object]:
    return {"name": proxy.name, "path": proxy.path, "hosts_key": hosts_key(proxy.hosts)}


KIND: Final = Kind(
    noun="proxy",
    table=PROXIES,
    read=_read,
    dump=dump_section,
    keys=_keys,
    unique=(Unique("idx_proxies_path", "path", path_taken), Unique("proxies_name_key", "name", name_taken)),
)


class ProxyRepository(Repository[Proxy]):
    def __init__(self, database: Database) -> None:
        super().__init__(database, KIND)

"""Calls actions of a configuration file without a gateway that runs: by a data plane of this process alone.

It goes through the same routes as a call by --server, so that both give the same result. Limits and breakers are those
of this process; a gateway that runs has its own.
"""

from __future__ import annotations

import os
import pathlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import cast

import click

from gateway.admin.action_records import ActionRecords
from gateway.admin.actions import ActionAdministration
from gateway.admin.connection_records import ConnectionRecords
from gateway.admin.grants import GrantAdministration
from gateway.admin.live import NotRunning
from gateway.admin.service import Administration
from gateway.api.call import Health
from gateway.cli.in_process import InProcess
from gateway.config.overrides import Overrides
from gateway.control.composer import Composer, StoredRecords
from gateway.control.declared import DeclaredFile
from gateway.control.options import Options
from gateway.grants.authorizer import Authorizer
from gateway.grants.broker import Broker
from gateway.grants.endpoint import TokenEndpoint
from gateway.grants.memory import MemoryGrants
from gateway.grants.provider import Provider
from gateway.store.database import file_of, is_embedded
from gateway.store.errors import StoreError
from gateway.store.keys import KeyRing
from gateway.store.store import Store
from gateway.workers.local_plane import LocalPlane


@dataclass(frozen=True, slots=True)
class _ActionsAlone:
    """The part of `Administration` that the routes of actions use; there may be no database for the rest."""

    actions: ActionAdministration
    grants: GrantAdministration


class LocalActions(InProcess):
    """The routes of connections and actions without HTTP."""

    def __init__(
        self, plane: LocalPlane, declared: DeclaredFile, store: Store | None, broker: Broker, provider: Provider
    ) -> None:
        authorizer = None
        actions = ActionAdministration(plane)
        if store is not None:
            live = NotRunning()
            records = ConnectionRecords(store, declared, live), ActionRecords(store, declared, live)
            actions = ActionAdministration(plane, *records)
            authorizer = Authorizer(broker, provider, store.grants, store.authorizations, store.tokens)
        grants = GrantAdministration(actions, broker, authorizer)
        health = cast(Health, None)  # no route of actions looks at it
        super().__init__(cast(Administration, _ActionsAlone(actions, grants)), health)


@asynccontextmanager
async def local_actions(config: pathlib.Path) -> AsyncIterator[LocalActions]:
    """Those of the file, and of its database where there is one.

    Raises `ConfigError` for the file, OSError for what it names and this machine lacks.
    """
    env = dict(os.environ)
    declared = DeclaredFile(config, env)
    store = await _store(declared.settings.database)
    plane, provider = LocalPlane(), Provider(TokenEndpoint(destinations=lambda: declared.destinations))
    # With the database, calls use the tokens of the gateway that runs on it; grants of persons are there alone.
    broker = Broker(MemoryGrants() if store is None else store.grants, provider.next_tokens, plane.supply)
    plane.on_tokens_wanted(lambda: broker.want(plane.take_wanted_tokens()))
    try:
        stored = StoredRecords()
        if store is not None:
            stored = StoredRecords(connections=await store.connections.list(), actions=await store.actions.list())
        composition = Composer(Options(config, Overrides()), env).compose(declared.settings, stored)
        # No listener, no proxy, no log: the calls alone.
        await plane.apply(replace(composition.document, listen=(), routes=(), access_log=None, tracing=None))
        await broker.serve(composition.grants)
        if composition.grants:
            await broker.refresh()
        yield LocalActions(plane, declared, store, broker, provider)
    finally:
        await plane.aclose()
        await broker.aclose()
        await provider.aclose()
        if store is not None:
            await store.aclose()


async def _store(url: str | None) -> Store | None:
    """The database of the file; None when it names none, or when that is not there: what stands in the file can be
    called nevertheless."""
    if url is None or (is_embedded(url) and not file_of(url).exists()):
        return None
    try:
        return await Store.open(url, KeyRing.for_database(url, os.environ))
    except StoreError as error:
        click.echo(f"Warning: connections and actions of the database are left out: {error}", err=True)
        return None

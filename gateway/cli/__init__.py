"""The command line.

Settings come from the command line, else from the environment (``GATEWAY_*``), else from the file. Heavy rooms are
imported inside the commands that need them, so that ``--help``, ``check`` and ``schema`` stay fast.
"""

from __future__ import annotations

import click

import gateway
from gateway import launch
from gateway.cli import call_records, call_transfer
from gateway.cli.accounts import session, superuser, token
from gateway.cli.action import action, connection
from gateway.cli.completion import completion
from gateway.cli.db import db
from gateway.cli.db import upgrade as upgrade_database
from gateway.cli.endpoint import endpoint
from gateway.cli.explain import explain
from gateway.cli.proxy import proxy
from gateway.cli.run import check, demo, run, schema
from gateway.cli.secret import secret
from gateway.cli.transfer import export, import_, sync
from gateway.cli.workers import restart, status, upgrade
from gateway.core.version import EDITION

SERVING = frozenset({"run", "demo"})
"""Commands that handle signals themselves."""


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(f"{gateway.__version__} ({EDITION})", prog_name="gateway")
@click.pass_context
def main(context: click.Context) -> None:
    """Breakwater: a reverse proxy gateway for back ends that break easily."""
    if context.invoked_subcommand in SERVING:
        launch.prepare()
    else:
        launch.release_signals()


for _command in (
    run,
    check,
    schema,
    demo,
    db,
    superuser,
    session,
    token,
    proxy,
    endpoint,
    connection,
    action,
    secret,
    status,
    restart,
    upgrade,
    explain,
    export,
    import_,
    sync,
    completion,
):
    main.add_command(_command)
main.add_command(upgrade_database, "migrate")

call_records.add(connection, "connection", "auth.type=bearer")
call_records.add(action, "action", "limits.timeout_ms=2000")
call_transfer.add(connection, "connection", "action")
call_transfer.add(action, "action")

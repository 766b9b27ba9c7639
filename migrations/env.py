"""Alembic's entry: runs the revisions on the connection, and in the transaction, that `gateway.store.schema` opened."""

from alembic import context

connection = context.config.attributes["connection"]
context.configure(connection=connection)
with context.begin_transaction():
    context.run_migrations()

"""The operations of the API by resource: each handler stands with its row of the table."""

"""Proxies, superusers, tokens, secrets and the audit trail in a database; used by the control process alone."""

"""Authentication of callers, and the access rules of proxies."""

"""Connectors: what calls of connections that do not speak HTTP are made by."""

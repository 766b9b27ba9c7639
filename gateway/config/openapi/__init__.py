"""Connections and actions made from a description of an API in OpenAPI 3.0 or 3.1."""

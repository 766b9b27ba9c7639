"""Grants of connections: gets access tokens from identity providers, and keeps them current."""

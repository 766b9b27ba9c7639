"""Attacks as bytes, for the dialogues with the gateway, and for the same bytes at other proxies."""

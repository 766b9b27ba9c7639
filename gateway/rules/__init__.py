"""The language of access rules."""

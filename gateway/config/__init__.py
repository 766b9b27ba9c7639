"""From a file to a checked, immutable document. pydantic stays in this room."""

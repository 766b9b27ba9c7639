"""Metrics of the data plane, read from the memory that it shares."""

"""Metrics of the data plane, read from its shared memory."""

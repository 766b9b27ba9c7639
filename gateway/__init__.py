"""Breakwater: a reverse proxy gateway for back ends that break easily."""

__version__ = "0.1.0"

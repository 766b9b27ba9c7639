"""Processes: the supervisor, and the workers that serve traffic."""

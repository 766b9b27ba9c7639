"""The vocabulary that every room shares: no I/O, nothing of a third party."""

"""Processes: the supervisor, the control process and the data-plane worker, and the channel between them."""

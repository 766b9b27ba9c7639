"""The control process: keeps the configuration of the workers current, and shows their state."""

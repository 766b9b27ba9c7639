"""The control process: keeps what the workers serve current, and shows what they do."""

"""The control plane: what superusers may do (`service`), and how they do it over HTTP (`web`)."""

"""The data plane: routes, the chain of layers, forwarding, and the listeners."""

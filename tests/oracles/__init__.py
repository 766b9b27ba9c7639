"""The same bytes at the gateway and at other proxies: `make oracles`."""

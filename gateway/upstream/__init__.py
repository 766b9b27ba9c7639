"""Connections to upstreams: dialling, pooling, and the state that outlives a reload. The only aiohttp client import."""

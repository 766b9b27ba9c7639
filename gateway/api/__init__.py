"""The control plane's HTTP face: routes, OpenAPI document, server and the live page."""

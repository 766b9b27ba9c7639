"""`gateway demo`: a scripted fragile sidecar, a gateway in front of it, and curl lines that show each protection."""

"""HTTP/1.1 on the wire: sans-IO rules (head, framing, headers, target) and the protocols that own the sockets."""

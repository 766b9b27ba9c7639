"""HTTP/2 on the wire (RFC 9113, RFC 7541): sans-IO rules (header blocks, frames, heads), and the server's side."""

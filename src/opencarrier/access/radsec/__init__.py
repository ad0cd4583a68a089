"""RADIUS over TLS (RFC 6614): framing, certificates, the server and its connections."""

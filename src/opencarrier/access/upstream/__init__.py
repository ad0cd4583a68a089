"""Other RADIUS servers that are asked: over UDP, or over TLS."""

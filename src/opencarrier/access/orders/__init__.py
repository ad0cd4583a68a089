"""What a home orders of access networks: to end a session, or to serve it otherwise."""

"""Two installations without a shared database come to one co-signed statement."""

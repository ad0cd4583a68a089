"""Bans of nodes: what the registry's events say of them, and what people here prepared."""

"""Whose realm it is, and passing packets on to whoever answers for it."""

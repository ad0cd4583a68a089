"""Transferred accounts (TAP 3.10 to 3.12): read, checked, returned and written."""

"""Selling over HTTP 402: what is asked, what pays for it, and that each payment counts once."""

"""Proofs people hold: issue a receipt, verify one with nothing but a chain."""

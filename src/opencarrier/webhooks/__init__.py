"""Webhooks: a party's own machines are told what happened, signed, until they have heard it."""

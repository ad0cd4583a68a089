"""Paying: cycles from cut to finality, the venue's logs in the ledger, reconciliation."""

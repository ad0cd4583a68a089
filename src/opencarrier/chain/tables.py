"""All of the chain room's tables, for the migrations."""

from __future__ import annotations

from opencarrier.chain import relay_store, store

metadata = store.metadata
assert relay_store.relays.metadata is metadata, "one room has one set of tables"

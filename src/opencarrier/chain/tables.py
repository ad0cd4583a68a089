"""All of the chain room's tables, for the migrations."""

from __future__ import annotations

from opencarrier.chain import relay_store, store
from opencarrier.chain.index import store as index_store

metadata = store.metadata
for table in (relay_store.relays, index_store.numbers):
    assert table.metadata is metadata, "one room has one set of tables"

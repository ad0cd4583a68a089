"""The access room's reader as ingest's decoder, joined here as the application does it."""

from __future__ import annotations

from opencarrier.access.class_token import ClassRing
from opencarrier.access.model import AccessKeys
from opencarrier.access.recorded import RecordReader
from opencarrier.usage.model import Arrival, Decoded

KEYS = AccessKeys(ring=ClassRing.of(b"r" * 32), cui_key=b"c" * 32)


class AccessDecoder:
    def __init__(self, keys: AccessKeys = KEYS) -> None:
        self._reader = RecordReader(keys)

    def decode(self, packet: bytes, arrival: Arrival) -> Decoded | None:
        found = self._reader.read(
            packet,
            node=arrival.node,
            at_us=arrival.at_us,
            source=arrival.source,
            secret=arrival.secret,
        )
        if found is None:
            return None
        return Decoded(
            observation=found.observation,
            realm=found.realm,
            nas_identifier=found.nas_identifier,
        )

"""The access room's codec as ingest's decoder, joined here as the application does it."""

from __future__ import annotations

from opencarrier.access.accounting import Arrival as AccessArrival
from opencarrier.access.accounting import observe, packet_digest, realm_of
from opencarrier.access.class_token import ClassRing
from opencarrier.access.model import AccessKeys, Metrics
from opencarrier.access.wire import radius
from opencarrier.access.wire.authenticators import check_accounting_request
from opencarrier.access.wire.dictionary import Code, Type
from opencarrier.spine.parties import RadiusClient
from opencarrier.usage.model import Arrival, Decoded

KEYS = AccessKeys(ring=ClassRing.of(b"r" * 32), cui_key=b"c" * 32)


class AccessDecoder:
    def __init__(self, keys: AccessKeys = KEYS) -> None:
        self._keys = keys
        self.metrics = Metrics()

    def decode(self, packet: bytes, arrival: Arrival) -> Decoded | None:
        parsed = radius.parse(packet)
        if parsed.code != Code.ACCOUNTING_REQUEST:
            return None
        if arrival.secret is not None:
            check_accounting_request(packet, parsed, arrival.secret)
        client = RadiusClient(
            client_id="ingest",
            prefix="",
            secret=arrival.secret or b"",
            operator=arrival.node.operator,
        )
        came = AccessArrival(
            client=client,
            node=arrival.node,
            source=arrival.source,
            now_us=arrival.at_us,
            digest=packet_digest(packet),
        )
        return Decoded(
            observation=observe(parsed, came, self._keys, self.metrics),
            realm=realm_of(parsed),
            nas_identifier=parsed.text(Type.NAS_IDENTIFIER),
        )

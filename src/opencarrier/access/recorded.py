"""Accounting from a capture or a log, read by the same rules as from the wire."""

from __future__ import annotations

from dataclasses import dataclass

from opencarrier.access.accounting import Arrival, observe, packet_digest, realm_of
from opencarrier.access.model import AccessKeys, Metrics
from opencarrier.access.wire.authenticators import check_accounting_request
from opencarrier.access.wire.dictionary import Code, Type
from opencarrier.access.wire.radius import parse
from opencarrier.spine.parties import Node, RadiusClient
from opencarrier.spine.usage import Observation


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """A recorded Accounting-Request; `realm` may name the home where no Class does."""

    observation: Observation
    realm: str | None
    nas_identifier: str | None


class RecordReader:
    """Reads recorded packets; `metrics` counts the Class attributes that did not open."""

    def __init__(self, keys: AccessKeys) -> None:
        self._keys = keys
        self.metrics = Metrics()

    def read(
        self, packet: bytes, *, node: Node, at_us: int, source: str, secret: bytes | None
    ) -> Recorded | None:
        """Read an Accounting-Request that a node sent at an instant; None for another code.

        With a secret its authenticator is checked. Raises `PeerError` and nothing else.
        """
        parsed = parse(packet)
        if parsed.code != Code.ACCOUNTING_REQUEST:
            return None
        if secret is not None:
            check_accounting_request(packet, parsed, secret)
        client = RadiusClient(
            client_id="recorded", prefix="", secret=secret or b"", operator=node.operator
        )
        arrival = Arrival(
            client=client, node=node, source=source, now_us=at_us, digest=packet_digest(packet)
        )
        return Recorded(
            observation=observe(parsed, arrival, self._keys, self.metrics),
            realm=realm_of(parsed),
            nas_identifier=parsed.text(Type.NAS_IDENTIFIER),
        )

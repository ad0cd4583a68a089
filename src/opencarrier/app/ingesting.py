"""Ingest recorded accounting: the readers of `usage` with the RADIUS codec of `access`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import Connection

from opencarrier.access.recorded import RecordReader
from opencarrier.app.bootstrap import Installation
from opencarrier.identity.cli import find
from opencarrier.identity.model import IdentityReason, PartyKind
from opencarrier.kernel.refusals import Refusal
from opencarrier.spine.parties import PartyId
from opencarrier.usage.ingest import Ingest, IngestOrder
from opencarrier.usage.model import Arrival, Decoded


class RadiusDecoder:
    """Reads recorded packets exactly as the server reads those from the wire."""

    def __init__(self, reader: RecordReader) -> None:
        self._reader = reader

    def decode(self, packet: bytes, arrival: Arrival) -> Decoded | None:
        """Read an Accounting-Request; None for another code, `PeerError` for a malformed one."""
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
            observation=found.observation, realm=found.realm, nas_identifier=found.nas_identifier
        )


def ingest_files(
    base: Installation,
    paths: Sequence[Path],
    *,
    operator: str,
    node_id: str,
    home: str | None,
    secret: bytes | None,
) -> dict[str, Any] | Refusal:
    """Ingest files of a visited operator's node; the result is what `ingest --json` prints."""
    order = _order(base, operator=operator, node_id=node_id, home=home, secret=secret)
    if isinstance(order, Refusal):
        return order
    ingest = Ingest(
        usage=base.usage,
        decoder=RadiusDecoder(RecordReader(base.access_keys())),
        transactions=base.store.write,
        home_of=lambda unit, realm: _home_of(base, unit, realm),
        clock=base.clock,
    )
    told: dict[str, Any] = json.loads(json.dumps(ingest.run(paths, order).as_mapping()))
    return told


def _order(
    base: Installation, *, operator: str, node_id: str, home: str | None, secret: bytes | None
) -> IngestOrder | Refusal:
    directory = base.identity.directory
    with base.store.read() as unit:
        visited = find(base.identity, unit, PartyKind.OPERATOR, operator)
        if isinstance(visited, Refusal):
            return visited
        node = directory.node_by_id(unit, node_id)
        if node is None:
            return Refusal(IdentityReason.UNKNOWN_NODE, f"no node is called {node_id!r}")
        if node.operator != visited:
            return Refusal(IdentityReason.FOREIGN_NODE, f"{node_id!r} is another operator's")
        named = None if home is None else find(base.identity, unit, PartyKind.OPERATOR, home)
    if isinstance(named, Refusal):
        return named
    return IngestOrder(node=node, home=named, secret=secret)


def _home_of(base: Installation, unit: Connection, realm: str) -> PartyId | None:
    found = base.identity.directory.home_of(unit, realm)
    return None if found is None else found.party_id
